"""Kite's own samples of its answers, read by the adapter; and what is refused when an answer is odd."""

import datetime as dt
import json
from decimal import Decimal
from typing import ClassVar

import pytest
from kiteconnect import KiteConnect
from scripted_kite import ask

from engine.errors import DataError
from engine.live.brokers.base import BrokerUnknown, ContractMismatchError, OrderRequest, OrderStatus
from engine.live.brokers.kite_answers import (
    STATUSES,
    contracts_of,
    is_ours,
    margin_report,
    moment_ns,
    order_report,
    position_report,
    quote_of,
    status_of,
    ticks,
    trade_report,
)
from engine.market.clock import IST, to_ns

NOT_ASKED_FOR = {
    "autoslice_response",  # the gateway slices, each slice with a tag of its own
    "convert_position", "virtual_contract_note", "trigger_range", "margin_commodity", "order_margins",
    "full_profile", "session_logout", "ltp", "ohlc", "historical_minute", "historical_oi",
    "holdings", "holdings_auth", "holdings_compact", "holdings_summary",
    "ticker_full", "ticker_ltp", "ticker_quote",  # the feed's
}  # fmt: skip
ORDER = OrderRequest("T1", "NIFTY26S0125000CE", "SELL", 65, "LIMIT", limit_ticks=2000)


def ist(text):
    return to_ns(dt.datetime.fromisoformat(text).replace(tzinfo=IST))


@pytest.fixture
def sample(shared):
    def read(name):
        return json.loads((shared / "fixtures/kite" / f"{name}.json").read_text(encoding="utf-8"))

    return read


@pytest.fixture
def served(script, shared):
    """Let the broker read a sample through the official client."""

    def serve(name, act, kind="application/json"):
        suffix = "json" if "json" in kind else "csv"
        script.answer = (200, kind, (shared / f"fixtures/kite/{name}.{suffix}").read_text(encoding="utf-8"))
        return ask(script, act, timeout_s=5)

    return serve


def ours(line, symbol="NIFTY26S0125000CE"):
    return {**line, "exchange": "NFO", "tradingsymbol": symbol}


def test_every_sample_is_read_here_or_named_as_not_asked_for(shared):
    known = set(TestSamples.READ) | NOT_ASKED_FOR
    assert {path.stem for path in (shared / "fixtures/kite").glob("*.json")} == known


