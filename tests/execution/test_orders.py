"""Desired against working orders."""

import numpy as np
import pytest

from engine.execution.orders import CANCEL, KEEP, MODIFY, PLACE, SWITCH, reconcile, same_order
from engine.strategy.swing_break import DESIRED_ORDER, NOBODY


def order(**fields):
    row = np.zeros(1, DESIRED_ORDER)
    values = {
        "contract": 3, "conf_minute": 40, "swing_index": 30, "swing_low": 2000, "trigger": 1999,
        "limit": 1939, "lots": 5, "stop": 2100, **fields,
    }  # fmt: skip
    for name, value in values.items():
        row[0][name] = value
    return row[0]


NOTHING = order(contract=NOBODY)


def test_nothing_wanted_and_nothing_there_is_left_alone():
    assert reconcile(NOTHING, NOTHING) == KEEP
    assert reconcile(NOTHING, order(contract=NOBODY, trigger=5)) == KEEP


def test_wanted_but_not_there_is_placed():
    assert reconcile(order(), NOTHING) == PLACE


def test_there_but_not_wanted_is_cancelled():
    assert reconcile(NOTHING, order()) == CANCEL


def test_another_contract_is_a_switch():
    assert reconcile(order(contract=4), order()) == SWITCH


def test_the_same_order_is_kept():
    assert reconcile(order(), order()) == KEEP
    assert reconcile(order(), order(swing_minute=9, highest_high=7, bars_after=2)) == KEEP


@pytest.mark.parametrize("field", ["conf_minute", "swing_index", "trigger", "limit", "lots", "stop"])
def test_one_tick_or_lot_or_another_swing_is_a_change(field):
    other = order(**{field: order()[field] + 1})
    assert reconcile(order(), other) == MODIFY
    assert not same_order(order(), other)
