"""The clock of the order path: one that counts, one that tells the time, and the only way to wait.

Ages and time-outs use the counting clock, which no time server moves; the wall clock only names moments (rule R7).
Code below the runner never asks the system for the time, so that a simulator can own it.
"""

import asyncio
import time
from typing import Protocol

NS_PER_SECOND = 1_000_000_000


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


def seconds(value: float) -> int:
    """Seconds as nanoseconds."""
    return round(value * NS_PER_SECOND)
