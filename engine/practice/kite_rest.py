"""The REST routes of Kite Connect v3 over a practice exchange, with Kite's bodies, error types and HTTP codes.

Nothing is decided here: requests are read, guarded by login, rates and faults, passed to the exchange and answered
in Kite's shape. Routes under `/practice` steer the stand-in itself. Source: `brokers_and_market`, sections 1.1 to 1.7.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from engine.errors import WorkbenchError
from engine.market.prices import to_ticks
from engine.practice.account import Leg, charge_line, empty_funds, funds, margin_line, need_of
from engine.practice.checks import choice, refuse, units
from engine.practice.exchange import Exchange
from engine.practice.faults import parse_fault
from engine.practice.journal import Journal
from engine.practice.kite_data import candles, instruments_csv, last_price, quotes
from engine.practice.kite_ticker import Ticker
from engine.practice.login import Login, Rates
from engine.practice.orders import SIDES, Refused
from engine.practice.pace import Pacer

DROP = "practice.drop"
"""Key of a request's scope that makes the server cut the connection instead of answering."""

MAX_QUOTES = {"quote": 500, "ohlc": 1000, "ltp": 1000}


def success(data: Any) -> JSONResponse:
    """A Kite answer."""
    return JSONResponse({"status": "success", "data": data})


def failure(kind: str, message: str, code: int) -> JSONResponse:
    """A Kite error body."""
    body = {"status": "error", "message": message, "data": None, "error_type": kind}
    return JSONResponse(body, status_code=code)


async def form_of(request: Request) -> dict[str, str]:
    """A form-encoded body."""
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


