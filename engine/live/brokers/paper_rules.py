"""How paper orders fare: the account's settings, and what broker and exchange say no to, before and after acceptance.

The rules and their words are `engine.execution.exchange_rules`; here an order is held against them.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from engine.execution import exchange_rules as rules_of
from engine.live.brokers.base import Contract, OrderRequest
from engine.live.brokers.paper_orders import PaperOrder
from engine.market.contracts import freeze_quantity

BEYOND_CIRCUIT = "RMS:Rule: Check circuit limit including square off order exceeds"


@dataclass(frozen=True, slots=True)
class PaperRules:
    """
    How paper orders fare.

    Attributes
    ----------
    latency_ms : int
        Until a request takes effect.
    match : "moves" or "quotes"
        Against the last trades with slippage, or against bid and ask as far as they are told, without slippage. No
        feed of this package tells them, so a session's account is always at "moves".
    moments : bool
        Ticks are the four moments of bars (a played day): fills equal the backtest's. False: ticks are trades.
    slip_ticks, slip_basis_points : int
        Slippage of fills against moves, as in a backtest's parameters.
    cash_rupees : int
        What margins are paid from.
    """

    latency_ms: int = 0
    match: Literal["moves", "quotes"] = "moves"
    moments: bool = False
    slip_ticks: int = 0
    slip_basis_points: int = 0
    cash_rupees: int = 50_000_000


def refused_at_once(
    request: OrderRequest, contract: Contract, side: int, date: dt.date, last: int, reference: int
) -> str | None:
    """
    Why a request never reaches the order book, or None.

    Parameters
    ----------
    request : OrderRequest
    contract : Contract
    side : BUY or SELL
    date : date
        Trading day.
    last, reference : int, ticks
        Last trade and the price band's reference; 0 = not known, then they forbid nothing.
    """
    problem = rules_of.off_the_lot(contract.symbol, request.quantity, contract.lot) or rules_of.above_freeze(
        contract.symbol, request.quantity, freeze_quantity(contract.underlying, date)
    )
    if problem is None and request.kind == "SL":
        problem = rules_of.stop_refusal(side, request.trigger_ticks, request.limit_ticks, last)
    if problem is None and request.kind == "LIMIT":
        problem = rules_of.outside_band(side, request.limit_ticks, reference, date)
    return problem


def rejected_on_arrival(order: PaperOrder, last: int, low: int, high: int) -> str | None:
    """
    Why an accepted order ends as REJECTED when it reaches the exchange, or None.

    Parameters
    ----------
    order : PaperOrder
    last : int, ticks
        Last trade by then; 0 = none.
    low, high : int, ticks
        The day's circuit limits; 0 = not told.
    """
    if order.order_type == "MARKET":
        return None if last else rules_of.NOT_TRADED_TODAY
    problem = rules_of.wrong_side(order.side, order.trigger, last) if order.order_type == "SL" else None
    if problem is None and (order.limit < low or (high and order.limit > high)):
        problem = BEYOND_CIRCUIT
    return problem
