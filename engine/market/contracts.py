"""Contract facts by date: lot sizes, strike steps, freeze quantities, tick size and price bands.

A lot size belongs to the contract (expiry and series), not to the day of the trade. Each fact has a `..._fact`
twin that also tells its source and certainty.
"""

import datetime as dt
from decimal import Decimal
from typing import NamedTuple, cast

from engine.errors import MarketFactError
from engine.market.expiries import UNDERLYINGS, Series, expiry_kind
from engine.market.facts import Fact, Timeline, fact_of, known_name, plain_date, table_rows
from engine.market.prices import TICK_RUPEES, TICKS_PER_RUPEE

__all__ = [
    "UNDERLYINGS",
    "freeze_quantity",
    "freeze_quantity_fact",
    "latest_lot_size",
    "lot_size",
    "lot_size_fact",
    "max_order_lots",
    "price_band",
    "price_band_fact",
    "strike_step",
    "strike_step_fact",
    "tick_size",
]


class BandRule(NamedTuple):
    """Limit price protection: up to `narrow_until` rupees +- `narrow_rupees`, above it +- `wide_percent`."""

    narrow_until: int
    narrow_rupees: int
    wide_percent: int


def _lots() -> dict[tuple[str, Series], Timeline[int]]:
    rows = table_rows("lot_sizes.csv")
    keys = dict.fromkeys((row["underlying"], cast("Series", row["series"])) for row in rows)
    return {
        key: Timeline(
            f"{key[0]} {key[1]} lot size",
            (
                (dt.date.fromisoformat(row["first_expiry"]), fact_of(row, int(row["lot"])))
                for row in rows
                if (row["underlying"], row["series"]) == key
            ),
        )
        for key in keys
    }


def _by_underlying(table: str, column: str, what: str) -> dict[str, Timeline[int]]:
    rows = table_rows(table)
    return {
        underlying: Timeline(
            f"{underlying} {what}",
            (
                (dt.date.fromisoformat(row["from"]), fact_of(row, int(row[column])))
                for row in rows
                if row["underlying"] == underlying
            ),
        )
        for underlying in UNDERLYINGS
    }


_LOTS = _lots()
_FREEZE = _by_underlying("freeze_quantities.csv", "units", "freeze quantity")
_STEPS = _by_underlying("strike_steps.csv", "rupees", "strike step")
_BANDS: Timeline[BandRule] = Timeline(
    "limit price protection",
    (
        (
            dt.date.fromisoformat(row["from"]),
            fact_of(row, BandRule(*(int(row[name]) for name in BandRule._fields))),
        )
        for row in table_rows("price_bands.csv")
    ),
)


def lot_size_fact(underlying: str, expiry: dt.date) -> Fact[int]:
    """Units per lot of the contracts of one expiry, with source and certainty; errors as `lot_size`."""
    return _LOTS[underlying, expiry_kind(underlying, expiry)].at(expiry)


def lot_size(underlying: str, expiry: dt.date) -> int:
    """
    Units per lot of the contracts of one expiry.

    Parameters
    ----------
    underlying : str
        One of `UNDERLYINGS`.
    expiry : date
        The real expiry, i.e. after a move for a holiday.

    Raises
    ------
    MarketFactError
        If the underlying is unknown, or nothing of it expires on that day (the nearest expiries are named).
    """
    return lot_size_fact(underlying, expiry).value


def latest_lot_size(underlying: str) -> int:
    """
    Units per lot of the newest monthly contracts on record.

    Raises
    ------
    MarketFactError
        If the underlying is unknown.
    """
    return _LOTS[known_name("underlying", underlying, UNDERLYINGS), "monthly"].latest().value


def strike_step_fact(underlying: str, date: dt.date) -> Fact[int]:
    """Rupees between neighbouring strikes near the money, with source and certainty."""
    return _STEPS[known_name("underlying", underlying, UNDERLYINGS)].at(plain_date(date))


def strike_step(underlying: str, date: dt.date) -> int:
    """
    Rupees between neighbouring strikes near the money on a trading day.

    Raises
    ------
    MarketFactError
        If the underlying is unknown or the date lies before the table.
    """
    return strike_step_fact(underlying, date).value


def tick_size(underlying: str) -> Decimal:
    """Smallest price step of an underlying's options in rupees (NSE contract specification)."""
    known_name("underlying", underlying, UNDERLYINGS)
    return TICK_RUPEES


def freeze_quantity_fact(underlying: str, date: dt.date) -> Fact[int]:
    """Largest quantity of one order in units, with source and certainty."""
    return _FREEZE[known_name("underlying", underlying, UNDERLYINGS)].at(plain_date(date))


def freeze_quantity(underlying: str, date: dt.date) -> int:
    """
    Largest quantity of one order, in units, on a trading day.

    NSE sets it monthly. Where a month's circular was not read, the smaller of the usual values stands (600 for
    BANKNIFTY) with certainty "U".

    Raises
    ------
    MarketFactError
        If the underlying is unknown or the date lies before the table.
    """
    return freeze_quantity_fact(underlying, date).value


def max_order_lots(underlying: str, expiry: dt.date, date: dt.date) -> int:
    """
    Whole lots of one expiry that fit into a single order on a trading day.

    Raises
    ------
    MarketFactError
        As `lot_size` and `freeze_quantity`.
    """
    return freeze_quantity(underlying, date) // lot_size(underlying, expiry)


def price_band_fact(date: dt.date) -> Fact[BandRule]:
    """The limit price protection rule in force on a date, with source and certainty."""
    return _BANDS.at(plain_date(date))


def price_band(reference_ticks: int, date: dt.date) -> tuple[int, int]:
    """
    Prices between which the exchange takes a limit order for an option (limit price protection).

    Parameters
    ----------
    reference_ticks : int
        The exchange's reference, the mean trade price of the last 30 seconds, in ticks.
    date : date
        Trading day.

    Returns
    -------
    low, high : int
        Ticks. A sell below `low` and a buy above `high` are rejected. Rounded inward, never below one tick.

    Raises
    ------
    MarketFactError
        If the reference is below one tick or the date lies before the rule (2022-10-31).
    """
    if reference_ticks < 1:
        raise MarketFactError(f"reference price of {reference_ticks} ticks is no price; give at least 1 tick")
    rule = price_band_fact(date).value
    reference = int(reference_ticks)
    if reference <= rule.narrow_until * TICKS_PER_RUPEE:
        width = rule.narrow_rupees * TICKS_PER_RUPEE
    else:
        width = reference * rule.wide_percent // 100  # rounding the width down rounds both limits inward
    return max(1, reference - width), reference + width
