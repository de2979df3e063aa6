"""The event log of an account and what it amounts to: kinds of events, rows, the database file, reading it."""
