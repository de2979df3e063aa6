"""The practice account: positions, day profit, margins and charges in the shape of Kite's answers.

Margins are the approximation of `engine.execution.margins`.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.execution.margins import Need, OptionLeg, need_of_legs
from engine.execution.matching import BUY, SELL
from engine.execution.net_position import NetPosition, opening_units
from engine.market.charges import option_charges
from engine.market.prices import PAISE_PER_RUPEE, PAISE_PER_TICK, to_rupees
from engine.practice.market import Instrument, Market
from engine.practice.orders import NAMES, Order, rupees


@dataclass(slots=True, kw_only=True)
class Position(NetPosition):
    """What was bought and sold of one contract under one product."""

    instrument: Instrument
    product: str

    def answer(self, last: int) -> dict[str, Any]:
        """The position as GET /portfolio/positions shows it."""
        buy, sell = _money(self.paid), _money(self.received)
        buy_price, sell_price = (rupees(float(self.mean_ticks(side))) for side in (BUY, SELL))
        profit = self.profit_paise(last) / PAISE_PER_RUPEE
        return {
            "tradingsymbol": self.instrument.symbol,
            "exchange": self.instrument.exchange,
            "instrument_token": self.instrument.token,
            "product": self.product,
            "quantity": self.quantity,
            "overnight_quantity": 0,
            "multiplier": 1,
            "average_price": rupees(float(self.average_ticks)),
            "close_price": 0,
            "last_price": rupees(last),
            "value": sell - buy,
            "pnl": profit,
            "m2m": profit,
            "unrealised": profit,
            "realised": 0,
            "buy_quantity": self.bought,
            "buy_price": buy_price,
            "buy_value": buy,
            "buy_m2m": buy,
            "sell_quantity": self.sold,
            "sell_price": sell_price,
            "sell_value": sell,
            "sell_m2m": sell,
            "day_buy_quantity": self.bought,
            "day_buy_price": buy_price,
            "day_buy_value": buy,
            "day_sell_quantity": self.sold,
            "day_sell_price": sell_price,
            "day_sell_value": sell,
        }


class Leg(NamedTuple):
    """A wished order as a margin request tells it."""

    instrument: Instrument
    side: int
    quantity: int  # units
    price: int  # ticks
    product: str = "MIS"
    order_type: str = "LIMIT"


@dataclass
class Account:
    """Positions and cash of the one account."""

    cash_paise: int
    positions: dict[tuple[int, str], Position] = field(default_factory=dict)

    def book(self, order: Order, quantity: int, price: int) -> None:
        """Take a fill of `quantity` units at `price` ticks into the positions."""
        key = (order.instrument.place, order.product)
        position = self.positions.setdefault(
            key, Position(instrument=order.instrument, product=order.product)
        )
        position.book(order.side, quantity, price)

    def paise(self, market: Market) -> int:
        """Profit of the day before charges."""
        return sum(p.profit_paise(int(market.last[p.instrument.place])) for p in self.positions.values())

    def legs(self, orders: Iterable[Order]) -> list[Leg]:
        """What is held and what is on order, as legs of a portfolio; orders that only close are left out."""
        held: dict[int, int] = {}
        legs = []
        for position in self.positions.values():
            place = position.instrument.place
            held[place] = held.get(place, 0) + position.quantity
            if position.quantity:
                long = position.quantity > 0
                price = int(position.average_ticks) if long else 0
                legs.append(Leg(position.instrument, BUY if long else SELL, abs(position.quantity), price))
        for order in orders:
            place = order.instrument.place
            opening = opening_units(held.get(place, 0), order.side, order.pending)
            held[place] = held.get(place, 0) + order.side * (order.pending - opening)
            if opening:
                legs.append(Leg(order.instrument, order.side, opening, order.limit))
        return legs


def need_of(legs: Iterable[Leg], market: Market) -> Need:
    """Margin of a portfolio of legs at the present value of the index."""
    options = [
        OptionLeg(one.kind, one.strike, one.expiry, leg.side, leg.quantity, leg.price)
        for leg in legs
        if (one := leg.instrument).expiry is not None
    ]
    return need_of_legs(options, market.date, market.spot_rupees())


def funds(account: Account, market: Market, orders: Iterable[Order]) -> dict[str, Any]:
    """One segment of GET /user/margins."""
    need = need_of(account.legs(orders), market)
    profit = account.paise(market)
    used = need.span + need.exposure + need.premium
    live = account.cash_paise + profit - used
    return _segment(account.cash_paise, live, need, profit)


def empty_funds() -> dict[str, Any]:
    """A segment without money (commodity)."""
    return _segment(0, 0, Need(0, 0, 0), 0)


def margin_line(leg: Leg | None, need: Need, date: dt.date) -> dict[str, Any]:
    """One line of an order-margin answer; without a leg, the sum of a basket."""
    return {
        "type": "equity" if leg else "",
        "tradingsymbol": leg.instrument.symbol if leg else "",
        "exchange": leg.instrument.exchange if leg else "",
        "span": need.span / PAISE_PER_RUPEE,
        "exposure": need.exposure / PAISE_PER_RUPEE,
        "option_premium": need.premium / PAISE_PER_RUPEE,
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": 0,
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 1 if leg else 0,
        "charges": charge_line(leg, date),
        "total": need.total / PAISE_PER_RUPEE,
    }


def charge_line(leg: Leg | None, date: dt.date) -> dict[str, Any]:
    """Charges of one executed order in the shape of Kite's answers; all zero without a leg or a price."""
    bill = None
    if leg is not None and leg.price > 0:
        bill = option_charges(date, NAMES[leg.side], leg.quantity, to_rupees(leg.price))
    gst = float(bill.gst) if bill else 0
    return {
        "transaction_tax": float(bill.stt) if bill else 0,
        "transaction_tax_type": "stt" if leg else "",
        "exchange_turnover_charge": float(bill.exchange + bill.ipft) if bill else 0,
        "sebi_turnover_charge": float(bill.sebi) if bill else 0,
        "brokerage": float(bill.brokerage) if bill else 0,
        "stamp_duty": float(bill.stamp) if bill else 0,
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": float(bill.total) if bill else 0,
    }


def _money(turnover: int) -> float:
    return turnover * PAISE_PER_TICK / PAISE_PER_RUPEE


def _segment(cash: int, live: int, need: Need, profit: int) -> dict[str, Any]:
    return {
        "enabled": True,
        "net": live / PAISE_PER_RUPEE,
        "available": {
            "adhoc_margin": 0,
            "cash": cash / PAISE_PER_RUPEE,
            "opening_balance": cash / PAISE_PER_RUPEE,
            "live_balance": live / PAISE_PER_RUPEE,
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {
            "debits": need.total / PAISE_PER_RUPEE,
            "exposure": need.exposure / PAISE_PER_RUPEE,
            "m2m_realised": 0,
            "m2m_unrealised": profit / PAISE_PER_RUPEE,
            "option_premium": need.premium / PAISE_PER_RUPEE,
            "payout": 0,
            "span": need.span / PAISE_PER_RUPEE,
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": 0,
            "delivery": 0,
        },
    }
