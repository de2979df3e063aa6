"""Paper trading behind the broker protocol: real prices, no real orders.

Whoever hears the prices hands them in (`on_ticks`, `on_quotes`, `on_index`, `on_time`); orders meet them as in the
practice exchange and the backtest (`paper_exchange`). The account lives in a file (`paper_book`), so it survives
whoever runs it. Synchronous inside: a request has had its effect, or is on its way, when its await ends.

The feeds of this package tell trades and no bid or ask, so a session's paper orders fill against trades. Quotes and
circuit limits are for a caller that has them; up to now only the broker's contract tests have: they make the partial
fills and the rejections with them that trades alone never bring.

What it leaves out: other traders' queues and the effect of our own orders on prices; the broker's own square-off of
MIS positions before the close; charges (`engine.market.charges` counts them for every mode alike). The margin is the
approximation of `engine.execution.margins`.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from engine.execution import resting
from engine.live.brokers.base import (
    BrokerRefused,
    BrokerUnknown,
    Contract,
    ContractMismatchError,
    MarginReport,
    OrderReport,
    OrderRequest,
    PositionReport,
    Quote,
    TradeReport,
)
from engine.live.brokers.paper_book import PaperBook, PaperBookError
from engine.live.brokers.paper_exchange import PaperExchange, Refusal
from engine.live.brokers.paper_market import ENDLESS, BarRange, PaperMarket
from engine.live.brokers.paper_orders import PaperOrder
from engine.live.brokers.paper_rules import PaperRules
from engine.live.clocks import Clock

__all__ = ["ContractSource", "PaperBookError", "PaperBroker", "PaperRules"]

ContractSource = Callable[[str, dt.date | None], Awaitable[Sequence[Contract]]]
"""Underlying and expiry (None = the nearest) to the contracts listed, e.g. `KiteBroker.instruments`."""

USER = "paper"
HTTP_REFUSED = 400

Answer = TypeVar("Answer")


class PaperBroker:
    """
    A paper account of one trading day.

    Parameters
    ----------
    path : Path
        The account's file; what it holds of this day goes on.
    date : date
        Trading day.
    clock : Clock
    contracts : sequence of Contract, or ContractSource
        What is listed.
    rules : PaperRules
    ranges : function, optional
        Of a played day: symbol and minute to the (low, high) of its bar in ticks, which bound fills as in a backtest.

    Attributes
    ----------
    on_report : list of functions
        Each is called with an order's report as soon as it has changed and is on disk, in the order of the changes;
        of a request without latency before its await ends. They must return at once.

    Raises
    ------
    PaperBookError
        If another process holds the account, or its file is damaged.
    WorkbenchError
        If the market is closed on that day.
    """

    def __init__(
        self,
        path: Path,
        date: dt.date,
        clock: Clock,
        *,
        contracts: Sequence[Contract] | ContractSource,
        rules: PaperRules | None = None,
        ranges: BarRange | None = None,
    ) -> None:
        rules = rules or PaperRules()
        self.on_report: list[Callable[[OrderReport], None]] = []
        self._clock = clock
        self._source = contracts if callable(contracts) else None
        self._listed = {} if callable(contracts) else {one.symbol: one for one in contracts}
        self._market = PaperMarket(date, moments=rules.moments, ranges=ranges)
        self._book = PaperBook(path, date)
        self._exchange = PaperExchange(self._book, self._market, rules, self._tell)
        self._closed = False
        self._broken = ""

    # --- what whoever hears the prices calls ----------------------------------------------------------------------

    def warm(self) -> None:
        """Compile what prices and orders call, before there are any; takes seconds on a new machine."""
        resting.warm()

    def follow(self, contracts: Sequence[Contract]) -> None:
        """
        Say which contract a tick's `instrument` number means; before the first tick, and again when more are added.

        Raises
        ------
        WorkbenchError
            If the number of a contract changes.
        """
        self._listed |= {one.symbol: one for one in contracts}
        self._exchange.follow(contracts)

    def on_ticks(self, ticks: npt.NDArray[np.void], at_ns: int, *, past: bool = False) -> None:
        """
        Take in trades: what is due arrives first, at the old prices; then orders meet the new ones.

        Parameters
        ----------
        ticks : TICK[n]
            `instrument` counts the followed contracts.
        at_ns : int
            The moment, UTC: of a paced feed its own time, else the wall clock. Ticks of a played day come before its
            clock has said so; there the newest tick's own time counts if it is later.
        past : bool
            They are told again after a restart: an order meets only those after its own last change.

        Raises
        ------
        PaperBookError
            If what happened cannot be written; nobody was told. The broker answers nothing any more.
        """
        if self._market.moments and len(ticks):
            at_ns = max(at_ns, int(ticks["exchange_ns"].max()))
        self._bring_to(at_ns)
        self._exchange.see(ticks, past=past)
        self._commit()

    def on_quotes(
        self,
        places: npt.NDArray[np.int64],
        bid: npt.NDArray[np.int64],
        ask: npt.NDArray[np.int64],
        at_ns: int,
        *,
        bid_quantity: npt.NDArray[np.int64] | None = None,
        ask_quantity: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """
        Take in best bids and asks (ticks, 0 = none), with units offered where they are known; errors as `on_ticks`.

        Without quantities any order fills whole; with them, what was taken is gone until the next quote.
        """
        self._bring_to(at_ns)
        market = self._market
        market.bid[places], market.ask[places] = bid, ask
        market.bid_left[places] = ENDLESS if bid_quantity is None else bid_quantity
        market.ask_left[places] = ENDLESS if ask_quantity is None else ask_quantity
        self._exchange.see_quotes(places, at_ns)
        self._commit()

    def on_circuits(
        self,
        places: npt.NDArray[np.int64],
        low: npt.NDArray[np.int64],
        high: npt.NDArray[np.int64],
    ) -> None:
        """Take in the day's circuit limits (ticks, 0 = not known); orders beyond them are rejected on arrival."""
        self._market.low_limit[places], self._market.high_limit[places] = low, high

    def on_index(self, last: int) -> None:
        """Take in the index (ticks); margins are reckoned from it."""
        self._exchange.spot_ticks = last

    def on_time(self, at_ns: int) -> None:
        """Let time pass without prices: what is due arrives; at the close open orders die. Errors as `on_ticks`."""
        self._bring_to(at_ns)
        if at_ns >= self._market.close_ns:
            self._exchange.end_of_session(at_ns)
        self._commit()

    def open_contracts(self) -> list[Contract]:
        """Contracts that are held or on order: without their prices they cannot be closed."""
        held = [one.contract for one in self._exchange.holdings() if one.quantity]
        waiting = [one.contract for one in self._book.orders.values() if not one.ended]
        return list(dict.fromkeys([*held, *waiting]))

    # --- the broker -----------------------------------------------------------------------------------------------

    async def connect(self) -> str:
        """The account's name; there is no login."""
        self._ready("connect")
        return USER

    async def close(self) -> None:
        """Release the account's file; open orders stay in it."""
        self._closed = True
        self._book.close()

    async def place(self, request: OrderRequest) -> str:
        """Send an order; its id."""
        contract = self._listed.get(request.symbol)
        return self._write(
            f"place {request.tag}", lambda now, counted: self._exchange.place(request, contract, now, counted)
        )

    async def modify(self, order_id: str, request: OrderRequest) -> None:
        """Change quantity, prices and type of an order."""
        self._write(
            f"modify {request.tag} ({order_id})",
            lambda now, counted: self._exchange.modify(order_id, request, now, counted),
        )

    async def cancel(self, order_id: str) -> None:
        """Ask for a cancel; with latency a fill may still win."""
        self._write(f"cancel {order_id}", lambda now, counted: self._exchange.cancel(order_id, now, counted))

    async def orders(self) -> list[OrderReport]:
        """All orders of the day, oldest first."""
        self._ready("orders")
        return [order.report() for order in self._book.orders.values()]

    async def trades(self) -> list[TradeReport]:
        """All fills of the day, oldest first."""
        self._ready("trades")
        return list(self._book.trades)

    async def positions(self) -> list[PositionReport]:
        """Net positions, those closed today included."""
        self._ready("positions")
        return [one.report() for one in self._exchange.holdings()]

    async def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """What was last heard of each; the time is that of its last trade, which may be long ago."""
        self._ready("quotes")
        told = {symbol: self._market.quote(symbol) for symbol in symbols}
        missing = [symbol for symbol, quote in told.items() if quote is None]
        if missing:
            raise BrokerUnknown(
                f"paper, quotes: no price was heard of {', '.join(missing)}; check the feed and today's contracts"
            )
        return [quote for symbol in symbols if (quote := told[symbol]) is not None]

    async def instruments(self, underlying: str, expiry: dt.date | None = None) -> list[Contract]:
        """Options of one expiry, by strike and kind; None = the nearest that is listed."""
        self._ready("instruments")
        if self._source is not None:
            found = list(await self._source(underlying, expiry))
            self._listed |= {one.symbol: one for one in found}
            return found
        listed = [one for one in self._listed.values() if one.underlying == underlying]
        day = expiry or min((one.expiry for one in listed), default=None)
        found = [one for one in listed if one.expiry == day]
        if not found:
            raise ContractMismatchError(
                f"paper lists no {underlying} options{f' of {day}' if day else ''}; check expiry and feed"
            )
        return sorted(found, key=lambda one: (one.strike, one.kind))

    async def margin(self, requests: Sequence[OrderRequest]) -> MarginReport:
        """What a basket would block beside what is held and on order."""
        self._ready("margin")
        unknown = [one.symbol for one in requests if one.symbol not in self._listed]
        if unknown:
            raise BrokerUnknown(f"paper, margin: {', '.join(unknown)} is not listed; check today's contracts")
        wished = [
            PaperOrder.of_request(one, f"wish{number}", self._listed[one.symbol], self._clock.wall_ns())
            for number, one in enumerate(requests)
        ]
        before, after, available = self._exchange.margin(wished)
        return MarginReport(
            initial_paise=sum(self._exchange.margin_alone(one).total for one in wished),
            final_paise=after.total - before.total,
            available_paise=available,
        )

    # --- in detail ------------------------------------------------------------------------------------------------

    def _write(self, what: str, work: Callable[[int, int], Answer]) -> Answer:
        if self._closed:
            raise BrokerRefused(f"paper, {what}: the account has been closed; make a new one")
        self._ready(what)
        try:
            answer = work(self._clock.wall_ns(), self._clock.monotonic_ns())
        except Refusal as no:
            raise BrokerRefused(f"paper, {what}: {no} (HTTP {HTTP_REFUSED})", HTTP_REFUSED, str(no)) from None
        try:
            self._commit()
        except PaperBookError as error:
            raise BrokerUnknown(f"paper, {what}: {error}; look the order up before sending again") from error
        return answer

    def _ready(self, what: str) -> None:
        """Let arrive what is due; refuse to answer from a memory that the file does not share."""
        if self._closed or self._broken:
            why = self._broken or "the account has been closed; make a new one"
            raise BrokerUnknown(f"paper, {what}: {why}")
        try:
            self._bring_to(self._clock.wall_ns())
            self._commit()
        except PaperBookError as error:
            raise BrokerUnknown(f"paper, {what}: {error}") from error

    def _bring_to(self, at_ns: int) -> None:
        if self._broken:
            raise PaperBookError(self._broken)
        self._exchange.advance(at_ns, self._clock.monotonic_ns())

    def _commit(self) -> None:
        try:
            self._exchange.commit()
        except PaperBookError as error:
            self._broken = str(error)
            raise

    def _tell(self, report: OrderReport) -> None:
        for hear in self.on_report:
            hear(report)
