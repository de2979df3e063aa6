"""When the next moment of the played day comes: 1x, faster, as fast as everybody has followed, or step by step.

The exchange time stands still in "max" and "manual" between two moments, so a request made in answer to a moment is
made at that moment. At "max" the next one comes when all ticks are delivered and every participant has said that it
is done with the present one (`POST /practice/ack`); without participants, when nobody has asked anything for a while.
At a speed in numbers exchange time is wall time times the speed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import WorkbenchError
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS

if TYPE_CHECKING:
    from engine.practice.exchange import Exchange
    from engine.practice.kite_ticker import Ticker

CLOSE = MOMENTS
"""The moment after the fourth: the minute's end, at which its bars are complete and nothing trades."""

SLICE_S = 0.05
DRAIN_S = 5.0


class Beat(NamedTuple):
    """One moment of the played day, as told to readers."""

    seq: int
    minute: int
    moment: int  # 0..3, CLOSE at the minute's end
    ms: int  # after the open
    ns: int  # UTC since 1970

    @property
    def closes(self) -> bool:
        """Whether it is the end of a minute."""
        return self.moment == CLOSE


@dataclass(frozen=True)
class PaceSettings:
    """
    How fast a day is played.

    Attributes
    ----------
    speed : float, "max" or "manual"
    participants : int
        At "max": how many must acknowledge every moment before the next. At a speed in numbers: how many must have
        acknowledged once before time begins to flow.
    absent_s : float
        Wall seconds that the market waits for a participant that does not answer before it goes on; until all
        have answered once it waits without end.
    quiet_s : float
        At "max" without participants: wall seconds without any request that end a moment.
    await_reader : bool
        At "max": the first moment waits for the first ticker socket.
    start_minute : int
        First minute played at this pace; the earlier ones are played at once.
    end_minute : int or None
        Minute before which the day is stopped; None = the whole session.
    """

    speed: float | str = 1.0
    participants: int = 0
    absent_s: float = 30.0
    quiet_s: float = 0.01
    await_reader: bool = False
    start_minute: int = 0
    end_minute: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.speed, str):
            if self.speed not in {"max", "manual"}:
                raise WorkbenchError(
                    f"speed {self.speed!r} is not known; give a number such as 1, 'max' or 'manual'"
                )
        elif not self.speed > 0:
            raise WorkbenchError(f"speed {self.speed} is not above 0; 1 is the market's own speed")


