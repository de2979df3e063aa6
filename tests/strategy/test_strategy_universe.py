"""The strikes that are watched: ATM at the open and so many on each side."""

from decimal import Decimal

import pytest

from engine.params import load_params
from engine.strategy.universe import at_the_money, watched_strikes

LISTED = range(22000, 28001, 50)


@pytest.mark.parametrize(
    ("spot", "atm"),
    [("25949.95", 25900), ("25950", 26000), ("26050", 26000), ("26050.05", 26100), ("26000", 26000)],
)
def test_spot_is_rounded_half_to_even(spot, atm):
    assert at_the_money(Decimal(spot), 100) == atm


def test_ten_strikes_on_each_side_are_watched():
    strikes = watched_strikes(Decimal("26012.35"), LISTED, load_params(strikes_each_side=10))
    assert strikes == tuple(range(25500, 26501, 50))


def test_the_list_ends_where_the_exchange_ends():
    params = load_params(strikes_each_side=2)
    assert watched_strikes(Decimal(22010), LISTED, params) == (22000, 22050, 22100)
    assert watched_strikes(Decimal(40000), LISTED, params) == (27900, 27950, 28000)


def test_where_the_money_has_no_strike_the_nearest_lower_one_stands_for_it():
    assert watched_strikes(Decimal(26000), [25900, 26100, 26200], load_params(strikes_each_side=1)) == (
        25900,
        26100,
    )


def test_unknown_spot_or_null_means_all_strikes():
    assert watched_strikes(None, LISTED, load_params()) is None
    assert watched_strikes(Decimal(26000), LISTED, load_params(strikes_each_side=None)) is None
