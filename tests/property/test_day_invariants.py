"""What must hold on every day, whatever the bars and the parameters."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import draws
from oracle.compare import DATE, EXPIRY, engine_outcome
from oracle.market import Contract, Market, day_bars, frame_of, random_market
from oracle.simulator import prices_of

from engine.backtest.run import play_day
from engine.history.day import DayBars

seeds = st.integers(0, 100_000)


def drawn(seed, **fixed):
    market, params = draws.market(seed), draws.parameters(seed, **fixed)
    return market, params, engine_outcome(market, params)


@settings(deadline=None, max_examples=120)
@given(seeds)
def test_money_is_conserved(seed):
    market, _, outcome = drawn(seed)
    cash = 0
    for order in outcome.orders:
        if order[4] == "filled":
            side = 1 if order[3] == "entry" else -1
            cash += side * order[8] * order[9] * 5
    open_ = sum(t.entry_price * t.quantity * 5 for t in outcome.trades if t.invalid)
    assert cash - open_ == sum(t.pnl for t in outcome.trades)
    for trade in outcome.trades:
        if not trade.invalid:
            assert trade.pnl == (trade.entry_price - trade.exit_price) * trade.quantity * 5
        assert trade.quantity == trade.lots * market.lot


@settings(deadline=None, max_examples=120)
@given(seeds)
def test_size_and_risk_are_what_the_parameters_allow(seed):
    _, params, outcome = drawn(seed)
    wants = [d[5] for d in outcome.decisions if d[5]]
    for want in wants:
        distance = want.stop - want.swing_low
        assert 1 <= want.lots <= params.max_lots
        assert distance * 5 * want.lots * 65 <= params.r_value_rupees * 100
        assert params.min_stop_percent * want.swing_low <= distance * 100
        assert distance * 100 <= params.max_stop_percent * want.swing_low
        assert params.min_entry_price_rupees * 20 <= want.swing_low <= params.max_entry_price_rupees * 20
        assert want.limit <= want.trigger < want.swing_low
    for trade in outcome.trades:
        assert trade.planned_risk == (trade.planned_stop - trade.swing_low) * trade.quantity * 5
        assert trade.planned_risk <= params.r_value_rupees * 100
        assert trade.risk == (trade.stop - trade.entry_price) * trade.quantity * 5
        assert trade.stop >= trade.planned_stop
        assert trade.trigger >= trade.entry_price >= trade.limit


@settings(deadline=None, max_examples=120)
@given(seeds, st.sampled_from([0, 0, 500, 25_000]))
def test_every_fill_lies_inside_its_bar(seed, latency):
    market, _, outcome = drawn(seed, latency_ms=latency)
    for order in outcome.orders:
        if order[4] == "filled":
            bar = market.contracts[order[5]].bars[order[0]]
            assert bar is not None
            assert bar.low <= order[9] <= bar.high
            if order[3] == "entry":
                assert order[9] >= order[7]
            if order[3] == "stop":
                assert order[9] <= order[7]


@settings(deadline=None, max_examples=120)
@given(seeds)
def test_the_stop_is_above_every_high_since_the_swing(seed):
    market, params, outcome = drawn(seed)
    buffer = params.stop_buffer_rupees * 20
    for trade in outcome.trades:
        bars = market.contracts[trade.contract].bars
        closed = [b.high for b in bars[trade.swing_minute + 1 : trade.entry_minute] if b is not None]
        path = prices_of(bars[trade.entry_minute], params.bar_path)[: trade.entry_moment + 1]
        assert trade.stop >= max([*closed, *path]) + buffer


@settings(deadline=None, max_examples=120)
@given(seeds, st.sampled_from([0, 0, 500, 25_000]))
def test_the_rails_hold_at_every_moment(seed, latency):
    market, params, outcome = drawn(seed, latency_ms=latency)
    held = Counter()
    standing = {}
    for order in outcome.orders:
        kind = market.contracts[order[5]].option_type
        if order[3] == "entry":
            if order[4] in ("placed", "modified"):
                standing[kind] = order[5]
            elif order[4] in ("cancelled", "filled"):
                assert standing.pop(kind) == order[5]
            if order[4] == "filled":
                assert held[kind, order[5]] == 0, "one position per contract"
                held[kind, order[5]] += 1
        elif order[4] == "filled":
            held[kind, order[5]] -= 1
        if latency == 0:
            for name, limit in (("CE", params.max_ce_positions), ("PE", params.max_pe_positions)):
                assert limit is None or sum(n for (k, _), n in held.items() if k == name) <= limit
            assert params.max_positions is None or sum(held.values()) <= params.max_positions
    assert all(n == 0 for n in held.values()) or any(t.invalid for t in outcome.trades)


@settings(deadline=None, max_examples=120)
@given(seeds)
def test_after_the_day_is_over_only_exits_happen(seed):
    _, _, outcome = drawn(seed, daily_stop_r="0.3", daily_target_r="0.3")
    ends = [(t.exit_minute, t.exit_moment) for t in outcome.trades if t.reason in ("day_stop", "day_target")]
    over = [(d[0], 3) for d in outcome.decisions if d[2] == "day_over"]
    if not outcome.latch:
        assert ends == over == []
        return
    # a position without a bar at that moment is closed later than the rest, so the first sign counts
    first = min([*ends, *over], default=None)
    if first is not None:
        assert all((t.entry_minute, t.entry_moment) <= first for t in outcome.trades)
        late = [o for o in outcome.orders if o[0] > first[0] and o[3] == "entry"]
        assert {o[4] for o in late} <= {"cancelled"}


@settings(deadline=None, max_examples=120)
@given(seeds)
def test_the_life_of_every_order_is_consistent(seed):
    market, _, outcome = drawn(seed)
    assert [o[1] for o in outcome.orders] == sorted(o[1] for o in outcome.orders)
    lives = defaultdict(list)
    for order in outcome.orders:
        lives[order[2]].append(order)
    assert sorted(lives) == list(range(1, len(lives) + 1)), "every order has a number of its own"
    exits = 0
    for life in lives.values():
        role, events = life[0][3], [o[4] for o in life]
        assert len({(o[3], o[5]) for o in life}) == 1
        if role == "exit":
            assert events == ["filled"]
            exits += 1
            continue
        assert events[0] == "placed"
        assert events.count("placed") == 1
        assert set(events[1:-1]) <= {"modified", "triggered"}
        assert events.count("triggered") <= 1
        if role == "stop":
            assert events[-1] in ("filled", "cancelled"), "no stop outlives its position"
    filled = [o for o in outcome.orders if o[3] == "entry" and o[4] == "filled"]
    assert [(o[5], o[9]) for o in filled] == [(t.contract, t.entry_price) for t in outcome.trades]
    stops = [o for o in outcome.orders if o[3] == "stop" and o[4] == "placed"]
    assert [(o[5], o[6]) for o in stops] == [(t.contract, t.stop) for t in outcome.trades]
    assert exits == sum(t.reason not in ("stop", "no_price") for t in outcome.trades)
    assert market.minutes


@settings(deadline=None, max_examples=120)
@given(seeds)
def test_the_funnel_only_narrows(seed):
    _, _, outcome = drawn(seed)
    swings = outcome.funnel[2:]
    assert swings == sorted(swings, reverse=True)
    assert outcome.funnel[0] >= outcome.funnel[1]
    assert swings[-1] == len(outcome.trades)
    assert len({(t.contract, t.conf_minute) for t in outcome.trades}) == len(outcome.trades)


@settings(deadline=None, max_examples=60)
@given(seeds, seeds, st.integers(1, 100))
def test_the_future_never_changes_the_past(seed, other_seed, cut):
    """Bars from `cut` on may be anything: what was decided, ordered and filled before stays as it was."""
    market, params = draws.market(seed), draws.parameters(seed)
    other = random_market(other_seed, contracts=len(market.contracts), minutes=market.minutes)
    # only what is known of a contract all day (that it exists) is kept
    spliced = tuple(
        Contract(a.symbol, a.strike, a.option_type, a.bars[:cut] + b.bars[cut:])
        for a, b in zip(market.contracts, other.contracts, strict=True)
    )
    if any(all(bar is None for bar in c.bars) for c in spliced):
        return
    one = engine_outcome(market, params)
    two = engine_outcome(Market(spliced, market.minutes, market.lot), params)
    assert [o for o in one.orders if o[0] < cut] == [o for o in two.orders if o[0] < cut]
    assert [d for d in one.decisions if d[0] < cut] == [d for d in two.decisions if d[0] < cut]
    for mine, theirs in zip(one.trades, two.trades, strict=False):
        if mine.entry_minute < cut:
            assert (mine.entry_price, mine.stop, mine.quantity) == (
                theirs.entry_price,
                theirs.stop,
                theirs.quantity,
            )
        if mine.exit_minute < cut and not mine.invalid:
            assert mine == theirs


@settings(deadline=None, max_examples=40)
@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_symbols_do_not_matter(seed, chance):
    market, params = draws.market(seed), draws.parameters(seed)
    frame = frame_of(market)
    rows = list(range(frame.height))
    chance.shuffle(rows)
    one = play_day(day_bars(market, DATE, EXPIRY), params)
    shuffled = DayBars.from_frame(
        frame[rows], date=DATE, expiry=EXPIRY, lot_size=market.lot, minutes=market.minutes
    )
    renamed = Market(
        tuple(Contract(f"X{c.symbol[::-1]}", c.strike, c.option_type, c.bars) for c in market.contracts),
        market.minutes,
        market.lot,
    )
    for other in (play_day(shuffled, params), play_day(day_bars(renamed, DATE, EXPIRY), params)):
        for name in ("trades", "orders", "decisions", "funnel"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_a_contract_that_cannot_qualify_changes_nothing(seed):
    market, params = draws.market(seed), draws.parameters(seed, min_entry_price_rupees=50)
    cheap = random_market(seed + 1, contracts=1, minutes=market.minutes, start=450, step=1, jump_rate=0)
    far = Contract(
        "N20000CE", 20000, "CE", tuple(b and type(b)(5, 6, 4, 5, 65) for b in cheap.contracts[0].bars)
    )
    more = Market((far, *market.contracts), market.minutes, market.lot)
    one, two = engine_outcome(market, params), engine_outcome(more, params)
    assert [t.entry_price for t in one.trades] == [t.entry_price for t in two.trades]
    assert [t.pnl for t in one.trades] == [t.pnl for t in two.trades]
    assert [o[:5] + o[6:] for o in one.orders] == [o[:5] + o[6:] for o in two.orders]
    assert one.funnel[1:] == two.funnel[1:]


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_more_slippage_never_helps_a_trade_that_stays_the_same(seed):
    market = draws.market(seed)
    fixed = {"daily_stop_r": None, "daily_target_r": None, "slippage_percent": 0}
    cheap = engine_outcome(market, draws.parameters(seed, slippage_rupees=0, **fixed))
    dear = engine_outcome(market, draws.parameters(seed, slippage_rupees="0.50", **fixed))
    for one, two in zip(cheap.trades, dear.trades, strict=True):
        assert two.pnl <= one.pnl


@pytest.mark.parametrize("path", ["worst", "high_first", "nearest_first"])
def test_a_day_without_swings_trades_nothing(path):
    market = random_market(1, contracts=4, minutes=60, step=0, jump_rate=0)
    flat = Market(
        tuple(
            Contract(
                c.symbol,
                c.strike,
                c.option_type,
                tuple(b and type(b)(3000, 3000, 3000, 3000, 65) for b in c.bars),
            )
            for c in market.contracts
        ),
        60,
    )
    outcome = engine_outcome(flat, draws.parameters(1, bar_path=path))
    assert (outcome.trades, outcome.orders, outcome.decisions) == ([], [], [])
