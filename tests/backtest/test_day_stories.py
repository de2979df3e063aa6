"""Hand-made days whose outcome can be read off the bars. Prices in ticks; one contract unless told."""

import pytest
from oracle.compare import engine_outcome
from oracle.market import Bar, Contract, Market

from engine.params import load_params

# rules 3.4, example A, in ticks: swing low 2260 (Rs 113) confirmed by bar 9, highest high since 2380
EXAMPLE = (
    (2400, 2420, 2360, 2380),
    (2380, 2390, 2300, 2320),
    (2320, 2360, 2280, 2340),
    (2340, 2420, 2330, 2410),
    (2410, 2480, 2400, 2460),
    (2460, 2470, 2380, 2390),
    (2390, 2400, 2320, 2330),
    (2330, 2340, 2260, 2270),
    (2270, 2360, 2264, 2350),
    (2350, 2380, 2340, 2370),
)
QUIET = (2370, 2375, 2365, 2370)
SETTINGS = {
    "min_vwap_premium_percent": -10,
    "slippage_rupees": 0,
    "entry_start_time": "09:25",  # after the example's earlier, wider swing lows
}


def day(*after, before=EXAMPLE, minutes=60, kind="CE", hole=()):
    bars = [Bar(*prices, 650) for prices in (*before, *after)]
    bars += [bars[-1]] * (minutes - len(bars))
    bars = [None if m in hole else bar for m, bar in enumerate(bars)]
    return Market((Contract(f"N24000{kind}", 24000, kind, tuple(bars)),), minutes)


def play(market, **changes):
    return engine_outcome(market, load_params(**{**SETTINGS, **changes}))


def only_trade(market, **changes):
    (trade,) = play(market, **changes).trades
    return trade


def test_the_worked_example_is_ordered_with_the_rule_books_numbers():
    outcome = play(day(QUIET))
    minute, kind, verdict, _, _, want = next(d for d in outcome.decisions if d[5])
    assert (minute, kind, verdict) == (9, "CE", "wanted")
    assert (want.swing_low, want.stop, want.trigger, want.limit, want.lots) == (2260, 2400, 2259, 2199, 10)
    assert (want.swing_index, want.conf_minute) == (7, 9)


def test_nothing_is_ordered_before_the_confirming_bar_has_closed():
    outcome = play(day(QUIET))
    assert outcome.orders[0][:2] == (10, 600_000)
    assert outcome.orders[0][4] == "placed"


def test_a_break_fills_at_the_trigger_and_is_stopped_at_the_stop():
    trade = only_trade(day(QUIET, (2300, 2310, 2250, 2255), (2255, 2420, 2250, 2410)))
    assert (trade.entry_minute, trade.entry_moment, trade.entry_price) == (11, 1, 2259)
    assert (trade.stop, trade.exit_minute, trade.exit_price, trade.reason) == (2400, 12, 2400, "stop")
    assert trade.quantity == 650
    assert trade.planned_risk == (2400 - 2260) * 5 * 650
    assert trade.risk == (2400 - 2259) * 5 * 650
    assert trade.pnl == -trade.risk
    assert not trade.ambiguous


def test_a_touch_of_the_low_does_not_fill():
    assert play(day(QUIET, (2300, 2310, 2260, 2300))).trades == []


def test_slippage_makes_both_fills_worse():
    market = day(QUIET, (2300, 2310, 2250, 2255), (2255, 2420, 2250, 2410))
    trade = only_trade(market, slippage_rupees=0.25)
    assert (trade.entry_price, trade.exit_price) == (2254, 2405)


def test_a_gap_below_the_trigger_fills_at_the_open():
    trade = only_trade(day(QUIET, (2230, 2235, 2225, 2230)))
    assert (trade.entry_moment, trade.entry_price) == (0, 2230)


def test_a_gap_through_the_limit_rests_and_is_withdrawn_with_the_broken_swing():
    outcome = play(day(QUIET, (2190, 2195, 2100, 2150), (2150, 2160, 2140, 2150)))
    assert outcome.trades == []
    assert [(o[0], o[4]) for o in outcome.orders] == [(10, "placed"), (11, "triggered"), (12, "cancelled")]


def test_a_gap_through_the_limit_that_comes_back_fills_at_the_limit():
    trade = only_trade(day(QUIET, (2190, 2220, 2100, 2150)))
    assert (trade.entry_moment, trade.entry_price) == (2, 2199)


