"""The feed of Kite itself: session hours, tick ages, subscriptions; against a small WebSocket of the test's own."""

import asyncio
import datetime as dt
import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import websockets

from engine.live.brokers.kite_token import KiteSecrets, write_token
from engine.live.brokers.logins import Logins
from engine.live.feeds import kite as module
from engine.live.feeds.kite import KiteFeed, LinkRules
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import Status, Subscription, Wanted
from engine.market.clock import IST
from engine.practice.kite_packets import FULL, INDEX_FULL, frame

DATE = dt.date(2026, 9, 1)
TOKENS = [(100 + place) << 8 | 2 for place in range(4)]
INDEX = 256265
RULES = LinkRules(mute_s=0.4, stale_s=0.3, dead_s=0.9, ask_again_s=0.5, retry_s=0.05, watch_s=0.05)
ASKED = Subscription(
    ("NIFTY 50", INDEX), tuple(Wanted(place, f"S{place}", token) for place, token in enumerate(TOKENS))
)


class Vendor:
    """What stands in for Kite: remembers requests, sends what the test says."""

    def __init__(self):
        self.requests = []
        self.connections = []
        self.heartbeats = True

    async def serve(self, ws):
        self.connections.append(ws)
        beating = asyncio.create_task(self.beat(ws))
        try:
            async for text in ws:
                self.requests.append(json.loads(text))
        finally:
            beating.cancel()

    async def beat(self, ws):
        while True:
            if self.heartbeats:
                await ws.send(b"\x00")
            await asyncio.sleep(0.05)

    async def send(self, tokens, price=10_000, volume=65):
        parts = []
        for token in tokens:
            made = np.zeros(1, INDEX_FULL if token == INDEX else FULL)
            made["length"] = made.dtype.itemsize - 2
            made["token"], made["last"] = token, price
            made["exchange_time"] = int(time.time())
            if token != INDEX:
                made["volume"] = volume
            parts.append(made)
        await self.connections[-1].send(frame(parts))


