"""What a log amounts to: stories of orders, told event by event."""

import pytest
import store_facts as facts
from store_facts import fill, intent, session, short, update

from engine.live.log import events as e
from engine.live.log.projections import changes_of, gapless, loosens, replay
from engine.live.log.state import State
from engine.live.log.store_errors import EventRefusedError


def told(*given):
    return [e.Event(n, n * 1000, fact) for n, fact in enumerate(given, start=1)]


def after(*given):
    return replay(told(*given))


def step_by_step(events):
    state = State()
    for event in events:
        state = state.after(event.seq, changes_of(state, event))
    return state


def test_replay_and_stepping_give_the_same_state_and_hash():
    events = told(*facts.ONE_OF_EACH)
    assert replay(events) == step_by_step(events)
    assert replay(events).digest() == step_by_step(events).digest()


def test_the_hash_tells_any_difference():
    first = after(session(), *short())
    assert first.digest() != after(session(), *short(entry=2001)).digest()
    assert first.digest() == after(session(), *short()).digest()


def test_a_short_is_opened_by_its_fill_and_closed_by_its_stop():
    state = after(session(), *short(), fill("S1", "oS1", "tS1", "BUY", 65, 2210))
    (trade,) = state.trades
    assert not state.open_positions
    assert trade.realised == (2000 - 2210) * 5 * 65
    assert trade.exit_reason == "stop"
    assert state.today.realised == trade.realised
    assert (state.today.orders, state.today.fills, state.today.positions) == (2, 2, 1)
    assert not state.open_orders


def test_an_open_short_is_marked_at_the_last_price():
    (position,) = after(session(), *short()).open_positions
    assert position.net == -65
    assert position.realised == 0
    assert position.pnl(1990) == 10 * 5 * 65


def test_fill_wins_over_acknowledged_cancel():
    state = after(
        session(),
        *short(),
        e.CancelPrepared(tag="S1", reason="exit"),
        e.RequestAnswered(tag="S1", request="cancel", outcome="confirmed", reason=""),
        update("S1", "oS1", "CANCELLED", 0),
        fill("S1", "oS1", "late", "BUY", 65, 2200),
    )
    assert state.orders["S1"].booked == 65
    assert state.orders["S1"].status == "COMPLETE"
    assert not state.open_positions


def test_stop_and_exit_both_filled_leave_a_visible_long():
    state = after(
        session(),
        *short(),
        intent("X1", 1, "exit"),
        fill("S1", "oS1", "a", "BUY"),
        fill("X1", "oX1", "b", "BUY"),
    )
    (position,) = state.open_positions
    assert position.net == 65
    assert state.today.realised == 0


def test_a_confirmed_cancel_alone_does_not_release_the_risk():
    state = after(
        intent("E1"),
        e.OrderAccepted(tag="E1", order_id="o"),
        e.CancelPrepared(tag="E1", reason="x"),
        e.RequestAnswered(tag="E1", request="cancel", outcome="confirmed", reason=""),
    )
    assert state.orders["E1"].open
    assert state.orders["E1"].reserved == 65


@pytest.mark.parametrize(
    "last",
    [e.IntentSent(tag="E1"), e.OrderUnknown(tag="E1", reason="x"), e.OrderAccepted(tag="E1", order_id="o")],
)
def test_risk_stays_reserved_until_a_proven_end(last):
    assert after(intent("E1")).orders["E1"].reserved == 65
    assert after(intent("E1"), last).orders["E1"].reserved == 65


@pytest.mark.parametrize(
    "last",
    [e.OrderRefused(tag="E1", code="400", reason="x"), e.OrderNotSent(tag="E1", reason="x"),
     update("E1", "o", "REJECTED"), update("E1", "o", "CANCELLED")],
)  # fmt: skip
def test_a_proven_end_releases_the_risk(last):
    assert after(intent("E1"), last).orders["E1"].reserved == 0


@pytest.mark.parametrize(
    "ended", [e.OrderRefused(tag="E1", code="400", reason="x"), e.OrderNotSent(tag="E1", reason="x")]
)
def test_an_order_that_appears_after_all_is_adopted(ended):
    order = after(intent("E1"), ended, e.OrderAccepted(tag="E1", order_id="o", found=True)).orders["E1"]
    assert (order.state, order.order_id, order.status) == ("ACCEPTED", "o", "")
    assert order.reserved == 65


def test_a_larger_quantity_under_way_is_reserved_and_keeps_the_order_open():
    state = after(
        intent("E1"),
        e.OrderAccepted(tag="E1", order_id="o"),
        e.ModifyPrepared(tag="E1", quantity=130, trigger=5, limit=4, order_type="SL"),
        e.RequestAnswered(tag="E1", request="modify", outcome="unknown", reason="time-out"),
        fill("E1", "o", "t", "SELL", 65),
    )
    assert state.orders["E1"].open
    assert state.orders["E1"].reserved == 65


