"""The errors a user can cause and mend.

Each carries one line that names the thing, its value, what was expected and the remedy. The command line
prints that line and exits with code 2; a notebook shows it as the exception's text.
"""


class WorkbenchError(Exception):
    """Base of every error that a user can mend; its text is one complete line."""


class ParamsError(WorkbenchError):
    """A parameter file or an override is wrong."""


class MarketFactError(WorkbenchError):
    """A dated market fact is unknown: underlying, expiry, lot size, session, charge."""


class DataError(WorkbenchError):
    """Market data is missing, malformed or contradicts itself."""
