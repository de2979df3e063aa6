"""What a practice exchange plays, asked of it: so that whoever starts a session there need not say it again."""

import datetime as dt

import httpx

from engine.errors import WorkbenchError

ANSWER_S = 5.0


class NoExchangeError(WorkbenchError):
    """No practice exchange answers."""


def doors_of(root: str) -> dict[str, str | float | bool]:
    """The two addresses of a practice exchange, by the one that it prints."""
    root = root.rstrip("/")
    return {"rest_url": root, "ticker_url": root.replace("http", "ws", 1)}


def played_options(root: str) -> tuple[dt.date, dict[str, str | float | bool]]:
    """
    The day that is played, and the feed's options for it: rest_url, ticker_url, speed.

    Parameters
    ----------
    root : str
        Address, as `workbench practice serve` prints it.

    Raises
    ------
    NoExchangeError
        If nobody answers there, or no practice exchange.
    """
    root = root.rstrip("/")
    try:
        answer = httpx.get(f"{root}/practice/state", timeout=ANSWER_S, trust_env=False)
        told = answer.raise_for_status().json()
        date, speed = dt.date.fromisoformat(told["date"]), told["speed"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise NoExchangeError(
            f"no practice exchange answers at {root} ({type(error).__name__}); start one: workbench practice serve"
        ) from error
    return date, {**doors_of(root), "speed": speed}
