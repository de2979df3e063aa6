"""What goes into a frame comes out of it; the server keeps the past, one reader, and waits for nobody."""

import asyncio
import datetime as dt
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from engine.history.bars import TICK
from engine.live.brokers.base import OrderReport, OrderStatus
from engine.live.feeds.server import KEPT_NS, FeedServer
from engine.live.feeds.wire import (
    HEADER,
    ClockTick,
    Done,
    FeedClient,
    FeedError,
    Hello,
    Index,
    Order,
    PastBegins,
    PastEnds,
    Status,
    Subscription,
    Ticks,
    Wanted,
    decode,
    encode,
)

REPORT = OrderReport(
    "250901000000001", "E1A2", "NIFTY2590225000CE", "SELL", 130, 65, Decimal("101.65"), OrderStatus.OPEN,
    "OPEN", "SL", 2033, 2100, "MIS", "", 1_756_700_000_000_000_000,
)  # fmt: skip
SECOND = 10**9


class Silent:
    """A feed that says nothing by itself."""

    hello = Hello("silent", 1, paced=True, simulated=True)

    def __init__(self):
        self.asked = []
        self.answered = []

    def wanted(self, subscription):
        self.asked.append(subscription)

    def done(self, seq):
        self.answered.append(seq)

    async def run(self, out):
        pass


def ticks_at(ns, slots, price=100):
    made = np.zeros(len(slots), TICK)
    made["instrument"] = slots
    made["exchange_ns"] = made["receive_ns"] = ns
    made["price"] = price
    return made


def clock(seq, ns):
    return ClockTick(seq, 0, 0, ns, closes=False, speed="max")


async def next_of(client, kind, timeout_s=5):
    async def read():
        async for message in client:
            if isinstance(message, kind):
                return message
        raise EOFError

    return await asyncio.wait_for(read(), timeout_s)


async def true(condition):
    while not condition():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def until_quiet(client, kind, timeout_s=0.2):
    heard = []
    try:
        while True:
            heard.append(await next_of(client, kind, timeout_s))
    except (TimeoutError, EOFError):
        return heard


def run(test, tmp_path, **settings):
    async def whole():
        feed = Silent()
        server = FeedServer(tmp_path / "feed.sock", feed, **settings)
        await server.start()
        try:
            await test(server, feed)
        finally:
            await server.close()

    asyncio.run(whole())


async def joined(server, *instruments):
    client = await FeedClient.connect(server.path)
    await client.subscribe(instruments or [(0, "A", 11), (1, "B", 22)])
    await next_of(client, Status)
    return client


@pytest.mark.parametrize(
    "message",
    [
        Order(REPORT),
        Index("NIFTY 50", 500_043, 500_000, 17),
        ClockTick(3, 1, 2, 99, closes=False, speed="max"),
        ClockTick(3, 1, 2, 99, closes=True, speed=2.5),
        Status("token_expired", "log in", 42, 0),
        Hello("kite", 7, paced=False, simulated=False),
        PastBegins(5),
        PastEnds(),
        Done(4),
        Subscription(("NIFTY 50", 256265), (Wanted(3, "NIFTY2590225000CE", 771),)),
        Subscription(None, ()),
    ],
)
def test_a_message_survives_its_frame(message):
    frame = encode(message)
    kind, length = HEADER.unpack(frame[: HEADER.size])
    assert length == len(frame) - HEADER.size
    assert decode(kind, frame[HEADER.size :]) == message


def test_ticks_survive_their_frame_and_may_be_written_to():
    ticks = ticks_at(5, [3, 1, 4])
    back = decode(b"T", encode(Ticks(ticks))[HEADER.size :])
    assert (back.ticks == ticks).all()
    back.ticks["price"] = 7


@pytest.mark.parametrize(
    ("kind", "payload"), [(b"?", b"{}"), (b"C", b"{}"), (b"T", b"123"), (b"O", b"no json"), (b"S", b"[]")]
)
def test_what_is_no_message_is_refused(kind, payload):
    with pytest.raises(FeedError, match="cannot be read"):
        decode(kind, payload)


