"""What everybody but the runner does with the store: read it, and ask for something.

Panels, the web page, alerts and the CLI open the file read-only; a reading is a short snapshot and never makes the
writer wait. To ask, a process inserts a command row; the runner takes it and answers in the same row.
"""

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from engine.live.log import schema
from engine.live.log.events import Event
from engine.live.log.heartbeat import Beat, read_beats
from engine.live.log.state import Day, Fill, Latch, Order, Position
from engine.live.log.store_errors import EventRefusedError, StoreError, translated
from engine.live.log.tables import read_events, read_latch, read_rows

CommandState = Literal["new", "taken", "done", "refused"]
_VERB = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True)
class Command:
    """
    What somebody asks of the runner.

    Attributes
    ----------
    ts_ns : int
        When it was asked, ns UTC.
    origin : str
        Who asks, e.g. "widget".
    payload : str
        JSON object.
    answer : str
        "" until done or refused.
    """

    id: int
    ts_ns: int
    origin: str
    verb: str
    payload: str
    state: CommandState
    answer: str


def open_read_only(path: Path) -> sqlite3.Connection:
    """
    A connection that cannot write.

    Raises
    ------
    StoreError
        If there is no such file or it cannot be opened.
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist; start a live session first", "io")
    with translated(path):
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=schema.PATIENT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            db.execute("PRAGMA query_only=ON")
        except sqlite3.Error:
            db.close()
            raise
    return db


def read_commands(db: sqlite3.Connection, state: CommandState, limit: int) -> tuple[Command, ...]:
    """The oldest commands in one state; limit -1 for all."""
    rows = db.execute(
        "SELECT id, ts_ns, origin, verb, payload, state, answer FROM commands WHERE state = ? ORDER BY id LIMIT ?",
        (state, limit),
    )
    return tuple(Command(*row) for row in rows)


def submit_command(
    path: str | Path, origin: str, verb: str, payload: Mapping[str, object] | None = None
) -> int:
    """
    Ask the runner for something; any process may, the runner need not run.

    Parameters
    ----------
    origin : str
        Who asks: "widget", "cli", "web", "telegram", ...
    verb : str
        Lower-case word; the runner decides whether it knows it.
    payload : mapping, optional
        Plain JSON values.

    Returns
    -------
    int
        Number of the command; its answer is read with `StoreReader.command`.

    Raises
    ------
    EventRefusedError
        If origin, verb or payload cannot be written down.
    StoreError
        If the row could not be inserted: use another door (flag file, signal).
    """
    path = Path(path)
    if not origin or not _VERB.fullmatch(verb):
        raise EventRefusedError(f"command {verb!r} from {origin!r}: give a lower-case verb and say who asks")
    try:
        text = json.dumps(dict(payload or {}), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EventRefusedError(f"command {verb}: payload is no plain JSON ({error})") from error
    if not path.exists():
        raise StoreError(f"{path} does not exist; start a live session first", "io")
    with translated(path), closing(schema.connect_writer(path)) as db:
        schema.check_version(db, path)
        with schema.writing(db, schema.PATIENT_S):
            (number,) = db.execute(
                "INSERT INTO commands (ts_ns, origin, verb, payload) VALUES (?, ?, ?, ?) RETURNING id",
                (time.time_ns(), origin, verb, text),
            ).fetchone()
        return int(number)


class StoreReader:
    """
    A read-only view of a store for panels and other processes.

    Parameters
    ----------
    path : path
        The database.

    Raises
    ------
    StoreError
        If it does not exist, cannot be opened or has another schema version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._db = open_read_only(self.path)
        try:
            with translated(self.path):
                schema.check_version(self._db, self.path)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """All readings inside see one moment of the store; keep it short, the write-ahead log grows meanwhile."""
        with translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield self
            finally:
                self._db.execute("ROLLBACK")

    def events(self, after: int = 0, limit: int = 1000, kinds: tuple[str, ...] = ()) -> tuple[Event, ...]:
        """Events with `seq` above `after`, ascending."""
        with translated(self.path):
            return tuple(read_events(self._db, after, limit, kinds))

    def last_seq(self) -> int:
        """Number of the newest event."""
        with translated(self.path):
            return int(self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    def orders(self, *, only_open: bool = False) -> tuple[Order, ...]:
        """Orders in the order they were prepared; only those without a proven end, if asked."""
        with translated(self.path):
            return read_rows(self._db, Order, "state NOT IN ('REFUSED', 'TERMINAL')" if only_open else "")

    def positions(self) -> tuple[Position, ...]:
        """Open positions."""
        with translated(self.path):
            return read_rows(self._db, Position, "sold <> bought")

    def trades(self, date: str | None = None) -> tuple[Position, ...]:
        """Closed positions, of one ISO date or all."""
        with translated(self.path):
            if date is None:
                return read_rows(self._db, Position, "sold = bought")
            return read_rows(self._db, Position, "sold = bought AND date = ?", (date,))

    def fills(self) -> tuple[Fill, ...]:
        """Booked trades of the broker."""
        with translated(self.path):
            return read_rows(self._db, Fill)

    def days(self) -> tuple[Day, ...]:
        """Daily summaries."""
        with translated(self.path):
            return read_rows(self._db, Day)

    def latch(self) -> Latch:
        """The persisted latch; HALTED where it cannot be read. Raises nothing."""
        return read_latch(self._db)

    def beats(self) -> tuple[Beat, ...]:
        """The newest heartbeat of every process."""
        with translated(self.path):
            return read_beats(self._db)

    def command(self, number: int) -> Command | None:
        """One command with its answer; None if there is none of that number."""
        with translated(self.path):
            row = self._db.execute(
                "SELECT id, ts_ns, origin, verb, payload, state, answer FROM commands WHERE id = ?", (number,)
            ).fetchone()
        return None if row is None else Command(*row)
