"""Decisions: swings, filters, ranking, sizing. No I/O, no clock, no random number."""
