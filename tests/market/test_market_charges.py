import json
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DataError, MarketFactError
from engine.market.charges import (
    CHARGES_DTYPE,
    COMPONENTS,
    UNITS_PER_RUPEE,
    Charges,
    charge_fills,
    charge_rate_fact,
    contract_note,
    exercise_stt,
    option_charges,
    units_to_paise,
)
from engine.market.prices import to_rupees

JULY_2023 = date(2023, 7, 10)
JULY_2025 = date(2025, 7, 15)
TODAY = date(2026, 11, 20)

days = st.integers(0, 2200).map(lambda count: date(2021, 1, 1) + timedelta(days=count))
sides = st.booleans()
units = st.integers(1, 100_000)
prices = st.integers(1, 100_000)


def near(amount, wanted, places="0.00001"):
    return abs(amount - Decimal(wanted)) <= Decimal(places)


def test_reference_check_of_july_2025():
    bill = option_charges(JULY_2025, "BUY", 75, "155.45")
    assert near(bill.exchange + bill.ipft, "4.14235")
    assert near(bill.sebi, "0.01166")
    assert near(bill.gst, "4.34772")
    assert bill.stt == 0


def test_kite_contract_note_of_july_2023(shared):
    notes = json.loads((shared / "fixtures" / "kite" / "virtual_contract_note.json").read_text())["data"]
    order = next(note for note in notes if note["exchange"] == "NFO")
    theirs = order["charges"]
    ours = option_charges(JULY_2023, order["transaction_type"], order["quantity"], str(order["price"]))
    assert near(ours.exchange + ours.ipft, theirs["exchange_turnover_charge"], "1e-9")
    assert near(ours.sebi, theirs["sebi_turnover_charge"], "1e-9")
    assert near(ours.gst, theirs["gst"]["total"], "1e-9")
    assert ours.brokerage == theirs["brokerage"]
    assert near(ours.stt, theirs["transaction_tax"], "0")
    # Kite shows stamp duty in whole rupees: 0 here
    assert ours.stamp == Decimal("0.0045")
    assert near(ours.total - ours.stamp, theirs["total"], "1e-9")


@pytest.mark.parametrize(("leg", "side", "price"), [(0, "SELL", "35.65"), (1, "BUY", "6.95")])
def test_kite_basket_legs_of_mid_2023(shared, leg, side, price):
    orders = json.loads((shared / "fixtures" / "kite" / "basket_margins.json").read_text())["data"]["orders"]
    theirs = orders[leg]["charges"]
    ours = option_charges(JULY_2023, side, 75, price)
    assert near(
        ours.exchange, theirs["exchange_turnover_charge"], "1e-9"
    )  # this reply leaves IPFT out altogether
    assert near(ours.stt, theirs["transaction_tax"], "1e-9")
    assert near(ours.sebi, theirs["sebi_turnover_charge"], "1e-9")
    assert near(ours.gst, theirs["gst"]["total"], "1e-9")
    assert near(ours.total - ours.ipft - ours.stamp, theirs["total"], "1e-9")


def test_kite_order_margins_hold_no_option_leg_but_the_same_gst_base(shared):
    orders = json.loads((shared / "fixtures" / "kite" / "order_margins.json").read_text())["data"]
    assert [order["exchange"] for order in orders] == ["NSE"]
    theirs = orders[0]["charges"]
    base = sum(theirs[name] for name in ("brokerage", "exchange_turnover_charge", "sebi_turnover_charge"))
    assert theirs["gst"]["total"] == pytest.approx(0.18 * base)
    assert theirs["sebi_turnover_charge"] == pytest.approx(
        1498 * float(charge_rate_fact("sebi", JULY_2023).value)
    )


def test_round_trip_of_one_lot_today_costs_about_63_rupees():
    trip = [option_charges(TODAY, side, 65, "100") for side in ("sell", "buy")]
    assert sum(bill.total for bill in trip) == Decimal("62.610642")
    assert trip[0].stt == Decimal("9.75")


