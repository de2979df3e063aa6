"""The pace of a played day: manual, numbers, as fast as everybody follows; the same day every time."""

import asyncio
import json
import threading
import time

import pytest
import requests
import websockets

from engine.errors import WorkbenchError
from engine.practice.market import PracticeDay
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings
from engine.practice.settings import ExchangeSettings

MOMENTS_OF_A_DAY = 385 * 5


def acknowledge(server, seq, name="session"):
    answer = requests.post(f"{server.rest_url}/practice/ack", data={"name": name, "seq": seq}, timeout=5)
    assert answer.status_code == 200


def test_a_day_nobody_watches_is_over_at_once(serve):
    server = serve(pace=PaceSettings(speed="max"))
    assert server.wait_finished(20)
    state = requests.get(f"{server.rest_url}/practice/state", timeout=5).json()
    assert (state["finished"], state["simulated"]) == (True, True)
    assert (state["beat"]["minute"], state["beat"]["moment"]) == (384, 4)


def test_the_market_waits_for_its_participants(serve):
    server = serve(pace=PaceSettings(speed="max", participants=2))
    acknowledge(server, 1, "runner")
    time.sleep(0.1)
    assert server.pacer.beat.seq == 1
    acknowledge(server, 3, "watchdog")
    time.sleep(0.1)
    assert server.pacer.beat.seq == 2
    acknowledge(server, 10, "runner")
    time.sleep(0.1)
    assert server.pacer.beat.seq == 4


def test_at_a_numbered_speed_time_flows_once_everybody_is_there(serve):
    server = serve(pace=PaceSettings(speed=6000, participants=1, end_minute=30))
    assert not server.wait_finished(0.5)  # half an hour would have passed
    assert server.pacer.beat.seq == 1
    acknowledge(server, 1)
    assert server.wait_finished(5)


def test_while_time_stands_no_request_is_one_too_many(serve, logged_in):
    server = serve(pace=PaceSettings(speed=1, participants=1))
    kite = logged_in(server)
    while server.pacer.beat is None:
        time.sleep(0.01)
    for _ in range(25):
        kite.orders()
    acknowledge(server, 1)


def test_an_absent_participant_holds_the_market_up_for_a_while_only(serve):
    server = serve(pace=PaceSettings(speed="max", participants=1, absent_s=0.05, end_minute=1))
    assert not server.wait_finished(0.3)  # it has never come: the market waits for it
    acknowledge(server, 1)
    assert server.wait_finished(5)
    assert server.pacer.beat.seq == 5


def test_the_first_moment_can_wait_for_the_first_reader(serve):
    server = serve(pace=PaceSettings(speed="max", await_reader=True, quiet_s=0.001, end_minute=5))
    assert not server.wait_finished(0.2)
    url = f"{server.ticker_url}/?api_key={server.api_key}&access_token={server.grant_token()}"

    async def come():
        async with websockets.connect(url, proxy=None) as ws:
            await ws.send(json.dumps({"a": "subscribe", "v": [int(server.exchange.market.tokens[0])]}))
            return [await asyncio.wait_for(ws.recv(), 5) for _ in range(20)]

    assert asyncio.run(come())
    assert server.wait_finished(5)


def scripted(server):
    """
    A session in step with the exchange: sells at every tenth close, buys back two closes later.

    Returns the fills; every request is made at a minute's close and answered before the next moment.
    """
    one = server.exchange.market.by_token[int(server.exchange.market.tokens[4])]
    token = server.grant_token()
    http = requests.Session()
    http.headers["Authorization"] = f"token {server.api_key}:{token}"

    def act(beat):
        if beat["moment"] != 4 or beat["minute"] % 10 not in {0, 2}:
            return
        side = "SELL" if beat["minute"] % 10 == 0 else "BUY"
        last = http.get(f"{server.rest_url}/quote/ltp", params={"i": one.key}).json()["data"][one.key]
        stop = {"SELL": -1, "BUY": 1}[side]
        form = {"exchange": "NFO", "tradingsymbol": one.symbol, "transaction_type": side, "quantity": 65,
                "product": "MIS", "order_type": "SL", "trigger_price": round(last["last_price"] + stop, 2),
                "price": round(last["last_price"] + 3 * stop, 2)}  # fmt: skip
        http.post(f"{server.rest_url}/orders/regular", data=form)

    async def follow():
        url = f"{server.ticker_url}/?api_key={server.api_key}&access_token={token}"
        async with websockets.connect(url, proxy=None) as ws:
            await ws.send(json.dumps({"a": "mode", "v": ["full", [one.token]]}))
            acknowledge(server, 1)
            while True:
                message = await ws.recv()
                if isinstance(message, bytes) or json.loads(message)["type"] != "clock":
                    continue
                beat = json.loads(message)["data"]
                act(beat)
                if beat["seq"] >= 60 * 5:
                    return
                acknowledge(server, beat["seq"])

    asyncio.run(follow())
    return [(t.order.order_id, t.quantity, t.price, t.ms) for t in server.exchange.trades]


def test_same_day_same_requests_same_fills(played_day):
    settings = ServerSettings(
        pace=PaceSettings(speed="max", participants=1, end_minute=61),
        exchange=ExchangeSettings(slip_ticks=2),
    )
    outcomes: list = []
    for _ in range(2):
        with PracticeServer(played_day, settings) as server:
            outcomes.append(scripted(server))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) > 4


def test_exchange_time_flows_at_the_speed_asked_for(serve):
    server = serve(pace=PaceSettings(speed=600, start_minute=30))
    begun = time.monotonic()
    first = server.call(lambda: server.exchange.now_ms)
    time.sleep(0.5)
    requests.get(f"{server.rest_url}/practice/state", timeout=5)
    passed = server.call(lambda: server.exchange.now_ms) - first
    assert passed == pytest.approx((time.monotonic() - begun) * 600_000, rel=0.25)
    assert server.exchange.market.minute >= 30


def test_only_a_manual_pace_is_stepped_and_a_day_ends(serve):
    server = serve(pace=PaceSettings(speed="manual", end_minute=1))
    assert server.step(99).seq == 5
    assert server.wait_finished(1)
    other = serve(pace=PaceSettings(speed=1))
    with pytest.raises(WorkbenchError, match="only a manual one"):
        other.step()


@pytest.mark.parametrize("speed", ["fast", 0, -1])
def test_a_speed_that_cannot_be_meant_is_refused(speed):
    with pytest.raises(WorkbenchError):
        PaceSettings(speed=speed)


def test_a_taken_port_is_told(serve, played_day):
    port = int(serve().rest_url.rpartition(":")[2])
    with pytest.raises(WorkbenchError, match=str(port)):
        PracticeServer(played_day, ServerSettings(port=port)).start()


def test_a_day_of_bars_alone_can_be_served(played_day):
    day = PracticeDay.of_bars(played_day.bars)
    with PracticeServer(day, ServerSettings(pace=PaceSettings(speed="manual"))) as server:
        server.step(5)
        assert server.exchange.market.spot_rupees() is None
        assert threading.active_count() > 1
