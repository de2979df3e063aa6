"""Signs of life: one row per process, renewed about every second, read by the watchdog and the panels.

Ages come from the monotonic clock, which all processes of one boot share, so a jump of the wall clock makes nobody
look dead (`reference: reliability R7`). Losing a beat in a power cut is harmless, so beats are not synced and do
not wait for the disk.
"""

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine.live.log import schema
from engine.live.log.lease import boot_id
from engine.live.log.store_errors import StoreError, translated


@dataclass(frozen=True)
class Beat:
    """
    The last sign of one process.

    Attributes
    ----------
    monotonic_ns, wall_ns : int
        When it was given; the first compares only within one boot, the second is ns UTC.
    seq : int
        Last event this process has dealt with; an alert sender goes on from there.
    status : str
        JSON object, the process's own words.
    """

    name: str
    pid: int
    boot_id: str
    monotonic_ns: int
    wall_ns: int
    seq: int
    status: str

    def age_s(self) -> float:
        """Seconds since; infinite if it was before this boot."""
        if self.boot_id != boot_id():
            return float("inf")
        return (time.monotonic_ns() - self.monotonic_ns) / 1e9


class Heart:
    """
    One process's row, on a connection of its own.

    Parameters
    ----------
    path : path
        The database; it must exist.
    name : str
        "runner", "feed", "watchdog", "alerts", ...

    Raises
    ------
    StoreError
        If the file cannot be written or has another schema version.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = Path(path)
        self.name = name
        self._boot_id = boot_id()
        if not self.path.exists():
            raise StoreError(f"{self.path} does not exist; start a live session first", "io")
        self._db = schema.connect_writer(self.path)
        try:
            with translated(self.path):
                schema.check_version(self._db, self.path)
                self._db.execute("PRAGMA synchronous=NORMAL")
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def beat(self, seq: int = 0, status: Mapping[str, object] | None = None) -> None:
        """
        Give a sign.

        Raises
        ------
        StoreError
            If the row could not be written within schema.BUSY_S seconds.
        """
        text = json.dumps(dict(status or {}), sort_keys=True, separators=(",", ":"))
        with translated(self.path), schema.writing(self._db, schema.BUSY_S):
            self._db.execute(
                "INSERT OR REPLACE INTO heartbeat (name, pid, boot_id, monotonic_ns, wall_ns, seq, status) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.name, os.getpid(), self._boot_id, time.monotonic_ns(), time.time_ns(), seq, text),
            )

    def close(self) -> None:
        """Close the connection; the last sign stays and grows old."""
        self._db.close()


def read_beats(db: sqlite3.Connection) -> tuple[Beat, ...]:
    """Every process's row."""
    rows = db.execute(
        "SELECT name, pid, boot_id, monotonic_ns, wall_ns, seq, status FROM heartbeat ORDER BY name"
    )
    return tuple(Beat(*row) for row in rows)
