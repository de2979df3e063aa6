"""Order-rate lanes: how many order calls may leave, and for what.

A broker counts every place, modify and cancel, the refused ones too: at Kite 10 a second, 400 a minute and 5,000 a
day (reference `brokers_and_market` 1.4; 10 a second is also the exchange's threshold, section 7). We stay at 8 a
second. Each lane has its own share of the same window, exits the whole of it, stops less, entries least: entries
can never use up what a stop needs, nor stops what an exit needs. Reads no clock.
"""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from engine.errors import WorkbenchError
from engine.live.clocks import NS_PER_SECOND, seconds


class Lane(IntEnum):
    """What a call is for, most urgent first."""

    EXIT = 0
    STOP = 1
    ENTRY = 2


class LanesExhaustedError(WorkbenchError):
    """The day's calls of a lane are used up."""


@dataclass(frozen=True, slots=True)
class Window:
    """Calls within `length_ns`, in all lanes together, up to which a call of each lane may still leave."""

    length_ns: int
    caps: tuple[int, int, int]  # EXIT, STOP, ENTRY


WINDOWS = (Window(NS_PER_SECOND, (8, 7, 5)), Window(60 * NS_PER_SECOND, (400, 380, 320)))
DAY_CAPS = (5000, 4900, 4500)
PAUSE_AFTER_429_NS = seconds(1)  # the broker counts calendar seconds


class Lanes:
    """
    The calls of one trading day.

    Parameters
    ----------
    windows : tuple of Window
        Sliding; a call that left exactly `length_ns` ago no longer counts.
    day_caps : calls of the whole day up to which each lane may still call
    """

    def __init__(
        self, windows: tuple[Window, ...] = WINDOWS, day_caps: tuple[int, int, int] = DAY_CAPS
    ) -> None:
        self._windows = windows
        self._day_caps = day_caps
        self._stamps: deque[int] = deque()
        self._held_until = 0
        self.calls = 0

    def restore(self, today: int, last_minute: int, now_ns: int) -> None:
        """
        Count calls that an earlier process made today; those of the last minute as if they left now.

        They are an estimate from above, so they hold up entries alone, never the stops that a start must place.
        """
        self.calls += today
        most = min(last_minute, self._windows[-1].caps[Lane.ENTRY])
        self._stamps.extend([now_ns] * most)

    def wait_ns(self, lane: Lane, now_ns: int) -> int:
        """
        How long a call of this lane must still wait; 0 = it may leave now.

        Raises
        ------
        LanesExhaustedError
            If the day's calls of the lane are used up.
        """
        if self.calls >= self._day_caps[lane]:
            raise LanesExhaustedError(
                f"{self.calls} order calls today leave none for {lane.name.lower()} (at most "
                f"{self._day_caps[lane]}); wait for the next trading day"
            )
        self._forget(now_ns)
        wait = max(self._held_until - now_ns, 0)
        for window in self._windows:
            inside = [stamp for stamp in self._stamps if stamp > now_ns - window.length_ns]
            surplus = len(inside) - window.caps[lane]
            if surplus >= 0:
                wait = max(wait, inside[surplus] + window.length_ns - now_ns)
        return wait

    def take(self, now_ns: int) -> None:
        """Count a call that leaves now."""
        self.calls += 1
        self._stamps.append(now_ns)

    def hold(self, now_ns: int) -> None:
        """The broker said 429: nothing leaves for a second."""
        self._held_until = max(self._held_until, now_ns + PAUSE_AFTER_429_NS)

    def _forget(self, now_ns: int) -> None:
        longest = max(window.length_ns for window in self._windows)
        while self._stamps and self._stamps[0] <= now_ns - longest:
            self._stamps.popleft()
