"""Pre-trade checks, slices and lanes by themselves; the pace of the whole gateway."""

import asyncio
from dataclasses import replace

import pytest
import store_facts as facts
from hypothesis import given
from hypothesis import strategies as st
from scripted_broker import FREEZE, LOT, NS, RAILS, Desk, closing_store, entry, run, stop

from engine.execution.risk import Limits
from engine.live.log.events import DayLatched, Event
from engine.live.log.projections import replay
from engine.live.log.state import Latch
from engine.live.orders.lanes import DAY_CAPS, WINDOWS, Lane, Lanes, LanesExhaustedError
from engine.live.orders.prechecks import exposure, may_be_naked, refusal
from engine.live.orders.slicing import slices

ACTIVE = Latch("ACTIVE", "", "", 0)


def state_of(*told):
    return replay(Event(seq, seq, fact) for seq, fact in enumerate((facts.session(), *told), start=1))


FRESH = state_of()
SHORT = state_of(*facts.short()[:3])  # one lot sold, no stop yet
STOPPED = state_of(*facts.short())


def why(wish, state=FRESH, latch=ACTIVE, rails=RAILS, reference=2000, **given):
    return refusal(wish, state, latch, rails, reference, **given)


def test_a_sound_entry_and_a_sound_stop_pass():
    assert why(entry()) == ""
    assert why(stop(), SHORT) == ""


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"quantity": 66}, "whole lots"),
        ({"quantity": 28 * LOT}, "freeze"),
        ({"quantity": 0}, "whole lots"),
        ({"limit": 0}, "limit of 0"),
        ({"trigger": 0}, "trigger of 0"),
        ({"trigger": -5}, "trigger of -5"),
        ({"limit": 1990}, "before its trigger"),
        ({"order_type": "LIMIT"}, "trigger of 1980"),
        ({"order_type": "MARKET", "trigger": 0, "limit": 0}, "market protection of 0"),
        ({"protection_percent": 5}, "market protection of 5"),
        ({"limit": 1980 * 60 // 100 - 1}, "below the price band"),
    ],
)
def test_what_the_exchange_would_refuse_is_denied_here(given, word):
    assert word in why(replace(entry(), **given))


def test_a_price_off_the_contracts_step_is_denied():
    assert "price step" in why(entry(limit=1921), rails=replace(RAILS, tick=5))


def test_a_limit_order_is_held_against_the_band_around_the_reference():
    wish = entry(order_type="LIMIT", trigger=0, limit=1200)
    assert why(wish, reference=2000) == ""
    assert "below the price band" in why(replace(wish, limit=1199), reference=2000)
    assert "no reference price" in why(wish, reference=None)


def test_what_may_be_short_without_a_stop_is_seen_in_the_log():
    assert not may_be_naked(FRESH)
    assert may_be_naked(SHORT)
    assert not may_be_naked(STOPPED)
    assert may_be_naked(state_of(facts.intent("E1")))  # it may have filled unseen


def test_an_exit_is_not_held_against_a_reference_that_may_be_old():
    buy = stop(order_type="LIMIT", trigger=0, limit=2801)
    assert why(buy, SHORT, reference=2000) == ""


def test_the_order_value_bounds_entries_only():
    rails = replace(RAILS, max_order_paise=1920 * 5 * LOT - 1)
    assert "order value" in why(entry(), rails=rails)
    assert why(stop(), SHORT, rails=rails) == ""


def test_a_latched_day_or_no_session_takes_no_entry():
    latched = state_of(DayLatched(date=facts.DATE, reason="day_stop", day_pnl=-1))
    assert "day latch" in why(entry(), latched)
    assert "no session" in why(entry(), replay([]))


def test_limits_count_open_intents_and_positions_but_not_the_same_position():
    one = replace(RAILS, limits=Limits(2, 1, 1, 2**62, 2**62))
    waiting = state_of(facts.intent("E1"))
    assert "position limit" in why(entry(position=2, symbol="X"), waiting, rails=one)
    assert "position limit" in why(entry(position=2, symbol="X"), SHORT, rails=one)
    assert why(entry(position=2, symbol="X", slot="PE"), waiting, rails=one) == ""
    assert why(entry(position=1, symbol="X"), SHORT, rails=one) == ""


def test_reductions_never_exceed_what_is_held():
    assert "exceeds" in why(stop(lots=2), SHORT)
    assert "exceeds" in why(stop(), STOPPED)
    assert why(stop(), STOPPED, apart_from={"S1"}) == ""
    assert "does not reduce" in why(stop(side="SELL", limit=2100), SHORT)
    assert "does not reduce" in why(stop(position=7), SHORT)


def test_a_fill_whose_trade_is_on_its_way_counts_as_done():
    filled = state_of(*facts.short(), facts.update("S1", "oS1", "COMPLETE", LOT, trigger=2200, limit=2260))
    assert exposure(filled, 1) == 0
    assert "does not reduce" in why(stop(), filled)


