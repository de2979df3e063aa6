"""The feed of the practice exchange, a process of its own, over real sockets."""

import asyncio
import datetime as dt
import json
import signal

import numpy as np
from kiteconnect import KiteConnect

from engine.live.brokers.base import OrderStatus
from engine.live.brokers.kite_token import KiteSecrets, write_token
from engine.live.feeds.wire import (
    ClockTick,
    Index,
    Order,
    PastBegins,
    PastEnds,
    Status,
    Ticks,
)
from engine.live.log.reader import StoreReader
from engine.live.store import Store
from engine.market.clock import IST
from engine.practice.faults import parse_fault
from engine.practice.pace import PaceSettings

STEP = 5  # moments of a minute


def is_clock(minute, moment):
    return lambda message: (
        isinstance(message, ClockTick) and (message.minute, message.moment) == (minute, moment)
    )


def all_ticks(reader):
    heard = [message.ticks for message in reader.of(Ticks)]
    return np.concatenate(heard) if heard else np.zeros(0)


async def subscribed(reader_kind, spec, wanted, server, **settings):
    reader = await reader_kind.connect(spec, **settings)
    options, index = wanted(server)
    await reader.client.subscribe(options, index=index)
    return reader


async def no_fresh_price(reader, server):
    """The reader has been told so, and the exchange knows what it wants: what is played from now on reaches it."""
    await reader.until(lambda message: isinstance(message, Status) and message.link == "stale")
    async with asyncio.timeout(30):
        while not server.call(lambda: any(socket.modes for socket in server.ticker.sockets)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def before_the_open(reader_kind, spec, wanted, server):
    """A reader that has subscribed and been told that no price is fresh yet."""
    reader = await subscribed(reader_kind, spec, wanted, server)
    await no_fresh_price(reader, server)
    return reader


def switch(server, *faults):
    """Switch these faults on and all others off."""
    server.call(lambda: server.exchange.faults.switch(tuple(map(parse_fault, faults))))


def step(server, moments=1):
    return asyncio.to_thread(server.step, moments)


def test_a_whole_day_at_full_speed_brings_every_tick(
    follow, serve, make_practice_spec, start_feed, reader, wanted
):
    server = serve(pace=PaceSettings(speed="max", participants=1, await_reader=True))
    spec = make_practice_spec(server, "max")
    start_feed(spec, server.grant_token())
    bars = server.exchange.market.bars

    async def story():
        follower = await subscribed(reader, spec, wanted, server)
        await follower.until(is_clock(bars.minutes - 1, 4), 120)
        return follower

    follower = follow(story)
    ticks = all_ticks(follower)
    played = np.unique(ticks[["instrument", "exchange_ns"]])
    assert len(played) == 4 * bars.valid.sum()
    for place in (0, 7):
        mine = ticks[ticks["instrument"] == place]
        assert mine["volume"].max() == bars.volume[place].sum()
        assert mine["price"].max() == bars.high[place][bars.valid[place]].max()
        assert mine["price"].min() == bars.low[place][bars.valid[place]].min()
    assert (ticks["receive_ns"] >= ticks["exchange_ns"]).all()
    clocks = follower.of(ClockTick)
    assert [clock.seq for clock in clocks] == list(range(1, 5 * bars.minutes + 1))
    assert sum(clock.closes for clock in clocks) == bars.minutes
    assert len({each.ns for each in follower.of(Index)}) == 4 * bars.minutes
    assert follower.of(Status)[-1].link == "up"


def test_an_order_push_comes_before_the_clock_of_its_moment(
    follow, serve, make_practice_spec, start_feed, reader, wanted
):
    server = serve()
    token = server.grant_token()
    spec = make_practice_spec(server)
    start_feed(spec, token)
    kite = KiteConnect(server.api_key, token, root=server.rest_url)

    async def story():
        follower = await before_the_open(reader, spec, wanted, server)
        await step(server)
        await follower.until(is_clock(0, 0))
        symbol = server.exchange.market.instruments[3].symbol
        last = float(server.exchange.market.last[3]) * 0.05
        order_id = await asyncio.to_thread(
            kite.place_order, "regular", "NFO", symbol, "SELL", 65, "MIS", "LIMIT",
            price=round(round(last * 1.02 / 0.05) * 0.05, 2), tag="pushed",
        )  # fmt: skip
        accepted = await follower.until(lambda message: isinstance(message, Order))
        assert (accepted.report.order_id, accepted.report.tag) == (order_id, "pushed")
        follower.heard.clear()
        for moment in range(1, 100):
            await step(server)
            await follower.until(is_clock(*divmod(moment, STEP)))
            orders = follower.of(Order)
            if orders:
                break
            follower.heard.clear()
        assert orders[-1].report.status is OrderStatus.COMPLETE
        kinds = [type(message) for message in follower.heard if not isinstance(message, Status)]
        assert kinds.index(Ticks) < kinds.index(Order) < kinds.index(ClockTick)

    follow(story)


def test_a_mute_socket_is_replaced_and_proved(follow, serve, make_practice_spec, start_feed, reader, wanted):
    server = serve()
    spec = make_practice_spec(server)
    start_feed(spec, server.grant_token())

    async def story():
        follower = await before_the_open(reader, spec, wanted, server)
        await step(server, STEP)
        await follower.until(lambda message: isinstance(message, Status) and message.confirmed == 43)
        switch(server, "mute_socket:p=1")
        await step(server)  # nobody hears this moment
        switch(server)
        down = await follower.until(
            lambda message: isinstance(message, Status) and message.link == "down", 30
        )
        assert "no sign of life" in down.detail
        follower.heard.clear()
        await follower.until(is_clock(1, 0))  # the lost moment's clock, after the prices as they stand
        assert set(all_ticks(follower)["exchange_ns"]) == {follower.of(ClockTick)[0].ns}
        told = follower.of(Status)[-1]  # before that clock: the entries it may cause are allowed again
        assert (told.link, told.confirmed) == ("up", 43)
        await step(server)
        await follower.until(is_clock(1, 1))

    follow(story)


def test_an_outage_is_survived(follow, serve, make_practice_spec, start_feed, reader, wanted):
    server = serve()
    spec = make_practice_spec(server)
    start_feed(spec, server.grant_token())

    async def story():
        follower = await before_the_open(reader, spec, wanted, server)
        await step(server)
        await follower.until(is_clock(0, 0))
        switch(server, "outage:p=1")
        await step(server)
        await follower.until(lambda message: isinstance(message, Status) and message.link == "token_expired")
        switch(server)
        await follower.until(is_clock(0, 1))

    follow(story)


def test_a_dead_login_is_told_and_a_new_one_is_found(
    follow, serve, make_practice_spec, start_feed, reader, wanted, tmp_path
):
    server = serve()
    env_file = tmp_path / ".env"
    spec = make_practice_spec(server, env_file=str(env_file))
    start_feed(spec, "dead")

    async def story():
        follower = await subscribed(reader, spec, wanted, server)
        told = await follower.until(
            lambda message: isinstance(message, Status) and message.link == "token_expired"
        )
        assert "log in" in told.detail
        dies = dt.datetime.now(IST) + dt.timedelta(hours=3)
        write_token(env_file, KiteSecrets(server.api_key, None, server.grant_token(), dies))
        await no_fresh_price(follower, server)
        await step(server)
        await follower.until(is_clock(0, 0))

    follow(story)


def test_a_new_reader_gets_the_past_and_the_feed_outlives_readers(
    follow, serve, make_practice_spec, start_feed, reader, wanted
):
    server = serve()
    spec = make_practice_spec(server)
    process = start_feed(spec, server.grant_token())

    async def story():
        first = await subscribed(reader, spec, wanted, server)
        await no_fresh_price(first, server)
        await step(server, 2 * STEP)
        await first.until(is_clock(1, 4))
        await first.client.close()
        await step(server)
        second = await subscribed(reader, spec, wanted, server)
        await second.until(lambda message: isinstance(message, PastEnds))
        past = [message for message in second.heard if not isinstance(message, PastBegins)]
        clocks = [(message.minute, message.moment) for message in past if isinstance(message, ClockTick)]
        assert clocks == [divmod(moment, STEP) for moment in range(10)]
        await second.until(is_clock(2, 0))  # live: nobody has answered it yet
        assert len(np.unique(all_ticks(second)["exchange_ns"])) == 9  # the moment that nobody heard included
        await second.client.close()

    follow(story)
    assert process.poll() is None


def test_more_instruments_may_be_asked_for_later(
    follow, serve, make_practice_spec, start_feed, reader, wanted
):
    server = serve()
    spec = make_practice_spec(server)
    start_feed(spec, server.grant_token())

    async def story():
        options, index = wanted(server)
        follower = await reader.connect(spec)
        await follower.client.subscribe(options[:5], index=index)
        await no_fresh_price(follower, server)
        await step(server)
        await follower.until(is_clock(0, 0))
        assert set(all_ticks(follower)["instrument"]) == set(range(5))
        await follower.client.subscribe(options[5:])
        await follower.until(lambda message: isinstance(message, Ticks) and 41 in message.ticks["instrument"])
        await step(server)
        follower.heard.clear()
        await follower.until(is_clock(0, 1))
        assert set(all_ticks(follower)["instrument"]) == set(range(42))

    follow(story)


def test_sigterm_ends_it_cleanly_and_a_killed_one_is_replaced(
    follow, serve, make_practice_spec, start_feed, reader, wanted
):
    server = serve()
    spec = make_practice_spec(server)

    async def greet():
        follower = await before_the_open(reader, spec, wanted, server)
        await follower.client.close()

    killed = start_feed(spec, server.grant_token())
    follow(greet)
    rival = start_feed(spec, "any")
    assert rival.wait(15) == 2
    assert "another feed listens" in rival.stderr.read()
    killed.kill()
    killed.wait()
    assert spec.places.feed_socket.exists()
    heir = start_feed(spec, server.grant_token())
    follow(greet)
    heir.send_signal(signal.SIGTERM)
    assert heir.wait(10) == 0
    assert not spec.places.feed_socket.exists()
    assert "Traceback" not in heir.stderr.read()


def test_its_heart_beats_as_soon_as_there_is_a_database(
    serve, make_practice_spec, start_feed, reader, wanted, follow
):
    server = serve()
    spec = make_practice_spec(server)
    process = start_feed(spec, server.grant_token())

    async def story():
        follower = await subscribed(reader, spec, wanted, server)
        await step(server)
        await follower.until(is_clock(0, 0))
        Store.open(spec.places.database, "practice").close()
        for _ in range(100):
            with StoreReader(spec.places.database) as book:
                beats = book.beats()
            if beats:
                break
            await asyncio.sleep(0.05)
        (beat,) = beats
        assert (beat.name, beat.pid) == ("feed", process.pid)
        status = json.loads(beat.status)
        assert (status["feed"], status["link"], status["confirmed"], status["reader"]) == (
            "practice",
            "up",
            43,
            True,
        )
        assert status["ticks"] >= 42

    follow(story)


def test_a_killed_exchange_hears_again_what_was_answered(
    follow, serve, make_practice_spec, start_feed, reader, wanted, tmp_path
):
    journal = tmp_path / "exchange.jsonl"
    server = serve(journal=journal)
    spec = make_practice_spec(server)
    start_feed(spec, server.grant_token())
    port = int(server.rest_url.rpartition(":")[2])

    async def story():
        follower = await subscribed(reader, spec, wanted, server)
        await step(server, 2)
        await follower.until(is_clock(0, 1))
        for _ in range(200):
            if server.pacer._acks:
                break
            await asyncio.sleep(0.05)
        server.stop()  # it knew that everybody was done with the moment; its journal does not
        serve(journal=journal, port=port, pace=PaceSettings(speed="max", participants=1))
        await follower.until(is_clock(0, 2))

    follow(story)
