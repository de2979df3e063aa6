"""The live room: one process that trades, and what it leaves on disk for everybody else.

The runner is the only writer and the only trader. What it knows stands in an append-only log of events
(`store`); orders, positions, trades and day summaries are projections of that log (`projections`) and can be
rebuilt from it at any time. Panels read (`reader`), anyone may ask (`reader.submit_command`), nobody else writes.
"""
