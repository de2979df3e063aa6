"""An order request that contradicts itself cannot be made."""

import pytest

from engine.live.brokers.base import OrderRequest, OrderRequestError, OrderStatus

GOOD = {
    "tag": "T1",
    "symbol": "S",
    "side": "BUY",
    "quantity": 65,
    "kind": "SL",
    "trigger_ticks": 10,
    "limit_ticks": 12,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"kind": "LIMIT", "trigger_ticks": 0},
        {"kind": "MARKET", "trigger_ticks": 0, "limit_ticks": 0, "market_protection": -1},
        {"kind": "MARKET", "trigger_ticks": 0, "limit_ticks": 0, "market_protection": 2.5},
        {"tag": "x" * 20},
    ],
)
def test_a_whole_request_is_taken(change):
    assert OrderRequest(**{**GOOD, **change}).quantity == 65


@pytest.mark.parametrize(
    "change",
    [
        {"tag": ""},
        {"tag": "x" * 21},
        {"tag": "no-dash"},
        {"quantity": 0},
        {"quantity": -65},
        {"side": "SHORT"},
        {"kind": "SL-M"},
        {"trigger_ticks": 0},
        {"trigger_ticks": -5},
        {"limit_ticks": 0},
        {"limit_ticks": -1},
        {"kind": "LIMIT"},  # with a trigger
        {"kind": "MARKET", "trigger_ticks": 0, "limit_ticks": 0},  # without protection
        {"kind": "MARKET", "trigger_ticks": 0, "market_protection": -1},  # with a limit
        {"kind": "MARKET", "trigger_ticks": 0, "limit_ticks": 0, "market_protection": 101},
        {"kind": "MARKET", "trigger_ticks": 0, "limit_ticks": 0, "market_protection": -2},
        {"market_protection": -1},
        {"market_protection": 200},
    ],
)
def test_a_contradiction_is_refused(change):
    with pytest.raises(OrderRequestError):
        OrderRequest(**{**GOOD, **change})


def test_only_three_states_are_final():
    assert {one for one in OrderStatus if one.is_final} == {
        OrderStatus.COMPLETE,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
    }
