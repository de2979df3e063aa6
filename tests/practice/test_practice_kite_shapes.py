"""Answers have the shape of Kite's published samples; packets are theirs byte for byte."""

import base64
import csv
import datetime as dt
import io
import json
import struct

import pytest
import requests
from kiteconnect import KiteConnect, KiteTicker

from engine.practice.kite_packets import packet_of
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

ALIASES = {"last_quantity": "last_traded_quantity", "volume": "volume_traded", "buy_quantity": "total_buy_quantity",
           "sell_quantity": "total_sell_quantity", "average_price": "average_traded_price",
           "timestamp": "exchange_timestamp"}  # fmt: skip


def sample(shared, name):
    return json.loads((shared / "fixtures" / "kite" / f"{name}.json").read_text())


def shape(value):
    """Keys and kinds of an answer; a list has the kinds of all its lines together."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        kinds = []
        for part in value:
            kind = shape(part)
            if kind not in kinds:
                kinds.append(kind)
        return kinds
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "nothing" if value is None else "text"


def assert_fits(ours, theirs, where="data"):
    """Same keys and kinds all the way down; null stands for a text or a number that is not there."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), where
        assert set(ours) == set(theirs), where
        for key in theirs:
            assert_fits(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list), where
        if len(ours) == len(theirs):
            for part, like in zip(ours, theirs, strict=True):
                assert_fits(part, like, f"{where}[]")
        elif theirs:
            for part in ours:
                assert_fits(part, theirs[0], f"{where}[]")
    elif ours is not None and theirs is not None:
        assert shape(ours) == shape(theirs), where


@pytest.fixture(scope="module")
def busy(played_day):
    """A server with orders in several states, fills and a position; for reading only."""
    with PracticeServer(played_day, ServerSettings(pace=PaceSettings(speed="manual"))) as server:
        yield fill(server)


def fill(server):
    kite = KiteConnect(server.api_key, server.grant_token(), root=server.rest_url)
    atm = next(i.symbol for i in server.exchange.market.instruments if (i.strike, i.kind) == (25000, "CE"))
    server.step(25)
    last = kite.ltp(f"NFO:{atm}")[f"NFO:{atm}"]["last_price"]
    place = lambda side, price, **more: kite.place_order(  # noqa: E731
        "regular", "NFO", atm, side, 65, "MIS", more.pop("kind", "LIMIT"), price=round(price, 2), **more
    )
    place("SELL", last - 1, tag="filled")
    stop = place("BUY", last + 30, kind="SL", trigger_price=round(last + 27, 2))
    kite.modify_order("regular", stop, trigger_price=round(last + 26, 2))
    kite.cancel_order("regular", place("SELL", last + 5))
    return server, kite, atm


def raw(server, kite, path, method="GET", **more):
    headers = {"Authorization": f"token {kite.api_key}:{kite.access_token}"}
    answer = requests.request(method, server.rest_url + path, headers=headers, timeout=5, **more)
    assert answer.status_code == 200
    assert "json" in answer.headers["content-type"]
    return answer.json()


LEG = {"exchange": "NFO", "transaction_type": "SELL", "variety": "regular", "product": "MIS", "order_type": "LIMIT",
       "quantity": 65, "price": 60, "trigger_price": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("profile", "/user/profile"),
        ("full_profile", "/user/profile/full"),
        ("margins", "/user/margins"),
        ("margins_equity", "/user/margins/equity"),
        ("margin_commodity", "/user/margins/commodity"),
        ("orders", "/orders"),
        ("order_info", "/orders/260901000000002"),
        ("order_trades", "/orders/260901000000001/trades"),
        ("trades", "/trades"),
        ("positions", "/portfolio/positions"),
        ("holdings", "/portfolio/holdings"),
    ],
)
def test_reading_answers_fit(busy, shared, name, path):
    server, kite, _ = busy
    ours, theirs = raw(server, kite, path), sample(shared, name)
    assert_fits(ours, theirs)
    assert ours["data"] or name == "holdings"


@pytest.mark.parametrize(
    ("name", "path"), [("quote", "/quote"), ("ohlc", "/quote/ohlc"), ("ltp", "/quote/ltp")]
)
def test_quotes_fit(busy, shared, name, path):
    server, kite, atm = busy
    ours = raw(server, kite, f"{path}?i=NFO:{atm}&i=NFO:UNKNOWN")["data"]
    assert list(ours) == [f"NFO:{atm}"]
    assert_fits(ours[f"NFO:{atm}"], sample(shared, name)["data"]["NSE:INFY"])


def test_money_answers_fit(busy, shared):
    server, kite, atm = busy
    legs = [{**LEG, "tradingsymbol": atm}, {**LEG, "tradingsymbol": atm, "transaction_type": "BUY"}]
    for name, path in (("order_margins", "/margins/orders"), ("basket_margins", "/margins/basket")):
        assert_fits(raw(server, kite, path, "POST", json=legs), sample(shared, name))
    notes = [{**leg, "average_price": 60, "order_id": "1"} for leg in legs]
    ours = raw(server, kite, "/charges/orders", "POST", json=notes)
    assert_fits(ours, sample(shared, "virtual_contract_note"))
    sale = ours["data"][0]["charges"]
    assert sale["transaction_tax"] == pytest.approx(60 * 65 * 0.0015)
    assert sale["brokerage"] == 20


