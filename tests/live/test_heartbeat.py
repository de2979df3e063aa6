"""Signs of life: whose, how old, and never from before this boot."""

import os
import time

import pytest

from engine.live.log.heartbeat import Beat, Heart
from engine.live.log.lease import boot_id
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.store import Store


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "store.sqlite"
    Store.open(path, "A").close()
    return path


def test_a_beat_is_young_and_grows_old(path):
    with Heart(path, "runner") as heart, StoreReader(path) as reader:
        assert reader.beats() == ()
        before = time.monotonic_ns()
        heart.beat(7, {"mode": "paper"})
        (first,) = reader.beats()
        assert before <= first.monotonic_ns <= time.monotonic_ns()
        young = first.age_s()
        assert 0 <= young < first.age_s()
        heart.beat(8)
        (beat,) = reader.beats()
        assert (beat.name, beat.pid, beat.seq, beat.status) == ("runner", os.getpid(), 8, "{}")
        assert beat.monotonic_ns > first.monotonic_ns


def test_each_process_has_its_own_row_and_the_runner_goes_on_writing(path):
    with Store.open(path, "A") as store, Heart(path, "runner") as runner, Heart(path, "feed") as feed:
        runner.beat(1)
        feed.beat(2)
        store.set_latch("REDUCING", "x", "y")
        with StoreReader(path) as reader:
            assert [(beat.name, beat.seq) for beat in reader.beats()] == [("feed", 2), ("runner", 1)]


def test_a_beat_of_an_earlier_boot_is_infinitely_old():
    told = {
        "name": "runner",
        "pid": 1,
        "monotonic_ns": time.monotonic_ns(),
        "wall_ns": 0,
        "seq": 0,
        "status": "{}",
    }
    assert Beat(boot_id="earlier", **told).age_s() == float("inf")
    assert Beat(boot_id=boot_id(), **told).age_s() < 1


def test_a_heart_makes_no_store(tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        Heart(tmp_path / "store.sqlite", "feed")
    assert not list(tmp_path.iterdir())
