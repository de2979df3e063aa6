"""Time that jumps to the next timer, a process that can die at any point, and a wall clock that can be set."""

import asyncio
import selectors
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

_T = TypeVar("_T")
NS = 1_000_000_000
MOST_TURNS = 20_000


class Died(BaseException):
    """The simulated process is dead; nothing it still does has an effect."""


class _Leap(selectors.SelectSelector):
    """Waits for nothing: what would be a wait becomes a leap of time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Leap; there is no input to wait for."""
        if timeout is None:
            raise RuntimeError("nothing will ever happen again in this history")
        self.turns = 0 if timeout > 0 else self.turns + 1
        if self.turns > MOST_TURNS:
            raise RuntimeError(f"{MOST_TURNS} turns without a moment passing: something waits in a circle")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time moves to the next timer as soon as nothing is left to do; starts at 0 s."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)
        self.set_exception_handler(lambda _loop, _context: None)  # whoever owns a task looks at its end

    def time(self) -> float:
        """Seconds since the start."""
        return self._leap.now


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end in virtual time."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class WallClock:
    """
    The machine's clocks: one that counts, and a wall clock that somebody may set.

    Attributes
    ----------
    jumped_ns : int
        How far the wall clock is off.
    """

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.jumped_ns = 0

    def monotonic_ns(self) -> int:
        """Nanoseconds since the start of the history."""
        return round(asyncio.get_running_loop().time() * NS)

    def true_ns(self) -> int:
        """What the exchange's clock shows, ns UTC."""
        return self.start_ns + self.monotonic_ns()

    def wall_ns(self) -> int:
        """What the machine's wall clock shows, ns UTC."""
        return self.true_ns() + self.jumped_ns


class Fate:
    """
    When one process dies: each point that it passes may be its last.

    Parameters
    ----------
    draw : Random
    share : float
        Chance of dying at a point of the order path.
    """

    def __init__(self, draw: Random, share: float) -> None:
        self._draw = draw
        self._share = share
        self.dead_at = ""
        self.death = asyncio.Event()

    def at(self, point: str, weight: float = 1.0) -> None:
        """
        Pass a point.

        Raises
        ------
        Died
            If it was the last, or an earlier one was.
        """
        if not self.dead_at and self._share and self._draw.random() < self._share * weight:
            self.die(point)
        if self.dead_at:
            raise Died(self.dead_at)

    def die(self, point: str) -> None:
        """The process is dead from here on."""
        self.dead_at = self.dead_at or point
        self.death.set()

    def spare(self) -> None:
        """It will not die any more."""
        self._share = 0.0


class ProcessClock:
    """The clocks as one process sees them; every wait is a point at which it may die."""

    def __init__(self, machine: WallClock, fate: Fate) -> None:
        self._machine = machine
        self._fate = fate

    def monotonic_ns(self) -> int:
        """Nanoseconds since the start of the history."""
        return self._machine.monotonic_ns()

    def wall_ns(self) -> int:
        """Nanoseconds UTC, as the wall clock shows."""
        return self._machine.wall_ns()

    async def sleep_ns(self, duration: int) -> None:
        """Wait; die before or after."""
        self._fate.at("wait", 0.1)
        await asyncio.sleep(duration / NS)
        self._fate.at("wait", 0.1)
