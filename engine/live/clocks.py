"""The clock of the order path: one that counts, one that tells the time, and the only way to wait.

Ages and time-outs use the counting clock, which no time server moves; the wall clock only names moments (rule R7).
Code below the runner never asks the system for the time, so that a simulator can own it.
"""

import asyncio
import time
from typing import Any, Protocol

NS_PER_SECOND = 1_000_000_000
NEWS_NS = NS_PER_SECOND // 2
"""Who waits so long waits for news of the broker; the turns of the order lanes are shorter."""


class Clock(Protocol):
    """Time as the order path knows it."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed moment; never falls."""

    def wall_ns(self) -> int:
        """Nanoseconds UTC; may jump."""

    async def sleep_ns(self, duration: int) -> None:
        """Wait that many nanoseconds of the counting clock."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since boot."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Nanoseconds UTC."""
        return time.time_ns()

    async def sleep_ns(self, duration: int) -> None:
        """Wait in the event loop."""
        await asyncio.sleep(duration / NS_PER_SECOND)


class PacedClock:
    """
    The time of a day that is played: it stands where the feed last told, and jumps to the next moment.

    Ages and time-outs count the played day's time and the time that we needed ourselves, so a wait inside one moment
    ends although the day stands still.

    Parameters
    ----------
    start_ns : int
        Wall time before the first moment is told, ns UTC.
    """

    def __init__(self, start_ns: int) -> None:
        self._start_ns = self._told_ns = start_ns
        self._rate = 0.0
        self._began = self._told_at = time.monotonic_ns()
        self._counted = 0  # told last; the day may stumble, the count never falls
        self._moved = asyncio.Event()
        self._asleep: dict[asyncio.Task[Any], int] = {}

    def asleep(self) -> set[asyncio.Task[Any]]:
        """Tasks that can go on only when the day does: they wait for news of the broker, not for a turn of ours."""
        now = self.monotonic_ns()
        return {task for task, until in self._asleep.items() if until > now}

    def told(self, ns: int, rate: float) -> None:
        """The day has come to `ns`; from here on it flows at `rate` (0 = stands until told again)."""
        self._told_ns = max(ns, self._told_ns)
        self._told_at = time.monotonic_ns()
        self._rate = rate
        self._moved.set()
        self._moved = asyncio.Event()

    def monotonic_ns(self) -> int:
        """Nanoseconds of the played day and of our own work together."""
        now = time.monotonic_ns()
        played = self._told_ns - self._start_ns + int((now - self._told_at) * self._rate)
        self._counted = max(self._counted, played + now - self._began)
        return self._counted

    def wall_ns(self) -> int:
        """The played day's time, ns UTC."""
        return self._told_ns + int((time.monotonic_ns() - self._told_at) * self._rate)

    async def sleep_ns(self, duration: int) -> None:
        """Wait until that much has passed."""
        until = self.monotonic_ns() + duration
        task = asyncio.current_task()
        if task is not None and duration >= NEWS_NS:
            self._asleep[task] = until
        try:
            while (rest := until - self.monotonic_ns()) > 0:
                moved = self._moved
                try:
                    await asyncio.wait_for(moved.wait(), rest / (1 + self._rate) / NS_PER_SECOND)
                except TimeoutError:
                    continue
        finally:
            if task is not None:
                self._asleep.pop(task, None)


def seconds(value: float) -> int:
    """Seconds as nanoseconds."""
    return round(value * NS_PER_SECOND)
