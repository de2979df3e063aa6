"""What committed facts about orders and fills tell the session."""

import pytest
from store_facts import fill, intent

from engine.live.decisions.session_inputs import OrderUpdate, Trade
from engine.live.decisions.telling import inputs_of
from engine.live.log import events as e
from engine.live.log.projections import replay

NOW = 7_000


def told(*facts):
    """What the last of these facts tells."""
    events = [e.Event(number, 99_000, fact) for number, fact in enumerate(facts, start=1)]
    return inputs_of(events[-1], replay(events), NOW)


def test_a_slice_that_nobody_knows_does_not_count():
    stands = e.OrderAccepted(tag="S1", order_id="o1")
    one = told(intent("S1", leg="stop", quantity=260), intent("S2", leg="stop", quantity=130), stands)
    assert one[0].quantity == 260
    both = told(
        intent("S1", leg="stop", quantity=260),
        intent("S2", leg="stop", quantity=130),
        stands,
        e.OrderAccepted(tag="S2", order_id="o2"),
    )
    assert both[0].quantity == 390


def test_what_carries_no_time_of_the_exchange_is_told_at_the_sessions_time():
    (known,) = told(intent("E1"), e.OrderAccepted(tag="E1", order_id="o1"))
    assert isinstance(known, OrderUpdate)
    assert known.at_ns == NOW


@pytest.mark.parametrize(("leg", "side", "back"), [("exit", "SELL", True), ("exit", "BUY", False)])
def test_an_exit_that_sells_takes_back_what_was_bought_too_many(leg, side, back):
    (trade,) = told(
        intent("X1", leg=leg, side=side),
        e.OrderAccepted(tag="X1", order_id="o1"),
        fill("X1", "o1", "t1", side, 65),
    )
    assert isinstance(trade, Trade)
    assert trade.reversal is back


def test_what_stands_of_a_sale_that_takes_back_is_no_part_of_the_exit():
    bought = [intent("X1", leg="exit", side="BUY", quantity=65), e.OrderAccepted(tag="X1", order_id="o1")]
    sale = [*bought, intent("X2", leg="exit", side="SELL", quantity=65)]
    stands = e.OrderAccepted(tag="X2", order_id="o2")
    assert told(*sale, stands) == ()
    changed = e.ModifyPrepared(tag="X1", quantity=65, trigger=0, limit=100, order_type="LIMIT", reason="")
    answered = e.RequestAnswered(tag="X1", request="modify", outcome="confirmed", reason="")
    (exit_,) = told(*sale, stands, changed, answered)
    assert exit_.quantity == 65