class KiteRest:
    """All routes, over one exchange."""

    def __init__(
        self, exchange: Exchange, ticker: Ticker, pacer: Pacer, login: Login, redirect_url: str | None = None
    ) -> None:
        self.exchange = exchange
        self.market = exchange.market
        self.ticker = ticker
        self.pacer = pacer
        self.login = login
        self.rates = Rates(pacer.moves)
        self.redirect_url = redirect_url
        self.journal: Journal | None = None

    def note(self, **line: Any) -> None:
        """Write down what is about to be done, where there is a journal."""
        if self.journal is not None:
            self.journal.note(**line)

    def guard(self, request: Request, kind: str) -> None:
        """Let a request pass login, rates and faults, or refuse it; `kind` is order, quote, history or other."""
        faults = self.exchange.faults
        if faults.strike("outage"):
            self.ticker.close_all()
            raise Refused("NetworkException", "Gateway is not available, try again later", 503)
        if faults.strike("token_expiry"):
            self.expire_tokens()
        word, _, pair = request.headers.get("authorization", "").partition(" ")
        api_key, _, access_token = pair.partition(":")
        self.login.check(api_key if word == "token" else None, access_token)
        if self.pacer.stands:
            pass  # rates are counted in the day's own time: any number of requests would fall into one second
        elif kind == "order":
            self.rates.order(self.exchange.now_ms)
        elif (
            not self.pacer.finished.is_set()
        ):  # afterwards time stands: every read would fall into one second
            self.rates.read(kind, self.exchange.now_ms)
        if faults.strike("too_many_requests"):
            raise Refused("NetworkException", "Too many requests", 429)

    def expire_tokens(self) -> None:
        """End every login; sockets are closed as well."""
        self.note(what="expire")
        self.login.expire()
        self.ticker.close_all()

    # --- login and user -----------------------------------------------------------------------------------------

    async def login_page(self, request: Request) -> Response:
        """The page a browser opens: the practice user is logged in at once."""
        token = self.login.open_page(request.query_params.get("api_key"))
        back = self.redirect_url or f"{str(request.base_url).rstrip('/')}/practice/landed"
        mark = "&" if "?" in back else "?"
        return RedirectResponse(
            f"{back}{mark}action=login&type=login&status=success&request_token={token}", status_code=302
        )

    async def landed(self, request: Request) -> Response:
        """Where the login page leads when the app has no address of its own."""
        return PlainTextResponse(f"request_token: {request.query_params.get('request_token', '')}\n")

    async def new_session(self, request: Request) -> Response:
        """POST /session/token."""
        token = self.login.exchange_token(await form_of(request))
        self.note(what="token", token=token)
        return success(self.login.session(token, self.exchange.clock.text(self.exchange.now_ms) or ""))

    async def end_session(self, request: Request) -> Response:
        """DELETE /session/token."""
        token = request.query_params.get("access_token")
        self.login.check(request.query_params.get("api_key"), token)
        self.login.access_tokens.discard(token or "")
        return success(True)

    async def profile(self, request: Request) -> Response:
        """GET /user/profile."""
        self.guard(request, "other")
        return success(self.login.profile())

    async def full_profile(self, request: Request) -> Response:
        """GET /user/profile/full."""
        self.guard(request, "other")
        return success(self.login.full_profile())

    async def margins(self, request: Request) -> Response:
        """GET /user/margins."""
        self.guard(request, "other")
        return success({"equity": self._funds(), "commodity": empty_funds()})

    async def segment_margins(self, segment: str, request: Request) -> Response:
        """GET /user/margins/{segment}."""
        self.guard(request, "other")
        if segment not in {"equity", "commodity"}:
            raise refuse("Invalid `segment`.")
        return success(self._funds() if segment == "equity" else empty_funds())

    def _funds(self) -> dict[str, Any]:
        waiting = [order for order in self.exchange.orders.values() if not order.ended]
        return funds(self.exchange.account, self.market, waiting)

    # --- orders -------------------------------------------------------------------------------------------------

    async def place(self, variety: str, request: Request) -> Response:
        """POST /orders/{variety}."""
        self.guard(request, "order")
        faults = self.exchange.faults
        if faults.strike("lost_request"):
            return self._drop(request)
        form = await form_of(request)
        slow = faults.strike("timed_out_but_placed")
        lost = faults.strike("lost_answer")
        late = slow or lost
        seconds = late.seconds if late else 0
        now = self.exchange.now_ms
        self.note(what="place", ms=now, form=form, variety=variety, appears_after_s=seconds)
        data = self.exchange.place(form, variety, appears_after_s=seconds)
        if slow:
            raise Refused(
                "OrderException",
                "Order request timed out. Please check the order book and confirm before placing again.",
            )
        return self._drop(request) if lost else success(data)

    async def modify(self, variety: str, order_id: str, request: Request) -> Response:
        """PUT /orders/{variety}/{order_id}."""
        self.guard(request, "order")
        if self.exchange.faults.strike("lost_request"):
            return self._drop(request)
        self._check_variety(variety)
        form = await form_of(request)
        self.note(what="modify", ms=self.exchange.now_ms, order_id=order_id, form=form)
        return self._answer_change(request, self.exchange.modify(order_id, form))

    async def cancel(self, variety: str, order_id: str, request: Request) -> Response:
        """DELETE /orders/{variety}/{order_id}."""
        self.guard(request, "order")
        if self.exchange.faults.strike("lost_request"):
            return self._drop(request)
        self._check_variety(variety)
        self.note(what="cancel", ms=self.exchange.now_ms, order_id=order_id)
        return self._answer_change(request, self.exchange.cancel(order_id))

    async def orders(self, request: Request) -> Response:
        """GET /orders."""
        self.guard(request, "other")
        return success([order.answer(self.exchange.clock) for order in self.exchange.order_book()])

    async def order_history(self, order_id: str, request: Request) -> Response:
        """GET /orders/{order_id}."""
        self.guard(request, "other")
        return success(self.exchange.find(order_id).history)

    async def order_trades(self, order_id: str, request: Request) -> Response:
        """GET /orders/{order_id}/trades."""
        self.guard(request, "other")
        order = self.exchange.find(order_id)
        fills = [trade for trade in self.exchange.trades if trade.order is order]
        return success([trade.answer(self.exchange.clock) for trade in fills])

    async def trades(self, request: Request) -> Response:
        """GET /trades."""
        self.guard(request, "other")
        return success([trade.answer(self.exchange.clock) for trade in self.exchange.trades])

    def _check_variety(self, variety: str) -> None:
        if variety != "regular":
            raise refuse(f"Invalid `variety` {variety}: this exchange takes regular orders only")

    def _answer_change(self, request: Request, order_id: str) -> Response:
        if self.exchange.faults.strike("lost_answer"):
            return self._drop(request)
        return success({"order_id": order_id})

    def _drop(self, request: Request) -> Response:
        request.scope[DROP] = True
        return Response()

    # --- portfolio and margins ----------------------------------------------------------------------------------

    async def positions(self, request: Request) -> Response:
        """GET /portfolio/positions."""
        self.guard(request, "other")
        held = self.exchange.account.positions.values()
        lines = [one.answer(int(self.market.last[one.instrument.place])) for one in held]
        return success({"net": lines, "day": [dict(line) for line in lines]})

    async def holdings(self, request: Request) -> Response:
        """GET /portfolio/holdings: there are no shares here."""
        self.guard(request, "other")
        return success([])

    async def order_margins(self, request: Request) -> Response:
        """POST /margins/orders."""
        self.guard(request, "other")
        legs = [self._leg(line) for line in await request.json()]
        date = self.market.date
        return success([margin_line(leg, need_of([leg], self.market), date) for leg in legs])

    async def basket_margins(self, request: Request) -> Response:
        """POST /margins/basket."""
        self.guard(request, "other")
        legs = [self._leg(line) for line in await request.json()]
        date = self.market.date
        consider = request.query_params.get("consider_positions", "").lower() == "true"
        held = self.exchange.account.legs([]) if consider else []
        singles = [need_of([leg], self.market) for leg in legs]
        before = need_of(held, self.market)
        after = need_of([*held, *legs], self.market)
        initial = type(after)(*(sum(part) for part in zip(*singles, strict=True)))
        final = type(after)(*(a - b for a, b in zip(after, before, strict=True)))
        return success(
            {
                "initial": margin_line(None, initial, date),
                "final": margin_line(None, final, date),
                "orders": [margin_line(leg, need, date) for leg, need in zip(legs, singles, strict=True)],
                "charges": charge_line(None, date),
            }
        )

    async def contract_note(self, request: Request) -> Response:
        """POST /charges/orders."""
        self.guard(request, "other")
        lines = []
        for told in await request.json():
            leg = self._leg({**told, "price": told.get("average_price", 0)})
            lines.append(
                {
                    "transaction_type": told["transaction_type"],
                    "tradingsymbol": leg.instrument.symbol,
                    "exchange": leg.instrument.exchange,
                    "variety": told.get("variety", "regular"),
                    "product": leg.product,
                    "order_type": leg.order_type,
                    "quantity": leg.quantity,
                    "price": told.get("average_price", 0),
                    "charges": charge_line(leg, self.market.date),
                }
            )
        return success(lines)

    def _leg(self, told: Mapping[str, Any]) -> Leg:
        one = self.market.by_key.get(f"{told.get('exchange')}:{told.get('tradingsymbol')}")
        if one is None or one.place < 0:
            raise refuse(f"Invalid `tradingsymbol` {told.get('tradingsymbol')}.")
        words = {name: str(value) for name, value in told.items()}
        side = SIDES[choice(words, "transaction_type", tuple(SIDES))]
        price = to_ticks(told.get("price") or 0) or to_ticks(last_price(self.market, one))
        return Leg(
            one, side, units(words.get("quantity")), price, words.get("product", "MIS"),
            words.get("order_type", "LIMIT"),
        )  # fmt: skip

    # --- market data --------------------------------------------------------------------------------------------

    async def instruments(self, request: Request) -> Response:
        """GET /instruments."""
        self.guard(request, "other")
        return Response(instruments_csv(self.market, None), media_type="text/csv")

    async def instruments_of(self, exchange: str, request: Request) -> Response:
        """GET /instruments/{exchange}."""
        self.guard(request, "other")
        return Response(instruments_csv(self.market, exchange), media_type="text/csv")

    async def quote(self, request: Request) -> Response:
        """GET /quote, /quote/ohlc, /quote/ltp."""
        self.guard(request, "quote")
        kind = request.url.path.rpartition("/")[2]
        keys = request.query_params.getlist("i")
        if not keys or len(keys) > MAX_QUOTES[kind]:
            raise refuse(f"Give 1 to {MAX_QUOTES[kind]} instruments in `i`.")
        return success(quotes(self.market, self.exchange.clock, keys, kind))

    async def historical(self, token: str, interval: str, request: Request) -> Response:
        """GET /instruments/historical/{token}/{interval}."""
        self.guard(request, "history")
        one = self.market.by_token.get(int(token)) if token.isdigit() else None
        if one is None:
            raise refuse("invalid token")
        told = request.query_params
        try:
            begin, end = (dt.datetime.fromisoformat(told.get(name, "")) for name in ("from", "to"))
        except ValueError:
            raise refuse("invalid from or to date") from None
        rows = candles(self.market, self.exchange.clock, one, interval, begin, end, oi=told.get("oi") == "1")
        return success({"candles": rows})

    # --- the stand-in itself ------------------------------------------------------------------------------------

    async def state(self) -> Response:
        """GET /practice/state: where the played day stands."""
        faults = self.exchange.faults
        return JSONResponse(
            {
                "underlying": self.market.bars.underlying,
                "date": str(self.market.date),
                "source": self.market.bars.source,
                "simulated": self.market.bars.simulated,
                "minutes": self.market.bars.minutes,
                "speed": self.pacer.settings.speed,
                "beat": self.pacer.beat._asdict() if self.pacer.beat else None,
                "finished": self.pacer.finished.is_set(),
                "sockets": len(self.ticker.sockets),
                "orders": len(self.exchange.orders),
                "trades": len(self.exchange.trades),
                "flat": self.exchange.is_flat(),
                "faults": {name: faults.struck[name] for name in sorted(faults.struck)},
            }
        )

    async def acknowledge(self, request: Request) -> Response:
        """POST /practice/ack: a participant is done with moment `seq`."""
        form = await form_of(request)
        self.pacer.acknowledge(form.get("name", "session"), int(units(form.get("seq"))))
        return success(True)

    async def step(self, request: Request) -> Response:
        """POST /practice/step: play `moments` more in manual mode."""
        form = await form_of(request)
        await self.pacer.step(units(form.get("moments", "1")))
        return await self.state()

    async def switch_faults(self, request: Request) -> Response:
        """POST /practice/faults: replace the faults by those in `fault` (repeated), none to end them."""
        told = parse_qsl((await request.body()).decode())
        texts = [text for name, text in told if name == "fault"]
        rules = tuple(parse_fault(text) for text in texts)
        self.note(what="faults", texts=texts)
        self.exchange.faults.switch(rules)
        return success(True)

    async def expire(self) -> Response:
        """POST /practice/expire_tokens."""
        self.expire_tokens()
        return success(True)

    async def socket(self, ws: WebSocket) -> None:
        """The ticker, at the root."""
        told = ws.query_params
        good = self.login.is_good(told.get("api_key"), told.get("access_token"))
        if self.exchange.faults.strike("outage") or not good:
            await ws.close(1008)  # before it is accepted: HTTP 403
            return
        await self.ticker.serve(ws)