def test_a_modification_counts_once_confirmed_or_seen():
    begun = [
        intent("E1"),
        e.OrderAccepted(tag="E1", order_id="o"),
        e.ModifyPrepared(tag="E1", quantity=130, trigger=50, limit=40, order_type="LIMIT"),
    ]
    answered = after(*begun, e.RequestAnswered(tag="E1", request="modify", outcome="confirmed", reason=""))
    seen = after(*begun, update("E1", "o", "OPEN", 0, 130, trigger=50, limit=40))
    for state in (answered, seen):
        order = state.orders["E1"]
        assert (order.quantity, order.trigger, order.limit, order.order_type) == (130, 50, 40, "LIMIT")
        assert (order.pending, order.next_quantity, order.modifications) == ("", 0, 1)
    refused = after(*begun, e.RequestAnswered(tag="E1", request="modify", outcome="refused", reason="26th"))
    assert refused.orders["E1"].quantity == 65


def test_an_order_is_for_the_reason_of_its_modification_once_that_is_confirmed():
    begun = [
        intent("E1"),
        e.OrderAccepted(tag="E1", order_id="o"),
        e.ModifyPrepared(tag="E1", quantity=65, trigger=0, limit=40, order_type="LIMIT", reason="kill"),
    ]
    confirmed = e.RequestAnswered(tag="E1", request="modify", outcome="confirmed", reason="")
    assert after(*begun).orders["E1"].reason == "entry"
    assert after(*begun, confirmed).orders["E1"].reason == "kill"
    assert after(*begun, update("E1", "o", "OPEN", 0, 65, trigger=0, limit=40)).orders["E1"].reason == "kill"
    again = e.ModifyPrepared(tag="E1", quantity=65, trigger=0, limit=41, order_type="LIMIT")
    assert after(*begun, confirmed, again, confirmed).orders["E1"].reason == "kill"


def test_late_updates_change_nothing():
    ended = [intent("E1"), update("E1", "o", "COMPLETE", 65)]
    state = after(*ended)
    assert (
        after(*ended, update("E1", "o", "OPEN", 0)).orders["E1"].state
        == state.orders["E1"].state
        == "TERMINAL"
    )
    partial = after(intent("E1"), update("E1", "o", "OPEN", 30), update("E1", "o", "OPEN", 10))
    assert partial.orders["E1"].filled == 30


def test_a_partial_fill_then_cancelled_keeps_what_was_filled():
    state = after(
        session(),
        intent("E1", quantity=130),
        fill("E1", "o", "t", "SELL", 65),
        update("E1", "o", "CANCELLED", 65, 130),
    )
    assert state.open_positions[0].net == -65
    assert not state.open_orders


@pytest.mark.parametrize(
    ("facts_", "words"),
    [
        ([intent("E1"), intent("E1")], "needs a new tag"),
        ([e.IntentSent(tag="E9")], "no IntentPrepared"),
        ([fill("E9", "o", "t", "SELL")], "no IntentPrepared"),
        ([intent("E1"), fill("E1", "o", "t", "SELL", 30), fill("E1", "o", "t", "SELL", 30)], "booked already"),
        ([intent("E1"), fill("E1", "o", "t", "BUY")], "is a SELL"),
        ([intent("E1"), e.OrderAccepted(tag="E1", order_id="a"), e.OrderAccepted(tag="E1", order_id="b")], "one broker order"),
        ([intent("E1"), e.OrderAccepted(tag="E1", order_id="a"), e.OrderNotSent(tag="E1", reason="x")], "the broker holds"),
        ([intent("E1"), e.OrderAccepted(tag="E1", order_id="a"), e.OrderRefused(tag="E1", code="", reason="x")], "the broker holds"),
        ([intent("E1"), update("E1", "o", "REJECTED"), e.CancelPrepared(tag="E1", reason="x")], "has ended"),
        ([e.StopPlanned(position=3, trigger=1, limit=1, quantity=1, reason="x")], "no fill"),
        ([e.SessionEnded(date=facts.DATE, flat=True, charges=1, reason="x")], "no session"),
    ],
)  # fmt: skip
def test_what_contradicts_the_log_is_refused(facts_, words):
    after(*facts_[:-1])
    with pytest.raises(EventRefusedError, match=words):
        after(*facts_)


def test_the_latch_tightens_freely_and_loosens_only_by_reset():
    halted = [
        e.LatchChanged(state="ACTIVE", reason="r", who="w", reset=True),
        e.LatchChanged(state="HALTED", reason="r", who="w"),
    ]
    assert after().latch.state == "HALTED"
    assert after(*halted).latch.state == "HALTED"
    with pytest.raises(EventRefusedError, match="reset it with a reason"):
        after(*halted, e.LatchChanged(state="REDUCING", reason="r", who="w"))
    assert (
        after(*halted, e.LatchChanged(state="ACTIVE", reason="seen", who="w", reset=True)).latch.state
        == "ACTIVE"
    )
    assert not loosens("FLATTENING", "HALTED")
    assert loosens("FLATTENING", "REDUCING")


def test_a_gap_in_the_log_is_told():
    events = told(session(), intent("E1"), e.IntentSent(tag="E1"))
    with pytest.raises(EventRefusedError, match="where 2 should"):
        replay(gapless([events[0], events[2]]))
    with pytest.raises(EventRefusedError, match="follows"):
        replay([events[0], events[0]])


def test_a_second_start_of_a_day_keeps_its_counts():
    day = after(session(), *short(), session()).today
    assert (day.starts, day.orders, day.fills) == (2, 2, 1)
    assert day.start_seq == 8


def test_the_next_position_number_was_never_used():
    assert after().next_position == 1
    assert after(intent("E1", 4)).next_position == 5
