"""Closed minutes of today from somewhere else than the feed: what was missed in an outage, or before a late start.

A feed never repeats a tick. Bars rebuilt from candles are as good for closes and ranges; they are asked for only
where the feed has a hole. Source: reference `brokers_and_market`, 1.4 (3 historical requests a second), 1.7.
"""

import asyncio
import datetime as dt
import ipaddress
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from kiteconnect import KiteConnect  # type: ignore[import-untyped]

from engine.errors import DataError
from engine.history.bars import BarBuilder
from engine.live.brokers.base import BrokerUnknown
from engine.live.brokers.kite_answers import ticks
from engine.live.brokers.kite_outcomes import outcome_of
from engine.live.spec import SessionSpec
from engine.market.clock import minute_of, minute_start, to_ns
from engine.market.prices import TICKS_PER_RUPEE
from engine.market.sessions import session_minutes

if TYPE_CHECKING:
    from engine.live.feeds.script import Script

CANDLE = np.dtype(
    [
        ("minute", np.int32),  # of the session, 0 = first
        ("open", np.int32),  # ticks
        ("high", np.int32),
        ("low", np.int32),
        ("close", np.int32),
        ("volume", np.int64),  # units traded in the minute
    ]
)
KITE_SPACING_S = 0.35
_INDICES = 9
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError, DataError)

Records = npt.NDArray[np.void]


class Candles(Protocol):
    """A source of closed minutes."""

    async def close(self) -> None:
        """Wait for what is on its way, then release connections and threads."""

    async def minute_bars(
        self, symbol: str, token: int, date: dt.date, first_minute: int, last_minute: int
    ) -> Records:
        """
        Bars of some minutes; minutes without a trade have none.

        Parameters
        ----------
        symbol : str
        token : int
            The vendor's.
        date : date
        first_minute, last_minute : int
            Of the session, both included; the caller asks for minutes that have ended.

        Returns
        -------
        CANDLE[n], by minute

        Raises
        ------
        BrokerError
            If the vendor did not answer: nothing was learnt.
        """


class KiteCandles:
    """
    Candles of Kite, or of what stands in for it, through the official client.

    Parameters
    ----------
    api_key, access_token : str
    root : str, optional
        Address of the server; None = Kite itself, whose three requests a second are kept.
    timeout_s : float
    """

    def __init__(
        self, api_key: str, access_token: str, *, root: str | None = None, timeout_s: float = 7.0
    ) -> None:
        self._client = KiteConnect(api_key, access_token, root=root, timeout=timeout_s)
        self._thread = ThreadPoolExecutor(1, "kite-candles")  # the client's connection is not to be shared
        self._spacing_s = 0.0 if root is not None and is_loopback(root) else KITE_SPACING_S
        self._next = 0.0

    async def close(self) -> None:
        """Wait for what is on its way, then end thread and connection."""
        await asyncio.to_thread(self._thread.shutdown)
        self._client.reqsession.close()

    async def minute_bars(
        self, symbol: str, token: int, date: dt.date, first_minute: int, last_minute: int
    ) -> Records:
        """As `Candles`; index values are rounded to the nearest tick."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._fetch, symbol, token, date, first_minute, last_minute
        )

    def _fetch(self, symbol: str, token: int, date: dt.date, first: int, last: int) -> Records:
        begin, end = (minute_start(date, minute).replace(tzinfo=None) for minute in (first, last))
        time.sleep(max(self._next - time.monotonic(), 0))
        self._next = time.monotonic() + self._spacing_s
        what = f"candles of {symbol}"
        try:
            rows = self._client.historical_data(token, begin, end, "minute")
        except Exception as error:  # noqa: BLE001 - the client lets everything pass, see outcome_of
            raise outcome_of(error, what) from None
        try:
            found = _candles(rows, in_ticks=token & 0xFF != _INDICES)
        except _UNREADABLE as error:
            raise BrokerUnknown(f"Kite, {what}: an answer that cannot be read ({error})") from error
        kept: Records = found[(found["minute"] >= first) & (found["minute"] <= last)]
        return kept


class ReplayCandles:
    """Candles of the day that a replay plays."""

    def __init__(self, script: "Script") -> None:
        self._script = script
        self._bars: Records | None = None

    async def close(self) -> None:
        """Nothing to end."""

    async def minute_bars(
        self, symbol: str, token: int, date: dt.date, first_minute: int, last_minute: int
    ) -> Records:
        """As `Candles`; the token is not looked at."""
        del token
        if symbol not in self._script.symbols:
            raise DataError(
                f"{symbol} is not part of the replayed day {date}; ask for one of its instruments"
            )
        if self._bars is None:
            self._bars = await asyncio.to_thread(_bars_of, self._script, date)
        bars = self._bars
        place = self._script.symbols.index(symbol)
        rows = bars[
            (bars["instrument"] == place) & (bars["minute"] >= first_minute) & (bars["minute"] <= last_minute)
        ]
        made = np.zeros(len(rows), CANDLE)
        for name in CANDLE.names or ():
            made[name] = rows[name]
        return made


def open_candles(spec: SessionSpec, api_key: str = "", access_token: str = "") -> Candles:
    """
    Where a session's feed has its candles: Kite, the practice exchange, or the replayed day.

    Parameters
    ----------
    spec : SessionSpec
    api_key, access_token : str
        Of today's login; a replay needs none.
    """
    if spec.feed == "replay":
        from engine.live.feeds.replay import open_script  # with the lake: only a replay has need of it

        return ReplayCandles(open_script(spec))
    root = spec.broker_root or spec.feed_options.get("rest_url")
    return KiteCandles(api_key, access_token, root=None if root is None else str(root))


def is_loopback(root: str) -> bool:
    """Whether a server runs on this machine."""
    host = urlsplit(root).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bars_of(script: "Script", date: dt.date) -> Records:
    builder = BarBuilder(to_ns(minute_start(date, 0)), session_minutes(date), len(script.symbols))
    for moment in script.moments():
        builder.push(moment.ticks)
    return builder.close_all()


def _candles(rows: list[dict[str, Any]], *, in_ticks: bool) -> Records:
    made = np.zeros(len(rows), CANDLE)
    for place, row in enumerate(rows):
        made[place]["minute"] = minute_of(row["date"])
        for name in ("open", "high", "low", "close"):
            made[place][name] = ticks(row[name]) if in_ticks else round(row[name] * TICKS_PER_RUPEE)
        made[place]["volume"] = int(row["volume"])
    ordered: Records = made[np.argsort(made["minute"], kind="stable")]
    return ordered
