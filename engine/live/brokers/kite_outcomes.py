"""What a failed Kite request means: refused, unknown, busy or not logged in.

The official client maps the server's `error_type` to a class by name, and what it does not know (UserException,
MarginException, HoldingException) to GeneralException; so class, HTTP code and words are read together. What is not
proved to be without effect is unknown. Source: reference `brokers_and_market`, 1.1, 1.3 to 1.5.
"""

import re

from kiteconnect import exceptions as kite  # type: ignore[import-untyped]
from requests.exceptions import InvalidHeader

from engine.live.brokers.base import BrokerAuth, BrokerBusy, BrokerError, BrokerRefused, BrokerUnknown

MAX_WORDS = 300
TOO_MANY = 429
REQUEST_TIMEOUT = 408
_MAY_STAND = re.compile(r"tim(?:ed?|ing)[ -]?out|check the order", re.IGNORECASE)


def one_line(words: object) -> str:
    """Words of an answer on one line, cut where an error page would follow."""
    return " ".join(str(words).split())[:MAX_WORDS] or "no words"


def outcome_of(error: Exception, what: str) -> BrokerError:
    """
    The outcome that an exception of the official client stands for.

    Parameters
    ----------
    error : Exception
        A `KiteException`; or anything else, since the client lets pass what `requests` raises and stumbles
        (KeyError, TypeError, AttributeError) over an answer without content type, error type or data.
    what : str
        The request, e.g. "place E1A2".

    Returns
    -------
    BrokerError
        To be raised by the caller.
    """
    if isinstance(error, InvalidHeader):  # its words quote the header, and with it the token
        words = "api key or access token hold a character that no header takes"
        return BrokerAuth(f"Kite, {what}: {words}; log in again", 0, words)
    words = one_line(error)
    if not isinstance(error, kite.KiteException):
        kind = type(error).__name__
        line = f"Kite, {what}: no answer that can be read ({kind}: {words}); look the order up before sending again"
        return BrokerUnknown(line, 0, words)
    code = int(error.code)
    line = f"Kite, {what}: {words} (HTTP {code})"
    if code == TOO_MANY:
        return BrokerBusy(f"{line}; wait before the next request", code, words)
    if isinstance(error, kite.TokenException) and code < 500:
        return BrokerAuth(f"{line}; log in again", code, words)
    doubtful = (
        isinstance(error, kite.DataException | kite.NetworkException)
        or not 400 <= code < 500
        or code == REQUEST_TIMEOUT
        or _MAY_STAND.search(words)
    )
    if doubtful:
        return BrokerUnknown(f"{line}; look the order up before sending again", code, words)
    return BrokerRefused(line, code, words)