class TestSamples:
    READ: ClassVar = (
        "orders", "order_info", "postback", "trades", "order_trades", "positions", "quote", "margins", "margins_equity",
        "basket_margins", "order_response", "order_modify", "order_cancel", "profile", "generate_session",
    )  # fmt: skip

    def test_orders(self, sample):
        lines = sample("orders")["data"]
        reports = [order_report(line) for line in lines]
        assert len(reports) >= 4
        first, second = reports[:2]
        assert (first.status, first.filled, first.average, first.tag) == (
            OrderStatus.CANCELLED,
            0,
            None,
            None,
        )
        assert first.time_ns == ist("2021-05-31 09:18:58")  # the later of its two times
        assert (second.status, second.filled, second.average) == (OrderStatus.COMPLETE, 1, Decimal("109.4"))
        assert second.limit_ticks == 2188
        assert {one.status for one in reports} <= set(OrderStatus)
        assert all(one.status_text in STATUSES for one in reports)

    def test_tags_of_orders(self, sample):
        tagged = [order_report(line) for line in sample("orders")["data"] if line["tag"]]
        assert tagged
        assert all(one.tag for one in tagged)

    def test_our_tag_is_found_beside_the_marks_that_kite_adds(self, sample):
        line = sample("orders")["data"][0]
        marked = {**line, "tag": None, "tags": ["mktp", "mktp:2.00", "XMI0A1B2C0001"]}
        assert order_report(marked).tag == "XMI0A1B2C0001"
        assert order_report({**marked, "tag": "mktp"}).tag == "XMI0A1B2C0001"

    def test_a_rejected_order_that_somebody_typed_off_the_tick_leaves_the_book_readable(self, sample):
        line = {**sample("orders")["data"][0], "status": "REJECTED", "price": 100.03, "trigger_price": 99.99}
        told = order_report(line)
        assert (told.limit_ticks, told.trigger_ticks) == (2001, 2000)

    def test_an_orders_history(self, sample):
        reports = [order_report(line) for line in sample("order_info")["data"]]
        assert reports[0].status is OrderStatus.PENDING
        assert reports[0].status_text == "PUT ORDER REQ RECEIVED"
        assert len({one.order_id for one in reports}) == 1

    def test_a_postback(self, sample):
        told = order_report(sample("postback"))
        assert (told.status, told.filled, told.average) == (OrderStatus.COMPLETE, 1, Decimal(470))

    def test_trades(self, sample):
        lines = sample("trades")["data"]
        told = trade_report(lines[0])
        assert (told.price_ticks, told.quantity, told.time_ns) == (8413, 1, ist("2021-05-31 09:16:39"))
        assert [trade_report(line) for line in sample("order_trades")["data"]]

    def test_a_currency_off_our_tick_grid_is_refused_not_rounded(self, sample):
        (currency,) = [line for line in sample("trades")["data"] if line["exchange"] == "CDS"]
        with pytest.raises(DataError, match=r"72\.755"):
            trade_report(currency)

    def test_positions(self, sample):
        told = [position_report(line) for line in sample("positions")["data"]["net"]]
        assert (told[0].symbol, told[0].quantity, told[0].average) == (
            "LEADMINI17DECFUT",
            1,
            Decimal("161.05"),
        )
        assert [one.quantity for one in told] == [
            line["quantity"] for line in sample("positions")["data"]["net"]
        ]

    def test_a_quote(self, sample):
        told = quote_of("INFY", sample("quote")["data"]["NSE:INFY"])
        assert (told.last, told.bid, told.ask, told.volume) == (28259, 0, 28259, 7360198)
        assert (told.low_limit, told.high_limit) == (25014, 30572)
        assert told.time_ns == ist("2021-06-08 15:45:56")

    def test_margins_are_rounded_against_us(self, sample):
        told = margin_report(sample("basket_margins")["data"], sample("margins_equity")["data"])
        assert (told.initial_paise, told.final_paise) == (9650498, 3478673)  # 96504.975, 34786.725...
        assert told.available_paise == 9972505
        assert margin_report(
            sample("basket_margins")["data"], sample("margins")["data"]["equity"]
        ).available_paise

    @pytest.mark.parametrize("what", ["orders", "trades", "positions"])
    def test_what_else_the_account_holds_is_left_out(self, served, sample, what):
        data = sample(what)["data"]
        lines = data["net"] if what == "positions" else data
        told = served(what, lambda broker: getattr(broker, what)())
        assert len(told) == sum(is_ours(line) for line in lines)

    def test_answers_to_writes(self, served):
        assert served("order_response", lambda broker: broker.place(ORDER)) == "151220000000000"
        assert served("order_modify", lambda broker: broker.modify("1", ORDER)) is None
        assert served("order_cancel", lambda broker: broker.cancel("1")) is None

    def test_the_profile_names_the_user(self, served):
        assert served("profile", lambda broker: broker.connect()) == "AB1234"

    @pytest.mark.parametrize("name", ["instruments_all", "instruments_nse"])
    def test_the_dump_of_2018_contradicts_our_tables_and_is_refused(self, served, name):
        with pytest.raises(ContractMismatchError, match="BANKNIFTY"):
            served(name, lambda broker: broker.instruments("BANKNIFTY"), "text/csv")

    def test_options_of_the_dump_are_found_by_name_segment_and_expiry(self, shared):
        text = (shared / "fixtures/kite/instruments_all.csv").read_bytes()
        lines = [
            {**line, "name": "BANKNIFTY"}  # the sample is older than this column's filling
            for line in KiteConnect("key")._parse_instruments(text)
            if line["tradingsymbol"].startswith("BANKNIFTY")
        ]
        with pytest.raises(ContractMismatchError, match="2017-11-30"):
            contracts_of(lines, "BANKNIFTY")


EXPIRY = dt.date(2026, 9, 1)


def dump_line(at=25000, kind="CE", **change):
    return {
        "instrument_token": 1, "tradingsymbol": f"NIFTY26901{at}{kind}", "name": "NIFTY", "expiry": EXPIRY,
        "strike": float(at), "tick_size": 0.05, "lot_size": 65, "instrument_type": kind, "segment": "NFO-OPT",
        "exchange": "NFO",
    } | change  # fmt: skip


