"""The ticker through the official client, and its frames read by it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import websockets
from kiteconnect import KiteTicker

from engine.practice.faults import parse_fault

CLIENT = Path(__file__).with_name("ticker_client.py")


class Listener:
    """The official ticker as a child process."""

    def __init__(self, server, token, mode, tokens, seconds=20):
        words = [sys.executable, str(CLIENT), server.ticker_url, server.api_key, token, mode, str(seconds)]
        self.process = subprocess.Popen([*words, *map(str, tokens)], stdout=subprocess.PIPE, text=True)
        self.heard = []

    def until(self, what, match=bool):
        for line in self.process.stdout:
            told = json.loads(line)
            self.heard.append(told)
            if told["what"] == what and match(told["data"]):
                return told["data"]
        raise AssertionError(f"no {what}; heard {[told['what'] for told in self.heard]}")

    def stop(self):
        self.process.kill()
        self.process.communicate()


def test_the_official_ticker_hears_ticks_depth_orders_and_heartbeats(server, kite, atm, minutes):
    server.step(minutes(5))
    market = server.exchange.market
    one = market.by_key[f"NFO:{atm}"]
    listener = Listener(server, kite.access_token, "full", [one.token, market.index.token])
    try:
        listener.until(
            "ticks", lambda ticks: ticks[0]["mode"] == "full"
        )  # the present state, on subscription
        server.step()
        ticks = listener.until("ticks", lambda ticks: len(ticks) == 2 and ticks[0]["mode"] == "full")
        option, index = ticks
        quote = kite.quote(one.key)[one.key]
        assert option["last_price"] == quote["last_price"]
        assert option["depth"] == quote["depth"]
        assert option["ohlc"] == {**quote["ohlc"], "close": 0.0}
        assert option["volume_traded"] == quote["volume"]
        assert (index["instrument_token"], index["tradable"]) == (256265, False)
        assert index["ohlc"]["high"] >= index["last_price"] >= index["ohlc"]["low"]
        clock = listener.until("text", lambda told: told["type"] == "clock")["data"]
        assert (clock["minute"], clock["moment"]) == (5, 0)
        order_id = kite.place_order("regular", "NFO", atm, "SELL", 65, "MIS", "LIMIT",
                                    price=round(quote["last_price"] - 1, 2), tag="heard")  # fmt: skip
        told = listener.until("order", lambda order: order["status"] == "COMPLETE")
        assert (told["order_id"], told["tag"], told["checksum"]) == (order_id, "heard", "")
        assert told["average_price"] == quote["last_price"]
        listener.until("heartbeat", lambda data: data is None)
    finally:
        listener.stop()


def test_exchange_times_of_ticks_are_seconds_of_the_played_day(server, kite, minutes):
    server.step(minutes(5) + 1)
    token = server.exchange.market.instruments[0].token

    async def first():
        async with connect(server, kite.access_token) as ws:
            await ws.send(json.dumps({"a": "mode", "v": ["full", [token]]}))
            return await binary(ws)

    payload = asyncio.run(first())
    packet = payload[4:]
    seconds = int.from_bytes(packet[60:64], "big")
    assert seconds == server.exchange.market.open_ns // 10**9 + 5 * 60
    assert KiteTicker("k", "t")._parse_binary(payload)[0]["instrument_token"] == token


def connect(server, access_token):
    return websockets.connect(
        f"{server.ticker_url}/?api_key={server.api_key}&access_token={access_token}", proxy=None
    )


async def binary(ws):
    while True:
        message = await asyncio.wait_for(ws.recv(), 5)
        if isinstance(message, bytes) and len(message) > 1:
            return message


async def next_clock(ws, keep):
    while True:
        message = await asyncio.wait_for(ws.recv(), 5)
        if isinstance(message, bytes):
            if len(message) > 1:
                keep.append(message)
        elif json.loads(message)["type"] == "clock":
            return


def frames_of(server, kite, steps, fault=None):
    """Binary frames heard by a subscriber of every contract through so many moments, per moment."""
    tokens = [int(token) for token in server.exchange.market.tokens]
    heard = []

    async def listen():
        async with connect(server, kite.access_token) as ws:
            await ws.send(json.dumps({"a": "subscribe", "v": tokens}))
            await binary(ws)  # the snapshot
            for _ in range(steps):
                frames = []
                await asyncio.to_thread(server.step)
                await next_clock(ws, frames)
                heard.append(frames)

    if fault:
        server.call(lambda: server.exchange.faults.switch((parse_fault(fault),)))
    asyncio.run(listen())
    return heard


def test_every_contract_ticks_at_each_of_the_four_moments(server, kite, minutes):
    server.step(minutes(5))
    heard = frames_of(server, kite, 5)
    assert [len(frames) for frames in heard] == [1, 1, 1, 1, 0]
    market = server.exchange.market
    for place, moment in ((0, 0), (3, 2)):
        tick = KiteTicker("k", "t")._parse_binary(heard[moment][0])[place]
        bars = market.bars
        price = (bars.open, bars.high, bars.low, bars.close)[(0, 2, 1, 3)[moment]][place, 5]
        assert tick["last_price"] == pytest.approx(price * 0.05)
    volumes = [KiteTicker("k", "t")._parse_binary(frames[0])[0]["volume_traded"] for frames in heard[:4]]
    assert volumes[-1] == int(np.sum(market.bars.volume[0, :6]))


def test_duplicate_and_late_frames(server, kite, minutes):
    server.step(minutes(5))
    doubled = frames_of(server, kite, 2, "duplicate_ticks:p=1")
    assert [len(frames) for frames in doubled] == [2, 2]
    assert doubled[0][0] == doubled[0][1]
    server.call(
        lambda: setattr(server.exchange.faults, "occasions", type(server.exchange.faults.occasions)())
    )
    late = frames_of(server, kite, 2, "late_ticks:nth=1")
    assert [len(frames) for frames in late] == [0, 2]
    volume = [KiteTicker("k", "t")._parse_binary(frame)[0]["volume_traded"] for frame in late[1]]
    assert volume[0] > volume[1]


def test_a_mute_socket_stays_open_and_says_nothing(server, kite, minutes):
    server.step(minutes(5))
    token = int(server.exchange.market.tokens[0])
    server.call(lambda: server.exchange.faults.switch((parse_fault("mute_socket:p=1"),)))

    async def listen():
        async with connect(server, kite.access_token) as ws:
            await ws.send(json.dumps({"a": "subscribe", "v": [token]}))
            await binary(ws)
            await asyncio.to_thread(server.step)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 1.3)
            server.call(lambda: server.exchange.faults.switch(()))
            await asyncio.to_thread(server.step)
            return await binary(ws)

    assert asyncio.run(listen())


def test_a_wrong_token_is_refused_and_odd_requests_are_answered(server, kite):
    async def refused():
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with connect(server, "wrong"):
                pass
        assert caught.value.response.status_code == 403

    async def odd():
        async with connect(server, kite.access_token) as ws:
            await ws.send("not json")
            await ws.send(json.dumps({"a": "subscribe", "v": [1]}))
            return [json.loads(await asyncio.wait_for(ws.recv(), 5)) for _ in range(2)]

    asyncio.run(refused())
    assert [told["type"] for told in asyncio.run(odd())] == ["error", "error"]


def test_unsubscribed_tokens_are_silent(server, kite, minutes):
    server.step(minutes(5))
    first, second = (int(token) for token in server.exchange.market.tokens[:2])

    async def listen():
        frames = []
        async with connect(server, kite.access_token) as ws:
            await ws.send(json.dumps({"a": "subscribe", "v": [first, second]}))
            await binary(ws)
            await ws.send(json.dumps({"a": "unsubscribe", "v": [first]}))
            await ws.send(json.dumps({"a": "mode", "v": ["ltp", [second]]}))
            await binary(ws)
            await asyncio.to_thread(server.step)
            await next_clock(ws, frames)
        return frames

    (frame,) = asyncio.run(listen())
    assert len(frame) == 2 + 2 + 8
    assert int.from_bytes(frame[4:8], "big") == second
