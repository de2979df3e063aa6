"""The database file: its tables, how an older one is brought up to date, how a connection is opened.

`PRAGMA user_version` is the number of the last migration step. An older file is copied first and then migrated in
one transaction; a newer one is refused. WAL lets panels read while the runner writes; synchronous=FULL makes a
returned commit survive a power cut (`reference: reliability R1, fault 31`).
"""

import os
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.live.log.store_errors import StoreError, failure_of, translated

BUSY_S = 0.5  # the writer waits no longer than this for another connection's write
_BUSY_MS = round(BUSY_S * 1000)
_RETRY_S = 0.001
PATIENT_S = 5.0  # one who only asks may wait longer

_FIRST = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY CHECK (seq > 0),
    ts_ns INTEGER NOT NULL,          -- UTC
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,           -- canonical JSON
    journal_id TEXT UNIQUE           -- set where the event may also stand in the fallback journal
) STRICT;
CREATE INDEX events_kind ON events (kind, seq);
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TABLE commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ts_ns INTEGER NOT NULL,
    origin TEXT NOT NULL,            -- who asks: "widget", "cli", "telegram", ...
    verb TEXT NOT NULL,
    payload TEXT NOT NULL,           -- JSON object
    state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'taken', 'done', 'refused')),
    answer TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX commands_state ON commands (state, id);
