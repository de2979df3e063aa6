"""What an index-option order costs at NSE through a discount broker, by date.

One formula, in integers: a premium is quantity x price in ticks ("turnover", tick-units), every rate is compiled to
a whole number of sub-units (1e-11 rupee) per tick-unit, and a charge is their product. The formula takes Python ints
and int64 arrays alike, so the bill of one order and the charges of a whole backtest are the same exact numbers.

GST: the Kite contract note of 2023 leaves IPFT out of its base, the reply of 2025 takes it in. The day of the switch
is not known; 2024-10-01, when NSE's uniform fee began, is chosen (`gst_on_ipft` in the table, certainty U).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from engine.errors import MarketFactError
from engine.market.facts import Fact, Timeline, fact_of, known_name, plain_date, table_rows
from engine.market.prices import TICKS_PER_RUPEE, to_ticks

UNITS_PER_RUPEE = 10**11
UNITS_PER_PAISA = UNITS_PER_RUPEE // 100
_UNIT = Decimal(1) / UNITS_PER_RUPEE
_PAISA = Decimal("0.01")
_INT64_MAX = 2**63 - 1

COMPONENTS = ("brokerage", "stt", "exchange", "ipft", "sebi", "stamp", "gst")
"""Names of the charges of an order, in the order of a contract note."""

CHARGES_DTYPE = np.dtype([(name, np.int64) for name in (*COMPONENTS, "total")])
"""Charges of one order in sub-units of 1e-11 rupee; `total` is the sum of the components."""

Amount = TypeVar("Amount", int, npt.NDArray[np.int64])


class Rates(NamedTuple):
    """
    Rates of one regime as integers.

    `brokerage` and `gst_brokerage` are sub-units per executed order, the others sub-units per tick-unit of premium;
    `stt` applies to sales, `stamp` to purchases.
    """

    brokerage: Any
    stt: Any
    exchange: Any
    ipft: Any
    sebi: Any
    stamp: Any
    gst_brokerage: Any
    gst: Any


def _timelines() -> dict[str, Timeline[Fraction]]:
    rows = table_rows("charge_rates.csv")
    return {
        item: Timeline(
            f"charge {item!r}",
            (
                (dt.date.fromisoformat(row["from"]), fact_of(row, Fraction(row["rate"])))
                for row in rows
                if row["item"] == item
            ),
        )
        for item in dict.fromkeys(row["item"] for row in rows)
    }


_ITEMS = _timelines()
_STARTS = tuple(sorted({start for timeline in _ITEMS.values() for start in timeline.starts}))


def _whole(what: str, sub_units: Fraction) -> int:
    if sub_units.denominator != 1:
        raise MarketFactError(
            f"{what} is finer than 1e-11 rupee; raise UNITS_PER_RUPEE in engine/market/charges.py"
        )
    return int(sub_units)


def _compile(date: dt.date) -> Rates:
    rate = {item: timeline.at(date).value for item, timeline in _ITEMS.items()}
    per_tick = Fraction(UNITS_PER_RUPEE, TICKS_PER_RUPEE)
    taxed = rate["exchange"] + rate["sebi"] + rate["ipft"] * rate["gst_on_ipft"]
    return Rates(
        brokerage=_whole("brokerage", rate["brokerage"] * UNITS_PER_RUPEE),
        stt=_whole("STT", rate["stt_sale"] * per_tick),
        exchange=_whole("exchange charge", rate["exchange"] * per_tick),
        ipft=_whole("IPFT", rate["ipft"] * per_tick),
        sebi=_whole("SEBI fee", rate["sebi"] * per_tick),
        stamp=_whole("stamp duty", rate["stamp"] * per_tick),
        gst_brokerage=_whole("GST", rate["brokerage"] * rate["gst"] * UNITS_PER_RUPEE),
        gst=_whole("GST", taxed * rate["gst"] * per_tick),
    )


_REGIMES = tuple(_compile(start) for start in _STARTS)
_REGIME_TABLE = np.array(_REGIMES, dtype=np.int64)
_REGIME_DAYS = np.array(_STARTS, dtype="datetime64[D]")


def _amounts(rates: Rates, is_sell: Amount, new_order: Amount, turnover: Amount) -> dict[str, Amount]:
    """
    The formula: charges in sub-units by component.

    Parameters
    ----------
    rates : Rates
        Of the day, or one array per field with the rates of each row's day.
    is_sell, new_order : int or int64 array
        1 or 0: whether it is a sale; whether brokerage is due.
    turnover : int or int64 array
        Quantity x price in ticks.
    """
    return {
        "brokerage": rates.brokerage * new_order,
        "stt": rates.stt * turnover * is_sell,
        "exchange": rates.exchange * turnover,
        "ipft": rates.ipft * turnover,
        "sebi": rates.sebi * turnover,
        "stamp": rates.stamp * turnover * (1 - is_sell),
        "gst": rates.gst_brokerage * new_order + rates.gst * turnover,
    }


@dataclass(frozen=True)
class Charges:
    """
    Charges of an order, or of a day's contract note, in rupees.

    Attributes
    ----------
    brokerage, stt, exchange, ipft, sebi, stamp, gst : Decimal
        Exact unless rounded on purpose; rupees.
    rounding : Decimal
        What rounding has added to the exact sum (contained in the components, shown for the record).
    """

    brokerage: Decimal
    stt: Decimal
    exchange: Decimal
    ipft: Decimal
    sebi: Decimal
    stamp: Decimal
    gst: Decimal
    rounding: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """Sum of the components in rupees."""
        return sum((getattr(self, name) for name in COMPONENTS), Decimal(0))

    def to_paise(self) -> int:
        """The total in whole paise, half a paisa up."""
        return int((self.total * 100).quantize(Decimal(1), ROUND_HALF_UP))

    @property
    def rounded(self) -> Self:
        """Each component to the paisa, so that the lines of a bill add up; may differ from `to_paise` by paise."""
        lines = {name: getattr(self, name).quantize(_PAISA, ROUND_HALF_UP) for name in COMPONENTS}
        return type(self)(**lines, rounding=self.rounding + sum(lines.values(), Decimal(0)) - self.total)


def option_charges(date: dt.date, side: str, quantity: int, price: Decimal | str) -> Charges:
    """
    Charges of one executed order.

    Parameters
    ----------
    date : date
        Trading day.
    side : str
        "BUY" or "SELL", in any case.
    quantity : int
        Units, not lots.
    price : Decimal or str
        Rupees per unit, on the tick.

    Raises
    ------
    MarketFactError
        If the date lies before the tables, the side is neither, or quantity or price is not positive.
    DataError
        If the price is not a number or off the tick.
    """
    direction = str(side).upper()
    if direction not in {"BUY", "SELL"}:
        raise MarketFactError(f"side {side!r} is neither BUY nor SELL")
    ticks = to_ticks(price)
    if int(quantity) != quantity or quantity < 1 or ticks < 1:
        raise MarketFactError(
            f"{quantity} units at Rs {price} are no fill; both must be positive, units whole"
        )
    amounts = _amounts(charge_rates(date), int(direction == "SELL"), 1, int(quantity) * ticks)
    return Charges(**{name: amount * _UNIT for name, amount in amounts.items()})


def charge_fills(
    dates: dt.date | Sequence[dt.date] | npt.NDArray[np.datetime64],
    is_sell: npt.ArrayLike,
    quantity: npt.ArrayLike,
    price_ticks: npt.ArrayLike,
    *,
    new_order: npt.ArrayLike = True,
) -> npt.NDArray[np.void]:
    """
    Exact charges of many fills at once.

    Parameters
    ----------
    dates : date, or one per row
        Trading day; dates or datetime64.
    is_sell : bool[N]
    quantity : int[N]
        Units.
    price_ticks : int[N]
    new_order : bool[N], optional
        Whether a row opens an order's bill. Brokerage is due once per executed order: mark only the first of the
        partial fills of one order. Each slice of a sliced order is an order.

    Returns
    -------
    CHARGES_DTYPE[N]
        Sub-units of 1e-11 rupee; see `units_to_paise`. A sum of `total` overflows int64 beyond Rs 9.2 crore:
        turn rows into paise first.

    Raises
    ------
    MarketFactError
        If a date lies before the tables, a quantity or price is not positive, or an amount would overflow.
    """
    sells, opens, units, ticks = np.broadcast_arrays(
        np.atleast_1d(np.asarray(is_sell, np.bool_)),
        np.asarray(new_order, np.bool_),
        _whole_numbers("quantity", quantity),
        _whole_numbers("price_ticks", price_ticks),
    )
    rates = _rates_by_row(dates, len(units))
    steepest = int(_REGIME_TABLE[:, 1:6].sum(axis=1).max() + _REGIME_TABLE[:, 7].max())
    fixed = int(_REGIME_TABLE[:, 0].max() + _REGIME_TABLE[:, 6].max())
    largest = float(np.max(units.astype(np.float64) * ticks, initial=0.0))
    if largest * steepest + fixed > 0.999 * _INT64_MAX:
        limit = (_INT64_MAX - fixed) // steepest // TICKS_PER_RUPEE
        raise MarketFactError(
            f"a fill of Rs {largest / TICKS_PER_RUPEE:.0f} is too big to charge; keep it below Rs {limit}"
        )
    amounts = _amounts(rates, sells.astype(np.int64), opens.astype(np.int64), units * ticks)
    charges = np.empty(len(units), CHARGES_DTYPE)
    charges["total"] = 0
    for name, amount in amounts.items():
        charges[name] = amount
        charges["total"] += amount
    return charges


def units_to_paise(units: Amount) -> Amount:
    """Sub-units of 1e-11 rupee (int or int64 array, not negative) as whole paise, half a paisa up."""
    return units // UNITS_PER_PAISA + (units % UNITS_PER_PAISA >= UNITS_PER_PAISA // 2)


def exercise_stt(date: dt.date, intrinsic: Decimal | str, quantity: int) -> Decimal:
    """
    STT that the holder of an option pays when it expires in the money, exact rupees.

    Parameters
    ----------
    intrinsic : Decimal or str
        Intrinsic value per unit at settlement, rupees; 0 or less costs nothing.
    quantity : int
        Units.

    Raises
    ------
    MarketFactError
        If the date lies before the tables, the value is no number or the quantity negative.
    """
    try:
        value = Decimal(str(intrinsic))
    except InvalidOperation as error:
        raise MarketFactError(
            f"intrinsic value {intrinsic!r} is not a number; give rupees per unit"
        ) from error
    if not value.is_finite() or quantity < 0:
        raise MarketFactError(
            f"{quantity} units of Rs {intrinsic} cannot be exercised; give finite, positive numbers"
        )
    return max(value, Decimal(0)) * quantity * charge_rate_fact("stt_exercise", date).value


def contract_note(charges: Sequence[Charges]) -> Charges:
    """
    The charges of one day's orders as its contract note shows them.

    STT and stamp duty are rounded to whole rupees over the day (half up), the rest stays exact; `rounding` is what
    that added to the exact sum.
    """
    sums = {name: sum((getattr(one, name) for one in charges), Decimal(0)) for name in COMPONENTS}
    exact = sum(sums.values(), Decimal(0))
    for name in ("stt", "stamp"):
        sums[name] = sums[name].quantize(Decimal(1), ROUND_HALF_UP)
    return Charges(**sums, rounding=sum(sums.values(), Decimal(0)) - exact)


def charge_rates(date: dt.date) -> Rates:
    """
    Integer rates of a day, for those who charge inside their own loop.

    Raises
    ------
    MarketFactError
        If the date lies before the tables.
    """
    charge_rate_fact("brokerage", date)
    return _REGIMES[sum(start <= date for start in _STARTS) - 1]


def charge_rate_fact(item: str, date: dt.date) -> Fact[Decimal]:
    """
    A rate of the table on a date as a fraction (or rupees, or 0/1), with source and certainty.

    Parameters
    ----------
    item : str
        brokerage, stt_sale, stt_exercise, exchange, ipft, sebi, stamp, gst or gst_on_ipft.

    Raises
    ------
    MarketFactError
        If the item is unknown or the date lies before the table, naming the first covered date.
    """
    fact = _ITEMS[known_name("charge", item, _ITEMS)].at(plain_date(date))
    return Fact(Decimal(fact.value.numerator) / fact.value.denominator, fact.source, fact.certainty)


def _whole_numbers(what: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    numbers = np.atleast_1d(np.asarray(values))
    if numbers.size and (not np.issubdtype(numbers.dtype, np.integer) or numbers.min() < 1):
        raise MarketFactError(
            f"{what} must be positive integers; the smallest is {numbers.min()} ({numbers.dtype})"
        )
    return numbers.astype(np.int64)


def _rates_by_row(dates: Any, rows: int) -> Rates:
    days = np.broadcast_to(np.asarray(dates, dtype="datetime64[D]"), (rows,))
    if rows and days.min() < _REGIME_DAYS[0]:
        raise MarketFactError(f"charges are not known on {days.min()}; the tables begin at {_REGIME_DAYS[0]}")
    places = np.searchsorted(_REGIME_DAYS, days, side="right") - 1
    return Rates(*_REGIME_TABLE[places].T)
