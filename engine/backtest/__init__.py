"""The driver over history: run, result, cross-check, report."""