CREATE TABLE heartbeat (
    name TEXT PRIMARY KEY,           -- one row per process: "runner", "feed", "watchdog", "alerts"
    pid INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    monotonic_ns INTEGER NOT NULL,   -- comparable between processes of one boot
    wall_ns INTEGER NOT NULL,
    seq INTEGER NOT NULL,            -- last event this process has dealt with
    status TEXT NOT NULL             -- JSON object
) STRICT;
CREATE TABLE lease (
    account TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    process_start INTEGER NOT NULL,  -- clock ticks after boot: tells a process from a later one with its pid
    token TEXT NOT NULL,
    ts_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE latch (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    who TEXT NOT NULL,
    ts_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE orders (
    tag TEXT PRIMARY KEY, position INTEGER NOT NULL, slot TEXT NOT NULL, leg TEXT NOT NULL, reason TEXT NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, quantity INTEGER NOT NULL, order_type TEXT NOT NULL,
    "trigger" INTEGER NOT NULL, "limit" INTEGER NOT NULL, protection_percent INTEGER NOT NULL,
    slice INTEGER NOT NULL, slices INTEGER NOT NULL, conf_minute INTEGER NOT NULL, swing_index INTEGER NOT NULL,
    stop INTEGER NOT NULL, state TEXT NOT NULL, order_id TEXT NOT NULL, status TEXT NOT NULL,
    filled INTEGER NOT NULL, booked INTEGER NOT NULL, average_milliticks INTEGER NOT NULL, pending TEXT NOT NULL,
    next_order_type TEXT NOT NULL, next_quantity INTEGER NOT NULL, next_trigger INTEGER NOT NULL,
    next_limit INTEGER NOT NULL, modifications INTEGER NOT NULL, detail TEXT NOT NULL,
    prepared_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE positions (
    position INTEGER PRIMARY KEY, date TEXT NOT NULL, slot TEXT NOT NULL, symbol TEXT NOT NULL,
    conf_minute INTEGER NOT NULL, swing_index INTEGER NOT NULL, planned_stop INTEGER NOT NULL,
    sold INTEGER NOT NULL, sold_value INTEGER NOT NULL, bought INTEGER NOT NULL, bought_value INTEGER NOT NULL,
    stop_trigger INTEGER NOT NULL, stop_limit INTEGER NOT NULL, stop_quantity INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL, closed_ns INTEGER NOT NULL, exit_reason TEXT NOT NULL
) STRICT;
CREATE VIEW trades AS
    SELECT *, (sold_value - bought_value) * 5 AS pnl_paise FROM positions WHERE sold = bought;
CREATE TABLE fills (
    order_id TEXT NOT NULL, trade_id TEXT NOT NULL, tag TEXT NOT NULL, position INTEGER NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, quantity INTEGER NOT NULL, price INTEGER NOT NULL,
    time_ns INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (order_id, trade_id)
) STRICT;
CREATE TABLE daily_summary (
    date TEXT PRIMARY KEY, underlying TEXT NOT NULL, expiry TEXT NOT NULL, mode TEXT NOT NULL,
    params_hash TEXT NOT NULL, lot_size INTEGER NOT NULL, broker TEXT NOT NULL, feed TEXT NOT NULL,
    simulated INTEGER NOT NULL, started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, starts INTEGER NOT NULL,
    orders INTEGER NOT NULL, fills INTEGER NOT NULL, positions INTEGER NOT NULL, realised INTEGER NOT NULL,
    charges INTEGER, latched TEXT NOT NULL, flat INTEGER NOT NULL, reconciled_ns INTEGER NOT NULL,
    mismatches INTEGER NOT NULL, start_seq INTEGER NOT NULL
) STRICT;
"""

_REASON = "ALTER TABLE orders ADD COLUMN next_reason TEXT NOT NULL DEFAULT '';"

STEPS: Mapping[int, str] = {1: _FIRST, 2: _REASON}  # step n brings a file of version n - 1 to version n
SCHEMA_VERSION = max(STEPS)


def connect_writer(path: Path) -> sqlite3.Connection:
    """
    A connection that commits durably, without implicit transactions; write within `writing`.

    Raises
    ------
    StoreError
        If the file cannot be opened for writing or does not keep WAL.
    """
    with translated(path):
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            # SQLite itself moves the write-ahead log into the file, every 4 MB
            mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error:
            db.close()
            raise
    if mode != "wal":
        db.close()
        raise StoreError(f"{path}: journal mode is {mode!r}, WAL is needed; use a local file system", "io")
    return db


@contextmanager
def writing(db: sqlite3.Connection, patience_s: float) -> Iterator[None]:
    """
    A write transaction: committed at the end, rolled back on any error.

    Waits for the write lock at most `patience_s` seconds, asking anew every millisecond or so: SQLite's own waiting
    backs off to a tenth of a second, by which a command starves beside a busy writer.

    Raises
    ------
    sqlite3.Error
        If the write lock was not free in that time, or writing failed.
    """
    deadline = time.monotonic() + patience_s
    db.execute("PRAGMA busy_timeout=0")
    try:
        while not _begun(db, last_try=time.monotonic() > deadline):
            time.sleep(_RETRY_S * (0.5 + random.random()))  # noqa: S311 - two waiters must not step in time
    finally:
        db.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error tells what happened
            db.execute("ROLLBACK")
        raise


def _begun(db: sqlite3.Connection, *, last_try: bool) -> bool:
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if failure_of(error) != "locked" or last_try:
            raise
        return False
    return True


def version_of(db: sqlite3.Connection) -> int:
    """Number of the last migration step a file has seen; 0 for an empty one."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_version(db: sqlite3.Connection, path: Path, newest: int = SCHEMA_VERSION) -> None:
    """
    Accept only a file of exactly this version: what readers and askers need.

    Raises
    ------
    StoreError
        If it is older (the runner migrates it at its next start) or newer.
    """
    version = version_of(db)
    if version != newest:
        remedy = (
            "update this package"
            if version > newest
            else "start the runner once, it brings the file up to date"
        )
        raise StoreError(
            f"{path} has schema version {version}, this package reads {newest}; {remedy}", "version"
        )


def migrate(db: sqlite3.Connection, path: Path, steps: Mapping[int, str] = STEPS) -> Path | None:
    """
    Bring a file up to date; the caller holds the lease.

    Returns
    -------
    Path or None
        The copy made before migrating; None where the file was new or up to date.

    Raises
    ------
    StoreError
        If the file is newer than this package, or a step fails: the file is then as it was.
    """
    version, newest = version_of(db), max(steps)
    if version == newest:
        return None
    if version > newest:
        raise StoreError(
            f"{path} has schema version {version}, this package knows {newest}; update this package",
            "version",
        )
    copy = None
    with translated(path):
        if version:
            copy = path.with_name(f"{path.name}.v{version}.bak")
            copy_database(db, copy)
        script = "\n".join(steps[number] for number in range(version + 1, newest + 1))
        try:
            db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={newest};\nCOMMIT;")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return copy


def copy_database(db: sqlite3.Connection, target: Path) -> None:
    """
    Copy a database as of one moment, online; a reader of `target` sees the old copy or the whole new one.

    The copy is a single file (no WAL beside it), checked and synced before it takes its name.

    Raises
    ------
    sqlite3.Error
        If copying fails or the copy is not sound.
    """
    staged = target.with_name(f".{target.name}.tmp")
    staged.unlink(missing_ok=True)
    copy = sqlite3.connect(staged, isolation_level=None)
    try:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        verdict = copy.execute("PRAGMA quick_check").fetchone()[0]
    finally:
        copy.close()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"the copy at {staged} is not sound: {verdict}")
    for path, flags in ((staged, os.O_RDWR), (None, os.O_RDONLY)):
        if path is None:
            staged.replace(target)
        handle = os.open(path or target.parent, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
