"""A past day as a feed: a recording of a live session, or any day of the lake, at any speed.

It sends what a broker's feed sends, and the clock of the played day after each moment. At speed "max" the next
moment comes when the reader is done with the one before; without a reader the day waits.
"""

import asyncio
import os
from pathlib import Path

import numpy as np
import polars as pl

from engine.errors import ParamsError
from engine.execution.bar_path import MOMENTS
from engine.history.bars import TICK
from engine.history.lake import Lake
from engine.live.feeds.script import CLOSE, LakeScript, Moment, RecordingScript, Script
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import ClockTick, Hello, Index, Speed, Status, Subscription
from engine.live.spec import SessionSpec

NAME = "replay"
_UNWANTED = -1


class ReplayFeed:
    """
    The feed of a past day.

    Parameters
    ----------
    script : Script
    speed : float or "max"
        Times the market's own.
    """

    def __init__(self, script: Script, speed: Speed = "max") -> None:
        if speed == "manual" or (not isinstance(speed, str) and not speed > 0):
            raise ParamsError(
                f"speed {speed!r} of a replay is neither a number above 0 nor 'max'; give e.g. 10"
            )
        self.hello = Hello(NAME, os.getpid(), paced=True, simulated=True)
        self.script = script
        self.speed: Speed = speed
        self._places = {symbol: place for place, symbol in enumerate(script.symbols)}
        self._slots = np.full(len(script.symbols), _UNWANTED, np.int32)  # script's number -> slot
        self._last = np.zeros(len(script.symbols), TICK)  # newest tick of each
        self._index: str | None = None
        self._index_open = 0
        self._asked = asyncio.Event()
        self._done = -1
        self._answered = asyncio.Event()
        self._out: FeedServer | None = None
        self._detail = ""
        self._subscribed = 0

    def wanted(self, subscription: Subscription) -> None:
        """Take note of all that is wanted; what is new gets its present price, as from a broker."""
        missing = []
        new = []
        for each in subscription.instruments:
            place = self._places.get(each.symbol)
            if place is None:
                missing.append(each.symbol)
            elif self._slots[place] == _UNWANTED:
                self._slots[place] = each.n
                new.append(place)
        self._index = subscription.index[0] if subscription.index else self._index
        self._subscribed = len(subscription.instruments)
        self._detail = f"the day lacks {len(missing)} instruments, {missing[0]} first" if missing else ""
        self._asked.set()
        if self._out is not None:
            self._send_ticks(self._last[[place for place in new if self._last[place]["price"]]])
            self._tell()

    def done(self, seq: int) -> None:
        """The next moment may come."""
        self._done = max(self._done, seq)
        self._answered.set()

    async def run(self, out: FeedServer) -> None:
        """Play the day once somebody asks for instruments; return at its end."""
        self._out = out
        await self._asked.wait()
        self._tell()
        loop = asyncio.get_running_loop()
        began: tuple[float, int] | None = None
        for seq, moment in enumerate(self.script.moments(), 1):
            if not isinstance(self.speed, str):
                began = began or (loop.time(), moment.ns)
                due = began[0] + (moment.ns - began[1]) / 1e9 / self.speed
                await asyncio.sleep(max(due - loop.time(), 0))
            self._play(moment, seq)
            while self.speed == "max" and self._done < seq:
                self._answered.clear()
                await self._answered.wait()
        self._detail = self._detail or "the day has been played"
        self._tell()

    def _play(self, moment: Moment, seq: int) -> None:
        assert self._out is not None
        if len(moment.ticks):
            self._last[moment.ticks["instrument"]] = moment.ticks
            self._send_ticks(moment.ticks)
        if moment.index and self._index is not None:
            self._index_open = self._index_open or moment.index
            self._out.send(Index(self._index, moment.index, self._index_open, moment.ns))
        closes = moment.moment == CLOSE
        self._out.send(ClockTick(seq, moment.minute, moment.moment, moment.ns, closes, self.speed))
        if closes or moment.moment == MOMENTS - 1:
            self._tell()

    def _send_ticks(self, ticks: np.ndarray) -> None:
        assert self._out is not None
        slots = self._slots[ticks["instrument"]]
        sent = ticks[slots != _UNWANTED].copy()
        sent["instrument"] = slots[slots != _UNWANTED]
        self._out.send_ticks(sent)

    def _tell(self) -> None:
        assert self._out is not None
        heard = int(np.count_nonzero((self._slots != _UNWANTED) & (self._last["price"] > 0)))
        self._out.tell(Status("up", self._detail, self._subscribed, heard))


def open_script(spec: SessionSpec) -> Script:
    """
    The day that a session's `feed_options` name: `folder` of a recording, or `source` of the lake's day.

    Raises
    ------
    DataError
        If there is no such day, or it cannot be played.
    """
    options = spec.feed_options
    if options.get("folder"):
        return RecordingScript(Path(str(options["folder"])))
    lake = Lake(Path(str(options.get("lake", spec.data_folder))))
    source = str(options["source"]) if options.get("source") else None
    entry = lake.select(spec.params.underlying, spec.date, spec.date, source)[0]
    bars = lake.load(entry)
    return LakeScript(bars, spot_grid(lake.spot(entry), bars.minutes), str(options.get("path", "worst")))


def spot_grid(rows: pl.DataFrame | None, minutes: int) -> np.ndarray | None:
    """Index bars of the lake as int32[M, 4] paise, 0 where there is none."""
    if rows is None:
        return None
    grid = np.zeros((minutes, 4), np.int32)
    grid[rows["minute"].to_numpy()] = rows.select("open", "high", "low", "close").to_numpy()
    return grid


def open_feed(spec: SessionSpec) -> ReplayFeed:
    """The feed of a session, by its entry point."""
    told = spec.feed_options.get("speed", "max")
    return ReplayFeed(open_script(spec), "max" if told == "max" else speed_of(told))


def speed_of(told: str | float) -> float:
    """A speed as a number, or a line that says what is one."""
    try:
        return float(told)
    except ValueError:
        raise ParamsError(f"speed {told!r} of a replay is neither a number nor 'max'; give e.g. 10") from None
