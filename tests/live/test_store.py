"""The store: what is acknowledged stands in the log, and the tables equal the log."""

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import store_facts as facts
from hypothesis import given, settings
from hypothesis import strategies as st
from store_facts import assert_sound, fill, intent, seqs, session, short

from engine.live.log import events as e
from engine.live.log.reader import StoreReader, submit_command
from engine.live.log.store_errors import EventRefusedError, StoreError
from engine.live.store import Store

PROJECT = Path(__file__).resolve().parents[2]


# ---- what is written ----


def test_commits_are_synced_and_readers_never_block_the_writer(store):
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL


def test_a_new_store_begins_active_and_one_of_each_fact_survives_reopening(path):
    with Store.open(path, "AB1234") as store:
        assert store.latch().state == "ACTIVE"
        written = store.append(*facts.ONE_OF_EACH)
        before = store.state_hash()
        assert_sound(store)
    with Store.open(path, "AB1234") as store:
        assert store.state_hash() == before
        assert_sound(store)
    with StoreReader(path) as reader:
        assert reader.events(after=1) == written


def test_several_facts_are_written_together_or_not_at_all(store):
    before = store.state_hash()
    with pytest.raises(EventRefusedError):
        store.append(session(), intent("E1"), intent("E1"))
    assert store.state_hash() == before
    assert store.failure is None
    (event,) = store.append(session())
    assert event.seq == 2
    assert_sound(store)


def test_a_trade_is_booked_once_however_often_it_is_told(store):
    store.append(session(), *short())
    told = fill("E1", "oE1", "tE1", "SELL")
    assert store.append(told) == ()
    (event,) = store.append(told, e.IntentSent(tag="E1"))
    assert event.kind == "IntentSent"
    assert store.state.positions[1].sold == 65
    assert_sound(store)


def test_the_log_cannot_be_rewritten(store, path):
    store.append(session())
    other = sqlite3.connect(path)
    for statement in ("UPDATE events SET kind = 'x'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
    other.close()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_any_history_replays_to_the_tables_and_the_hash(seed, count):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "store.sqlite"
        with Store.open(path, "A") as store:
            for number, fact in enumerate(facts.random_facts(seed, count)):
                write = store.append if number % 2 else store.append_exit
                try:
                    write(fact)
                except EventRefusedError:
                    continue
            assert_sound(store)
            left = store.state
        with Store.open(path, "A") as store:
            assert store.state == left
        assert seqs(path) == list(range(1, left.seq + 1))


def test_a_damaged_table_is_rebuilt_from_the_log_at_the_next_start(path):
    with Store.open(path, "A") as store:
        store.append(session(), *short())
        held = store.state
    db = sqlite3.connect(path)
    db.execute("UPDATE orders SET quantity = 1")
    db.execute("DELETE FROM positions")
    db.commit()
    db.close()
    with Store.open(path, "A") as store:
        assert store.state.orders == held.orders
        assert_sound(store)
        with StoreReader(path) as reader:
            assert reader.events(after=held.seq)[0].fact == e.ProjectionsRebuilt(detail="orders, positions")
            assert reader.orders() == tuple(held.orders.values())


def test_verify_sees_a_damaged_table_and_a_gap(store, path):
    store.append(session(), *short())
    other = sqlite3.connect(path)
    other.execute("UPDATE positions SET sold = 1")
    other.commit()
    assert "positions" in store.verify().problems[0]
    other.execute("DROP TRIGGER events_kept")
    other.execute("DELETE FROM events WHERE seq = 3")
    other.commit()
    other.close()
    assert any("should" in problem for problem in store.verify().problems)


def test_a_log_with_a_gap_is_not_traded_on(path):
    Store.open(path, "A").close()
    db = sqlite3.connect(path)
    db.execute("INSERT INTO events VALUES (3, 0, 'IntentSent', '{\"tag\":\"x\"}', NULL)")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="gap") as caught:
        Store.open(path, "A")
    assert caught.value.failure == "corrupt"


# ---- the latch ----


