"""The fault simulator: the real session, gateway, store and reconciliation in a world that one seed decides.

The world owns time, market, broker, network, disk, feed, person and death. One seed is one history, the same each
time; what must hold (`invariants`) is judged after every step, from the exchange's own books. It stands above
`engine.live`, whose code it drives unchanged, and beside nothing: only the command line imports it.
Source: reference `reliability`.
"""
