"""Each named fault, as the official client meets it; and the same seed gives the same faults."""

import asyncio
import hashlib
import http.server
import json
import threading
import time

import pytest
import requests
import websockets
from kiteconnect import exceptions as refused

from engine.practice.faults import FAULTS, Fault, FaultError, Faults, parse_fault


@pytest.fixture
def ready(server, kite, atm, minutes):
    """Client, symbol and last price after five minutes, and a way to switch a fault on."""
    server.step(minutes(5))
    last = kite.ltp(f"NFO:{atm}")[f"NFO:{atm}"]["last_price"]

    def switch(*texts):
        form = [("fault", text) for text in texts]
        assert requests.post(f"{server.rest_url}/practice/faults", data=form, timeout=5).status_code == 200

    return kite, atm, last, switch


def order(kite, symbol, price, side="SELL", quantity=65, **more):
    return kite.place_order("regular", "NFO", symbol, side, quantity, "MIS", more.pop("kind", "LIMIT"),
                            price=round(price, 2), **more)  # fmt: skip


def test_a_lost_answer_leaves_the_order_in_the_book(ready):
    kite, atm, last, switch = ready
    switch("lost_answer:p=1")
    with pytest.raises(requests.exceptions.ConnectionError):
        order(kite, atm, last + 5, tag="lost1")
    switch()
    assert [(line["tag"], line["status"]) for line in kite.orders()] == [("lost1", "OPEN")]


def test_a_lost_request_leaves_nothing(ready):
    kite, atm, last, switch = ready
    switch("lost_request:nth=1")
    with pytest.raises(requests.exceptions.ConnectionError):
        order(kite, atm, last + 5)
    assert kite.orders() == []
    order(kite, atm, last + 5)
    assert len(kite.orders()) == 1


def test_a_timed_out_order_appears_later(ready, server):
    kite, atm, last, switch = ready
    switch("timed_out_but_placed:p=1,seconds=8")
    with pytest.raises(refused.OrderException, match="timed out") as caught:
        order(kite, atm, last - 5, tag="late1")
    assert caught.value.code == 400
    assert kite.orders() == []
    server.step()  # the next minute's first moment, the same second
    assert kite.orders() == []
    server.step()
    assert [(line["tag"], line["status"]) for line in kite.orders()] == [("late1", "COMPLETE")]


def test_a_stuck_order_can_neither_be_cancelled_nor_fill(ready, server):
    kite, atm, last, switch = ready
    switch("stuck_order:p=1,seconds=90")
    stuck = order(kite, atm, last - 5)
    switch()
    server.step(7)
    assert kite.orders()[0]["status"] == "PUT ORDER REQ RECEIVED"
    with pytest.raises(refused.OrderException, match="being processed"):
        kite.cancel_order("regular", stuck)
    server.step(5)
    assert kite.orders()[0]["status"] == "COMPLETE"


def test_a_partial_fill_is_open_with_a_filled_quantity(ready, server):
    kite, atm, last, switch = ready
    switch("partial_fill:nth=1")
    order(kite, atm, last - 1, quantity=260)
    (line,) = kite.orders()
    assert (line["status"], line["filled_quantity"], line["pending_quantity"]) == ("OPEN", 130, 130)
    server.step(50)
    assert sum(trade["quantity"] for trade in kite.trades()) in {130, 260}


def test_the_rest_of_a_partial_fill_can_be_cancelled(ready):
    kite, atm, last, switch = ready
    switch("partial_fill:nth=1,rest=cancelled")
    order(kite, atm, last - 1, quantity=260)
    (line,) = kite.orders()
    assert (line["status"], line["filled_quantity"], line["cancelled_quantity"]) == ("CANCELLED", 130, 130)
    assert kite.positions()["net"][0]["quantity"] == -130


def test_a_rejected_order_stands_in_the_book_with_its_reason(ready):
    kite, atm, last, switch = ready
    switch("reject:p=1")
    order(kite, atm, last + 5)
    (line,) = kite.orders()
    assert line["status"] == "REJECTED"
    assert line["status_message"]


