"""How facts become lines of the log: planned against the state, written with their rows, checked afterwards.

Nothing here opens, commits or rolls back; `store` does, around these functions.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from engine.live.log.events import Event, Fact, JournalMerged, decode, encode
from engine.live.log.journal import Line
from engine.live.log.projections import changes_of, gapless, is_booked, replay
from engine.live.log.state import Changes, State
from engine.live.log.store_errors import EventRefusedError
from engine.live.log.tables import read_events, tables_differ, write_changes


@dataclass(frozen=True)
class Entry:
    """A fact on its way into the log; `id` where it may also stand in the fallback journal."""

    fact: Fact
    ts_ns: int  # UTC
    id: str | None


Planned = tuple[Entry, Event, Changes]


@dataclass(frozen=True)
class Verification:
    """
    What `Store.verify` found.

    Attributes
    ----------
    events : int
    state_hash : str
        Of the replayed log.
    problems : tuple of str
        Empty for a sound store.
    """

    events: int
    state_hash: str
    problems: tuple[str, ...]


def plan(state: State, entries: Sequence[Entry]) -> tuple[State, list[Planned]]:
    """
    The events that entries become after `state`, with the rows they change; booked trades are left out.

    Raises
    ------
    EventRefusedError
        If a fact is malformed or contradicts the log.
    """
    planned = []
    for entry in entries:
        if is_booked(state, entry.fact):
            continue
        encode(entry.fact)  # refuse what would not decode before it changes a row
        event = Event(state.seq + 1, entry.ts_ns, entry.fact)
        changes = changes_of(state, event)
        state = state.after(event.seq, changes)
        planned.append((entry, event, changes))
    return state, planned


def write_planned(db: sqlite3.Connection, planned: Sequence[Planned]) -> None:
    """Insert events and their rows, within the caller's transaction."""
    for entry, event, changes in planned:
        db.execute(
            "INSERT INTO events (seq, ts_ns, kind, payload, journal_id) VALUES (?, ?, ?, ?, ?)",
            (event.seq, event.ts_ns, *encode(event.fact), entry.id),
        )
        write_changes(db, changes)


def merge_journal(db: sqlite3.Connection, state: State, lines: Sequence[Line], now_ns: int) -> State:
    """
    Insert the journal's lines that the log does not hold yet, and a note of it, within the caller's transaction.

    A line that contradicts the log is left out and named in the note: it must not keep a runner from starting.

    Returns
    -------
    State
        After the lines and the note.
    """
    merged, refused = 0, []
    for line in lines:
        if db.execute("SELECT 1 FROM events WHERE journal_id = ?", (line.id,)).fetchone():
            continue  # merged before, or its own commit reached the disk after all
        try:
            state, planned = plan(state, [Entry(decode(line.kind, line.payload), line.ts_ns, line.id)])
        except EventRefusedError as error:
            refused.append(f"{line.kind} {line.payload}: {error}")
            continue
        write_planned(db, planned)
        merged += len(planned)
    if merged or refused:
        note = JournalMerged(merged=merged, refused=len(refused), detail="; ".join(refused))
        state, planned = plan(state, [Entry(note, now_ns, None)])
        write_planned(db, planned)
    return state


def verify_log(db: sqlite3.Connection, expected: State) -> Verification:
    """Replay the whole log and compare it with the pages, the tables and the state in memory; reads only."""
    problems = [f"page check: {row[0]}" for row in db.execute("PRAGMA quick_check(8)") if row[0] != "ok"]
    try:
        state = replay(gapless(read_events(db)))
    except EventRefusedError as error:
        return Verification(expected.seq, "", (*problems, str(error)))
    differing = tables_differ(db, state)
    if differing:
        problems.append(f"tables differ from the log: {differing}")
    if state.digest() != expected.digest():
        problems.append("the replayed log and the state in memory differ")
    return Verification(state.seq, state.digest(), tuple(problems))
