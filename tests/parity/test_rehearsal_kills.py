"""kill -9 amid a rehearsed day: the session comes back, nothing is doubled, every difference is one of the restart."""

import datetime as dt
import os
import signal

import pytest

from engine.cli.rehearsal import rehearse_day
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.control.processes import FEED, RUNNER, find_all, session_commands
from engine.live.log.reader import StoreReader
from engine.params import load_params

MUHURAT = dt.date(2025, 10, 21)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = Lake(tmp_path_factory.mktemp("killed"))
    ensure_simulated(made, "NIFTY", MUHURAT, MUHURAT, strikes_each_side=5)
    return made


class Killer:
    """
    Kills a process of the session once it has decided these minutes.

    The minute is that of the log's last decision: a heartbeat comes once a second, and at this speed twenty minutes pass
    between two.
    """

    def __init__(self, lake, victims):
        self.lake = lake
        self.victims = sorted(victims)
        self.killed = []

    def __call__(self, look):
        if not self.victims or look.phase != "trading":
            return
        (spec,) = self.lake.root.glob("rehearsals/*/state/practice/session.json")
        minute, name = self.victims[0]
        with StoreReader(spec.with_name("live.sqlite")) as reader:
            decided = reader.events(kinds=("DecisionMade",), limit=-1)
        if not decided or decided[-1].fact.minute < minute:
            return
        alive = find_all(session_commands(spec))
        if name in alive:
            os.kill(alive[name].pid, signal.SIGKILL)
            self.killed.append(self.victims.pop(0))


def test_killed_runners_and_feeds_leave_the_day_whole(lake):
    killer = Killer(lake, [(6, RUNNER), (14, FEED), (22, RUNNER), (30, FEED)])
    params = load_params(
        "swing_break", min_vwap_premium_percent=-10, strikes_each_side=5, forced_exit_time="14:40",
        entry_end_time="14:35",
    )  # fmt: skip
    made = rehearse_day(lake, params, MUHURAT, progress=killer)
    assert [name for _, name in killer.killed] == [RUNNER, FEED, RUNNER, FEED]
    assert made.flat
    assert made.restarts == 2
    assert made.comparison.is_accounted_for(exact=False), made.comparison.differences
    assert made.comparison.fills == 2 * made.comparison.trades
    assert set(made.comparison.causes) <= {"restart", "outage", "follows", "entry_latency", "exit_latency"}