def test_a_cancel_can_lose_the_race_against_a_fill(ready):
    kite, atm, last, switch = ready
    resting = order(kite, atm, last - 5, kind="SL", trigger_price=round(last - 2, 2))
    switch("cancel_raced_by_fill:p=1")
    assert kite.cancel_order("regular", resting) == resting
    (line,) = kite.orders()
    assert (line["status"], line["average_price"]) == ("COMPLETE", round(last - 2, 2))


def test_429_without_cause(ready):
    kite, _, _, switch = ready
    switch("too_many_requests:p=1")
    with pytest.raises(refused.NetworkException) as caught:
        kite.orders()
    assert caught.value.code == 429


def test_an_expired_token_needs_a_new_login(ready, server, logged_in):
    kite, _, _, switch = ready
    switch("token_expiry:p=1")
    with pytest.raises(refused.TokenException):
        kite.orders()
    switch()
    with pytest.raises(refused.TokenException):
        kite.orders()
    assert logged_in(server).orders() == []


def test_an_outage_answers_503_and_cuts_sockets(ready, server):
    kite, _, _, switch = ready

    async def cut():
        url = f"{server.ticker_url}/?api_key={server.api_key}&access_token={kite.access_token}"
        async with websockets.connect(url, proxy=None) as ws:
            switch("outage:minutes=5-6")
            await asyncio.to_thread(server.step)
            await asyncio.wait_for(ws.wait_closed(), 5)
        with pytest.raises(websockets.InvalidStatus):
            async with websockets.connect(url, proxy=None):
                pass

    asyncio.run(cut())
    with pytest.raises(refused.NetworkException) as caught:
        kite.orders()
    assert caught.value.code == 503
    server.step(5)
    assert kite.orders() == []


def test_postbacks_carry_the_checksum(serve, logged_in, minutes):
    got = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, daemon=True)
        thread.start()
        server = serve(postback_url=f"http://127.0.0.1:{receiver.server_port}/hook")
        kite = logged_in(server)
        server.step(minutes(5))
        one = server.exchange.market.instruments[0]
        order_id = order(kite, one.symbol, kite.ltp(one.key)[one.key]["last_price"] + 5)
        kite.cancel_order("regular", order_id)
        until = time.monotonic() + 5
        while not got and time.monotonic() < until:
            time.sleep(0.01)
        receiver.shutdown()
    (told,) = got
    assert (told["order_id"], told["status"]) == (order_id, "CANCELLED")
    text = f"{order_id}{told['order_timestamp']}{server.api_secret}"
    assert told["checksum"] == hashlib.sha256(text.encode()).hexdigest()


def test_the_same_seed_strikes_at_the_same_occasions():
    def draw(seed, rules, names):
        faults = Faults(seed, rules)
        return [name for name in names if faults.strike(name)]

    names = ["reject", "lost_answer"] * 100
    both = (Fault("reject", 0.2), Fault("lost_answer", 0.2))
    assert draw(3, both, names) == draw(3, both, names)
    assert draw(3, both, names) != draw(4, both, names)
    alone = draw(3, both[:1], names)
    assert alone == [name for name in draw(3, both, names) if name == "reject"]


def test_faults_are_read_from_text():
    assert parse_fault("reject:p=0.25") == Fault("reject", 0.25)
    assert parse_fault("stuck_order:nth=1+3,seconds=90") == Fault("stuck_order", nth=(1, 3), seconds=90)
    assert parse_fault("outage:minutes=30-32").minutes == (30, 32)


@pytest.mark.parametrize(
    "text", ["rejekt:p=1", "reject", "reject:p=2", "reject:p=x", "reject:often=1", "partial_fill:p=1,rest=x"]
)
def test_a_fault_that_cannot_be_meant_is_refused(text):
    with pytest.raises(FaultError):
        parse_fault(text)


def test_every_fault_is_told_in_words():
    assert all(FAULTS.values())
