"""From desired orders to orders, fills, positions, money, R and risk limits. No I/O, no clock."""
