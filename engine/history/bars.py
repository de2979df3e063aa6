"""Ticks to 1-minute bars, session VWAP, hourly bars: the same compiled step live and on history.

A bar belongs to the minute of its exchange time and is closed by the clock, a grace after the minute's end, so a
quiet strike's bar closes on time and the day's last bar closes too. What is doubled, late or impossible changes
nothing and is counted. A thin bar is kept, with its tick count: its high and low count for stops and breaks.

Rules and the faults they mend: `reference: swing break, section 2` (ticks -> 1-minute bars -> VWAP).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import DataError
from engine.history.bar_step import (
    BAR,
    CUMULATIVE,
    MEMORY,
    NO_VOLUME,
    PER_TRADE,
    SEEN,
    SLOT,
    STATE,
    TICK,
    Records,
    close_bars,
    push_ticks,
    settle_totals,
)
from engine.market.clock import NS_PER_MINUTE, NS_PER_SECOND
from engine.market.prices import ticks_from_array

__all__ = [
    "BAR",
    "TICK",
    "BarBuilder",
    "TickCounts",
    "VolumeMode",
    "bar_vwap",
    "bars_from_ticks",
    "hourly_bars",
    "ticks_from_columns",
]

_Ints = npt.NDArray[np.int32]
VolumeMode = Literal["cumulative", "per_trade", "none"]
_MODES: dict[str, int] = {"cumulative": CUMULATIVE, "per_trade": PER_TRADE, "none": NO_VOLUME}
GRACE_NS = 3 * NS_PER_SECOND // 2


@dataclass(frozen=True)
class TickCounts:
    """
    What became of the ticks pushed so far.

    Attributes
    ----------
    accepted : int
        Ticks that are part of a bar.
    duplicate : int
        The same tick again.
    late : int
        Ticks of a minute whose bar was closed.
    bad_price, bad_volume : int
        Price not positive, missing or off the tick; volume negative.
    outside : int
        Ticks before the open or after the close.
    quote : int
        Packets without a trade since the last one, in minutes that had none: no bar is invented for them.
    """

    accepted: int
    duplicate: int
    late: int
    bad_price: int
    bad_volume: int
    outside: int
    quote: int


class BarBuilder:
    """
    Makes the 1-minute bars of one session.

    Parameters
    ----------
    open_ns : int
        Opening moment of the session, UTC ns.
    minutes : int
        Minutes of the session.
    instruments : int
        Number of instruments; ticks carry 0 .. instruments - 1.
    volume : "cumulative", "per_trade" or "none"
        What a tick's volume is: the day's total (brokers' quote packets), the trade's quantity, or nothing
        (index values).
    grace_ns : int
        How long after a minute's end its bar stays open for ticks on their way. Below a minute.
    from_open : bool
        True when watching since before the open: then an instrument's first total is all volume of the day.
        False when joining later: the first tick of an instrument only tells from where to count.
    totals : int64[instruments], optional
        When joining later: the day's volume so far of each instrument, units, where it is known; -1 where not.

    Notes
    -----
    In cumulative mode a bar's volume is the last total in it minus the total at the end of the bar before, never
    below 0. Counting starts anew when the feed changes or the total falls below half (a counter restarted); a
    smaller fall is a correction and counts 0. A tick is late when it was received after its minute's end plus the
    grace, so a replay of recorded ticks drops the same ones as the live session did.
    """

    def __init__(
        self,
        open_ns: int,
        minutes: int,
        instruments: int,
        *,
        volume: VolumeMode = "cumulative",
        grace_ns: int = GRACE_NS,
        from_open: bool = True,
        totals: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if volume not in _MODES:
            raise DataError(f"volume mode {volume!r} is none of {', '.join(_MODES)}")
        if not 0 <= grace_ns < NS_PER_MINUTE:
            raise DataError(
                f"grace of {grace_ns} ns must be at least 0 and below a minute; 1 to 2 s are usual"
            )
        self.open_ns = open_ns
        self.minutes = minutes
        self.grace_ns = grace_ns
        self._mode = _MODES[volume]
        self._slots = np.zeros((instruments, 2), SLOT)
        self._slots["minute"] = -1
        self._state = np.zeros(instruments, STATE)
        self._state["base"] = 0 if from_open else -1
        if totals is not None:
            self._state["base"] = self._state["last_total"] = totals
        for name in ("closed", "feed", "quote_minute"):
            self._state[name] = -1
        self._seen = np.zeros((instruments, MEMORY), SEEN)
        self._seen["minute"] = -1
        self._counts = np.zeros(7, np.int64)
        self._clock = np.zeros(1, np.int64)  # first minute that the clock has not closed
        self._closed: list[Records] = []
        self._room = np.zeros(0, BAR)

    def push(self, ticks: Records) -> None:
        """
        Take ticks in the order they came; bars that the clock closes meanwhile wait for `close_until`.

        Parameters
        ----------
        ticks : TICK[n]
        """
        if ticks.dtype != TICK:
            raise DataError(
                f"ticks have dtype {ticks.dtype}; give a structured array of engine.history.bars.TICK"
            )
        needed = 2 * self._state.shape[0] + ticks.shape[0]
        if self._room.shape[0] < needed:
            self._room = np.zeros(needed, BAR)
        made = push_ticks(
            ticks, self._slots, self._state, self._seen, self._counts, self._clock, self._room,
            self.open_ns, self.minutes, self.grace_ns, self._mode,
        )  # fmt: skip
        if made < 0:
            wrong = int(ticks["instrument"][-1 - made])
            raise DataError(f"tick of instrument {wrong}; this builder knows 0 to {self._state.shape[0] - 1}")
        if made:
            self._closed.append(self._room[:made].copy())

    def close_until(self, now_ns: int) -> Records:
        """
        Close every bar whose minute ended a grace before `now_ns`, and hand over all bars not handed over yet.

        Returns
        -------
        BAR[n]
            Each closed bar exactly once, by minute, then instrument.
        """
        room = np.zeros(2 * self._state.shape[0], BAR)
        made = close_bars(self._slots, self._state, self._clock, room, 0, now_ns, self.open_ns, self.grace_ns)
        bars = np.concatenate([*self._closed, room[:made]])
        self._closed = []
        ordered: Records = bars[np.lexsort((bars["instrument"], bars["minute"]))]
        return ordered

    def close_all(self) -> Records:
        """Close what is open, whatever the clock says: the end of the session or of a recording."""
        return self.close_until(self.open_ns + (self.minutes + 1) * NS_PER_MINUTE)

    def in_progress(self) -> Records:
        """
        The newest open bar of each instrument that has one, as BAR.

        Their volume and session sums are what the bar would have if it closed now.
        """
        slots, state = self._slots.copy(), self._state.copy()
        room = np.zeros(2 * state.shape[0], BAR)
        far = self.open_ns + (self.minutes + 1) * NS_PER_MINUTE
        made = close_bars(slots, state, self._clock.copy(), room, 0, far, self.open_ns, 0)
        bars = room[:made]
        newest: Records = bars[bars["minute"] == self._slots["minute"].max(axis=1)[bars["instrument"]]]
        return newest

    def rebase(self, instrument: int) -> None:
        """Forget an instrument's volume base: its next tick only tells from where to count (a feed restarted)."""
        state = self._state[instrument : instrument + 1]
        slots = self._slots[instrument]
        settle_totals(slots, state[0])
        state["base"] = -1

    @property
    def counts(self) -> TickCounts:
        """What became of the ticks so far."""
        return TickCounts(*(int(count) for count in self._counts))


def bars_from_ticks(
    ticks: Records,
    open_ns: int,
    minutes: int,
    *,
    volume: VolumeMode = "cumulative",
    grace_ns: int = GRACE_NS,
) -> tuple[Records, TickCounts]:
    """
    All bars of a recorded session, and what became of its ticks.

    Parameters
    ----------
    ticks : TICK[n], in the order they were received
    open_ns, minutes, volume, grace_ns
        As for `BarBuilder`.

    Returns
    -------
    BAR[k], TickCounts
    """
    instruments = int(ticks["instrument"].max()) + 1 if ticks.shape[0] else 0
    builder = BarBuilder(open_ns, minutes, instruments, volume=volume, grace_ns=grace_ns)
    builder.push(ticks)
    return builder.close_all(), builder.counts


def ticks_from_columns(
    price_rupees: npt.ArrayLike,
    volume: npt.ArrayLike,
    *,
    exchange_ns: npt.ArrayLike = 0,
    receive_ns: npt.ArrayLike = 0,
    instrument: npt.ArrayLike = 0,
    feed: npt.ArrayLike = 0,
) -> Records:
    """
    Columns as a TICK array; a price in rupees that is missing or off the tick becomes 0, which is refused.

    Parameters
    ----------
    price_rupees : float[n]
    volume : int[n], units
    exchange_ns, receive_ns : int[n] or one value, UTC ns; 0 where unknown
    instrument, feed : int[n] or one value
    """
    prices, _ = ticks_from_array(price_rupees)
    ticks = np.zeros(prices.shape[0], TICK)
    ticks["price"] = prices
    ticks["volume"] = volume
    ticks["exchange_ns"] = exchange_ns
    ticks["receive_ns"] = receive_ns
    ticks["instrument"] = instrument
    ticks["feed"] = feed
    return ticks


def bar_vwap(bars: Records) -> npt.NDArray[np.float64]:
    """VWAP in ticks of closed bars, for display; decisions compare the integers `pv3` and `session_volume`."""
    typical3 = bars["high"].astype(np.int64) + bars["low"] + bars["close"]
    traded = bars["session_volume"]
    return np.where(traded > 0, bars["pv3"], typical3) / np.where(traded > 0, 3 * traded, 3)


def hourly_bars(minutes: pl.DataFrame, *, by: tuple[str, ...] = ()) -> pl.DataFrame:
    """
    Hourly bars anchored at the session's open: 09:15, 10:15, ... and a short last one from 15:15.

    Parameters
    ----------
    minutes : polars frame
        Bars with `minute` (0 = first of the session), `open, high, low, close`, and `volume` where known; bars of
        1 minute or any longer that fits into the hour.
    by : tuple of str
        Columns that tell series apart, e.g. ("symbol",) or ("date",).

    Returns
    -------
    polars frame
        `by..., minute` (of the hour's start)`, open, high, low, close[, volume], n_src_bars`: how many bars made
        it, which tells its completeness. An hour without bars has no row.
    """
    volume = [pl.col("volume").sum()] if "volume" in minutes.columns else []
    return (
        minutes.sort(*by, "minute")
        .group_by(*by, (pl.col("minute") // 60 * 60).alias("minute"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *volume,
            pl.len().alias("n_src_bars"),
        )
    )