def test_the_high_of_the_entry_bar_raises_the_stop_when_it_came_first():
    bar = (2300, 2450, 2250, 2255)
    late = only_trade(day(QUIET, bar), bar_path="high_first")
    assert (late.entry_moment, late.planned_stop, late.stop) == (2, 2400, 2470)
    assert late.risk == (2470 - 2259) * 5 * 650


def test_entry_and_stop_in_one_bar_is_taken_as_the_worse_and_counted():
    outcome = play(day(QUIET, (2300, 2450, 2250, 2255)))
    (trade,) = outcome.trades
    assert (trade.entry_minute, trade.exit_minute, trade.reason) == (11, 11, "stop")
    assert trade.exit_price == 2400
    assert trade.ambiguous
    assert outcome.ambiguous == 1


def test_a_higher_high_while_waiting_moves_the_stop_and_the_lots():
    outcome = play(day((2370, 2440, 2365, 2430)), max_lots=20)
    wants = [d[5] for d in outcome.decisions if d[5]]
    assert [(w.stop, w.lots) for w in wants[:2]] == [(2400, 14), (2460, 10)]
    assert [o[4] for o in outcome.orders[:2]] == ["placed", "modified"]


def test_a_stop_too_wide_withdraws_the_order():
    outcome = play(day((2370, 2600, 2365, 2430)))
    assert [o[4] for o in outcome.orders[:2]] == ["placed", "cancelled"]
    assert outcome.decisions[1][2] == "none_qualifies"


def test_a_broken_swing_is_never_ordered_again():
    outcome = play(day((2190, 2195, 2100, 2150), *[(2300, 2310, 2295, 2300)] * 5))
    assert outcome.trades == []
    assert [o[4] for o in outcome.orders] == ["placed", "triggered", "cancelled"]


def test_a_swing_trades_once():
    bars = [QUIET, (2300, 2310, 2250, 2255), (2255, 2420, 2250, 2410), (2300, 2310, 2200, 2250)]
    trades = play(day(*bars)).trades
    assert [(t.conf_minute, t.swing_low) for t in trades] == [(9, 2260), (12, 2250)]


def test_forced_exit_buys_back_at_the_open_of_its_minute():
    bars = [QUIET, (2300, 2310, 2250, 2255), *[(2255, 2265, 2245, 2250)] * 6, (2222, 2265, 2210, 2250)]
    trade = only_trade(day(*bars), entry_end_time="09:30", forced_exit_time="09:33")
    assert (trade.exit_minute, trade.exit_moment, trade.exit_price, trade.reason) == (18, 0, 2222, "time")


def test_a_position_without_a_bar_at_the_forced_exit_waits_for_the_next_one():
    bars = [QUIET, (2300, 2310, 2250, 2255), *[(2255, 2265, 2245, 2250)] * 40]
    trade = only_trade(day(*bars, hole=(20, 21)), entry_end_time="09:30", forced_exit_time="09:35")
    assert (trade.exit_minute, trade.reason, trade.gap_minutes) == (22, "time", 2)


def test_a_position_that_never_trades_again_is_invalid_and_not_worth_zero():
    bars = [QUIET, (2300, 2310, 2250, 2255)]
    trade = only_trade(day(*bars, hole=range(12, 60)))
    assert (trade.reason, trade.invalid, trade.exit_price, trade.pnl) == ("no_price", True, 0, 0)


def test_no_entry_from_the_end_of_the_entry_hours_on():
    fall = [*[QUIET] * 5, (2300, 2310, 2250, 2255)]  # the break comes in minute 15
    assert len(play(day(*fall), entry_end_time="09:31").trades) == 1
    outcome = play(day(*fall), entry_end_time="09:30")
    assert outcome.trades == []
    assert (outcome.orders[-1][0], outcome.orders[-1][4]) == (15, "cancelled")


def test_no_entry_before_the_entry_hours_begin():
    assert play(day(QUIET), entry_start_time="09:40").orders[0][0] == 25


def test_the_day_stop_closes_everything_and_nothing_is_opened_after():
    bars = [QUIET, (2300, 2310, 2250, 2255), (2255, 2390, 2250, 2380), *EXAMPLE, *[QUIET] * 10]
    outcome = play(day(*bars), daily_stop_r=0.4)  # 2,600 rupees = 80 ticks of 650 units
    (trade,) = outcome.trades
    assert outcome.latch == "day_stop"
    assert (trade.reason, trade.exit_minute, trade.exit_moment, trade.exit_price) == ("day_stop", 12, 2, 2390)
    assert outcome.ambiguous == 1  # the low of that bar would not have ended the day
    assert all(o[3] != "entry" for o in outcome.orders if o[0] > 12)
    assert "day_over" in {d[2] for d in outcome.decisions}


