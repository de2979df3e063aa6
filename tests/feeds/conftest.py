"""A simulated day, practice exchanges over it, and feeds of sessions as processes of their own."""

import asyncio
import os
import subprocess
import sys
from typing import ClassVar

import pytest
from simulated_day import DATE, day_to_play, simulated_lake

from engine.live.feeds.wire import FeedClient
from engine.live.spec import load_session_params, make_spec
from engine.practice.server import PracticeServer


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    return simulated_lake(tmp_path_factory.mktemp("feed-data"), strikes_each_side=10)


@pytest.fixture(scope="session")
def played_day(lake):
    return day_to_play(lake)


@pytest.fixture
def make_practice_spec(tmp_path):
    """The spec of a session at an exchange."""

    def make(server, speed="manual", **options):
        return make_spec(
            load_session_params("practice"),
            date=DATE,
            data_folder=tmp_path,
            broker_root=server.rest_url,
            feed_options={
                "ticker_url": server.ticker_url,
                "rest_url": server.rest_url,
                "speed": speed,
                **options,
            },
        )

    return make


@pytest.fixture
def start_feed():
    """Start `python -m engine.live.feeds`; ended after the test."""
    running = []

    def start(spec, token="none"):
        env = {**os.environ, "KITE_API_KEY": PracticeServer.api_key, "KITE_ACCESS_TOKEN": token}
        words = [sys.executable, "-m", "engine.live.feeds", str(spec.write())]
        process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


class Reader:
    """A FeedClient that remembers what it heard and answers every clock."""

    made: ClassVar = []

    def __init__(self, client, *, answers=True):
        self.client = client
        self.answers = answers
        self.heard = []

    @classmethod
    async def connect(cls, spec, **settings):
        made = cls(await FeedClient.connect(spec.places.feed_socket, patience_s=20), **settings)
        cls.made.append(made)
        return made

    async def until(self, match, timeout_s=20.0):
        async def read():
            async for message in self.client:
                self.heard.append(message)
                if self.answers and type(message).__name__ == "ClockTick":
                    await self.client.done(message.seq)
                if match(message):
                    return message
            raise AssertionError("the feed has gone")

        return await asyncio.wait_for(read(), timeout_s)

    def of(self, kind):
        return [message for message in self.heard if isinstance(message, kind)]


@pytest.fixture
def reader():
    return Reader


@pytest.fixture
def follow():
    """Run a coroutine function that follows feeds, and hang up afterwards."""

    def run(act):
        async def whole():
            try:
                return await act()
            finally:
                while Reader.made:
                    await Reader.made.pop().client.close()

        return asyncio.run(whole())

    return run


def wanted_of(server):
    market = server.exchange.market
    options = [(one.place, one.symbol, one.token) for one in market.instruments if one.place >= 0]
    return options, (market.index.symbol, market.index.token)


@pytest.fixture
def wanted():
    """Subscription of every contract of an exchange, numbered as in its day; and its index."""
    return wanted_of
