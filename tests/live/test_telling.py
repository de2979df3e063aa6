"""What committed facts about orders and fills tell the session."""

import pytest
from store_facts import fill, intent

from engine.live import events as e
from engine.live.projections import replay
from engine.live.session_inputs import OrderUpdate, Trade
from engine.live.telling import inputs_of

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