def test_the_day_target_is_judged_at_closes_only():
    bars = [QUIET, (2300, 2310, 2250, 2255), (2255, 2260, 2100, 2250), (2250, 2255, 2100, 2120)]
    outcome = play(day(*bars), daily_target_r=0.5)  # 3,250 rupees = 100 ticks of 650 units
    (trade,) = outcome.trades
    assert outcome.latch == "day_target"
    assert (trade.reason, trade.exit_minute, trade.exit_moment, trade.exit_price) == (
        "day_target",
        13,
        3,
        2120,
    )


def test_a_stop_jumped_through_its_limit_goes_to_market():
    bars = [QUIET, (2300, 2310, 2250, 2255), (2500, 2520, 2480, 2510)]
    trade = only_trade(day(*bars))
    assert trade.reason == "stop_gap"
    assert trade.exit_minute == 12
    assert trade.exit_price > trade.stop + 60


def test_a_stop_jumped_within_its_limit_fills_at_the_open():
    bars = [QUIET, (2300, 2310, 2250, 2255), (2430, 2440, 2400, 2410)]
    trade = only_trade(day(*bars))
    assert (trade.reason, trade.exit_moment, trade.exit_price) == ("stop", 0, 2430)


@pytest.mark.parametrize(
    ("limits", "trades"), [({}, 2), ({"max_positions": 1}, 1), ({"max_pe_positions": 1}, 2)]
)
def test_a_call_and_a_put_are_held_together_when_limits_allow(limits, trades):
    bars = (*EXAMPLE, QUIET, (2300, 2310, 2250, 2255), *[(2255, 2265, 2245, 2250)] * 48)
    both = Market(
        tuple(
            Contract(f"N24000{kind}", 24000, kind, tuple(Bar(*prices, 650) for prices in bars))
            for kind in ("CE", "PE")
        ),
        60,
    )
    assert len(play(both, **limits).trades) == trades


def test_volume_decides_the_vwap_that_judges_a_low():
    light = play(day(QUIET), min_vwap_premium_percent=-4)
    assert [d for d in light.decisions if d[5]] == []
    bars = list(day(QUIET).contracts[0].bars)
    bars[7] = Bar(*EXAMPLE[7], 10_000_000)  # nearly all of the session was traded at the swing bar
    heavy = Market((Contract("N24000CE", 24000, "CE", tuple(bars)),), 60)
    wants = [d[5] for d in play(heavy, min_vwap_premium_percent=-4).decisions if d[5]]
    assert wants[0].swing_low == 2260


def events(outcome):
    return [(o[0], o[1] % 60_000, o[3], o[4]) for o in outcome.orders]


def test_an_order_on_its_way_is_not_at_the_exchange():
    fall = (2300, 2310, 2250, 2255)
    at_once = play(day((2370, 2375, 2365, 2370), fall))
    later = play(day((2370, 2375, 2365, 2370), fall), latency_ms=500)
    assert events(at_once)[0] == (10, 0, "entry", "placed")
    assert events(later)[0] == (10, 20_000, "entry", "placed")
    assert at_once.trades[0].entry_price == later.trades[0].entry_price == 2259


def test_an_order_that_arrives_behind_the_market_is_refused():
    outcome = play(day((2250, 2300, 2245, 2290)), latency_ms=500)
    assert events(outcome) == [(10, 20_000, "entry", "rejected")]
    assert outcome.trades == []


def test_a_change_that_finds_its_order_filled_opens_nothing():
    # bar 10 raises the stop, so a change is on its way when bar 11 opens below the trigger
    outcome = play(day((2370, 2440, 2365, 2430), (2250, 2255, 2240, 2245)), latency_ms=500)
    assert len(outcome.trades) == 1
    assert [e[3] for e in events(outcome) if e[2] == "entry"] == ["placed", "triggered", "filled"]


def test_an_exit_on_its_way_takes_the_price_it_meets():
    bars = [QUIET, (2300, 2310, 2250, 2255), *[(2255, 2265, 2245, 2250)] * 6, (2222, 2265, 2210, 2250)]
    trade = only_trade(day(*bars), entry_end_time="09:30", forced_exit_time="09:33", latency_ms=25_000)
    assert (trade.exit_minute, trade.exit_moment, trade.exit_price) == (18, 2, 2265)
