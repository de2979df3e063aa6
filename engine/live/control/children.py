"""One process that a supervisor looks after: started or found running, its end noticed, started again with patience."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.live.control.processes import Process, find, spawn

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 4.0  # no hot loop, and yet at work again within ten seconds
STEADY_S = 10.0  # who lived so long is started again at once


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a child ended.

    Attributes
    ----------
    pid : int
        0 where it could not be started.
    code : int or None
        Exit code, negative for a signal; None where it was somebody else's child or could not be started.
    lived_s : float
    why : str
        In words.
    """

    pid: int
    code: int | None
    lived_s: float
    why: str


class Child:
    """
    A process of the session, under one supervisor.

    Attributes
    ----------
    process : Process or None
        The one that lives, as far as known.
    starts : int
        How often this supervisor started it.
    started_ns : int
        When the present one was started or found, monotonic.
    """

    def __init__(self, name: str, command: Sequence[str], logs: Path) -> None:
        self.name = name
        self.process: Process | None = None
        self.starts = 0
        self.started_ns = 0
        self._command = command
        self._logs = logs
        self._own: subprocess.Popen[bytes] | None = None
        self._failed_start = ""
        self._quick_ends = 0
        self._not_before = 0.0

    def adopt(self) -> bool:
        """Take over one that runs already; a killed supervisor leaves such."""
        self.process = find(self._command)
        if self.process is None:
            return False
        self.started_ns = time.monotonic_ns()
        return True

    def start(self) -> None:
        """Start it; that it cannot be started counts as its end."""
        self.starts += 1
        self.started_ns = time.monotonic_ns()
        self._failed_start = ""
        try:
            self._own = spawn(self.name, self._command, self._logs)
        except OSError as error:
            self._own, self.process = None, None
            self._failed_start = f"cannot be started: {error}"
            return
        self.process = Process.of(self._own.pid)

    def check(self) -> Ended | None:
        """How it ended, told once; None while it lives or was never started."""
        lived_s = (time.monotonic_ns() - self.started_ns) / 1e9
        if self._failed_start:
            why, self._failed_start = self._failed_start, ""
            return self._over(Ended(0, None, 0.0, why))
        if self._own is not None:
            code, pid = self._own.poll(), self._own.pid
            if code is None:
                return None
            self._own = None
            return self._over(
                Ended(pid, code, lived_s, f"exit code {code}" if code >= 0 else f"signal {-code}")
            )
        if self.process is not None and not self.process.alive:
            return self._over(
                Ended(
                    self.process.pid,
                    None,
                    lived_s,
                    "gone; another supervisor's child, so its exit code is not known",
                )
            )
        return None

    def _over(self, ended: Ended) -> Ended:
        self.process = None
        self._quick_ends = 0 if ended.lived_s >= STEADY_S else self._quick_ends + 1
        wait_s = min(FIRST_WAIT_S * 2 ** (self._quick_ends - 1), LONGEST_WAIT_S) if self._quick_ends else 0.0
        self._not_before = time.monotonic() + wait_s
        return ended

    @property
    def due(self) -> bool:
        """Whether it does not run and may be started: never in a hot loop."""
        return self.process is None and self._own is None and time.monotonic() >= self._not_before
