"""A quant's own filters: compiled from plain functions, refused plainly, harmless when they are wrong."""

import inspect

import numpy as np
import pytest
from oracle.compare import DATE, EXPIRY, differences
from oracle.market import day_bars, random_market

from engine.backtest.run import play_day
from engine.errors import ParamsError
from engine.params import load_params
from engine.strategy import predicates
from engine.strategy.predicates import CANDIDATE, compile_all, compile_predicate, keeps, load_filter

BUSY = {
    "min_entry_price_rupees": 20,
    "min_vwap_premium_percent": -20,
    "max_stop_percent": 30,
    "min_stop_percent": 0,
    "entry_end_time": "15:00",
}


@pytest.fixture
def row():
    rows = np.zeros(1, CANDIDATE)
    rows[0]["lots"], rows[0]["minute"], rows[0]["price"] = 5, 100, 150.0
    return rows


def test_a_lambda_is_a_filter(row):
    keep = compile_predicate(lambda c: c.lots > 4)
    assert keeps(keep.address, row)
    row[0]["lots"] = 4
    assert not keeps(keep.address, row)


def test_every_field_of_a_candidate_can_be_read(row):
    for name in CANDIDATE.names:
        space = {}
        exec(f"def read(c):\n    return c.{name} > -1000", space)
        assert keeps(compile_predicate(space["read"]).address, row), name


def test_numbers_from_around_it_are_frozen(row):
    most = 4
    keep = compile_predicate(lambda c: c.lots > most)
    most = 1000
    assert keeps(keep.address, row)
    assert most == 1000


def test_truth_is_python_truth(row):
    for function in (lambda c: c.price, lambda c: c.lots):
        assert keeps(compile_predicate(function).address, row)
    for function in (lambda c: c.vwap, lambda c: c.age):
        assert not keeps(compile_predicate(function).address, row)


@pytest.mark.parametrize("thing", [3, "c.lots > 2", len, lambda: True, lambda a, b: a.lots > b])
def test_what_is_no_function_of_one_candidate_is_refused(thing):
    with pytest.raises(ParamsError, match="must be a plain function of one candidate"):
        compile_predicate(thing)


def test_what_cannot_be_compiled_is_refused_by_name():
    def opens_a_file(c):
        return open(c.lots)  # noqa: PTH123

    with pytest.raises(ParamsError, match="filter 'opens_a_file' cannot be compiled") as caught:
        compile_predicate(opens_a_file)
    assert "\n" not in str(caught.value)


def test_two_filters_of_one_name_are_refused():
    with pytest.raises(ParamsError, match="two filters are called 'lambda_filter'"):
        compile_all([lambda c: c.lots > 1, lambda c: c.lots > 2])


def test_a_compiled_filter_can_be_given_again():
    one = compile_predicate(lambda c: c.lots > 1)
    assert compile_all([one]) == (one,)


def test_a_filter_that_does_not_exist_is_told_with_those_that_do():
    for name in ("no_such_filter", "../params", ""):
        with pytest.raises(ParamsError, match="no saved filter"):
            load_filter(name)


