"""What can go wrong with the store, as errors whose meaning the runner can act on.

`StoreError` means the disk or the database failed: nothing was committed, no new risk may be taken, exits go to
the fallback journal. `EventRefusedError` means the caller contradicts the log. `LeaseHeldError` means another runner lives.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from engine.errors import WorkbenchError

Failure = Literal["locked", "full", "read_only", "io", "corrupt", "lost_lease", "version"]

_FAILURES: dict[int, Failure] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
}
_REMEDIES: dict[Failure, str] = {
    "locked": "another connection holds the write lock; find it (lsof) and end its transaction",
    "full": "free disk space; entries stay stopped until a commit succeeds",
    "read_only": "give the runner's user write access to the file and its folder",
    "io": "check the disk and that the folder exists",
    "corrupt": "restore the newest backup beside it and reconcile with the broker",
}


class StoreError(WorkbenchError):
    """
    The store could not do what was asked; nothing of it was committed.

    Attributes
    ----------
    failure : str
        "locked", "full", "read_only", "io" or "corrupt" (the disk or the database), "lost_lease" (another runner
        took over: stop at once), "version" (the file was written by a newer or unknown version).
    """

    def __init__(self, line: str, failure: Failure) -> None:
        super().__init__(line)
        self.failure: Failure = failure


class EventRefusedError(WorkbenchError):
    """An event is malformed or contradicts the log; it was not written and the caller must not act on it."""


class LeaseHeldError(WorkbenchError):
    """Another runner holds this account's lease."""


def failure_of(error: sqlite3.Error) -> Failure:
    """Which `Failure` a sqlite error is; what is not known is "io"."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "io"
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # the index of the write-ahead log has no room
        return "full"
    return _FAILURES.get(code & 0xFF, "io")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn every sqlite error inside into a `StoreError` that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        failure = failure_of(error)
        raise StoreError(f"{path}: {failure} ({error}); {_REMEDIES[failure]}", failure) from error