def build_app(rest: KiteRest) -> FastAPI:
    """The routes of section 1.2 that make sense for options, and those of the stand-in itself."""
    app = FastAPI(openapi_url=None)
    table: tuple[tuple[str, str, Any], ...] = (
        ("GET", "/connect/login", rest.login_page),
        ("GET", "/practice/landed", rest.landed),
        ("POST", "/session/token", rest.new_session),
        ("DELETE", "/session/token", rest.end_session),
        ("GET", "/user/profile", rest.profile),
        ("GET", "/user/profile/full", rest.full_profile),
        ("GET", "/user/margins", rest.margins),
        ("GET", "/user/margins/{segment}", rest.segment_margins),
        ("GET", "/orders", rest.orders),
        ("GET", "/orders/{order_id}", rest.order_history),
        ("GET", "/orders/{order_id}/trades", rest.order_trades),
        ("GET", "/trades", rest.trades),
        ("POST", "/orders/{variety}", rest.place),
        ("PUT", "/orders/{variety}/{order_id}", rest.modify),
        ("DELETE", "/orders/{variety}/{order_id}", rest.cancel),
        ("GET", "/portfolio/positions", rest.positions),
        ("GET", "/portfolio/holdings", rest.holdings),
        ("POST", "/margins/orders", rest.order_margins),
        ("POST", "/margins/basket", rest.basket_margins),
        ("POST", "/charges/orders", rest.contract_note),
        ("GET", "/instruments", rest.instruments),
        ("GET", "/instruments/historical/{token}/{interval}", rest.historical),
        ("GET", "/instruments/{exchange}", rest.instruments_of),
        ("GET", "/quote", rest.quote),
        ("GET", "/quote/ohlc", rest.quote),
        ("GET", "/quote/ltp", rest.quote),
        ("GET", "/practice/state", rest.state),
        ("POST", "/practice/ack", rest.acknowledge),
        ("POST", "/practice/step", rest.step),
        ("POST", "/practice/faults", rest.switch_faults),
        ("POST", "/practice/expire_tokens", rest.expire),
    )
    for method, path, handler in table:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    app.add_api_websocket_route("/", rest.socket)

    @app.exception_handler(Refused)
    async def refused(_: Request, no: Refused) -> Response:
        return failure(no.kind, no.message, no.code)

    @app.exception_handler(WorkbenchError)
    async def wrong(_: Request, error: WorkbenchError) -> Response:
        return failure("InputException", str(error), 400)

    @app.exception_handler(HTTPException)
    async def absent(_: Request, error: HTTPException) -> Response:
        return failure("GeneralException", f"Route not found ({error.detail})", error.status_code)

    return app