@pytest.mark.parametrize(
    ("day", "stt", "exchange", "ipft"),
    [
        (date(2021, 1, 1), "0.0005", "0.00053", "0.000000001"),
        (date(2023, 3, 31), "0.0005", "0.00053", "0.000000001"),
        (date(2023, 4, 1), "0.000625", "0.0005", "0.000005"),
        (date(2024, 4, 1), "0.000625", "0.000495", "0.000005"),
        (date(2024, 9, 30), "0.000625", "0.000495", "0.000005"),
        (date(2024, 10, 1), "0.001", "0.0003503", "0.000005"),
        (date(2026, 2, 28), "0.001", "0.0003503", "0.000005"),
        (date(2026, 3, 1), "0.001", "0.0003552", "0.0000001"),
        (date(2026, 3, 31), "0.001", "0.0003552", "0.0000001"),
        (date(2026, 4, 1), "0.0015", "0.0003552", "0.0000001"),
    ],
)
def test_rates_change_on_their_day(day, stt, exchange, ipft):
    bill = option_charges(day, "SELL", 100, "100")
    assert (bill.stt, bill.exchange, bill.ipft) == tuple(
        10_000 * Decimal(rate) for rate in (stt, exchange, ipft)
    )


def test_stt_falls_on_sales_and_stamp_on_purchases():
    buy, sell = (option_charges(TODAY, side, 65, "100") for side in ("Buy", "SELL"))
    assert (buy.stt, sell.stamp) == (0, 0)
    assert buy.stamp == Decimal("0.195")


def test_gst_takes_ipft_in_from_october_2024():
    for day, base in ((date(2024, 9, 30), 0), (date(2024, 10, 1), 1)):
        bill = option_charges(day, "BUY", 100, "100")
        assert bill.gst == Decimal("0.18") * (bill.brokerage + bill.exchange + bill.sebi + base * bill.ipft)
    assert charge_rate_fact("gst_on_ipft", TODAY).certainty == "U"


def test_exercise_stt_falls_on_intrinsic_value():
    assert exercise_stt(date(2026, 3, 30), "123.45", 65) == Decimal("123.45") * 65 * Decimal("0.00125")
    assert exercise_stt(date(2026, 4, 7), "123.45", 65) == Decimal("123.45") * 65 * Decimal("0.0015")
    assert exercise_stt(TODAY, "-3", 65) == 0


def test_contract_note_rounds_stt_and_stamp_over_the_day():
    bills = [option_charges(TODAY, side, 65, "100") for side in ("SELL", "BUY", "SELL", "BUY")]
    note = contract_note(bills)
    assert (note.stt, note.stamp) == (20, 0)  # 19.50 and 0.39
    assert note.rounding == Decimal("0.50") - Decimal("0.39")
    assert note.total - note.rounding == sum(bill.total for bill in bills)
    assert contract_note([]).total == 0


def test_rounded_lines_add_up():
    bill = option_charges(JULY_2025, "SELL", 75, "155.45")
    lines = [getattr(bill.rounded, name) for name in COMPONENTS]
    assert sum(lines) == bill.rounded.total
    assert all(line == line.quantize(Decimal("0.01")) for line in lines)
    assert bill.rounded.total - bill.rounded.rounding == bill.total
    assert Charges(*map(Decimal, ("20", "0", "0.005", "0", "0", "0", "0"))).to_paise() == 2001


