"""The live room: one process that trades, and what it leaves on disk for everybody else.

The runner is the only writer and the only trader. What it knows stands in an append-only log of events
(`store`, `log`); orders, positions, trades and day summaries are projections of that log and can be rebuilt from it at
any time. Panels read, anyone may ask by a command row, nobody else writes.

`session` and `decisions` decide, without I/O · `gateway` and `orders` are the only door to a broker · `reconcile`
compares broker and log · `trader` joins these, `runner` and `day` drive it through a day · `supervisor`, `watchdog` and
`control` start, watch and end the processes · `alerts` and `messages` tell people · `preflight` and `checks` look before
the start · `brokers` and `feeds` are the adapters, found by entry point.
"""
