"""A paper session from end to end: the feed replays a day of the lake, the runner trades it at the paper broker."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from live_session_kit import wait_for
from runner_rig import CHANGES, DATE, Days

from engine.live.control.processes import ENDED
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.spec import load_session_params, make_spec


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return Days(tmp_path_factory.mktemp("paper-lake"))


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(spec, module):
        log = (tmp_path / f"{module}.log").open("ab")
        secrets = {"KITE_API_KEY", "KITE_API_SECRET", "KITE_ACCESS_TOKEN"}
        env = {name: value for name, value in os.environ.items() if name not in secrets}
        command = [sys.executable, "-m", f"engine.live.{module}", str(spec.places.spec)]
        running.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
        log.close()
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def make(folder, days, speed="max", **session):
    days.day(DATE)
    spec = make_spec(
        load_session_params("paper", feed="replay", strategy_changes=CHANGES, paper_latency_ms=0, **session),
        date=DATE,
        data_folder=folder,
        feed_options={"lake": str(days.lake.root), "speed": speed},
    )
    spec.write()
    return spec


def traded(spec):
    with StoreReader(spec.places.database) as reader:
        trades = sorted(
            (t.symbol, t.conf_minute, t.sold, t.sold_value // t.sold, t.bought_value // t.bought)
            for t in reader.trades()
        )
        events = reader.events(limit=100_000, kinds=("DecisionMade", "Mismatch", "SessionEnded"))
    return trades, [(event.kind, event.fact) for event in events]


def test_a_replayed_day_on_paper_equals_its_backtest_without_any_login(tmp_path, days, start):
    spec = make(tmp_path, days)
    start(spec, "feeds")
    assert start(spec, "runner").wait(180) == ENDED
    trades, facts = traded(spec)
    expected, decisions = days.backtest(DATE)
    assert trades == expected
    assert sum(kind == "DecisionMade" for kind, _ in facts) == decisions
    kind, last = facts[-1]
    assert (kind, last.flat) == ("SessionEnded", True)
    assert not any(kind == "Mismatch" for kind, _ in facts)


def test_killed_runners_find_the_paper_account_and_the_day_where_they_were(tmp_path, days, start):
    spec = make(tmp_path, days)
    start(spec, "feeds")
    for trades in (1, 2):
        runner = start(spec, "runner")

        def has(count=trades):
            with suppress(StoreError), StoreReader(spec.places.database) as reader:  # not made yet
                return len(reader.positions()) >= count
            return False

        wait_for(has, 60)
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    assert start(spec, "runner").wait(180) == ENDED
    trades, facts = traded(spec)
    assert trades == days.backtest(DATE)[0]
    assert not any(kind == "Mismatch" for kind, _ in facts)
