"""The processes of a session as the operating system knows them: started, found again, ended, never confused.

A process is named by its command line, which carries the session's file, and told from a later one of the same number
by its start time. So nobody needs a list of numbers on disk: a supervisor that comes after a killed one finds the
others by looking, and no signal ever reaches a reused number (reference `reliability`, R8 and fault 28).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from engine.live.log.lease import start_of_process

RUNNER, FEED, WATCHDOG, ALERTS, SUPERVISOR = "runner", "feed", "watchdog", "alerts", "supervisor"
MODULES: Mapping[str, str] = MappingProxyType(
    {
        RUNNER: "engine.live.runner",
        FEED: "engine.live.feeds",
        WATCHDOG: "engine.live.watchdog",
        ALERTS: "engine.live.alerts",
        SUPERVISOR: "engine.live.supervisor",
    }
)
ENDED, LEASE_HELD, CANNOT_START = 0, 3, 4
"""
Exit codes of a runner: day over or stopped; another holds the account; configuration wrong, trying again is in vain.

Every other end, a signal too, is a crash.
"""
KEPT_LOGS = 20  # of each process
_POLL_S = 0.02

Commands = Mapping[str, Sequence[str]]


def session_commands(spec: Path) -> Commands:
    """The command line of every process of a session, by name."""
    path = str(spec.resolve())  # one spelling, or nobody would be found again
    return {name: (sys.executable, "-m", module, path) for name, module in MODULES.items()}


@dataclass(frozen=True, slots=True)
class Process:
    """
    One process, whoever started it.

    Attributes
    ----------
    start : int
        Clock ticks after boot; with the number it names the process for as long as the machine runs.
    """

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has this number now; None if there is none or only its unreaped remains."""
        start = start_of_process(pid) if pid > 0 else None
        return None if start is None else cls(pid, start)

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return start_of_process(self.pid) == self.start

    def signal(self, number: int) -> bool:
        """
        Send a signal to that very process; False if it is gone.

        The number cannot pass to another between check and signal: a handle of the process is opened first.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def end(self, within_s: float) -> bool:
        """Ask to end, and kill after `within_s`; True if it ended when asked."""
        self.signal(signal.SIGTERM)
        if self.wait(within_s):
            return True
        self.signal(signal.SIGKILL)
        self.wait(within_s)
        return False

    def wait(self, within_s: float) -> bool:
        """Wait for its end; False when the time is over first. For processes of others: our own are reaped."""
        deadline = time.monotonic() + within_s
        while self.alive:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True


def find(command: Sequence[str]) -> Process | None:
    """The oldest process of ours with exactly this command line; None if there is none."""
    wanted = b"".join(os.fsencode(word) + b"\0" for word in command)
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended while we looked, or is not ours to see
            if folder.stat().st_uid == os.getuid() and (folder / "cmdline").read_bytes() == wanted:
                process = Process.of(int(folder.name))
                if process is not None:
                    found.append(process)
    return min(found, key=lambda one: one.start, default=None)


def find_all(commands: Commands) -> dict[str, Process]:
    """Which processes of a session live, by name."""
    return {name: process for name, command in commands.items() if (process := find(command)) is not None}


def spawn(name: str, command: Sequence[str], logs: Path) -> subprocess.Popen[bytes]:
    """
    Start a process in an OS session of its own, its words going to a log of this start.

    No terminal, no notebook and no process group of ours can then end it by accident; secrets pass by the environment.
    Where the log cannot be made (disk full) the process starts all the same, without one.
    """
    try:
        log = open_log(name, logs)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    try:
        return subprocess.Popen(  # noqa: S603 - our own command
            list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)


def open_log(name: str, logs: Path) -> int:
    """A new log file of a process, private to us, as a handle; the oldest beyond `KEPT_LOGS` go."""
    logs.mkdir(parents=True, exist_ok=True)
    for old in log_files(name, logs)[: -KEPT_LOGS + 1]:
        old.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    path = logs / f"{name}-{stamp}-{time.time_ns() % 1_000_000_000:09d}.log"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def log_files(name: str, logs: Path) -> list[Path]:
    """Logs of a process, oldest first."""
    return sorted(logs.glob(f"{name}-*.log"))


def last_words(name: str, logs: Path, lines: int = 5, *, since: float = 0.0) -> str:
    """
    The last lines of a process's newest log that has any, on one line; "" without one.

    Parameters
    ----------
    since : float
        Seconds of the wall clock; logs that nobody has written to since are those of others.
    """
    for path in reversed(log_files(name, logs)):
        with suppress(OSError):
            if path.stat().st_mtime < since:
                break
            said = [_plain(line) for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
            if said:
                return " / ".join(said[-lines:])
    return ""


def _plain(line: str) -> str:
    """A line of a log in words; those of structlog are JSON objects."""
    try:
        told = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(told, dict) or "event" not in told:
        return line.strip()
    detail = told.get("detail") or told.get("exception")
    return f"{told['event']}: {detail}" if detail else str(told["event"])
