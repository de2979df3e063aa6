"""Zerodha's Kite behind the broker protocol: the official client, driven from worker threads.

The client is synchronous and its connection is not safe to share, so every worker thread has a client of its own.
Writes and reads have separate threads: a book that is slow to come never holds up an exit. Nothing is ever sent
twice. Stops are SL with a limit only; a MARKET order carries its protection. Source: reference
`brokers_and_market`, 1.2 to 1.5.
"""

import asyncio
import datetime as dt
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kiteconnect import KiteConnect  # type: ignore[import-untyped]

from engine.errors import DataError, WorkbenchError
from engine.live.brokers.base import (
    BrokerRefused,
    BrokerUnknown,
    Contract,
    MarginReport,
    OrderReport,
    OrderRequest,
    PositionReport,
    Quote,
    TradeReport,
)
from engine.live.brokers.kite_answers import (
    EXCHANGE,
    VARIETY,
    contracts_of,
    is_ours,
    margin_leg,
    margin_report,
    order_report,
    position_report,
    price_fields,
    quote_of,
    trade_report,
)
from engine.live.brokers.kite_outcomes import one_line, outcome_of

MAX_QUOTES = 500
WRITERS = 4
READERS = 2
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError, DataError)

Answer = TypeVar("Answer")
Report = TypeVar("Report")


