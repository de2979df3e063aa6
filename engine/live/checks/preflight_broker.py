"""Pre-flight of what lies at the broker: login, contracts of the day, margin, the feed's address.

A paper session on live prices asks Kite as well: its feed and its contracts come from there.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from engine.live.brokers.base import BrokerAuth, BrokerError, Contract, OrderRequest, Quote
from engine.live.brokers.kite import MAX_QUOTES, KiteBroker
from engine.live.brokers.logins import find_login, with_command
from engine.live.checks.preflight_case import Case, Check, Finding
from engine.market.expiries import nearest_expiry
from engine.market.prices import paise_to_rupees

KITE_TICKER = "wss://ws.kite.trade"
TIMEOUT_S = 4.0
DUMP_TIMEOUT_S = 10.0
_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}

Answer = TypeVar("Answer")


def _asked(
    case: Case, ask: Callable[[KiteBroker], Awaitable[Answer]], timeout_s: float = TIMEOUT_S
) -> Answer:
    """One question to the broker on a connection of its own."""
    known = case.learned.login or case.logins()[0]
    broker = KiteBroker(known.api_key, known.token(case.now), root=case.own_root, timeout_s=timeout_s)

    async def talk() -> Answer:
        try:
            return await ask(broker)
        finally:
            await broker.close()

    return asyncio.run(talk())


def token(case: Case) -> Finding:
    """The login is good, and it is that of the session's account."""
    spec = case.spec
    if not case.asks_broker:
        return Finding("skipped", "a replay asks no broker")
    if spec.mode == "practice" and case.own_root is None:
        return Finding(
            "fail", "a practice session without an exchange", "start one: workbench practice serve"
        )
    account = spec.account if spec.mode == "live" else None
    try:
        case.learned.login, user = _asked(case, lambda broker: find_login(broker, case.logins(), account))
    except BrokerAuth as error:
        return Finding.of(with_command(error, spec))
    except BrokerError as error:
        return Finding("fail", error.message, f"is {case.root} up, and the network?")
    return Finding("ok", f"logged in as {user} at {case.root}")


def contracts(case: Case) -> Finding:
    """The broker lists today's contracts as our tables say: expiry, lot, tick, enough strikes."""
    spec = case.spec
    underlying = spec.params.underlying
    listed = _asked(case, lambda broker: broker.instruments(underlying), DUMP_TIMEOUT_S)
    case.learned.contracts = tuple(listed)
    expiry, expected = listed[0].expiry, nearest_expiry(underlying, spec.date)
    if expiry != expected:
        return Finding(
            "fail",
            f"{underlying}: the nearest expiry listed is {expiry}, our calendar says {expected}",
            "read NSE's circular and correct expiry_rules.csv or holidays.csv",
        )
    what = f"{len(listed)} {underlying} options of {expiry}, lot {listed[0].lot}"
    strikes = len({contract.strike for contract in listed})
    wanted = 2 * (spec.params.strikes_each_side or 0) + 1
    if strikes < wanted:
        return Finding(
            "warn", f"{what}: {strikes} strikes, {wanted} are to be watched", "fewer will be watched"
        )
    return Finding("ok", what)


def margin(case: Case) -> Finding:
    """The cash bears one lot of a short straddle at the money."""
    lots = case.learned.contracts
    expiry = nearest_expiry(case.spec.params.underlying, case.spec.date)
    pairs = _pairs([each for each in lots if each.expiry == expiry])
    symbols = [each.symbol for pair in pairs for each in pair]
    quotes = _asked(case, lambda broker: broker.quotes(symbols[:MAX_QUOTES]))
    chosen = _at_the_money(pairs, {quote.symbol: quote for quote in quotes})
    if chosen is None:
        return Finding("warn", "no pair of options has a price yet", "look again after the open")
    call, put = chosen
    prices = {quote.symbol: quote.last for quote in quotes}
    orders = [
        OrderRequest(
            tag=f"CHECK{each.kind}", symbol=each.symbol, side="SELL", quantity=each.lot, kind="LIMIT",
            limit_ticks=prices[each.symbol],
        )
        for each in (call, put)
    ]  # fmt: skip
    told = _asked(case, lambda broker: broker.margin(orders))
    what = (
        f"one lot of the {call.strike} straddle needs Rs {paise_to_rupees(told.final_paise)}, "
        f"there are Rs {paise_to_rupees(told.available_paise)}"
    )
    if told.available_paise >= told.final_paise:
        return Finding("ok", what)
    if case.spec.mode == "paper":
        return Finding("ok", f"{what}; paper needs none")
    return Finding("fail", what, "add cash or collateral")


def _pairs(listed: list[Contract]) -> list[tuple[Contract, Contract]]:
    """Call and put of each strike, the middle of the list first."""
    calls = {each.strike: each for each in listed if each.kind == "CE"}
    puts = {each.strike: each for each in listed if each.kind == "PE"}
    strikes = sorted(calls.keys() & puts.keys())
    middle = strikes[len(strikes) // 2] if strikes else 0
    return [(calls[strike], puts[strike]) for strike in sorted(strikes, key=lambda k: abs(k - middle))]


def _at_the_money(
    pairs: list[tuple[Contract, Contract]], quotes: dict[str, Quote]
) -> tuple[Contract, Contract] | None:
    """The strike whose call and put cost most nearly the same; None while nothing has a price."""
    priced = [
        (abs(quotes[call.symbol].last - quotes[put.symbol].last), call.strike, (call, put))
        for call, put in pairs
        if call.symbol in quotes
        and put.symbol in quotes
        and quotes[call.symbol].last
        and quotes[put.symbol].last
    ]
    return min(priced)[2] if priced else None


def feed(case: Case) -> Finding:
    """The ticker's address takes a connection. Nothing is subscribed: Kite allows few sockets for one key."""
    if not case.asks_broker:
        return Finding("skipped", "prices are replayed")
    told = case.spec.feed_options.get("ticker_url")
    if case.spec.feed == "practice" and not told:
        return Finding("fail", "the practice feed has no ticker_url", "start one: workbench practice serve")
    address = urlsplit(str(told) if told else KITE_TICKER)
    host, port = address.hostname or "", address.port or _PORTS.get(address.scheme, 443)
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as plain:
            if address.scheme in {"wss", "https"}:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host):
                    pass
    except OSError as error:
        return Finding(
            "fail",
            f"{host}:{port} does not answer ({error.strerror or error})",
            "check the network; is it up?",
        )
    return Finding("ok", f"{host}:{port} answers")


CHECKS = (
    Check("token", token, 12.0, ("secrets",), "is the network up? then log in again"),
    Check("feed", feed, 8.0, when_hung="check the network"),
    Check("contracts", contracts, 30.0, ("token", "calendar"), "check the network"),
    Check("margin", margin, 20.0, ("contracts",), "check the network"),
)
