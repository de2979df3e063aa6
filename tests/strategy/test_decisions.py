"""What is best at each close, against the pool told in fractions."""

import pytest
from oracle.compare import DATE, EXPIRY
from oracle.market import day_bars, random_market
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
