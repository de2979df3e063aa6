"""Limits, the day latch and money, in paise."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.execution.ledger import short_pnl, short_risk
from engine.execution.risk import CE, PE, UNLIMITED, limits_for, loss_reached, may_open, target_reached
from engine.params import load_params

LIMITS = limits_for(load_params())


def test_limits_of_the_shipped_parameters():
    assert LIMITS == (5, 3, 3, 3_250_000, 3_250_000)


def test_loosened_rails_have_no_limit():
    loose = limits_for(
        load_params(
            max_positions=None,
            max_ce_positions=None,
            max_pe_positions=None,
            daily_stop_r=None,
            daily_target_r=None,
        )
    )
    assert loose[:3] == (UNLIMITED,) * 3
    assert may_open(CE, 10_000, 10_000, loose)
    assert not loss_reached(-(10**15), loose)
    assert not target_reached(10**15, loose)


@pytest.mark.parametrize(
    ("kind", "ce", "pe", "allowed"),
    [
        (CE, 0, 0, True),
        (CE, 2, 2, True),
        (CE, 3, 0, False),
        (PE, 3, 1, True),
        (PE, 3, 2, False),
        (PE, 0, 3, False),
        (CE, 2, 3, False),
        (CE, 1, 3, True),
    ],
)
def test_five_in_all_and_three_of_a_type(kind, ce, pe, allowed):
    assert may_open(kind, ce, pe, LIMITS) == allowed


def test_the_day_ends_exactly_at_its_limits():
    assert loss_reached(-3_250_000, LIMITS)
    assert not loss_reached(-3_249_999, LIMITS)
    assert target_reached(3_250_000, LIMITS)
    assert not target_reached(3_249_999, LIMITS)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400_000), st.integers(1, 400_000), st.integers(1, 200_000))
def test_a_short_earns_what_price_falls(entry, out, quantity):
    rupees = (Decimal(entry) - Decimal(out)) * Decimal("0.05") * quantity
    assert Decimal(short_pnl(entry, out, quantity)) / 100 == rupees
    assert short_risk(entry, out, quantity) == -short_pnl(entry, out, quantity)
