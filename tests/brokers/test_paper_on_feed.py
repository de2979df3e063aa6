"""Paper brokers as a session's processes get them: from the spec, fed by the runner or by the feed itself."""

import asyncio
import datetime as dt

import pytest
from paper_rig import done

from engine.live.brokers.base import BrokerUnknown, OrderRequest, OrderStatus
from engine.live.brokers.making import make_kite, make_paper
from engine.live.brokers.paper import PaperBookError
from engine.live.clocks import SystemClock
from engine.live.feeds.replay import open_feed
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import ClockTick, FeedClient, Ticks
from engine.live.spec import load_session_params, make_spec
from engine.market.clock import minute_start, to_ns
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

DATE = dt.date(2026, 9, 1)
SECRETS = {"KITE_API_KEY": "key", "KITE_ACCESS_TOKEN": "token"}


@pytest.fixture
def spec(played_lake, tmp_path):
    return make_spec(
        load_session_params("paper", feed="replay", paper_latency_ms=0),
        date=DATE, data_folder=tmp_path,
        feed_options={"lake": str(played_lake.root), "source": "simulated", "speed": "max"},
    )  # fmt: skip


class TimeOfDay:
    """The clock a runner keeps by the feed's."""

    now = 0

    def wall_ns(self):
        return self.now

    def monotonic_ns(self):
        return self.now


def stories(spec):
    """A feed, and what a runner does until it dies."""

    async def run(act):
        feed = open_feed(spec)
        server = FeedServer(spec.places.feed_socket, feed)
        await server.start()
        playing = asyncio.create_task(feed.run(server))
        try:
            return await act()
        finally:
            playing.cancel()
            await server.close()

    return lambda act: asyncio.run(run(act))


async def sell_and_die(spec, minutes=10):
    """A runner that is short by a filled order when it is killed; the symbol and the quantity."""
    clock = TimeOfDay()
    broker = make_paper(spec, clock, fed=True)
    contracts = await broker.instruments("NIFTY")
    broker.follow(contracts)
    client = await FeedClient.connect(spec.places.feed_socket, patience_s=5)
    await client.subscribe([(n, one.symbol, one.token) for n, one in enumerate(contracts)])
    async for message in client:
        if isinstance(message, Ticks):
            broker.on_ticks(message.ticks, clock.now)
        if isinstance(message, ClockTick):
            clock.now = message.ns
            broker.on_time(message.ns)
            if message.minute == minutes:
                break
            await client.done(message.seq)
    chosen = contracts[len(contracts) // 2]
    (quote,) = await broker.quotes([chosen.symbol])
    request = OrderRequest("E1", chosen.symbol, "SELL", chosen.lot, "LIMIT", limit_ticks=quote.last - 10)
    await broker.place(request)
    (told,) = await broker.orders()
    assert told.status is OrderStatus.COMPLETE
    await client.close()
    broker._book.close()  # killed
    return chosen


def test_what_a_dead_runner_held_is_closed_at_prices_of_the_feed(spec):
    async def story():
        chosen = await sell_and_die(spec)
        broker = make_paper(spec, SystemClock())
        assert [one.quantity for one in await broker.positions()] == [-chosen.lot]
        (quote,) = await broker.quotes([chosen.symbol])
        request = OrderRequest("X1", chosen.symbol, "BUY", chosen.lot, "LIMIT", limit_ticks=quote.last + 40)
        order_id = await broker.place(request)
        for _ in range(40):
            told = next(one for one in await broker.orders() if one.order_id == order_id)
            if told.status.is_final:
                break
            await asyncio.sleep(0.1)
        assert told.status is OrderStatus.COMPLETE
        assert [one.quantity for one in await broker.positions()] == [0]
        await broker.close()

    stories(spec)(story)


def test_an_account_that_holds_nothing_leaves_the_feed_alone(spec):
    async def story():
        broker = make_paper(spec, SystemClock())
        assert await broker.orders() == []
        with pytest.raises(BrokerUnknown):
            await broker.quotes(["NIFTY"])
        assert broker._listening is None
        await broker.close()

    stories(spec)(story)


def test_the_account_of_a_living_runner_is_refused(spec):
    fed = make_paper(spec, SystemClock(), fed=True)
    with pytest.raises(PaperBookError, match="held by another process"):
        make_paper(spec, SystemClock())
    done(fed.close())


def test_slippage_latency_and_moments_come_from_the_session(spec):
    strict = spec.model_copy(update={"params": spec.params.model_copy(update={"slippage_percent": 1})})
    rules = make_paper(strict, SystemClock(), fed=True)._exchange.rules
    assert (rules.latency_ms, rules.slip_ticks, rules.slip_basis_points, rules.moments) == (0, 2, 100, True)


def test_contracts_of_a_replayed_day_are_those_of_the_lake(spec, played_day):
    broker = make_paper(spec, SystemClock(), fed=True)
    listed = asyncio.run(broker.instruments("NIFTY"))
    assert {one.symbol for one in listed} == set(played_day.bars.symbols)
    assert {one.lot for one in listed} == {played_day.bars.lot_size}
    opened = to_ns(minute_start(spec.date, 0))
    assert broker._market.open_ns == opened
    done(broker.close())


def test_kite_is_made_with_the_secrets_of_the_environment(spec, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    at = spec.model_copy(update={"broker_root": "http://127.0.0.1:1"})
    broker = make_kite(at, SystemClock())
    assert (broker._api_key, broker._access_token, broker._root) == ("key", "token", "http://127.0.0.1:1")
    asyncio.run(broker.close())


def test_paper_on_the_practice_exchange_lists_what_that_exchange_lists(played_day, tmp_path, monkeypatch):
    with PracticeServer(played_day, ServerSettings(pace=PaceSettings(speed="manual"))) as server:
        monkeypatch.setenv("KITE_API_KEY", server.api_key)
        monkeypatch.setenv("KITE_ACCESS_TOKEN", server.grant_token())
        options = {"rest_url": server.rest_url, "ticker_url": server.ticker_url, "speed": "manual"}
        at = make_spec(
            load_session_params("paper", feed="practice"),
            date=DATE,
            data_folder=tmp_path,
            feed_options=options,
        )
        broker = make_paper(at, SystemClock(), fed=True)
        listed = asyncio.run(broker.instruments("NIFTY"))
        assert {one.symbol for one in listed} == set(played_day.bars.symbols)
        assert broker._exchange.rules.moments
        done(broker.close())