def test_a_hedge_lowers_the_basket_and_its_place_in_it_does_not(busy):
    server, kite, atm = busy
    other = next(i.symbol for i in server.exchange.market.instruments if (i.strike, i.kind) == (25200, "CE"))
    legs = [{**LEG, "tradingsymbol": atm}, {**LEG, "tradingsymbol": other, "transaction_type": "BUY"}]
    naked = kite.basket_order_margins(legs[:1], consider_positions=False)["final"]["total"]
    hedged = kite.basket_order_margins(legs, consider_positions=False)
    assert hedged["final"]["total"] < naked < hedged["initial"]["total"]


def test_writing_answers_fit(server, kite, atm, minutes, shared):
    server.step(minutes(5))
    form = {**LEG, "tradingsymbol": atm, "price": 75, "validity": "DAY"}
    placed = raw(server, kite, "/orders/regular", "POST", data=form)
    assert_fits(placed, sample(shared, "order_response"))
    path = f"/orders/regular/{placed['data']['order_id']}"
    assert_fits(raw(server, kite, path, "PUT", data={"price": 76}), sample(shared, "order_modify"))
    assert_fits(raw(server, kite, path, "DELETE"), sample(shared, "order_cancel"))
    sliced = raw(
        server, kite, "/orders/regular", "POST", data={**form, "quantity": 2600, "autoslice": "true"}
    )
    assert_fits(sliced, sample(shared, "autoslice_response"))
    login = server.call(lambda: server.login.open_page(server.api_key))
    theirs = sample(shared, "generate_session")["data"]
    ours = kite.generate_session(login, api_secret=server.api_secret)
    assert_fits({**ours, "login_time": str(ours["login_time"])}, theirs)
    query = f"?api_key={kite.api_key}&access_token={kite.access_token}"
    assert_fits(raw(server, kite, "/session/token" + query, "DELETE"), sample(shared, "session_logout"))


def test_candles_fit_and_are_the_bars(busy, shared):
    server, kite, atm = busy
    one = server.exchange.market.by_key[f"NFO:{atm}"]
    span = "from=2026-09-01+09:15:00&to=2026-09-01+15:40:00"
    path = f"/instruments/historical/{one.token}/minute?{span}"
    ours = raw(server, kite, path)
    assert_fits(ours, sample(shared, "historical_minute"))
    assert len(raw(server, kite, path + "&oi=1")["data"]["candles"][0]) == 7
    bars = server.exchange.market.bars
    rows = ours["data"]["candles"]
    assert len(rows) == 5
    for minute, (at, opened, high, low, close, volume) in enumerate(rows):
        assert at == f"2026-09-01T09:{15 + minute}:00+0530"
        grids = (bars.open, bars.high, bars.low, bars.close)
        assert [opened, high, low, close] == [round(grid[one.place, minute] * 0.05, 2) for grid in grids]
        assert volume == bars.volume[one.place, minute]
    five = kite.historical_data(one.token, "2026-09-01 09:15:00", "2026-09-01 15:40:00", "5minute")
    assert [(c["open"], c["high"], c["close"]) for c in five] == [
        (rows[0][1], max(row[2] for row in rows), rows[-1][4])
    ]


def test_the_instruments_dump_fits(server, kite, shared):
    text = (shared / "fixtures" / "kite" / "instruments_all.csv").read_text()
    answer = requests.get(
        f"{server.rest_url}/instruments", timeout=5,
        headers={"Authorization": f"token {kite.api_key}:{kite.access_token}"},
    )  # fmt: skip
    assert "csv" in answer.headers["content-type"]
    assert next(csv.reader(io.StringIO(answer.text))) == next(csv.reader(io.StringIO(text)))
    lines = kite.instruments("NFO")
    assert {line["segment"] for line in lines} == {"NFO-OPT"}
    assert (lines[0]["lot_size"], lines[0]["tick_size"], lines[0]["expiry"]) == (
        65,
        0.05,
        dt.date(2026, 9, 1),
    )
    assert len(kite.instruments()) == len(lines) + 1


def test_a_postback_and_an_order_frame_fit(busy, shared):
    server, _, _ = busy
    order = next(iter(server.exchange.orders.values()))
    ours = order.postback(server.exchange.clock, status="COMPLETE", app_id=1, checksum="c")
    assert_fits(ours, sample(shared, "postback"))


@pytest.mark.parametrize("name", ["full", "quote"])
def test_kites_packets_are_reproduced_from_their_json(shared, name):
    tick = sample(shared, f"ticker_{name}")
    for field in ("last_trade_time", "timestamp"):
        if field in tick:
            tick[field] = int(dt.datetime.fromisoformat(tick[field]).timestamp())
    packet = base64.b64decode((shared / "fixtures" / "kite" / f"ticker_{name}.packet").read_text())
    ours = packet_of(tick)
    assert ours == packet
    (read,) = KiteTicker("key", "token")._parse_binary(struct.pack(">HH", 1, len(ours)) + ours)
    for key, value in sample(shared, f"ticker_{name}").items():
        if key not in {"last_trade_time", "timestamp", "change"}:
            assert read[ALIASES.get(key, key)] == value


def test_an_ltp_packet_is_what_the_client_reads(shared):
    tick = sample(shared, "ticker_ltp")
    ours = packet_of(tick)
    assert KiteTicker("key", "token")._parse_binary(struct.pack(">HH", 1, len(ours)) + ours) == [tick]
