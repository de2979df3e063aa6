"""Real processes killed amid a rehearsal; in full length: `python tests/chaos/chaos.py --help`."""

import datetime as dt
from contextlib import contextmanager
from types import SimpleNamespace

import chaos_doors
import chaos_kills
import pytest
from chaos_stage import Stage

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.params import load_params

DATE = dt.date(2026, 9, 3)
PARAMS = load_params("swing_break", strikes_each_side=5, min_vwap_premium_percent=-10)
SEED = 14  # runner, exchange twice, and supervisor with feed while the session still recovers
FLAT_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("chaos"))
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=5)
    return lake, lake.select("NIFTY", DATE, DATE)[0]


def test_killed_processes_come_back_and_nothing_is_doubled_or_lost(day, tmp_path):
    made = chaos_kills.run(*day, PARAMS, tmp_path, seed=SEED, kills=5, moment_s=0.02, window=(0, 50))
    assert made.problems == []
    assert made.wrong == []
    # a request that was on its way when the exchange died is in doubt for a moment, and the day goes on meanwhile
    assert made.same or made.trade_differences
    assert made.unexplained == []
    assert made.comparison.trades >= 3
    killed = {name for each in made.recoveries for name in each.victims}
    assert killed >= {"runner", "feed", "exchange", "supervisor"}
    print([(each.victims, round(each.own_s, 1)) for each in made.recoveries])


@pytest.mark.parametrize("door", ["kill signal", "dead runner"])
def test_kill_closes_everything_and_nothing_is_traded_before_a_reset(day, tmp_path, door):
    made = chaos_doors.close_by(*day, PARAMS, tmp_path, door, speed="max", minutes=2)
    assert made.wrong == []
    assert made.positions >= 2
    assert made.orders >= 2
    assert made.flat_s < FLAT_WITHIN_S
    assert made.latch in {"HALTED", "FLATTENING"}
    assert made.again.startswith(("started, 0 orders", "refused"))
    print(door, round(made.flat_s, 2), round(made.proved_s, 2), made.again)


def test_a_seed_is_one_list_of_kills_and_every_process_has_its_turn():
    assert chaos_kills.plan(1, 50, 1, 300) == chaos_kills.plan(1, 50, 1, 300)
    assert chaos_kills.plan(1, 50, 1, 300) != chaos_kills.plan(2, 50, 1, 300)
    assert {kill.victim for kill in chaos_kills.plan(1, 50, 1, 300)} == set(chaos_kills.VICTIMS)
    for one, other in zip(plan := chaos_kills.plan(1, 50, 1, 300), plan[1:], strict=False):
        assert not (other.follows and {one.victim, other.victim} == {"runner", "supervisor"})


class Books(Stage):
    """An audit's two sides, made by hand."""

    def __init__(self, *, orders=None, trades=None, positions=(), open_in_log=False, seqs=(1, 2, 3)):
        order = {"tag": "a1", "order_id": "o1", "status": "COMPLETE"}
        trade = {"trade_id": "t1", "order_id": "o1", "quantity": 65, "transaction_type": "SELL"}
        self._books = (orders or [order], [trade] if trades is None else trades, positions)
        self._log = SimpleNamespace(
            orders=lambda: [SimpleNamespace(tag="a1", open=open_in_log)],
            fills=lambda: [SimpleNamespace(trade_id="t1", order_id="o1", quantity=65, side="SELL")],
            events=lambda **_: [SimpleNamespace(seq=seq) for seq in seqs],
        )

    def books(self):
        return self._books

    @contextmanager
    def reader(self):
        yield self._log


ORDER = {"tag": "a1", "order_id": "o1", "status": "COMPLETE"}


@pytest.mark.parametrize(
    ("books", "words"),
    [
        ({"orders": [ORDER, ORDER | {"order_id": "o2"}]}, "intent a1 is 2 orders"),
        ({"orders": [ORDER, ORDER | {"tag": "b7"}]}, "tag b7 that the log does not know"),
        ({"orders": [ORDER | {"status": "TRIGGER PENDING"}]}, "orders that live"),
        ({"trades": []}, "fills"),
        ({"positions": [{"tradingsymbol": "X", "quantity": -65}]}, "broker holds"),
        ({"open_in_log": True}, "the log holds open"),
        ({"seqs": (1, 3)}, "gaps"),
    ],
)
def test_audit_finds_what_was_doubled_lost_or_left(books, words):
    assert Books().audit() == []
    (wrong,) = Books(**books).audit()
    assert words in wrong