@pytest.fixture
def at_noon(monkeypatch):
    """The machine's clock says noon of the trading day; ticks are due."""
    told = dt.datetime.combine(DATE, dt.time(12), IST)

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return told.astimezone(tz)

    monkeypatch.setattr(module.dt, "datetime", Clock)
    return lambda hour: told.replace(hour=hour)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a story with a vendor, the feed and its server in one loop."""
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "token")

    def whole(story, rules=RULES):
        async def play():
            vendor = Vendor()
            async with websockets.serve(vendor.serve, "127.0.0.1", 0) as listening:
                port = listening.sockets[0].getsockname()[1]
                feed = KiteFeed(
                    DATE,
                    root=f"ws://127.0.0.1:{port}",
                    env_file=tmp_path / ".env",
                    login_command="type this",
                    rules=rules,
                )
                server = FeedServer(tmp_path / "feed.sock", feed)
                told = []
                server.tell = lambda status: (told.append(status), FeedServer.tell(server, status))
                running = asyncio.create_task(feed.run(server))
                try:
                    feed.wanted(ASKED)
                    await true(lambda: len(vendor.requests) >= 2)
                    await story(vendor, feed, told)
                finally:
                    running.cancel()
                    await asyncio.sleep(0.05)

        asyncio.run(play())

    return whole


async def true(condition, timeout_s=5):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def test_everything_is_asked_for_in_full_mode(run):
    async def story(vendor, feed, told):
        assert vendor.requests[:2] == [
            {"a": "subscribe", "v": [*TOKENS, INDEX]},
            {"a": "mode", "v": ["full", [*TOKENS, INDEX]]},
        ]

    run(story)


def test_the_link_is_up_with_the_first_ticks_and_counts_them(run, at_noon):
    async def story(vendor, feed, told):
        await vendor.send(TOKENS[:2])
        await true(lambda: told[-1] == Status("up", "", 5, 2))
        await vendor.send([*TOKENS, INDEX])
        await true(lambda: told[-1] == Status("up", "", 5, 5))

    run(story)


def test_a_mute_link_is_made_anew_and_everything_asked_for_again(run):
    async def story(vendor, feed, told):
        await vendor.send([*TOKENS, INDEX])
        await true(lambda: feed.confirmed == 5)
        vendor.heartbeats = False
        await true(lambda: len(vendor.connections) == 2)
        vendor.heartbeats = True
        down = next(status for status in told if status.link == "down")
        assert "no sign of life" in down.detail
        assert down.confirmed == 0
        await true(lambda: len(vendor.requests) == 4)
        assert vendor.requests[2]["v"] == [*TOKENS, INDEX]
        assert feed.confirmed == 0
        await vendor.send(TOKENS[:3])
        await true(lambda: told[-1] == Status("up", "", 5, 3))

    run(story)


def test_in_session_hours_a_link_without_ticks_is_stale_then_made_anew(run, at_noon):
    async def story(vendor, feed, told):
        await vendor.send([*TOKENS, INDEX])
        await true(lambda: told[-1].link == "up")
        await true(lambda: told[-1].link == "stale")
        assert "no tick for" in told[-1].detail
        await true(lambda: len(vendor.connections) == 2)

    run(story)


def test_outside_session_hours_ticks_are_not_due(run, at_noon, monkeypatch):
    monkeypatch.setattr(KiteFeed, "_in_session", lambda _: False)

    async def story(vendor, feed, told):
        await vendor.send([*TOKENS, INDEX])
        await asyncio.sleep(1.5)
        assert told[-1].link == "up"
        assert len(vendor.connections) == 1

    run(story)


def test_session_hours_are_those_of_the_calendar(at_noon, monkeypatch):
    feed = KiteFeed(DATE, env_file=Path("none"), login_command="")
    assert feed._in_session()
    monkeypatch.setattr(feed, "_windows", ())
    assert not feed._in_session()


def test_a_token_that_stays_silent_after_connecting_is_asked_for_again(run, at_noon):
    async def story(vendor, feed, told):
        for _ in range(12):
            await vendor.send([*TOKENS[:3], INDEX])
            await asyncio.sleep(0.1)
        assert {"a": "subscribe", "v": TOKENS[3:]} in vendor.requests
        assert len(vendor.connections) == 1

    run(story)


def test_a_frame_that_cannot_be_read_is_told_and_passed_over(run):
    async def story(vendor, feed, told):
        await vendor.connections[-1].send(struct.pack(">HH", 3, 184) + b"x")
        await vendor.connections[-1].send("no json")
        await vendor.connections[-1].send(json.dumps({"type": "order", "data": {"exchange": "NFO"}}))
        await vendor.send([*TOKENS, INDEX])
        await true(lambda: told[-1].link == "up")
        assert feed.unreadable == 3
        assert "3 frames could not be read" in told[-1].detail
        assert feed.health()["unreadable"] == 3

    run(story)


def test_an_address_where_nobody_listens_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "token")

    async def story():
        feed = KiteFeed(
            DATE, root="ws://127.0.0.1:9", env_file=tmp_path / ".env", login_command="type this", rules=RULES
        )
        server = FeedServer(tmp_path / "feed.sock", feed)
        told = []
        server.tell = told.append
        running = asyncio.create_task(feed.run(server))
        feed.wanted(ASKED)
        await true(lambda: len(told) >= 3)
        running.cancel()
        assert {status.link for status in told} == {"down"}

    asyncio.run(story())


def test_without_a_login_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.delenv("KITE_ACCESS_TOKEN", raising=False)

    async def story():
        feed = KiteFeed(
            DATE, root="ws://127.0.0.1:9", env_file=tmp_path / ".env", login_command="type this", rules=RULES
        )
        server = FeedServer(tmp_path / "feed.sock", feed)
        told = []
        server.tell = told.append
        running = asyncio.create_task(feed.run(server))
        feed.wanted(ASKED)
        await true(lambda: told)
        running.cancel()
        assert told[-1].link == "token_expired"
        assert told[-1].detail == "there is no Kite access token (KITE_ACCESS_TOKEN); log in: type this"

    asyncio.run(story())


def test_the_file_s_good_login_goes_first_and_what_was_refused_or_died_last(tmp_path, monkeypatch):
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "of the environment")
    path = tmp_path / ".env"
    logins = Logins(path)
    now = dt.datetime.now(IST)

    def written(token, dies):
        write_token(path, KiteSecrets("key", None, token, dies))
        return logins.best().access_token

    alive = now + dt.timedelta(hours=1)
    assert written("of the file", alive) == "of the file"
    logins.refuse("of the file")
    assert written("of the file", alive) == "of the environment"
    assert written("renewed", alive) == "renewed"
    assert written("dead", now - dt.timedelta(hours=1)) == "of the environment"
    assert logins.has_another()
    logins.refuse("of the environment")
    assert not logins.has_another()
    assert written("renewed", alive) == "renewed"
    assert logins.has_another()
    logins.refuse("renewed")
    assert written("renewed", alive) == "renewed", "all were refused: the best is asked again"


def test_the_link_is_up_with_the_very_first_tick(run):
    async def story(vendor, feed, told):
        await vendor.send(TOKENS[:1])
        await true(lambda: feed.confirmed == 1)
        assert told[-1] == Status("up", "", 5, 1)  # not only when the link is looked at next

    run(story, LinkRules(watch_s=30))