@given(st.integers(1, 100), st.integers(1, 200), st.integers(200, 5000))
def test_slices_sum_to_the_quantity_within_the_freeze_in_whole_lots(lots, lot, freeze):
    sizes = slices(lots * lot, lot, freeze)
    assert sum(sizes) == lots * lot
    assert all(0 < size <= freeze and size % lot == 0 for size in sizes)
    assert len(sizes) == -(-lots // (freeze // lot))


def test_a_freeze_below_one_lot_is_an_error():
    with pytest.raises(Exception, match="below one lot"):
        slices(LOT, LOT, LOT - 1)
    assert FREEZE // LOT == 27


# ---- lanes ----

CALLS = st.lists(st.tuples(st.sampled_from(list(Lane)), st.integers(0, NS // 2)), max_size=600)


@given(CALLS)
def test_no_window_ever_holds_more_calls_than_the_lane_may_use(calls):
    lanes, now, left = Lanes(), 0, []
    for lane, pause in calls:
        now += pause + lanes.wait_ns(lane, now + pause)
        assert lanes.wait_ns(lane, now) == 0
        lanes.take(now)
        left.append(now)
        for window in WINDOWS:
            assert sum(at > now - window.length_ns for at in left) <= window.caps[lane]


def test_the_rates_are_eight_a_second_four_hundred_a_minute_and_five_thousand_a_day():
    assert [(window.length_ns // NS, window.caps[Lane.EXIT]) for window in WINDOWS] == [(1, 8), (60, 400)]
    assert DAY_CAPS[Lane.EXIT] == 5000
    for caps in (*(window.caps for window in WINDOWS), DAY_CAPS):
        assert caps[Lane.EXIT] > caps[Lane.STOP] > caps[Lane.ENTRY]


def test_an_exit_leaves_at_once_when_entries_and_stops_have_used_up_their_share():
    lanes = Lanes()
    for lane in (Lane.ENTRY, Lane.STOP):
        while not lanes.wait_ns(lane, 0):
            lanes.take(0)
        assert lanes.wait_ns(lane, 0) == NS
    assert lanes.wait_ns(Lane.EXIT, 0) == 0
    assert lanes.calls == 7


def test_the_day_keeps_a_reserve_for_exits():
    lanes = Lanes()
    lanes.restore(DAY_CAPS[Lane.ENTRY], 0, 0)
    with pytest.raises(LanesExhaustedError, match="entry"):
        lanes.wait_ns(Lane.ENTRY, 0)
    assert lanes.wait_ns(Lane.STOP, 0) == 0
    lanes.restore(DAY_CAPS[Lane.EXIT] - DAY_CAPS[Lane.ENTRY], 0, 0)
    with pytest.raises(LanesExhaustedError):
        lanes.wait_ns(Lane.EXIT, 0)


def test_a_429_holds_every_lane_for_a_second():
    lanes = Lanes()
    lanes.hold(5)
    assert lanes.wait_ns(Lane.EXIT, 5) == NS
    assert lanes.wait_ns(Lane.EXIT, 5 + NS) == 0


def test_calls_before_a_restart_hold_up_entries_but_not_stops():
    lanes = Lanes()
    lanes.restore(400, 400, 7)
    assert lanes.calls == 400
    assert lanes.wait_ns(Lane.ENTRY, 7) == 60 * NS
    assert lanes.wait_ns(Lane.STOP, 7) == NS


def test_refused_cancelled_and_modified_count_and_never_exceed_eight_a_second(tmp_path):
    with closing_store(Desk(tmp_path / "s.sqlite", latency_s=0.001)) as desk:

        async def story():
            await desk.start()
            desk.broker.place_faults.extend(["refuse", "busy"] * 6)
            for number in range(12):
                await desk.gateway.place(entry(position=number + 1))
            (sent,) = await desk.gateway.place(entry(position=30))
            await asyncio.gather(
                *(
                    desk.gateway.modify(
                        sent.tag, quantity=LOT, trigger=1980 - k, limit=1920 - k, order_type="SL"
                    )
                    for k in range(1, 15)
                )
            )
            await desk.gateway.cancel(sent.tag, "x")
            at = desk.broker.order_calls()
            assert len(at) == 12 + 1 + 14 + 1 == desk.gateway.wire.lanes.calls
            assert max(sum(t - NS < u <= t for u in at) for t in at) <= 8

        run(story())


def test_after_a_429_nothing_leaves_for_a_second(tmp_path):
    with closing_store(Desk(tmp_path / "s.sqlite")) as desk:

        async def story():
            await desk.start()
            desk.broker.place_faults.append("busy")
            (sent,) = await desk.gateway.place(entry())
            assert (sent.outcome, desk.state.orders[sent.tag].detail[:3]) == ("refused", "429")
            (again,) = await desk.gateway.place(entry())
            assert again.outcome == "confirmed"
            first, second = desk.broker.order_calls()
            assert second - first >= NS

        run(story())


def test_an_entry_after_the_days_last_call_is_denied_and_an_exit_is_not(tmp_path):
    with closing_store(Desk(tmp_path / "s.sqlite")) as desk:

        async def story():
            await desk.start()
            await desk.short()
            desk.gateway.wire.lanes.calls = DAY_CAPS[Lane.STOP]
            (sent,) = await desk.gateway.place(entry(position=2, symbol="X"))
            assert "order calls today" in sent.reason
            assert (await desk.gateway.exit(1, "time", 20)).flat

        run(story())
