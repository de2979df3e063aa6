"""A stand-in exchange: a played day, matching, and the Kite Connect v3 protocol over real sockets.

Nothing in here is imported by a live session; the two meet only through sockets. The door is
`engine.practice.server.PracticeServer`.
"""
