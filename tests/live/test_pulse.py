"""A heartbeat that never raises, and knows since when it may be believed."""

import sqlite3

import pytest

from engine.live.control import pulse
from engine.live.control.pulse import Pulse
from engine.live.log.reader import StoreReader
from engine.live.store import Store


class Clock:
    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(pulse, "time", made)
    return made


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "live.sqlite"
    Store.open(path, "practice").close()
    return path


def beat_for(one, clock, seconds):
    for _ in range(seconds):
        clock.now += 1.0
        one.beat({})


def test_beats_are_trusted_as_long_as_they_get_through(clock, database):
    one = Pulse(database, "watchdog")
    assert one.good_for_s() == 0
    beat_for(one, clock, 10)
    assert one.good_for_s() == pytest.approx(9)
    one.close()


def test_no_database_yet_is_no_error(clock, tmp_path):
    one = Pulse(tmp_path / "live.sqlite", "watchdog")
    beat_for(one, clock, 3)
    assert one.good_for_s() == 0


def test_locked_database_ends_the_trust_and_raises_nothing(clock, database):
    one = Pulse(database, "watchdog")
    beat_for(one, clock, 10)
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    beat_for(one, clock, 1)
    assert one.good_for_s() == 0
    assert "locked" in one.failure
    other.execute("ROLLBACK")
    other.close()
    beat_for(one, clock, 3)
    assert one.good_for_s() == pytest.approx(2)
    assert one.failure == ""
    one.close()


def test_own_sleep_ends_the_trust(clock, database):
    """The machine stood still: that another one's beat is old then proves nothing."""
    one = Pulse(database, "watchdog")
    beat_for(one, clock, 10)
    clock.now += 20
    assert one.good_for_s() == 0, "before the next beat"
    one.beat({})
    assert one.good_for_s() == 0, "and after it"
    beat_for(one, clock, 5)
    assert one.good_for_s() == pytest.approx(5)
    one.close()


def test_beat_tells_its_words(database):
    one = Pulse(database, "watchdog")
    one.beat({"phase": "watching"}, now=True)
    one.close()
    with StoreReader(database) as reader:
        assert [(beat.name, beat.status) for beat in reader.beats()] == [("watchdog", '{"phase":"watching"}')]
