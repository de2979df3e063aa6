"""Rows of the state to rows of the projection tables and back; events to lines of the log and back."""

import sqlite3
from collections.abc import Iterator
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any, TypeVar, get_args

from engine.live.log.events import Event, LatchState, decode
from engine.live.log.projections import STATE_KINDS, replay
from engine.live.log.state import Changes, Day, Fill, Latch, Order, Position, State
from engine.live.log.store_errors import EventRefusedError, StoreError

_TABLES: dict[type, str] = {Order: "orders", Position: "positions", Fill: "fills", Day: "daily_summary"}
_KNOWN_LATCHES = frozenset(get_args(LatchState))
_R = TypeVar("_R", Order, Position, Fill, Day)


def _columns(kind: type) -> str:
    return ", ".join(f'"{each.name}"' for each in fields(kind))


_UPSERTS = {
    kind: f"INSERT OR REPLACE INTO {table} ({_columns(kind)}) VALUES ({', '.join('?' * len(fields(kind)))})"  # noqa: S608 - names of our own classes
    for kind, table in _TABLES.items()
}
_VALUES = {kind: attrgetter(*(each.name for each in fields(kind))) for kind in (*_TABLES, Latch)}
_BOOLS = {kind: [n for n, each in enumerate(fields(kind)) if each.type in {bool, "bool"}] for kind in _TABLES}


def write_changes(db: sqlite3.Connection, changes: Changes) -> None:
    """Put the rows of one event into their tables, within the caller's transaction."""
    for kind, rows in (
        (Order, changes.orders),
        (Position, changes.positions),
        (Fill, changes.fills),
        (Day, changes.days),
    ):
        if rows:
            db.executemany(_UPSERTS[kind], [_VALUES[kind](row) for row in rows])  # type: ignore[attr-defined]
    if changes.latch is not None:
        db.execute(
            "INSERT OR REPLACE INTO latch (id, state, reason, who, ts_ns) VALUES (1, ?, ?, ?, ?)",
            _VALUES[Latch](changes.latch),
        )


def rebuild(db: sqlite3.Connection, state: State) -> None:
    """Write every projection table anew, within the caller's transaction."""
    for table in (*_TABLES.values(), "latch"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own table names
    write_changes(
        db,
        Changes(
            orders=tuple(state.orders.values()),
            positions=tuple(state.positions.values()),
            fills=tuple(state.fills.values()),
            days=tuple(state.days.values()),
            latch=state.latch if state.latch.ts_ns else None,
        ),
    )


def read_rows(
    db: sqlite3.Connection, kind: type[_R], where: str = "", values: tuple[Any, ...] = ()
) -> tuple[_R, ...]:
    """Rows of one projection table in the order they appeared; `where` is SQL of this package's own making."""
    clause = f" WHERE {where}" if where else ""
    found = db.execute(
        f"SELECT {_columns(kind)} FROM {_TABLES[kind]}{clause} ORDER BY rowid",  # noqa: S608 - see above
        values,
    )
    bools = _BOOLS[kind]
    rows = []
    for row in found:
        cells = list(row)
        for place in bools:
            cells[place] = bool(cells[place])
        rows.append(kind(*cells))
    return tuple(rows)


def read_latch(db: sqlite3.Connection) -> Latch:
    """
    The persisted latch; HALTED where it is missing, unreadable or unknown.

    The one reading that raises nothing: whoever cannot read the latch must not trade.
    """
    try:
        row = db.execute("SELECT state, reason, who, ts_ns FROM latch WHERE id = 1").fetchone()
    except sqlite3.Error as error:
        return Latch("HALTED", f"latch unreadable: {error}", "store", 0)
    if row is None:
        return Latch("HALTED", "no event has set the latch", "store", 0)
    if row[0] not in _KNOWN_LATCHES:
        return Latch("HALTED", f"latch holds {row[0]!r}, which is no known state", "store", 0)
    return Latch(*row)


def tables_differ(db: sqlite3.Connection, state: State) -> str:
    """Which projection tables do not equal `state`, as words; "" when all do."""
    held: list[tuple[str, object, object]] = [
        ("orders", {row.tag: row for row in read_rows(db, Order)}, dict(state.orders)),
        ("positions", {row.position: row for row in read_rows(db, Position)}, dict(state.positions)),
        (
            "fills",
            {row.seq: row for row in read_rows(db, Fill)},
            {row.seq: row for row in state.fills.values()},
        ),
        ("daily_summary", {row.date: row for row in read_rows(db, Day)}, dict(state.days)),
        ("latch", read_latch(db), state.latch),
    ]
    return ", ".join(name for name, table, replayed in held if table != replayed)


def read_events(
    db: sqlite3.Connection, after: int = 0, limit: int = -1, kinds: tuple[str, ...] = ()
) -> Iterator[Event]:
    """
    Events with `seq` above `after`, ascending, decoded strictly.

    Parameters
    ----------
    limit : int
        At most so many; -1 for all.
    kinds : tuple of str
        Only these; () for all.
    """
    chosen = f"AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
    rows = db.execute(
        f"SELECT seq, ts_ns, kind, payload FROM events WHERE seq > ? {chosen} ORDER BY seq LIMIT ?",  # noqa: S608
        (after, *kinds, limit),
    )
    for seq, ts_ns, kind, payload in rows:
        yield Event(seq, ts_ns, decode(kind, payload))


def load_state(db: sqlite3.Connection) -> State:
    """
    The state by replay of the events that make it.

    Raises
    ------
    StoreError
        If the log has a gap or contradicts itself.
    """
    count, first, last = db.execute("SELECT count(*), min(seq), max(seq) FROM events").fetchone()
    if count and (first, last) != (1, count):
        raise StoreError(
            f"the log holds {count} events numbered {first} to {last}; it has a gap: restore a backup",
            "corrupt",
        )
    try:
        state = replay(read_events(db, kinds=STATE_KINDS))
    except EventRefusedError as error:
        raise StoreError(f"the log does not replay: {error}; restore a backup", "corrupt") from error
    return replace(state, seq=count)