class KiteBroker:
    """
    A Kite account.

    Parameters
    ----------
    api_key, access_token : str
        Of today's login (`engine.live.brokers.kite_token`).
    root : str, optional
        Address of the server; None = Kite itself. A path in it is dropped by the client.
    timeout_s : float
        Longest silence of a connection. A request as a whole, the wait for a free thread included, may take twice
        as long; then it is unknown.
    """

    def __init__(
        self, api_key: str, access_token: str, *, root: str | None = None, timeout_s: float = 7.0
    ) -> None:
        self._api_key = api_key
        self._access_token = access_token
        self._root = root
        self._timeout_s = timeout_s
        self._own = threading.local()
        self._clients: list[KiteConnect] = []
        self._writers = ThreadPoolExecutor(WRITERS, "kite-write")
        self._readers = ThreadPoolExecutor(READERS, "kite-read")
        self._closed = False

    def use_token(self, access_token: str) -> None:
        """Go on with the token of a new login; requests on their way keep the old one."""
        self._access_token = access_token

    async def connect(self) -> str:
        """Prove that the login is good by reading the profile; the user's id."""
        return await self.user_of(self._access_token)

    async def user_of(self, access_token: str) -> str:
        """
        The id of the user whose token this is; requests go on with the broker's own.

        Raises
        ------
        BrokerAuth
            If the token is not good.
        BrokerUnknown, BrokerBusy
            If Kite did not answer.
        """

        def asked(client: KiteConnect) -> Any:
            client.set_access_token(access_token)  # of this one request: each begins by setting it
            return client.profile()

        profile = await self._read("profile", asked)
        return self._understood("profile", lambda: str(profile["user_id"]))

    async def close(self) -> None:
        """Wait for what is on its way, then end threads and connections."""
        self._closed = True
        for pool in (self._writers, self._readers):
            await asyncio.to_thread(pool.shutdown)
        for client in self._clients:
            client.reqsession.close()

    async def place(self, request: OrderRequest) -> str:
        """Send an order (variety regular, validity DAY); Kite's id of it."""
        what = f"place {request.tag}"
        order_id = await self._write(
            what,
            lambda client: client.place_order(
                variety=VARIETY,
                exchange=EXCHANGE,
                tradingsymbol=request.symbol,
                transaction_type=request.side,
                product=request.product,
                validity="DAY",
                tag=request.tag,
                **price_fields(request),
            ),
        )
        if not isinstance(order_id, str) or not order_id:
            raise BrokerUnknown(
                f"Kite, {what}: taken, but its id is {order_id!r}; look the order up by its tag"
            )
        return order_id

    async def modify(self, order_id: str, request: OrderRequest) -> None:
        """Change type, quantity (the total) and prices of an order."""
        await self._write(
            f"modify {request.tag} ({order_id})",
            lambda client: client.modify_order(
                variety=VARIETY, order_id=order_id, validity="DAY", **price_fields(request)
            ),
        )

    async def cancel(self, order_id: str) -> None:
        """Ask for a cancel; a fill may still win."""
        await self._write(
            f"cancel {order_id}", lambda client: client.cancel_order(variety=VARIETY, order_id=order_id)
        )

    async def orders(self) -> list[OrderReport]:
        """All orders of the day in derivatives of our underlyings."""
        lines = await self._read("orders", lambda client: client.orders())
        return self._reports("orders", lines, order_report)

    async def trades(self) -> list[TradeReport]:
        """All fills of the day in derivatives of our underlyings."""
        lines = await self._read("trades", lambda client: client.trades())
        return self._reports("trades", lines, trade_report)

    async def positions(self) -> list[PositionReport]:
        """Net positions in derivatives of our underlyings."""
        answer = await self._read("positions", lambda client: client.positions())
        lines = self._understood("positions", lambda: answer["net"])
        return self._reports("positions", lines, position_report)

    async def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """Quotes of up to 500 symbols in one request (Kite allows one request a second)."""
        if not 1 <= len(symbols) <= MAX_QUOTES:
            raise WorkbenchError(f"{len(symbols)} symbols for one quote request; give 1 to {MAX_QUOTES}")
        keys = [f"{EXCHANGE}:{symbol}" for symbol in symbols]
        answer = await self._read("quotes", lambda client: client.quote(*keys))
        missing = self._understood("quotes", lambda: [key for key in keys if key not in answer])
        if missing:
            raise BrokerUnknown(
                f"Kite, quotes: nothing told of {', '.join(missing)}; check today's contracts"
            )
        return self._understood(
            "quotes",
            lambda: [quote_of(symbol, answer[key]) for symbol, key in zip(symbols, keys, strict=True)],
        )

    async def instruments(self, underlying: str, expiry: dt.date | None = None) -> list[Contract]:
        """Options of one expiry from today's dump, checked; errors as `kite_answers.contracts_of`."""
        lines = await self._read("instruments", lambda client: client.instruments(EXCHANGE))
        return self._understood("instruments", lambda: contracts_of(lines, underlying, expiry))

    async def margin(self, requests: Sequence[OrderRequest]) -> MarginReport:
        """Margin of a basket beside what is held, and the cash of the equity segment."""
        legs = [margin_leg(request) for request in requests]
        basket = await self._read("margin", lambda client: client.basket_order_margins(legs))
        funds = await self._read("funds", lambda client: client.margins("equity"))
        return self._understood("margin", lambda: margin_report(basket, funds))

    # --- threads and outcomes -----------------------------------------------------------------------------------

    async def _write(self, what: str, ask: Callable[[KiteConnect], Answer]) -> Answer:
        return await self._ask(self._writers, what, ask)

    async def _read(self, what: str, ask: Callable[[KiteConnect], Answer]) -> Answer:
        """As `_write`, but a refusal of a read is no answer either."""
        try:
            return await self._ask(self._readers, what, ask)
        except BrokerRefused as no:
            raise BrokerUnknown(str(no), no.code, no.message) from no

    async def _ask(self, pool: ThreadPoolExecutor, what: str, ask: Callable[[KiteConnect], Answer]) -> Answer:
        if self._closed:
            raise BrokerRefused(f"Kite, {what}: the connection has been closed; make a new one")

        def asked() -> Answer:
            try:
                return ask(self._client())
            except Exception as error:  # noqa: BLE001 - the client lets everything pass, see outcome_of
                raise outcome_of(error, what) from None  # its frames hold the token

        try:
            # a request that is still waiting for a thread when the time is up is taken back
            return await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(pool, asked), 2 * self._timeout_s
            )
        except TimeoutError as error:
            raise BrokerUnknown(
                f"Kite, {what}: no answer within {2 * self._timeout_s:.0f} s; look the order up before sending again"
            ) from error

    def _client(self) -> KiteConnect:
        """The calling thread's own client, with the present token."""
        client: KiteConnect | None = getattr(self._own, "client", None)
        if client is None:
            client = KiteConnect(self._api_key, root=self._root, timeout=self._timeout_s)
            self._own.client = client
            self._clients.append(client)
        client.set_access_token(self._access_token)
        return client

    def _reports(self, what: str, lines: Any, read: Callable[[Any], Report]) -> list[Report]:
        if not isinstance(lines, list):
            raise BrokerUnknown(f"Kite, {what}: the answer is {type(lines).__name__}, not a list; ask again")
        return self._understood(what, lambda: [read(line) for line in _ours(lines)])

    @staticmethod
    def _understood(what: str, read: Callable[[], Answer]) -> Answer:
        try:
            return read()
        except _UNREADABLE as error:
            kind = type(error).__name__
            raise BrokerUnknown(
                f"Kite, {what}: the answer cannot be read ({kind}: {one_line(error)}); ask again"
            ) from error


def _ours(lines: Iterable[Any]) -> Iterable[Any]:
    return (line for line in lines if is_ours(line))
