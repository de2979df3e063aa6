"""What a replay plays: a day cut into moments, each with the ticks up to it, from the lake or from a recording.

A day of the lake is played through the four prices of each bar, in the order of `execution.bar_path`; a recording's
ticks come as they were received, at the same moments, so both are driven alike. The fifth moment of a minute is its
end, at which its bars are complete.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import DataError
from engine.execution.bar_path import MOMENT_MS, MOMENTS, PATHS, moment_prices
from engine.history.bars import GRACE_NS, TICK
from engine.history.day import DayBars
from engine.live.day.recording import read_recording, read_ticks
from engine.market.clock import NS_PER_MINUTE, minute_start, to_ns
from engine.market.prices import PAISE_PER_TICK
from engine.market.sessions import session_minutes

NS_PER_MS = 1_000_000
CLOSE = MOMENTS
SPOT = "SPOT"

Ints = npt.NDArray[np.int32]
Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """
    A step of a played day.

    Attributes
    ----------
    minute, moment : int
        0..3, then `CLOSE` for the minute's end.
    ns : int
        UTC, of the played day.
    ticks : TICK[n]
        What came since the step before; `instrument` is the place in the script's `symbols`.
    index : int
        Last value of the index in ticks, 0 where there was none since.
    """

    minute: int
    moment: int
    ns: int
    ticks: Records
    index: int


class Script(Protocol):
    """A day to be played."""

    symbols: tuple[str, ...]
    simulated: bool

    def moments(self) -> Iterator[Moment]:
        """Its steps, in time."""


class LakeScript:
    """
    A day of the lake.

    Parameters
    ----------
    bars : DayBars
        With open, high, low and close.
    spot : int32[M, 4] or None
        Open, high, low, close of the index in paise; 0 where unknown.
    path : str
        A name of `bar_path.PATHS`.

    Raises
    ------
    DataError
        If the day knows only its closes, or no such path is known.
    """

    def __init__(self, bars: DayBars, spot: Ints | None, path: str = "worst") -> None:
        if bars.quality == "close_only" or bars.date is None:
            raise DataError(f"{bars.source} day {bars.date} is close-only and cannot be played")
        if path not in PATHS:
            raise DataError(f"path {path!r} is none of {', '.join(PATHS)}")
        self.symbols = bars.symbols
        self.simulated = bars.simulated
        self.bars = bars
        self._open_ns = to_ns(minute_start(bars.date, 0))
        self._prices = moment_prices(bars.open, bars.high, bars.low, bars.close, PATHS[path])
        self._index = None
        if spot is not None:
            columns = [np.ascontiguousarray(spot[None, :, place]) for place in range(4)]
            paise = moment_prices(*columns, PATHS[path])[0]
            self._index = np.rint(paise / PAISE_PER_TICK).astype(np.int64)

    def moments(self) -> Iterator[Moment]:
        """Every minute of the session: four moments and its end."""
        totals = np.zeros(len(self.symbols), np.int64)
        for minute in range(self.bars.minutes):
            traded = np.flatnonzero(self.bars.valid[:, minute])
            volume = self.bars.volume[traded, minute].astype(np.int64)
            begin = self._open_ns + minute * NS_PER_MINUTE
            for moment in range(MOMENTS):
                ns = begin + int(MOMENT_MS[moment]) * NS_PER_MS
                ticks = np.zeros(len(traded), TICK)
                ticks["exchange_ns"] = ticks["receive_ns"] = ns
                ticks["price"] = self._prices[traded, minute, moment]
                ticks["volume"] = totals[traded] + volume * (moment + 1) // MOMENTS
                ticks["instrument"] = traded
                index = int(self._index[minute, moment]) if self._index is not None else 0
                yield Moment(minute, moment, ns, ticks, index)
            totals[traded] += volume
            yield Moment(minute, CLOSE, begin + NS_PER_MINUTE, np.zeros(0, TICK), 0)


class RecordingScript:
    """
    A recorded day, its ticks in the order they were received.

    A minute of real ticks ends a grace later, so that ticks on their way are still part of it, as they were live;
    the recording of a played day ends its minutes on the dot, as that day did.

    Raises
    ------
    DataError
        If the folder holds no recording, or one without ticks.
    """

    def __init__(self, folder: str | Path) -> None:
        recording = read_recording(folder)
        listed = recording.instruments
        ticks = read_ticks(folder)
        if not len(ticks):
            raise DataError(f"the recording in {folder} holds no ticks; nothing can be played from it")
        options = np.array([each.option_type != SPOT for each in listed])
        self.symbols = tuple(each.symbol for each in listed)
        self.simulated = recording.simulated
        self.recording = recording
        self._open_ns = to_ns(minute_start(recording.date, 0))
        at = np.where(ticks["receive_ns"] > 0, ticks["receive_ns"], ticks["exchange_ns"])
        self._at = np.maximum.accumulate(at)  # a wall clock may have been set back
        self._ticks = ticks
        self._is_option = options[ticks["instrument"]]

    def moments(self) -> Iterator[Moment]:
        """Every minute of the session, whether it has ticks or not."""
        grace = 0 if self.simulated else GRACE_NS
        begun = 0
        for minute in range(session_minutes(self.recording.date)):
            begin = self._open_ns + minute * NS_PER_MINUTE
            for moment in range(0 if self.simulated else 1, MOMENTS + 1):
                closes = moment == CLOSE
                ns = begin + (NS_PER_MINUTE + grace if closes else int(MOMENT_MS[moment]) * NS_PER_MS)
                until = int(np.searchsorted(self._at, ns, "left" if closes else "right"))
                rows = slice(begun, max(until, begun))
                begun = rows.stop
                ticks, is_option = self._ticks[rows], self._is_option[rows]
                spot = ticks["price"][~is_option]
                yield Moment(minute, moment, ns, ticks[is_option], int(spot[-1]) if len(spot) else 0)