def test_the_latch_survives_a_restart_and_needs_a_reset(path):
    with Store.open(path, "A") as store:
        store.set_latch("FLATTENING", "kill", "cli")
    with Store.open(path, "A") as store:
        assert (store.latch().state, store.latch().reason) == ("FLATTENING", "kill")
        with pytest.raises(EventRefusedError, match="reset"):
            store.set_latch("ACTIVE", "go on", "cli")
        store.set_latch("HALTED", "proved flat", "runner")
        store.set_latch("ACTIVE", "looked at it", "trader", reset=True)
        assert store.latch().state == "ACTIVE"


@pytest.mark.parametrize(
    "damage",
    ["UPDATE latch SET state = 'active'", "UPDATE latch SET state = ''", "DELETE FROM latch", "DROP TABLE latch",
     "UPDATE latch SET state = 'HALTED'"],
)  # fmt: skip
def test_a_latch_that_cannot_be_read_means_halted(store, path, damage):
    with StoreReader(path) as reader:
        assert (store.latch().state, reader.latch().state) == ("ACTIVE", "ACTIVE")
        other = sqlite3.connect(path)
        other.execute(damage)
        other.commit()
        other.close()
        assert (store.latch().state, reader.latch().state) == ("HALTED", "HALTED")


def test_a_latch_loosened_behind_the_log_stays_strict(store, path):
    store.set_latch("HALTED", "limit", "runner")
    other = sqlite3.connect(path)
    other.execute("UPDATE latch SET state = 'ACTIVE'")
    other.commit()
    other.close()
    assert store.latch().state == "HALTED"


# ---- commands ----


ASKER = """
import sys
sys.path.insert(0, sys.argv[2])
from engine.live.log.reader import submit_command
for number in range(12):
    print(submit_command(sys.argv[1], sys.argv[3], "pause", {"number": number}))
"""


def test_commands_from_four_processes_are_taken_once_while_the_writer_writes(store, path):
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER, str(path), str(PROJECT), f"asker{n}"],
            stdout=subprocess.PIPE,
        )
        for n in range(4)
    ]
    taken = []
    while any(asker.poll() is None for asker in askers) or len(taken) < 48:
        store.append(e.LinkChanged(link="feed", name="x", status="up", detail=""))
        for command in store.take_commands():
            store.answer_command(command.id, "done", "paused")
            taken.append(command)
        assert store.state.seq < 20_000
    given = sorted(int(line) for asker in askers for line in asker.stdout.read().split())
    for asker in askers:
        asker.stdout.close()
    assert sorted(command.id for command in taken) == given
    assert len(given) == 48
    with StoreReader(path) as reader:
        assert reader.command(given[0]).answer == "paused"
        assert reader.command(10**6) is None
    assert_sound(store)


def test_a_command_taken_before_a_crash_is_still_to_be_answered(path):
    with Store.open(path, "A") as store:
        number = submit_command(path, "widget", "kill")
        assert [command.verb for command in store.take_commands()] == ["kill"]
        assert store.take_commands() == ()
    with Store.open(path, "A") as store:
        assert [command.id for command in store.unanswered_commands()] == [number]
        store.answer_command(number, "refused", "no session")
        with pytest.raises(EventRefusedError, match="not taken"):
            store.answer_command(number, "done", "twice")
        assert store.unanswered_commands() == ()


@pytest.mark.parametrize(("origin", "verb", "payload"), [("", "kill", {}), ("cli", "Kill!", {}), ("cli", "kill", {"a": float("nan")})])  # fmt: skip
def test_a_command_that_cannot_be_written_down_is_refused(store, path, origin, verb, payload):
    with pytest.raises(EventRefusedError):
        submit_command(path, origin, verb, payload)


def test_nothing_is_made_where_there_is_no_store(tmp_path):
    missing = tmp_path / "store.sqlite"
    for attempt in (lambda: submit_command(missing, "cli", "kill"), lambda: StoreReader(missing)):
        with pytest.raises(StoreError, match="does not exist"):
            attempt()
    assert not missing.exists()
