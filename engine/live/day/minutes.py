"""Ticks in, prices and closed minutes out: what the runner knows of the market, for one day's contracts.

Bars are made by `engine.history.bars`, the same as on history. A minute that was watched from its first to its last
second closes by the clock and decides; one in which the feed was away is filled up from the vendor's candles and
rebuilds what is known, but nothing is sent for it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from engine.history.bars import BAR, GRACE_NS, BarBuilder, TickCounts
from engine.live.day.bar_log import BarLog
from engine.live.day.last_prices import LastPrices
from engine.live.decisions.session_inputs import Bar, BarsClosed, Quotes
from engine.live.decisions.session_state import MINUTE_NS

Records = npt.NDArray[np.void]
AFTER_CLOSE_NS = 60 * MINUTE_NS


class Minutes:
    """
    The market of one day.

    Parameters
    ----------
    open_ns : int
        Of the session, ns UTC.
    minutes, contracts : int
    log : BarLog
        Bars that it holds were closed by an earlier process.
    from_open : bool
        True if the feed has been watched since before the open.

    Attributes
    ----------
    closed : int
        Last closed minute; -1 before the first.
    """

    def __init__(
        self, open_ns: int, minutes: int, contracts: int, log: BarLog, *, from_open: bool = True
    ) -> None:
        self.open_ns = open_ns
        self.minutes = minutes
        self.contracts = contracts
        self._log = log
        self._bars = _whole_minutes(log.read())
        self._bars = self._bars[self._bars["instrument"] < contracts]
        self.closed = int(self._bars["minute"].max(initial=-1))
        self._unwritten = self._bars[:0]
        self._lost: set[int] = set()
        self._ahead = np.zeros(0, BAR)  # bars of minutes whose turn has not come
        self._prices = LastPrices(contracts, open_ns)
        self._last_sane_ns = open_ns + minutes * MINUTE_NS + AFTER_CLOSE_NS
        self._builder = self._new_builder(from_open=from_open and self.closed < 0)

    # ---- ticks ----

    def push(self, ticks: Records, latest_ns: int | None = None) -> tuple[Quotes, ...]:
        """
        Take ticks in the order they came.

        Parameters
        ----------
        ticks : TICK[n]
            Changed where `LastPrices.push` says so.
        latest_ns : int, optional
            A time after this one is none, UTC; default: an hour after the close.

        Returns
        -------
        tuple of Quotes
            One for each minute that they belong to, ascending; late and worthless ones left out.
        """
        latest_ns = self._last_sane_ns if latest_ns is None else min(latest_ns, self._last_sane_ns)
        quotes = self._prices.push(ticks, latest_ns)
        self._builder.push(ticks)
        return quotes

    def reference(self, contract: int, now_ns: int) -> int | None:
        """Mean price traded in the last 30 s, ticks; else the last price; None before the first."""
        return self._prices.reference(contract, now_ns)

    @property
    def newest_ns(self) -> int:
        """The exchange's time of the newest tick, ns UTC; 0 before the first."""
        return self._prices.newest_ns

    @property
    def counts(self) -> TickCounts:
        """What became of the ticks."""
        return self._builder.counts

    @property
    def ahead(self) -> int:
        """Ticks whose time could not be yet."""
        return self._prices.ahead

    # ---- minutes ----

    def lost(self, from_ns: int, to_ns: int) -> None:
        """The feed was away from one moment to another: these minutes need candles."""
        first = max((from_ns - self.open_ns) // MINUTE_NS, self.closed + 1, 0)
        last = min((to_ns - self.open_ns) // MINUTE_NS, self.minutes - 1)
        self._lost.update(range(first, last + 1))

    def due(self, now_ns: int, *, grace_ns: int = GRACE_NS) -> tuple[int, ...]:
        """Minutes whose end, and a grace for ticks on their way, has passed, and that are not closed yet."""
        passed = min((now_ns - self.open_ns - grace_ns) // MINUTE_NS, self.minutes)
        return tuple(range(self.closed + 1, passed))

    def needs_candles(self, minute: int) -> bool:
        """Whether a minute was not watched from its first to its last second."""
        return minute in self._lost

    def close(self, minute: int) -> BarsClosed:
        """Close the next minute with the bars that were watched."""
        self._must_be_next(minute)
        return self._keep(minute, self._taken(minute), replayed=minute in self._lost)

    def fill(self, minute: int, candles: Records) -> BarsClosed:
        """Close the next minute with the vendor's candles (BAR[n] of that minute)."""
        self._must_be_next(minute)
        self._taken(minute)
        return self._keep(minute, candles, replayed=True)

    def history(self) -> tuple[BarsClosed, ...]:
        """Every closed minute, empty ones too, for a session that goes on."""
        return tuple(
            _closed(minute, self._bars[self._bars["minute"] == minute], replayed=True)
            for minute in range(self.closed + 1)
        )

    def write(self) -> None:
        """
        Write closed minutes into the bar log, once what was decided at their close is in the event log.

        In this order a crash between the two costs nothing: the minute closes again, its decision stands already.
        """
        self._log.append(self._unwritten)
        self._unwritten = self._unwritten[:0]

    def resume(self) -> None:
        """After `fill`: count on from what the bars say was traded."""
        self._builder = self._new_builder(from_open=False)

    # ---- inside ----

    def _taken(self, minute: int) -> Records:
        """
        The bars of a minute as they were watched.

        Where a minute waited for its candles, ticks have closed later ones meanwhile: those wait for their turn.
        """
        bars = self._builder.close_until(self.open_ns + (minute + 1) * MINUTE_NS + GRACE_NS)
        bars = np.concatenate([self._ahead, bars])
        self._ahead = bars[bars["minute"] > minute]
        return bars[bars["minute"] == minute]

    def _new_builder(self, *, from_open: bool) -> BarBuilder:
        totals = None
        if not from_open:
            totals = np.zeros(self.contracts, np.int64)
            bars = self._bars[self._bars["instrument"] >= 0]
            np.add.at(totals, bars["instrument"], bars["volume"])
        builder = BarBuilder(self.open_ns, self.minutes, self.contracts, from_open=from_open, totals=totals)
        builder.close_until(self.open_ns + (self.closed + 1) * MINUTE_NS + GRACE_NS)
        return builder

    def _must_be_next(self, minute: int) -> None:
        assert minute == self.closed + 1, f"minute {minute} does not follow {self.closed}"

    def _keep(self, minute: int, bars: Records, *, replayed: bool) -> BarsClosed:
        kept = np.concatenate([bars, _marker(minute)])
        self._unwritten = np.concatenate([self._unwritten, kept])
        self._bars = np.concatenate([self._bars, kept])
        self.closed = minute
        self._lost.discard(minute)
        return _closed(minute, bars, replayed=replayed)


def _marker(minute: int) -> Records:
    """A record of no instrument ends each minute: an empty one was watched too, one without it is torn."""
    row = np.zeros(1, BAR)
    row["instrument"] = -1
    row["minute"] = minute
    return row


def _whole_minutes(bars: Records) -> Records:
    """The bars up to the last minute that is whole, as are all before it."""
    ended = set(bars["minute"][bars["instrument"] < 0].tolist())
    whole = next(minute for minute in range(len(ended) + 1) if minute not in ended)
    return bars[bars["minute"] < whole]


def _closed(minute: int, bars: Records, *, replayed: bool) -> BarsClosed:
    rows: Iterable[Sequence[int]] = bars[["instrument", "open", "high", "low", "close", "volume"]].tolist()
    return BarsClosed(minute, tuple(Bar(*row) for row in rows if row[0] >= 0), replayed=replayed)
