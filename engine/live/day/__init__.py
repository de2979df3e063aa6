"""One live day at work in the runner: contracts, prices, minutes, people's commands, the end."""
