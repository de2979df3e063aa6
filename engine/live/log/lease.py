"""One runner per account: an OS lock that dies with its process, and a row that says who holds it.

The lock (`flock` on a file beside the database) decides; the kernel drops it however the process ends. The row
names the holder for people, and catches what the lock cannot: a lock file that was deleted and made anew while
its holder lives. A holder is alive only if pid, boot id and the process's start time all agree, so a reused pid
or a reboot never blocks a start. WAL needs one machine, so a holder elsewhere cannot be. Every commit compares the
row's token: a runner that lost its lease writes nothing more (`reference: reliability R8, fault 28`).
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from engine.live.log.store_errors import Failure, LeaseHeldError, StoreError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19  # of /proc/PID/stat counted after the command's closing parenthesis
_THREADS_FIELD = 17


def boot_id() -> str:
    """
    Identity of this boot of this machine.

    Raises
    ------
    StoreError
        Where the kernel does not tell (not Linux).
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StoreError(f"{_BOOT_ID} is not readable ({error}); a live session needs Linux", "io") from error


def start_of_process(pid: int) -> int | None:
    """
    When a process began, in clock ticks after boot; None if there is none, or only its unreaped remains.

    A process whose first thread has ended shows as a zombie although other threads still run, and until the last of
    them is gone its locks hold. So remains are only what has one thread left.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    told = stat.rpartition(")")[2].split()
    if told[0] in "ZX" and int(told[_THREADS_FIELD]) <= 1:
        return None
    return int(told[_START_FIELD])


@dataclass(frozen=True)
class Holder:
    """Who holds, or held, the lease."""

    account: str
    pid: int
    boot_id: str
    process_start: int
    token: str
    ts_ns: int

    def alive(self, start_of: Callable[[int], int | None] = start_of_process) -> bool:
        """Whether that very process still runs."""
        return self.boot_id == boot_id() and start_of(self.pid) == self.process_start


class FileLock:
    """
    The OS lock of one database; not inherited by programs it starts.

    Raises
    ------
    LeaseHeldError
        If another process (or another store in this one) holds it.
    StoreError
        If the lock file cannot be made.
    """

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take the lock at once or not at all."""
        try:
            handle = path.open("ab")
        except OSError as error:
            failure: Failure = "read_only" if isinstance(error, PermissionError) else "io"
            raise StoreError(
                f"{path}: lock file cannot be opened ({error}); check the folder", failure
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.close()
            raise LeaseHeldError(f"{path} is locked by another runner; stop it first") from error
        return cls(handle)

    def release(self) -> None:
        """Give the lock back."""
        self._handle.close()


def read_holder(db: sqlite3.Connection, account: str) -> Holder | None:
    """The row of the lease, whoever wrote it."""
    row = db.execute(
        "SELECT account, pid, boot_id, process_start, token, ts_ns FROM lease WHERE account = ?", (account,)
    ).fetchone()
    return None if row is None else Holder(*row)


def take_lease(
    db: sqlite3.Connection,
    account: str,
    ts_ns: int,
    start_of: Callable[[int], int | None] = start_of_process,
) -> Holder:
    """
    Write ourselves into the row; the caller holds the OS lock and commits.

    Raises
    ------
    LeaseHeldError
        If the holder named there is alive.
    """
    others = db.execute("SELECT account, pid, boot_id, process_start, token, ts_ns FROM lease").fetchall()
    for row in others:
        held = Holder(*row)
        if held.account != account:
            raise LeaseHeldError(
                f"this database belongs to account {held.account!r}, not {account!r}; use a database for each account"
            )
        if held.pid != os.getpid() and held.alive(start_of):
            raise LeaseHeldError(
                f"account {account!r} is traded by process {held.pid} (its lock file was deleted, but it runs); "
                "stop it first"
            )
    start = start_of(os.getpid())
    if start is None:
        raise StoreError("the start time of this process is not readable under /proc; mount it", "io")
    ours = Holder(account, os.getpid(), boot_id(), start, secrets.token_hex(8), ts_ns)
    db.execute(
        "INSERT OR REPLACE INTO lease (account, pid, boot_id, process_start, token, ts_ns) VALUES (?, ?, ?, ?, ?, ?)",
        (ours.account, ours.pid, ours.boot_id, ours.process_start, ours.token, ours.ts_ns),
    )
    return ours


def drop_lease(db: sqlite3.Connection, holder: Holder) -> None:
    """Clear our token; the row stays and keeps the database to its account."""
    db.execute(
        "UPDATE lease SET token = '', pid = 0 WHERE account = ? AND token = ?", (holder.account, holder.token)
    )
