"""What is best at each close, against the pool told in fractions."""

import pytest
from oracle.compare import DATE, EXPIRY
from oracle.market import Bar, Contract, Market, day_bars, random_market
from oracle.pool import Pool

from engine.params import load_params
from engine.strategy.swing_break import trace

LOOSE = {
    "min_entry_price_rupees": 20,
    "min_vwap_premium_percent": -10,
    "max_stop_percent": 30,
    "min_stop_percent": 0,
}
SETS = (
    LOOSE,
    {**LOOSE, "swing_variant": "eq2", "updated_swing_vwap": "updated"},
    {
        **LOOSE,
        "failed_vwap_low": "remove_previous",
        "min_vwap_premium_percent": 0,
        "round_strike_rupees": None,
    },
    {**LOOSE, "same_bar_rule": "alternation_first", "r_value_rupees": 1000, "max_lots": 2},
    {**LOOSE, "min_stop_percent": 2, "max_stop_percent": 5, "target_stop_points_rupees": 4},
)


def by_hand(market, params):
    pool = Pool(market, params)
    rows = []
    for minute in range(market.minutes):
        for kind, (best, seen, good) in pool.close(minute, set()).items():
            row = (None,) * 6
            if best is not None:
                symbol = market.contracts[best.contract].symbol
                row = (symbol, best.low, best.swing_index, best.high, best.stop, best.lots)
            rows.append((minute, kind, *row, seen, good))
    return rows


@pytest.mark.parametrize("settings", SETS, ids=range(len(SETS)))
@pytest.mark.parametrize("seed", range(10))
def test_the_trace_is_the_pool_by_hand(seed, settings):
    grid = (1, 5, 20)[seed % 3]
    market = random_market(seed, contracts=8, minutes=110, grid=grid, gap_rate=(0, 0.05, 0.4)[seed % 3])
    params = load_params(**settings)
    assert trace(day_bars(market), params).rows() == by_hand(market, params)


@pytest.mark.parametrize("seed", range(8))
def test_the_future_never_changes_a_decision(seed):
    market = random_market(seed, contracts=6, minutes=100)
    other = random_market(seed + 1000, contracts=6, minutes=100)
    params = load_params(**LOOSE)
    whole = trace(day_bars(market), params)
    for cut in (1, 17, 50, 83):
        mixed = _spliced(market, other, cut)
        assert trace(day_bars(mixed, DATE, EXPIRY), params)[: 2 * cut].equals(whole[: 2 * cut])


def _spliced(market, other, cut):
    contracts = tuple(
        type(a)(a.symbol, a.strike, a.option_type, a.bars[:cut] + b.bars[cut:])
        for a, b in zip(market.contracts, other.contracts, strict=True)
    )
    return type(market)(contracts, market.minutes, market.lot)


def test_the_bar_in_progress_counts_only_when_it_is_asked_for():
    market = random_market(5, contracts=6, minutes=100)
    params = load_params(**LOOSE)
    closed = trace(day_bars(market), params)
    looking = trace(day_bars(market), params, bar_in_progress=True)
    assert not closed.equals(looking)
    assert closed.select("minute", "option_type", "n_stage1").equals(
        looking.select("minute", "option_type", "n_stage1")
    )


def _updated_low():
    """A swing low of Rs 99 (bar 0), confirmed by bar 3, broken and updated to Rs 98 (bar 4) by bar 5."""
    prices = (
        (101, 101, 99, 101), (101, 103, 99, 99), (99, 102, 99, 102),
        (102, 103, 100, 102), (102, 104, 98, 100), (100, 106, 99, 103),
    )  # fmt: skip
    volumes = (65, 650, 650, 650, 650, 650)
    bars = [Bar(*(20 * p for p in four), volume) for four, volume in zip(prices, volumes, strict=True)]
    return Market((Contract("N24000CE", 24000, "CE", tuple(bars)),), len(bars))


@pytest.mark.parametrize(("choice", "candidates"), [("frozen", 1), ("updated", 0)])
def test_an_updated_low_is_judged_by_the_vwap_the_parameter_names(choice, candidates):
    # Rs 98 is 2.3 % below the VWAP of bar 0 and 3.2 % below that of bar 4
    params = load_params(**{**LOOSE, "min_vwap_premium_percent": -2.5, "updated_swing_vwap": choice})
    rows = trace(day_bars(_updated_low()), params).filter(option_type="CE")
    assert rows["n_stage1"].to_list() == [0, 0, 0, 1, 0, candidates]
    assert rows["swing_low"].to_list()[5] == (1960 if candidates else None)


@pytest.mark.parametrize(("choice", "kept"), [("keep_previous", 1), ("remove_previous", 0)])
def test_a_low_that_fails_the_vwap_rule_leaves_or_removes_the_one_before(choice, kept):
    # two rising lows; the second, Rs 99.50, fails because heavy dear trades lie between
    prices = (
        (101, 101, 99, 101), (101, 103, 99, 99), (99, 102, 99, 102), (102, 103, 100, 102),
        (102, 110, 102, 109), (109, 109, 104, 104), (104, 104, 101, 101.5),
        (101.5, 102, 99.5, 100), (100, 105, 100, 104), (104, 108, 104, 107),
    )  # fmt: skip
    volumes = (65, 65, 65, 65, 650_000, 65, 65, 65, 65, 65)
    bars = [Bar(*(int(20 * p) for p in four), v) for four, v in zip(prices, volumes, strict=True)]
    market = Market((Contract("N24000CE", 24000, "CE", tuple(bars)),), len(bars))
    params = load_params(**{**LOOSE, "min_vwap_premium_percent": -5, "failed_vwap_low": choice})
    rows = trace(day_bars(market), params).filter(option_type="CE")
    assert rows["n_stage1"].to_list()[3:5] == [1, 1]
    assert rows["n_stage1"].to_list()[-1] == kept
    assert rows.rows() == [row for row in by_hand(market, params) if row[1] == "CE"]