@given(days, sides, units, prices)
def test_integers_equal_fractions(day, is_sell, quantity, ticks):
    rate = {
        item: Fraction(charge_rate_fact(item, day).value)
        for item in ("stt_sale", "exchange", "ipft", "sebi", "stamp", "gst", "gst_on_ipft")
    }
    premium = Fraction(quantity * ticks, 20)
    wanted = {name: premium * rate[name] for name in ("exchange", "ipft", "sebi")}
    wanted["brokerage"] = Fraction(20)
    wanted["stt"] = premium * rate["stt_sale"] * is_sell
    wanted["stamp"] = premium * rate["stamp"] * (not is_sell)
    wanted["gst"] = rate["gst"] * (
        20 + wanted["exchange"] + wanted["sebi"] + rate["gst_on_ipft"] * wanted["ipft"]
    )
    row = charge_fills(day, [is_sell], [quantity], [ticks])[0]
    bill = option_charges(day, "SELL" if is_sell else "BUY", quantity, to_rupees(ticks))
    for name in COMPONENTS:
        assert Fraction(int(row[name]), UNITS_PER_RUPEE) == wanted[name] == Fraction(getattr(bill, name))
    assert Fraction(int(row["total"]), UNITS_PER_RUPEE) == sum(wanted.values()) == Fraction(bill.total)
    assert int(units_to_paise(row["total"])) == bill.to_paise()


@given(st.lists(st.tuples(days, sides, units, prices), min_size=1, max_size=20))
def test_components_sum_to_the_total_and_are_never_negative(fills):
    dates, sells, quantity, ticks = zip(*fills, strict=True)
    charges = charge_fills(dates, sells, quantity, ticks)
    assert (sum(charges[name] for name in COMPONENTS) == charges["total"]).all()
    assert all((charges[name] >= 0).all() for name in CHARGES_DTYPE.names)


@given(days, sides, units, prices, st.integers(0, 1000))
def test_charges_grow_with_turnover(day, is_sell, quantity, ticks, more):
    small, big = charge_fills(day, [is_sell, is_sell], [quantity, quantity + more], [ticks, ticks])
    assert all(small[name] <= big[name] for name in CHARGES_DTYPE.names)


def test_partial_fills_pay_brokerage_once():
    parts = charge_fills(TODAY, [True, True], [65, 130], [2000, 2000], new_order=[True, False])
    whole = charge_fills(TODAY, True, 195, 2000)
    assert parts["total"].sum() == whole["total"][0]


def test_each_row_is_charged_at_its_own_date():
    rows = charge_fills([date(2026, 3, 31), date(2026, 4, 1)], True, [65, 65], 2000)
    assert rows["stt"].tolist() == [650 * UNITS_PER_RUPEE // 100, 975 * UNITS_PER_RUPEE // 100]


def test_no_fills_no_charges():
    nothing = np.array([], np.int64)
    assert charge_fills(TODAY, nothing, nothing, nothing).shape == (0,)


def test_days_before_the_tables_name_the_first_day():
    with pytest.raises(MarketFactError, match="begins at 2021-01-01"):
        option_charges(date(2020, 12, 31), "BUY", 75, "100")
    with pytest.raises(MarketFactError, match="begin at 2021-01-01"):
        charge_fills([date(2020, 12, 31)], [True], [75], [2000])


@pytest.mark.parametrize(
    ("side", "quantity", "price"), [("HOLD", 75, "100"), ("BUY", 0, "100"), ("BUY", 75, "0")]
)
def test_an_impossible_fill_is_refused(side, quantity, price):
    with pytest.raises(MarketFactError):
        option_charges(TODAY, side, quantity, price)


def test_a_price_off_the_tick_is_refused():
    with pytest.raises(DataError, match="off the tick"):
        option_charges(TODAY, "BUY", 75, "100.03")


@pytest.mark.parametrize("quantity", [[0], [-65], [65.0]])
def test_impossible_quantities_are_refused(quantity):
    with pytest.raises(MarketFactError, match="positive integers"):
        charge_fills(TODAY, [True], quantity, [2000])


def test_a_fill_that_would_overflow_is_refused():
    biggest = charge_fills(TODAY, [True], [10_000_000], [80_000])
    assert biggest["total"][0] > 0
    with pytest.raises(MarketFactError, match="too big to charge"):
        charge_fills(TODAY, [True], [2**40], [2**30])