def test_a_new_reader_hears_hello_then_the_past_then_live(tmp_path):
    async def test(server, feed):
        first = await joined(server)
        server.send_ticks(ticks_at(10 * SECOND, [0, 1]))
        server.send(clock(1, 10 * SECOND))
        await next_of(first, ClockTick)
        await first.done(1)
        await first.close()
        await true(lambda: not server.has_reader)
        server.send_ticks(ticks_at(11 * SECOND, [1]))  # nobody listens
        client = await FeedClient.connect(server.path)
        await client.subscribe([(0, "A", 11), (1, "B", 22)])
        heard = []
        async for message in client:
            heard.append(message)
            if isinstance(message, Status):
                break
        assert [type(message) for message in heard] == [
            Hello, PastBegins, Ticks, ClockTick, Ticks, PastEnds, Status,
        ]  # fmt: skip
        assert heard[1].from_ns == 10 * SECOND
        server.send_ticks(ticks_at(12 * SECOND, [0], price=55))
        assert (await next_of(client, Ticks)).ticks["price"].tolist() == [55]
        await client.close()

    run(test, tmp_path)


def test_only_the_last_three_minutes_are_kept(tmp_path):
    async def test(server, feed):
        first = await joined(server)
        for second in range(0, 400, 10):
            server.send_ticks(ticks_at(second * SECOND, [0]))
        await first.close()
        client = await FeedClient.connect(server.path)
        await client.subscribe([(0, "A", 11)])
        past = await next_of(client, PastBegins)
        assert past.from_ns == 390 * SECOND - KEPT_NS
        assert len(await until_quiet(client, Ticks)) == 19
        await client.close()

    run(test, tmp_path)


def test_a_clock_nobody_answered_comes_again_after_the_past(tmp_path):
    async def test(server, feed):
        first = await joined(server)
        server.send(clock(1, SECOND))
        await next_of(first, ClockTick)
        await first.done(1)
        server.send(clock(2, 2 * SECOND))
        await next_of(first, ClockTick)
        await first.close()
        client = await FeedClient.connect(server.path)
        await client.subscribe([(0, "A", 11)])
        heard = []
        async for message in client:
            heard.append((type(message), getattr(message, "seq", None)))
            if heard[-1][1] == 2:
                break
        assert heard[2:] == [(ClockTick, 1), (PastEnds, None), (Status, None), (ClockTick, 2)]
        await client.done(2)
        await true(lambda: feed.answered == [1, 2])
        await client.close()

    run(test, tmp_path)


def test_a_restarted_reader_may_number_its_instruments_anew(tmp_path):
    async def test(server, feed):
        first = await joined(server, (0, "A", 11), (1, "B", 22), (2, "C", 33))
        server.send_ticks(ticks_at(SECOND, [0, 1, 2]))
        await first.close()
        second = await FeedClient.connect(server.path)
        await second.subscribe([(7, "C", 33), (5, "A", 11)])
        assert (await next_of(second, Ticks)).ticks["instrument"].tolist() == [5, 7]
        await next_of(second, Status)
        await second.subscribe([(9, "D", 44)])
        await true(lambda: 44 in server.slots)
        server.send_ticks(ticks_at(2 * SECOND, [0, 1, 2, 3]))
        assert (await next_of(second, Ticks)).ticks["instrument"].tolist() == [5, 7, 9]
        assert [each.token for each in feed.asked[-1].instruments] == [11, 22, 33, 44]
        await second.close()

    run(test, tmp_path)


def test_a_new_reader_replaces_the_old_one(tmp_path):
    async def test(server, feed):
        old = await joined(server)
        new = await joined(server)
        with pytest.raises(EOFError):
            await next_of(old, Ticks)
        server.send_ticks(ticks_at(SECOND, [1]))
        assert len((await next_of(new, Ticks)).ticks) == 1
        await old.close()
        await new.close()

    run(test, tmp_path)


