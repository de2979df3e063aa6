"""The runner's line to its feed, over a real socket: connected again, health, the repeated past, answers."""

import asyncio
import os
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from engine.history.bars import TICK
from engine.live.day.feed_link import FeedLink
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import ClockTick, Hello, Index, Status, Ticks
from engine.market.indices import index_of

NS = 1_800_000_000_000_000_000
WANTED = [(0, "AAA", 101), (1, "BBB", 102)]


class QuietFeed:
    """A source that says only what the test says."""

    def __init__(self):
        self.hello = Hello("quiet", os.getpid(), paced=True, simulated=True)
        self.asked = []
        self.answered = []

    async def run(self, _out):
        await asyncio.Event().wait()

    def wanted(self, subscription):
        self.asked.append([each.symbol for each in subscription.instruments])

    def done(self, seq):
        self.answered.append(seq)


def ticks(*prices, at=NS):
    made = np.zeros(len(prices), TICK)
    made["price"], made["instrument"] = prices, np.arange(len(prices))
    made["exchange_ns"] = made["receive_ns"] = at
    return made


def clock(seq):
    return ClockTick(seq, 0, seq, NS + seq, closes=False, speed="max")


class Ear:
    """Follows a link; what it was told, and whether it belonged to the repeated past."""

    def __init__(self, path):
        self.link = FeedLink(path, index_of("NIFTY"))
        self.heard = []

    async def follow(self):
        async for message in self.link.messages():
            self.heard.append((message, self.link.in_past))

    def of(self, kind):
        return [message for message, _ in self.heard if isinstance(message, kind)]

    async def until(self, true, within_s=5.0):
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110 - anything may be waited for
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(path):
    server = FeedServer(path, QuietFeed())
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def listening(path):
    ear = Ear(path)
    ear.link.want(WANTED)
    task = asyncio.create_task(ear.follow())
    try:
        yield ear
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def path(tmp_path):
    return tmp_path / "feed.sock"


def test_it_waits_for_a_feed_and_asks_for_what_is_wanted(path):
    async def act():
        async with listening(path) as ear:
            await asyncio.sleep(0.15)
            assert ear.link.condition(None)[0] == "down"
            async with serving(path) as server:
                await ear.until(lambda: server.has_reader)
                assert server.feed.asked[-1] == ["AAA", "BBB"]
                server.tell(Status("up", "", 2, 2))
                await ear.until(lambda: ear.link.condition(None)[0] == "up")
                assert ear.link.hello.feed == "quiet"

    asyncio.run(act())


def test_messages_are_passed_on_and_the_index_is_kept(path):
    async def act():
        async with serving(path) as server, listening(path) as ear:
            await ear.until(lambda: server._live is not None)
            server.send_ticks(ticks(100, 200))
            server.send(Index("NIFTY 50", 500_000, 499_000, NS))
            server.send(clock(1))
            await ear.until(lambda: ear.of(ClockTick))
            assert ear.of(Ticks)[0].ticks["price"].tolist() == [100, 200]
            assert ear.link.index.open == 499_000
            await ear.link.done(1)
            await ear.until(lambda: server.feed.answered == [1])

    asyncio.run(act())


def test_after_the_feed_died_it_connects_again_by_itself(path):
    async def act():
        async with listening(path) as ear:
            for _ in range(2):
                async with serving(path) as server:
                    server.tell(Status("up", "", 2, 2))
                    await ear.until(lambda: ear.link.condition(None)[0] == "up")
                    assert server.feed.asked[-1] == ["AAA", "BBB"]
                await ear.until(lambda: ear.link.condition(None)[0] == "down")
            await ear.link.done(7)  # nobody hears it, and nothing happens

    asyncio.run(act())


def test_the_past_is_marked_and_is_no_sign_of_a_living_market(path):
    async def act():
        async with serving(path) as server:
            async with listening(path) as first:
                await first.until(lambda: server._live is not None)
                server.send_ticks(ticks(100, 200))
                await first.until(lambda: first.of(Ticks))
                assert first.link.tick_age_s < 5
            server.tell(Status("up", "", 2, 2))
            async with listening(path) as second:
                await second.until(lambda: second.link.past_from_ns is not None and second.of(Ticks))
                assert [past for _, past in second.heard] == [True]
                assert second.link.past_from_ns == NS
                assert second.link.tick_age_s == float("inf")
                await second.until(lambda: not second.link.in_past)
                await second.until(lambda: second.link.condition(None)[0] == "up")
                assert second.link.condition(5.0)[0] == "stale"
                server.send_ticks(ticks(101, at=NS + 1))
                await second.until(lambda: second.link.condition(5.0)[0] == "up")
                assert second.heard[-1][1] is False

    asyncio.run(act())


def test_a_feed_that_has_lost_its_vendor_says_so(path):
    async def act():
        async with serving(path) as server, listening(path) as ear:
            await ear.until(lambda: server._live is not None)
            for link in ("stale", "token_expired", "up"):
                server.tell(Status(link, f"it is {link}", 2, 0))
                await ear.until(lambda link=link: ear.link.condition(None) == (link, f"it is {link}"))

    asyncio.run(act())


def test_confirmed_means_that_something_was_told_of_every_instrument(path):
    async def act():
        async with serving(path) as server, listening(path) as ear:
            await ear.until(lambda: server._live is not None)
            waiting = asyncio.create_task(ear.link.confirmed(2))
            server.tell(Status("up", "", 2, 1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            server.tell(Status("up", "", 2, 2))
            await asyncio.wait_for(waiting, 5)

    asyncio.run(act())


def test_instruments_are_added_while_connected(path):
    async def act():
        async with serving(path) as server, listening(path) as ear:
            await ear.until(lambda: server._live is not None)
            await ear.link.subscribe([*WANTED, (2, "CCC", 103)])
            await ear.until(lambda: server.feed.asked[-1] == ["AAA", "BBB", "CCC"])

    asyncio.run(act())


def test_a_feed_that_hangs_up_at_once_is_not_asked_without_a_pause(path):
    async def act():
        taken = 0

        async def refuse(_reader, writer):
            nonlocal taken
            taken += 1
            writer.close()

        server = await asyncio.start_unix_server(refuse, str(path))
        async with server, listening(path):
            await asyncio.sleep(0.5)
        assert 1 <= taken <= 6

    asyncio.run(act())
