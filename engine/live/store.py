"""The store of a live session: the one writer's hand on the log.

A fact is durable when `append` returns: it is committed with synchronous=FULL together with the rows it changes.
So an intent is appended, then sent; never the reverse (`reference: reliability R1`). When the disk fails, `append`
raises `StoreError`, the latch reads HALTED, and `append_exit` still records exits in a fallback journal that the
next commit, or the next start, merges exactly once. Everybody else reads through `reader`.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

from engine.live.log import schema
from engine.live.log.events import (
    CommandAnswered,
    CommandTaken,
    Event,
    Fact,
    LatchChanged,
    LatchState,
    ProjectionsRebuilt,
    encode,
)
from engine.live.log.journal import Journal, Line
from engine.live.log.lease import FileLock, drop_lease, read_holder, take_lease
from engine.live.log.log_writing import (
    Entry,
    Verification,
    merge_journal,
    plan,
    verify_log,
    write_planned,
)
from engine.live.log.projections import loosens
from engine.live.log.reader import Command, open_read_only, read_commands
from engine.live.log.state import Latch, State, stricter
from engine.live.log.store_errors import EventRefusedError, LeaseHeldError, StoreError, translated
from engine.live.log.tables import load_state, read_events, read_latch, rebuild, tables_differ

CrashPoint = Literal["before begin", "before commit", "after commit", "journalled"]


def _nothing(_point: CrashPoint) -> None:
    return


class Store:
    """
    The log of one account, held by one runner. Safe to call from several threads of it.

    Use `Store.open`; close it, or use it as a context manager.

    Attributes
    ----------
    path : Path
    migrated_from : Path or None
        The copy made when an older file was brought up to date.
    listener : function or None
        Told every event right after it was written; must not write and must return at once.
    """

    def __init__(
        self,
        path: Path,
        account: str,
        lock: FileLock,
        clock: Callable[[], int],
        at: Callable[[CrashPoint], None],
    ) -> None:
        self.path = path
        self._clock = clock
        self._at = at
        self._file_lock = lock
        self._turn = threading.RLock()
        self._failure: StoreError | None = None
        self._numbered = 0
        self._db = schema.connect_writer(path)
        try:
            with translated(path):
                self.migrated_from = schema.migrate(self._db, path)
                with schema.writing(self._db, schema.PATIENT_S):
                    self._lease = take_lease(self._db, account, clock())
                self._committed = load_state(self._db)
            self._journal = Journal(path.with_name(path.name + ".journal"))
        except BaseException:
            self._db.close()
            raise
        self._state = self._committed
        self.listener: Callable[[tuple[Event, ...]], None] | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        account: str,
        *,
        clock: Callable[[], int] = time.time_ns,
        at: Callable[[CrashPoint], None] = _nothing,
    ) -> Self:
        """
        Take the lease, bring the file up to date, replay it, merge the journal; the same after a crash.

        Parameters
        ----------
        path : path
            The database; made with its folder if absent. A new one starts with the latch ACTIVE.
        account : str
            Whose log it is.
        clock : function
            Gives ns UTC.
        at : function
            Told every point at which a crash could leave the disk different; for fault simulation.

        Raises
        ------
        LeaseHeldError
            If another runner lives.
        StoreError
            If the file cannot be written, is damaged or newer.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{path.parent}: folder cannot be made ({error}); choose another", "read_only"
            ) from error
        try:
            lock = FileLock.take(path.with_name(path.name + ".lock"))
        except LeaseHeldError as error:
            raise LeaseHeldError(_who_holds(path, account)) from error
        try:
            store = cls(path, account, lock, clock, at)
        except BaseException:
            lock.release()
            raise
        try:
            store._recover()
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lease back. What is committed stays; nothing waits to be written."""
        with self._turn:
            with suppress(sqlite3.Error):  # a full disk must not keep the lease
                drop_lease(self._db, self._lease)
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
            self._journal.close()
            self._file_lock.release()

    def abandon(self) -> None:
        """Let go of everything without writing, as the system does for a process that was killed; for simulation."""
        self._db.close()
        self._journal.close()
        self._file_lock.release()

    # ---- writing ----

    def append(self, *facts: Fact) -> tuple[Event, ...]:
        """
        Commit facts together, durably, in order; all or none.

        A broker's trade that is booked already is left out, so every path that learns of a fill may book it.

        Returns
        -------
        tuple of Event
            Those written.

        Raises
        ------
        EventRefusedError
            If a fact is malformed or contradicts the log.
        StoreError
            If they could not be committed: take no new risk.
        """
        now = self._clock()
        return self._commit([Entry(fact, now, None) for fact in facts])

    def append_exit(self, *facts: Fact) -> tuple[Event, ...]:
        """
        As `append`, for what reduces risk: while the database cannot be written they go to the fallback journal.

        Then `failure` tells why, `latch` reads HALTED until a commit succeeds, and the `seq` of the events is the
        one they will have.

        Raises
        ------
        EventRefusedError
            If a fact is malformed or contradicts the log.
        StoreError
            If the lease is lost, or the journal cannot be written either.
        """
        with self._turn:
            now = self._clock()
            entries = [Entry(fact, now, self._new_id()) for fact in facts]
            try:
                return self._commit(entries)
            except StoreError as error:
                if error.failure == "lost_lease":
                    raise
            state, planned = plan(self._state, entries)
            self._journal.append([Line(e.id or "", e.ts_ns, *encode(e.fact)) for e, _, _ in planned])
            self._at("journalled")
            self._state = state
            events = tuple(event for _, event, _ in planned)
        self._tell(events)
        return events

    def set_latch(self, state: LatchState, reason: str, who: str, *, reset: bool = False) -> Event:
        """
        Move the trading latch. Tightening works while the database cannot be written; loosening needs `reset`.

        Raises
        ------
        EventRefusedError
            If it would loosen without `reset`, or reason or who is empty.
        StoreError
            If it could not be recorded.
        """
        fact = LatchChanged(state=state, reason=reason, who=who, reset=reset)
        with self._turn:
            write = self.append if loosens(self._state.latch.state, state) else self.append_exit
            return write(fact)[0]

    def take_commands(self, limit: int = 16) -> tuple[Command, ...]:
        """Take the oldest new commands: marked and logged in one commit, so each is taken once."""
        with self._turn:
            if not read_commands(self._db, "new", 1):
                return ()  # polled often: without a command nothing is written
            with self._transaction() as db:
                taken = read_commands(db, "new", limit)
                db.executemany(
                    "UPDATE commands SET state = 'taken' WHERE id = ?", [(row.id,) for row in taken]
                )
                now = self._clock()
                self._insert(
                    db,
                    [
                        Entry(
                            CommandTaken(command=c.id, origin=c.origin, verb=c.verb, payload=c.payload),
                            now,
                            None,
                        )
                        for c in taken
                    ],
                )
            return taken

    def answer_command(self, command: int, state: Literal["done", "refused"], answer: str) -> Event:
        """
        Tell what became of a taken command.

        Raises
        ------
        EventRefusedError
            If it is not in state "taken".
        """
        fact = CommandAnswered(command=command, state=state, answer=answer)
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE commands SET state = ?, answer = ? WHERE id = ? AND state = 'taken'",
                (state, answer, command),
            ).rowcount
            if changed != 1:
                raise EventRefusedError(
                    f"command {command} is not taken; only a taken command is answered, once"
                )
            return self._insert(db, [Entry(fact, self._clock(), None)])[0]

    # ---- reading ----

    @property
    def state(self) -> State:
        """Everything the log amounts to, journalled exits included."""
        return self._state

    @property
    def failure(self) -> StoreError | None:
        """Why the last write failed; None since a commit succeeded."""
        return self._failure

    @property
    def journalled(self) -> int:
        """Events that wait in the fallback journal."""
        return len(self._journal.lines)

    def state_hash(self) -> str:
        """Hash over the state; replaying the log gives the same."""
        return self._state.digest()

    def latch(self) -> Latch:
        """
        The latch as the gateway must obey it, read from disk; fails closed and raises nothing.

        The stricter of the persisted row and the log counts; while writing fails it is at least HALTED.
        """
        with self._turn:
            latch = stricter(read_latch(self._db), self._state.latch)
            reason = ""
            if self._failure is not None:
                reason = f"last write failed: {self._failure.failure}"
            elif self._journal.lines:
                reason = f"{len(self._journal.lines)} events wait in the fallback journal"
            return stricter(latch, Latch("HALTED", reason, "store", self._clock())) if reason else latch

    def events(self, after: int = 0) -> tuple[Event, ...]:
        """
        The log's events with `seq` above `after`, ascending; those in the fallback journal are not among them.

        Raises
        ------
        StoreError
            If the file cannot be read.
        """
        with self._turn, translated(self.path):
            return tuple(read_events(self._db, after))

    def unanswered_commands(self) -> tuple[Command, ...]:
        """Commands taken but not answered: what a crash left in hand."""
        with self._turn, translated(self.path):
            return read_commands(self._db, "taken", -1)

    def verify(self) -> Verification:
        """
        Replay the whole log and compare: pages, gaps, every payload, every table, the hash. Reads only.

        Raises
        ------
        StoreError
            If the file cannot be read at all.
        """
        with self._turn, translated(self.path):
            return verify_log(self._db, self._committed)

    # ---- housekeeping ----

    def backup(self, folder: str | Path, label: str) -> Path:
        """
        Copy the database as of now to `folder`/NAME-`label`.sqlite, online and atomically.

        Uses its own connection and waits for nobody; run it off the order path.

        Raises
        ------
        StoreError
            If the copy cannot be written or is not sound; an older copy of that label stays.
        """
        target = Path(folder) / f"{self.path.stem}-{label}.sqlite"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with translated(target):
                db = open_read_only(self.path)
                try:
                    schema.copy_database(db, target)
                finally:
                    db.close()
        except OSError as error:
            raise StoreError(
                f"{target}: backup failed ({error}); free space or choose another folder", "io"
            ) from error
        return target

    # ---- inside ----

    def _recover(self) -> None:
        with translated(self.path):
            differing = tables_differ(self._db, self._committed) if self._committed.seq else ""
        if differing:
            with self._transaction() as db:
                rebuild(db, self._committed)
                self._insert(db, [Entry(ProjectionsRebuilt(detail=differing), self._clock(), None)])
        if self._journal.lines:
            self._commit([])
        if not self._committed.seq:
            self.append(LatchChanged(state="ACTIVE", reason="new store", who="store", reset=True))

    def _commit(self, entries: list[Entry]) -> tuple[Event, ...]:
        with self._transaction() as db:
            events = self._insert(db, entries)
        self._tell(events)
        return events

    def _tell(self, events: tuple[Event, ...]) -> None:
        if self.listener is not None and events:
            self.listener(events)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A durable transaction; what `_insert` planned in it becomes the state once it is committed."""
        with self._turn:
            self._planned = self._committed
            try:
                with translated(self.path):
                    self._at("before begin")
                    with schema.writing(self._db, schema.BUSY_S):
                        self._check_ours()
                        yield self._db
                        self._at("before commit")
            except StoreError as error:
                self._failure = error
                raise
            self._committed = self._state = self._planned
            self._failure = None
            self._at("after commit")
            if self._journal.lines:
                try:
                    self._journal.clear()
                except (
                    StoreError
                ) as error:  # committed all the same; the lines' ids keep them from coming twice
                    self._failure = error

    def _check_ours(self) -> None:
        held = read_holder(self._db, self._lease.account)
        if held is None or held.token != self._lease.token:
            raise StoreError(
                f"{self.path}: the lease of account {self._lease.account!r} went to process "
                f"{held.pid if held else 'nobody'}; this runner must stop without touching orders",
                "lost_lease",
            )
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        if last != self._committed.seq:  # a commit that reported failure reached the disk
            self._committed = self._planned = load_state(self._db)

    def _insert(self, db: sqlite3.Connection, entries: list[Entry]) -> tuple[Event, ...]:
        """Write the journal's events, then these, within the open transaction."""
        state = self._planned
        if self._journal.lines:
            state = merge_journal(db, state, self._journal.lines, self._clock())
        state, planned = plan(state, entries)
        write_planned(db, planned)
        self._planned = state
        return tuple(event for _, event, _ in planned)

    def _new_id(self) -> str:
        self._numbered += 1
        return f"{self._lease.token}-{self._numbered}"


def _who_holds(path: Path, account: str) -> str:
    try:
        db = open_read_only(path)
        try:
            held = read_holder(db, account)
        finally:
            db.close()
    except (StoreError, sqlite3.Error) as error:
        return f"{path} is locked by another runner ({error}); stop it first"
    if held is None or not held.pid:
        return f"{path} is locked by another runner that is starting or ending; try again in a moment"
    return (
        f"account {account!r} is traded by process {held.pid}; stop it with `workbench live stop`, or use it"
    )
