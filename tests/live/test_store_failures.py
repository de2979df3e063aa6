"""Disks that are full, locked or read-only; crashes at every point; the fallback journal."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import told_on_small_disk
from store_facts import (
    assert_sound,
    exit_code_of,
    facts_on_disk,
    fill,
    intent,
    random_facts,
    seqs,
    session,
    short,
)

from engine.live.log import events as e
from engine.live.log.journal import Journal, Line
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import EventRefusedError, StoreError
from engine.live.store import Store

HERE = Path(__file__).resolve().parent


def full(store):
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")


def fill_up(store):
    """Append until the file cannot grow."""
    full(store)
    while store.failure is None:
        with suppress(StoreError):
            store.append(e.LinkChanged(link="disk", name="x", status="up", detail="y" * 400))
    return store.failure


def test_a_full_disk_stops_entries_and_exits_go_to_the_journal(store, path):
    store.append(session(), *short())
    assert fill_up(store).failure == "full"
    assert store.latch().state == "HALTED"
    held = store.state
    with pytest.raises(StoreError):
        store.append(intent("E2", 2, reason="x" * 4000))
    assert store.state == held
    prepared = store.append_exit(intent("X1", 1, "exit", reason="r" * 4000))
    assert [event.seq for event in prepared] == [held.seq + 1]
    store.append_exit(e.OrderAccepted(tag="X1", order_id="oX1"), fill("X1", "oX1", "t9", "BUY"))
    assert store.journalled == 3
    assert not store.state.open_positions
    assert seqs(path)[-1] == held.seq
    store._db.execute("PRAGMA max_page_count=1000000")
    store.append(e.IntentSent(tag="S1"))
    assert (store.journalled, store.failure) == (0, None)
    assert store.latch().state == "ACTIVE"
    with StoreReader(path) as reader:
        assert [event.kind for event in reader.events(after=held.seq)] == [
            "IntentPrepared", "OrderAccepted", "FillBooked", "JournalMerged", "IntentSent",
        ]  # fmt: skip
    assert_sound(store)


def refuse_commits(store):
    def at(point):
        if point == "before commit":
            raise sqlite3.OperationalError("disk I/O error")

    store._at = at


def test_a_kill_takes_hold_on_a_full_disk(store):
    fill_up(store)
    refuse_commits(store)
    store.set_latch("FLATTENING", "kill", "cli")
    assert store.latch().state == "FLATTENING"
    with pytest.raises(StoreError):
        store.set_latch("ACTIVE", "no", "cli", reset=True)
    assert store.latch().state == "FLATTENING"


def die(store):
    """End as a killed process does: nothing is written any more, the lock falls."""
    store._db.close()
    store._journal.close()
    store._file_lock.release()


def journalled_store(path):
    """A store that dies with an exit in its journal."""
    store = Store.open(path, "A")
    store.append(session(), *short())
    full(store)
    while store.failure is None:
        store.append_exit(e.LinkChanged(link="disk", name="x", status="down", detail="y" * 1000))
    store.append_exit(intent("X1", 1, "exit"), e.OrderAccepted(tag="X1", order_id="oX1"))
    waiting = store.journalled
    die(store)
    return waiting


def test_the_journal_is_merged_once_at_the_next_start(path):
    waiting = journalled_store(path)
    journal = path.with_name(path.name + ".journal")
    kept = journal.read_bytes()
    hashes = set()
    for _ in range(3):
        with Store.open(path, "A") as store:
            assert [note.merged for note in facts_on_disk(path, "JournalMerged")] == [waiting]
            assert store.state.orders["X1"].order_id == "oX1"
            assert store.journalled == 0
            assert_sound(store)
            hashes.add(store.state_hash())
        journal.write_bytes(kept)  # as if the crash came between the commit and the clearing
    assert len(hashes) == 1


@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_a_torn_journal_line_is_no_event(path, damage):
    waiting = journalled_store(path)
    journal = path.with_name(path.name + ".journal")
    content = bytearray(journal.read_bytes())
    end = content.index(b"\0")
    if damage == "cut":
        del content[end - 20 :]
    else:
        assert content[end - 40 : end].count(b"oX1") == 1
        content[end - 40 : end] = content[end - 40 : end].replace(b"oX1", b"oX2")
    journal.write_bytes(content)
    with Store.open(path, "A") as store:
        assert store.state.orders["X1"].order_id == ""
        (note,) = facts_on_disk(path, "JournalMerged")
        assert note.merged == waiting - 1
        assert_sound(store)


def test_a_journal_line_that_contradicts_the_log_does_not_keep_a_runner_from_starting(path):
    waiting = journalled_store(path)
    Store.open(path, "A").close()
    journal = path.with_name(path.name + ".journal")
    journal_of = Journal(journal)
    journal_of.append([Line("foreign-1", 1, *e.encode(intent("X1", 1, "exit")))])
    journal_of.close()
    with Store.open(path, "A"):
        notes = facts_on_disk(path, "JournalMerged")
        assert [(note.merged, note.refused) for note in notes] == [(waiting, 0), (0, 1)]
        assert "needs a new tag" in notes[1].detail


def test_a_commit_that_reports_failure_but_reached_the_disk_is_not_doubled(store):
    store.append(session(), *short())

    def fail_after(point):
        if point == "before commit":
            store._db.execute("COMMIT")
            store._at = lambda _: None
            raise sqlite3.OperationalError("disk I/O error")

    store._at = fail_after
    store.append_exit(intent("X1", 1, "exit"))
    assert store.journalled == 1
    store.append(e.IntentSent(tag="X1"))
    assert store.journalled == 0
    assert_sound(store)
    assert store.state.orders["X1"].state == "SENT"


def test_a_foreign_write_lock_is_told_within_a_second_and_readers_are_not_in_the_way(store, path):
    store.append(session())
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    for number in range(50):
        store.append(intent(f"A{number}", number + 1))
    assert reader.execute("SELECT count(*) FROM events").fetchone()[0] == 2
    reader.execute("COMMIT")
    reader.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StoreError, match="locked") as caught:
        store.append(intent("B1"))
    assert time.monotonic() - began < 4
    assert caught.value.failure == "locked"
    assert store.latch().state == "HALTED"
    store.append_exit(intent("X1", 1, "exit"))
    assert store.journalled == 1
    reader.execute("ROLLBACK")
    reader.close()
    store.append(intent("B1"))
    assert store.latch().state == "ACTIVE"
    assert_sound(store)


def test_the_write_ahead_log_does_not_grow_with_the_day_beside_readers(path):
    log = path.with_name(f"{path.name}-wal")
    with (
        Store.open(path, "AB1234") as store,
        StoreReader(path) as one,
        StoreReader(path) as other,  # control room and alerts are open all day
    ):
        for number in range(700):
            store.append(e.LinkChanged(link="disk", name="x", status="up", detail=f"{number}" + "y" * 400))
            if number % 20 == 0:
                for reader in (one, other):
                    with reader.snapshot():
                        reader.events(limit=10)
        assert log.stat().st_size < 5_000_000
    assert not log.exists()


def test_a_database_that_turned_read_only_is_told(store):
    store._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreError) as caught:
        store.append(session())
    assert caught.value.failure == "read_only"
    store.append_exit(e.LinkChanged(link="disk", name="x", status="down", detail=""))
    assert store.journalled == 1
    store._db.execute("PRAGMA query_only=OFF")


def test_a_store_on_a_full_disk_says_so_and_opens_once_there_is_space(tmp_path):
    told = told_on_small_disk(tmp_path, "opening")
    assert told[0][1] is not None
    assert told[-1][1] is None
    for left, said, latch, problems in told:
        if said is not None:
            failure, text = said
            assert failure == "full", (left, text)
            assert "free" in text
            assert "\n" not in text
        assert (latch, problems) == ("ACTIVE", []), left


def start_without_rights(folder):
    if os.getuid() == 0:
        os.setuid(65534)
    with pytest.raises(StoreError, match="check the folder") as caught:
        Store.open(folder / "store.sqlite", "A")
    assert caught.value.failure == "read_only"


@pytest.mark.parametrize("existing", [False, True])
def test_a_read_only_folder_is_told_at_the_start(existing):
    folder = Path(tempfile.mkdtemp())
    try:
        if existing:
            Store.open(folder / "store.sqlite", "A").close()
        folder.chmod(0o555)
        assert exit_code_of(lambda: start_without_rights(folder)) == 0
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_whatever_fails_what_was_acknowledged_is_in_the_log_once_and_in_order(seed, count):
    """Commits fail before or after they reached the disk, runners die and start again, in any order."""
    draw = random.Random(seed)

    def at(point):
        if point == "before commit" and store is not None and draw.random() < 0.5:
            if exiting and draw.random() < 0.3:
                store._db.execute("COMMIT")  # reached the disk, and is told as failed
            raise sqlite3.OperationalError("disk I/O error")

    store, exiting, acknowledged, last = None, False, [], 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "store.sqlite"
        store = Store.open(path, "A", at=at)
        for fact in random_facts(seed, count):
            exiting = draw.random() < 0.6
            with suppress(EventRefusedError, StoreError):
                written = (store.append_exit if exiting else store.append)(fact)
                acknowledged += [event.fact for event in written]
                for event in written:
                    assert last < event.seq == store.state.seq
                    last = event.seq
            if draw.random() < 0.1:
                left, before = store.state, store.journalled
                die(store)
                store = None
                store = Store.open(path, "A", at=at)
                if not before:
                    assert store.state == left
        die(store)
        store = None
        with Store.open(path, "A") as store:
            assert_sound(store)
        kept = [fact for fact in facts_on_disk(path)[1:] if not isinstance(fact, e.JournalMerged)]
        assert kept == acknowledged
        assert all(note.refused == 0 for note in facts_on_disk(path, "JournalMerged"))


# ---- crashes ----


SCRIPT = [session(), *short(), fill("S1", "oS1", "tS1", "BUY"), *short(2)]


def die_at(path, point, nth):
    """Write SCRIPT and die the `nth` time `point` is reached; for "journalled" every commit fails."""
    reached = {"times": None}

    def at(where):
        if reached["times"] is None:
            return  # still opening
        if where == point:
            reached["times"] += 1
            if reached["times"] == nth:
                os._exit(9)
        if point == "journalled" and where == "before commit":
            raise sqlite3.OperationalError("disk I/O error")

    store = Store.open(path, "A", at=at)
    reached["times"] = 0
    for fact in SCRIPT:
        store.append_exit(fact)


@pytest.mark.parametrize("nth", range(1, len(SCRIPT) + 1))
@pytest.mark.parametrize("point", ["before begin", "before commit", "after commit", "journalled"])
def test_a_crash_at_any_point_of_any_commit_leaves_a_sound_log(path, point, nth):
    assert exit_code_of(lambda: die_at(path, point, nth)) == 9
    with Store.open(path, "A") as store:
        assert_sound(store)
        assert seqs(path) == list(range(1, store.state.seq + 1))
        kept = [fact for fact in facts_on_disk(path)[1:] if not isinstance(fact, e.JournalMerged)]
    assert kept == SCRIPT[: nth - 1 if point.startswith("before") else nth]


WRITER = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from engine.live.log import events as e
from engine.live.store import Store
import store_facts as facts
store = Store.open(sys.argv[1], "A")
first = store.state.seq
store.append(facts.session())
while True:
    number = store.state.seq
    event = store.append(facts.intent(f"N{number}", number), e.IntentSent(tag=f"N{number}"))[-1]
    sys.stdout.write(f"{event.seq}\\n")
    sys.stdout.flush()
"""


def test_after_kill_minus_nine_every_acknowledged_commit_is_there(path):
    draw = random.Random(5)
    acknowledged = 0
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(HERE.parents[1]), str(HERE)], stdout=subprocess.PIPE
        )
        lines = [writer.stdout.readline()]
        time.sleep(draw.random() * 0.15)
        writer.kill()
        lines += writer.stdout.readlines()
        writer.wait()
        writer.stdout.close()
        assert facts_on_disk(path)  # a panel reads what a dead runner left
        acknowledged = max(int(line) for line in lines if line.endswith(b"\n"))
        found = seqs(path)
        assert found == list(range(1, len(found) + 1))
        assert found[-1] >= acknowledged
    with Store.open(path, "A") as store:
        assert_sound(store)
        assert store.state.seq == len(found) > 100