def test_somebody_who_only_connects_takes_nothing_from_the_reader(tmp_path):
    async def test(server, feed):
        reader = await joined(server)
        probe = await FeedClient.connect(server.path)
        await next_of(probe, Hello)
        server.send_ticks(ticks_at(SECOND, [1]))
        assert len((await next_of(reader, Ticks)).ticks) == 1
        await probe.close()
        await reader.close()

    run(test, tmp_path)


def test_a_reader_too_far_behind_is_told_and_cut_off(tmp_path):
    async def test(server, feed):
        slow = await joined(server)
        many = ticks_at(SECOND, np.zeros(5_000, int))
        for _ in range(100):  # without an await the reader cannot read: the server must not wait for it
            server.send_ticks(many)
        assert not server.has_reader
        told = None
        async for message in slow:
            told = message
        assert isinstance(told, Status)
        assert "cut off" in told.detail
        again = await FeedClient.connect(server.path)
        await again.subscribe([(0, "A", 11)])
        assert "cut off" in (await next_of(again, Status)).detail
        await again.close()
        await slow.close()

    run(test, tmp_path, max_behind=1 << 20)


def test_every_tick_arrives_at_twenty_thousand_a_second(tmp_path):
    async def test(server, feed):
        count = 1_000
        client = await joined(server, *((n, f"S{n}", 1000 + n) for n in range(count)))
        seen = np.zeros(count, int)
        total = 0

        async def read():
            nonlocal total
            async for message in client:
                if isinstance(message, Ticks):
                    np.add.at(seen, message.ticks["instrument"], 1)
                    total += len(message.ticks)
                    if total >= 20 * 2 * count:
                        return

        reading = asyncio.create_task(read())
        draw = np.random.default_rng(1)
        for step in range(40):
            for part in np.array_split(draw.permutation(count), 25):
                server.send_ticks(ticks_at(step * SECOND, part))
            await asyncio.sleep(0)
        await asyncio.wait_for(reading, 20)
        assert (seen == 40).all()
        await client.close()

    run(test, tmp_path)


def test_a_wait_that_is_given_up_loses_no_message(tmp_path):
    async def test(server, feed):
        client = await joined(server)
        big = encode(Ticks(ticks_at(SECOND, np.arange(1000) % 2)))
        writer = next(iter(server._connections))
        for cut in (3, HEADER.size, 700):
            writer.write(big[:cut])
            with pytest.raises(TimeoutError):
                await next_of(client, Ticks, 0.05)
            writer.write(big[cut:])
            assert len((await next_of(client, Ticks)).ticks) == 1000
        await client.close()

    run(test, tmp_path)


def test_the_socket_is_private_and_goes_with_the_server(tmp_path):
    async def test(server, feed):
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600

    run(test, tmp_path)
    assert not (tmp_path / "feed.sock").exists()


def test_a_live_socket_is_never_taken_and_a_dead_one_is_replaced(tmp_path):
    path = tmp_path / "feed.sock"
    code = (
        "import asyncio, sys, pathlib; sys.path.insert(0, sys.argv[2]); from test_wire import *\n"
        "async def main():\n"
        "    server = FeedServer(pathlib.Path(sys.argv[1]), Silent()); await server.start()\n"
        "    print('up', flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    folder = str(Path(__file__).parent)
    other = subprocess.Popen([sys.executable, "-c", code, str(path), folder], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"up\n"

    async def start():
        server = FeedServer(path, Silent())
        await server.start()
        client = await joined(server)
        await client.close()
        await server.close()

    async def still_there():
        client = await FeedClient.connect(path)
        await next_of(client, Hello)
        await client.close()

    with pytest.raises(FeedError, match="another feed listens"):
        asyncio.run(start())
    asyncio.run(still_there())
    other.kill()
    other.communicate()
    assert path.exists()
    asyncio.run(start())


def test_no_feed_is_told_in_one_line(tmp_path):
    began = dt.datetime.now()
    with pytest.raises(FeedError, match="no feed listens"):
        asyncio.run(FeedClient.connect(tmp_path / "feed.sock", patience_s=0.2))
    assert dt.datetime.now() - began >= dt.timedelta(seconds=0.2)