def test_division_by_zero_keeps_the_process_and_drops_or_keeps_by_ieee(row):
    row[0]["vwap"] = 0.0
    assert keeps(compile_predicate(lambda c: c.price / c.vwap > 1).address, row)  # infinite
    row[0]["age"] = 0
    compile_predicate(lambda c: c.lots // c.age > 1)
    compile_predicate(lambda c: c.lots % c.age > 1)
    market = random_market(3, contracts=6, minutes=90, start=3000)
    for function in (lambda c: c.lots // c.age > 0, lambda c: c.price / c.age > 0):
        play_day(day_bars(market, DATE, EXPIRY), load_params(**BUSY), compile_all([function]))


def keeps_all(c):
    return True


def keeps_none(c):
    return False


def early(c):
    return c.minute < 60


def dear(c):
    return c.price > 140.0 and c.lots >= 2


def young(c):
    return c.age <= 15 or not c.is_call


@pytest.mark.parametrize("seed", range(12))
def test_filters_act_as_python_would_apply_them(seed):
    market = random_market(seed, contracts=6, minutes=90)
    assert differences(market, load_params(**BUSY), [early, dear, young]) == {}


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_filters_moves_the_funnel_only(seed):
    day = day_bars(random_market(seed, contracts=6, minutes=90), DATE, EXPIRY)
    params = load_params(**BUSY)
    one = play_day(day, params, compile_all([early, dear, young]))
    other = play_day(day, params, compile_all([young, dear, early]))
    for name in ("trades", "orders", "decisions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    ends = [*range(7), 9, 10, 11, 12]
    assert one.funnel[ends].tolist() == other.funnel[ends].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_a_filter_that_keeps_all_changes_nothing(seed):
    day = day_bars(random_market(seed, contracts=6, minutes=90), DATE, EXPIRY)
    params = load_params(**BUSY)
    bare = play_day(day, params)
    filtered = play_day(day, params, compile_all([keeps_all]))
    for name in ("trades", "orders", "decisions"):
        np.testing.assert_array_equal(getattr(bare, name), getattr(filtered, name))
    assert filtered.funnel[6] == filtered.funnel[7]
    assert np.delete(filtered.funnel, 7).tolist() == bare.funnel.tolist()


def test_a_filter_that_keeps_none_trades_nothing():
    day = day_bars(random_market(1, contracts=6, minutes=90), DATE, EXPIRY)
    outcome = play_day(day, load_params(**BUSY), compile_all([keeps_none]))
    assert len(outcome.trades) == len(outcome.orders) == 0
    assert outcome.funnel[6] > 0
    assert outcome.funnel[7:].tolist() == [0, 0, 0, 0]


def test_the_source_is_kept_for_the_report():
    assert compile_predicate(early).source == inspect.getsource(early)


def early_or_big(c):
    if c.minute < 120:
        return True
    return c.lots > 2


def greedy(c):
    c.lots = 100
    return True


def test_a_saved_filter_is_the_same_rule(tmp_path, monkeypatch, row):
    monkeypatch.setattr(predicates, "filters_folder", lambda: tmp_path)
    predicates.save_filter(early_or_big)
    loaded = load_filter("early_or_big")
    for minute, lots, wanted in ((100, 1, True), (200, 2, False), (200, 3, True)):
        row[0]["minute"], row[0]["lots"] = minute, lots
        assert keeps(loaded.address, row) is wanted


@pytest.mark.parametrize(
    "text", ["def bad(c)\n return 1\n", "import no_such_module\ndef bad(c): return True\n"]
)
def test_a_saved_filter_that_is_broken_is_told_by_name(tmp_path, monkeypatch, text):
    monkeypatch.setattr(predicates, "filters_folder", lambda: tmp_path)
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ParamsError, match="bad"):
        load_filter("bad")


def test_an_unknown_field_is_answered_with_the_known_ones():
    with pytest.raises(ParamsError, match="no field 'nothing'; it has minute"):
        compile_predicate(lambda c: c.nothing > 1)


def test_a_filter_may_not_change_its_candidate():
    with pytest.raises(ParamsError, match="changes its candidate"):
        compile_predicate(greedy)


def raises_late(c):
    if c.minute > 40:
        raise ValueError
    return True


def reads_past_the_end(c):
    return [c.minute][c.lots] > 3


@pytest.mark.parametrize("function", [raises_late, reads_past_the_end])
def test_a_filter_that_raises_ends_the_run_instead_of_dropping_candidates(function):
    day = day_bars(random_market(3, contracts=6, minutes=90, start=3000), DATE, EXPIRY)
    with pytest.raises(ParamsError, match=f"filter '{function.__name__}' raised an error"):
        play_day(day, load_params(**BUSY), compile_all([function]))


def answers_nothing(c):
    pass


def answers_a_text(c):
    return "yes"


@pytest.mark.parametrize("function", [answers_nothing, answers_a_text])
def test_a_filter_must_answer_true_or_false(function):
    with pytest.raises(ParamsError, match="must answer True or False"):
        compile_predicate(function)


def imports_inside(c):
    import math

    return math.sqrt(c.price) > 3


def test_an_import_inside_a_filter_is_refused_plainly():
    with pytest.raises(ParamsError, match="imports_inside"):
        compile_predicate(imports_inside)
