"""What the live chart draws: closes of the recorded bars, and the day's profit at every minute, from fills and closes.

Read from the recording beside the store, so a viewer that comes late sees the whole day. The profit of a minute is
that of the fills until its end, what was open valued at the last close so far; unknown (None) while one is missing.
"""

import bisect
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import DataError
from engine.live.day.recording import read_bars, read_recording
from engine.live.log.money import billed_charges
from engine.live.log.state import Fill
from engine.market.clock import NS_PER_MINUTE, from_ns, minute_start, to_ns
from engine.market.prices import PAISE_PER_TICK

Closes = Mapping[str, Sequence[tuple[int, int]]]
"""By symbol: (end of the minute in ns UTC, close in ticks), ascending."""


class RecordedCloses:
    """
    Closes of a recording that is still being written.

    Attributes
    ----------
    closes : Closes
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.closes: Closes = {}
        self._seen = 0

    def renew(self) -> bool:
        """Read again if more was recorded; whether there is news."""
        parts = len(list(self.folder.glob("bars-*.parquet")))
        if parts == self._seen:
            return False
        try:
            recording = read_recording(self.folder)
            bars = read_bars(self.folder)
        except (DataError, OSError):  # no recording yet, or one of another layout: nothing to draw
            return False
        open_ns = to_ns(minute_start(recording.date, 0))
        made: dict[str, list[tuple[int, int]]] = {}
        for minute, number, close in zip(
            bars["minute"].tolist(), bars["instrument"].tolist(), bars["close"].tolist(), strict=True
        ):
            symbol = recording.instruments[number].symbol
            made.setdefault(symbol, []).append((open_ns + (minute + 1) * NS_PER_MINUTE, close))
        self.closes = made
        self._seen = parts
        return True


@dataclass(frozen=True)
class Curve:
    """The day's profit in paise at moments (ns UTC); None where it is not known."""

    at_ns: tuple[int, ...]
    gross: tuple[int | None, ...]
    net: tuple[int | None, ...]


def profit_curve(date: dt.date, fills: Sequence[Fill], closes: Closes) -> Curve:
    """
    Profit before and after charges at the end of every recorded minute since the first fill.

    Parameters
    ----------
    date : date
        Trading day, for the charges.
    fills : of the day's positions
    """
    ordered = sorted(fills, key=lambda fill: fill.time_ns)
    if not ordered:
        return Curve((), (), ())
    moments = sorted({at for rows in closes.values() for at, _ in rows if at >= ordered[0].time_ns})
    times = [fill.time_ns for fill in ordered]
    charged = {0: 0}
    gross: list[int | None] = []
    net: list[int | None] = []
    for at in moments:
        count = bisect.bisect_right(times, at)
        value = _profit(ordered[:count], closes, at)
        if count not in charged:
            charged[count] = billed_charges(date, ordered[:count])
        gross.append(value)
        net.append(None if value is None else value - charged[count])
    return Curve(tuple(moments), tuple(gross), tuple(net))


def _profit(fills: Sequence[Fill], closes: Closes, at: int) -> int | None:
    cash = 0
    held: dict[str, int] = {}
    for fill in fills:
        units = fill.quantity if fill.side == "BUY" else -fill.quantity
        cash -= units * fill.price
        held[fill.symbol] = held.get(fill.symbol, 0) + units
    for symbol, units in held.items():
        if not units:
            continue
        rows = closes.get(symbol, ())
        place = bisect.bisect_right(rows, (at, 2**31)) - 1
        if place < 0:
            return None
        cash += units * rows[place][1]
    return cash * PAISE_PER_TICK


def clock_of(ns: int) -> dt.datetime:
    """A moment as plotly draws it: the naive time on an Indian wall clock."""
    return from_ns(ns).replace(tzinfo=None)