@dataclass(eq=False)
class Pacer:
    """
    Plays an exchange's day and knows what time it is there.

    Attributes
    ----------
    on_beat : list
        Called with (seq, minute, moment) just before a moment is played.
    """

    exchange: "Exchange"
    ticker: "Ticker"
    settings: PaceSettings
    beat: Beat | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0  # being answered
    last_request: float = 0.0  # monotonic seconds
    on_beat: list[Callable[[int, int, int], None]] = field(default_factory=list)
    recover: Callable[[], tuple[int, int, int]] | None = None  # brings the exchange to where it was
    _acks: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _steps: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    _stepped: asyncio.Event = field(default_factory=asyncio.Event)
    _met: bool = False  # a reader has come
    _wall: tuple[float, int] | None = None  # monotonic seconds and exchange milliseconds of the start

    @property
    def moves(self) -> bool:
        """Whether exchange time flows by itself between two moments."""
        return not isinstance(self.settings.speed, str)

    @property
    def stands(self) -> bool:
        """Whether time that flows by itself is held until every participant is there."""
        return self.moves and self._wall is None

    def catch_up(self) -> None:
        """Bring the exchange to the present time, never past the next moment."""
        if self._wall is None or self.beat is None or isinstance(self.settings.speed, str):
            return
        began, at_ms = self._wall
        due = at_ms + int((time.monotonic() - began) * 1000 * self.settings.speed)
        self.exchange.advance(min(due, self._next_ms() - 1))

    def acknowledge(self, name: str, seq: int) -> None:
        """Take note that a participant is done with a moment."""
        self._acks[name] = max(seq, self._acks.get(name, -1))
        self._changed.set()

    async def step(self, moments: int = 1) -> None:
        """In manual mode play so many moments (five to a minute) and return when they are out."""
        if self.settings.speed != "manual":
            raise WorkbenchError(f"the pace is {self.settings.speed}; only a manual one is stepped")
        for _ in range(moments):
            if self.finished.is_set():
                return
            self._stepped.clear()
            self._steps.release()
            await self._stepped.wait()

    async def run(self) -> None:
        """Play the day to its end."""
        settings = self.settings
        minutes = self.exchange.market.bars.minutes
        for minute in range(min(settings.start_minute, minutes)):
            self._play_silently(minute)
        seq, first, after = 0, settings.start_minute, -1
        if self.recover is not None:
            seq, minute, moment = self.recover()
            if seq:
                first, after = minute, moment
                self._set_beat(seq, minute, moment)
                self._start_clock()
                await self._settle(seq)
        self._start_clock()
        last = minutes if settings.end_minute is None else min(settings.end_minute, minutes)
        for minute in range(first, last):
            for moment in range(after + 1 if minute == first else 0, MOMENTS + 1):
                await self._come_to(minute, moment)
                seq += 1
                self._play(seq, minute, moment)
                await self._settle(seq)
                self._stepped.set()
        self.finished.set()
        self._stepped.set()

    def _start_clock(self) -> None:
        """Let exchange time flow from where it stands, where it flows by itself."""
        if self.moves:
            at = max(self.exchange.now_ms, self.settings.start_minute * MINUTE_MS)
            self._wall = (time.monotonic(), at)

    def _play_silently(self, minute: int) -> None:
        for moment in range(MOMENTS):
            self.exchange.play(minute, moment)
        self.exchange.close_minute()

    def _play(self, seq: int, minute: int, moment: int) -> None:
        self.ticker.begin()
        for told in self.on_beat:
            told(seq, minute, moment)
        if moment == CLOSE:
            self.exchange.close_minute()
        else:
            self.exchange.play(minute, moment)
        self.ticker.finish(self._set_beat(seq, minute, moment))

    def _set_beat(self, seq: int, minute: int, moment: int) -> Beat:
        ms = self.exchange.market.ms
        self.beat = Beat(seq, minute, moment, ms, self.exchange.market.open_ns + ms * 1_000_000)
        self.ticker.beat = self.beat
        return self.beat

    def _next_ms(self) -> int:
        assert self.beat is not None
        if self.beat.moment >= MOMENTS - 1:
            return (self.beat.minute + 1) * MINUTE_MS + (1 if self.beat.closes else 0)
        return self.beat.minute * MINUTE_MS + int(MOMENT_MS[self.beat.moment + 1])

    async def _come_to(self, minute: int, moment: int) -> None:
        """Wait for the time of a moment."""
        if self.settings.speed == "manual":
            await self._steps.acquire()
            return
        waits = self.settings.await_reader and (
            self.settings.speed == "max" or self.settings.participants > 0
        )
        while waits and not self._met:
            self._met = bool(self.ticker.sockets)
            await asyncio.sleep(0.005)
        if self._wall is None or isinstance(self.settings.speed, str):
            return
        began, at_ms = self._wall
        ms = (minute + 1) * MINUTE_MS if moment == CLOSE else minute * MINUTE_MS + int(MOMENT_MS[moment])
        due = began + (ms - at_ms) / 1000 / self.settings.speed
        while (rest := due - time.monotonic()) > 0:
            await asyncio.sleep(min(rest, SLICE_S))
            self.catch_up()

    async def _settle(self, seq: int) -> None:
        """Wait until everybody has followed."""
        if self.moves:
            if len(self._acks) < self.settings.participants:
                self._wall = None  # time stands until everybody is there
                await self._acknowledged(seq)
                self._start_clock()
            await asyncio.sleep(0)
            return
        await self.ticker.drained(DRAIN_S)
        if self.settings.speed != "max":
            return
        if self.settings.participants:
            await self._acknowledged(seq)
        elif self.ticker.sockets or self.last_request:
            await self._quiet()
        else:
            await asyncio.sleep(0)

    async def _acknowledged(self, seq: int) -> None:
        wanted = self.settings.participants
        until = time.monotonic() + self.settings.absent_s
        while sum(acked >= seq for acked in self._acks.values()) < wanted:
            self._changed.clear()
            if len(self._acks) < wanted:
                await self._changed.wait()
                continue
            rest = until - time.monotonic()
            if rest <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), rest)
            except TimeoutError:
                return

    async def _quiet(self) -> None:
        begun = time.monotonic()
        while True:
            since = time.monotonic() - max(begun, self.last_request)
            if not self.requests and since >= self.settings.quiet_s:
                return
            await asyncio.sleep(max(self.settings.quiet_s - since, 0.001))