def test_contracts_come_by_strike_then_kind_of_the_nearest_expiry_only():
    later = dump_line(24000, expiry=dt.date(2026, 9, 8))
    lines = [later, dump_line(25100), dump_line(25000, "PE"), dump_line(25000), dump_line(name="NIFTYNXT50")]
    assert [(one.strike, one.kind) for one in contracts_of(lines, "NIFTY")] == [
        (25000, "CE"), (25000, "PE"), (25100, "CE"),
    ]  # fmt: skip
    assert [one.strike for one in contracts_of(lines, "NIFTY", dt.date(2026, 9, 8))] == [24000]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lot_size": 75}, "lot is 75, our table says 65"),
        ({"tick_size": 0.1}, "tick is Rs 0.1"),
        ({"expiry": dt.date(2026, 9, 2)}, "2026-09-02"),
        ({"strike": 25000.5}, "whole rupees"),
        ({"instrument_type": "FUT"}, "'FUT'"),
        ({"segment": "NFO-FUT"}, "no NIFTY options"),
    ],
)
def test_a_dump_that_contradicts_our_facts_is_refused_by_name(change, words):
    with pytest.raises(ContractMismatchError, match=words):
        contracts_of([dump_line(25000, **change)], "NIFTY")


@pytest.mark.parametrize(
    ("rupees", "expected"),
    [
        (100.05, 2001),
        ("100.05", 2001),
        (0, 0),
        (None, 0),
        (155.45000000000002, 3109),
        (0.05, 1),
        (1e5, 2_000_000),
    ],
)
def test_rupees_become_ticks_exactly(rupees, expected):
    assert ticks(rupees) == expected


def test_a_price_off_the_grid_is_refused():
    with pytest.raises(DataError):
        ticks(100.02)


@pytest.mark.parametrize(
    "told", ["2026-09-01 09:15:00", dt.datetime(2026, 9, 1, 9, 15), "2026-09-01T09:15:00+05:30"]
)
def test_times_without_zone_are_indian(told):
    assert moment_ns(told) == ist("2026-09-01 09:15:00")


def test_a_word_for_a_state_that_nobody_documented_is_not_final():
    assert status_of("SOMETHING NEW") is OrderStatus.PENDING
    assert not status_of("SOMETHING NEW").is_final


@pytest.mark.parametrize(
    ("exchange", "symbol", "expected"),
    [
        ("NFO", "NIFTY26S0125000CE", True),
        ("NFO", "BANKNIFTY26NOVFUT", True),
        ("NFO", "NIFTYNXT5026NOV60000CE", False),
        ("NFO", "RELIANCE26NOV1400CE", False),
        ("BFO", "NIFTY26S0125000CE", False),
    ],
)
def test_which_lines_are_ours(exchange, symbol, expected):
    assert is_ours({"exchange": exchange, "tradingsymbol": symbol}) is expected


@pytest.mark.parametrize(
    "change",
    [
        {"price": "x"}, {"quantity": "65"}, {"quantity": -1}, {"filled_quantity": 1.5}, {"transaction_type": "S"},
        {"order_id": None}, {"status": None}, {"order_timestamp": "now", "exchange_update_timestamp": None},
        {"order_timestamp": None, "exchange_update_timestamp": None}, {"average_price": "x", "filled_quantity": 1},
    ],
)  # fmt: skip
def test_one_line_that_cannot_be_read_makes_the_book_unknown(script, sample, change):
    good = ours(sample("orders")["data"][1])
    script.answer = (200, "application/json", json.dumps({"status": "success", "data": [good]}))
    assert len(ask(script, lambda broker: broker.orders())) == 1
    script.answer = (
        200,
        "application/json",
        json.dumps({"status": "success", "data": [good, {**good, **change}]}),
    )
    with pytest.raises(BrokerUnknown):
        ask(script, lambda broker: broker.orders())


def test_an_order_of_ours_among_others_is_found(script, sample):
    lines = sample("orders")["data"]
    data = [*lines, ours(lines[1])]
    script.answer = (200, "application/json", json.dumps({"status": "success", "data": data}))
    told = ask(script, lambda broker: broker.orders())
    assert "NIFTY26S0125000CE" in {one.symbol for one in told}
    assert len(told) == 1 + sum(is_ours(line) for line in lines)
