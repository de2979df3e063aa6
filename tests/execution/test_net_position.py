"""Fills netted as a broker nets them: what is held, at which mean price, with which profit."""

from decimal import Decimal

import pytest

from engine.execution.matching import BUY, SELL
from engine.execution.net_position import NetPosition, opening_units


def netted(*fills):
    position = NetPosition()
    for fill in fills:
        position.book(*fill)
    return position


@pytest.mark.parametrize(
    ("fills", "quantity", "average"),
    [
        ([], 0, 0),
        ([(SELL, 65, 2000), (SELL, 130, 2003)], -195, Decimal(390390) / 195),
        ([(BUY, 65, 2000), (SELL, 130, 1990)], -65, 1990),
        ([(BUY, 130, 2000), (SELL, 65, 1990)], 65, 2000),
        ([(SELL, 65, 2000), (BUY, 65, 1990)], 0, 0),
    ],
)
def test_the_average_is_the_mean_of_the_side_that_is_held(fills, quantity, average):
    position = netted(*fills)
    assert (position.quantity, position.average_ticks) == (quantity, average)


def test_the_profit_counts_what_is_held_at_the_last_price_and_without_one_at_its_average():
    short = netted((SELL, 130, 2000), (BUY, 65, 1990))
    assert short.profit_paise(1980) == (65 * 10 + 65 * 20) * 5
    assert short.profit_paise(0) == 65 * 10 * 5
    assert netted((SELL, 65, 2000), (BUY, 65, 2010)).profit_paise(9999) == -65 * 10 * 5


@pytest.mark.parametrize(
    ("held", "side", "quantity", "opening"),
    [
        (0, SELL, 65, 65),
        (-65, SELL, 65, 65),
        (-65, BUY, 65, 0),
        (-65, BUY, 130, 65),
        (130, SELL, 65, 0),
        (65, BUY, 65, 65),
    ],
)
def test_an_order_against_what_is_held_closes_first(held, side, quantity, opening):
    assert opening_units(held, side, quantity) == opening
