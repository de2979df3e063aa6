"""A live day by the wall clock, from before its open on: the runner's day, its feed and a paper account, sped up."""

import asyncio
import datetime as dt
import os
import time
from contextlib import suppress

import numpy as np
import pytest

from engine.history.bars import BAR, TICK
from engine.live.brokers.base import BrokerUnknown, Contract
from engine.live.brokers.paper import PaperBroker
from engine.live.day import day_gap
from engine.live.day.backfill import Backfill
from engine.live.day.day_status import DayStatus
from engine.live.day.feed_link import FeedLink
from engine.live.day.live_day import DayParts, LiveDay
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import Hello, Index, Status
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store
from engine.market.clock import minute_start, to_ns
from engine.market.contracts import lot_size
from engine.market.indices import index_of
from engine.market.sessions import session_minutes

DATE = dt.date(2026, 11, 20)
EXPIRY = dt.date(2026, 11, 23)
OPEN_NS = to_ns(minute_start(DATE, 0))
NS, MINUTE = 1_000_000_000, 60_000_000_000
LAST = session_minutes(DATE) - 1
RATE = 30
STRIKES = range(24000, 26050, 50)
LISTED = [
    Contract(f"NIFTY23NOV26{strike}{kind}", number * 2 + (kind == "PE") + 1, "NIFTY", EXPIRY, strike, kind,
             lot_size("NIFTY", EXPIRY))
    for number, strike in enumerate(STRIKES)
    for kind in ("CE", "PE")
]  # fmt: skip


class FastClock:
    """
    The machine's clock, faster, set to a moment of the day; `jump` moves its wall side.

    It stands while it is held: how long a start takes on a loaded machine is no part of the day.
    """

    def __init__(self, wall_ns):
        self._wall, self._shown, self._runs_since = wall_ns, 0, None
        self.jump = 0

    def hold(self):
        self._shown, self._runs_since = self.monotonic_ns(), None

    def release(self):
        self._runs_since = time.monotonic_ns()

    def monotonic_ns(self):
        run_ns = 0 if self._runs_since is None else time.monotonic_ns() - self._runs_since
        return self._shown + run_ns * RATE

    def wall_ns(self):
        return self._wall + self.monotonic_ns() + self.jump

    async def sleep_ns(self, duration):
        await asyncio.sleep(duration / NS / RATE)


class LiveFeed:
    """A vendor's feed: every contract ticks several times a minute, with the exchange's time."""

    def __init__(self, clock):
        self.hello = Hello("live", os.getpid(), paced=False, simulated=False)
        self.clock = clock
        self.slots = 0
        self.mute = False
        self.ahead_ns = 0  # of the exchange's time, as told

    def wanted(self, subscription):
        self.slots = len(subscription.instruments)

    def done(self, _seq):
        raise AssertionError("nobody plays this day")

    async def run(self, out):
        volume = 0
        while True:
            now = self.clock.wall_ns() - self.clock.jump
            if not self.mute:
                out.send(Index("NIFTY 50", 25000 * 20, 25000 * 20 if now >= OPEN_NS else 0, now))
                out.tell(Status("up", "", self.slots, self.slots))
            if self.slots and now >= OPEN_NS and not self.mute:
                volume += 10
                ticks = np.zeros(self.slots, TICK)
                ticks["instrument"] = np.arange(self.slots)
                ticks["exchange_ns"], ticks["receive_ns"] = now + self.ahead_ns, now
                ticks["price"], ticks["volume"] = 2000 + (now - OPEN_NS) // MINUTE, volume
                out.send_ticks(ticks)
            await asyncio.sleep(0.1)


class Candles:
    def __init__(self):
        self.asked = []
        self.answers = True

    async def close(self):
        pass

    async def minute_bars(self, symbol, _token, _date, first, last):
        self.asked.append((symbol, first, last))
        if not self.answers:
            raise BrokerUnknown("no candles")
        made = np.zeros(last - first + 1, BAR)
        made["minute"] = np.arange(first, last + 1)
        for name in ("open", "high", "low", "close"):
            made[name] = 777
        return made


class Rig:
    """One process's life at the day, started again at will."""

    def __init__(self, folder, begin_ns, stale_s):
        self.clock = FastClock(begin_ns)
        self.spec = make_spec(
            load_session_params("paper", stale_ticks_seconds=stale_s), date=DATE, data_folder=folder
        )
        self.feed = LiveFeed(self.clock)
        self.candles = Candles()

    async def serve(self):
        self.server = FeedServer(self.spec.places.feed_socket, self.feed)
        await self.server.start()
        self.feeding = asyncio.create_task(self.feed.run(self.server))

    async def unserve(self):
        self.feeding.cancel()
        await self.server.close()

    async def begin(self):
        self.clock.hold()
        spec = self.spec
        self.store = Store.open(spec.places.database, spec.account, clock=self.clock.wall_ns)
        self.broker = PaperBroker(spec.places.paper_book, DATE, self.clock, contracts=LISTED)
        link = FeedLink(spec.places.feed_socket, index_of("NIFTY"))
        backfill = Backfill(lambda: self.candles, DATE)
        status = DayStatus()
        self.day = LiveDay(
            DayParts(spec, self.store, self.broker, self.clock, link, status, backfill, self.renew)
        )
        self.day.prepare()
        self.tasks = [asyncio.create_task(self.day.follow())]
        await asyncio.wait_for(self.day.begin(), 60)
        self.clock.release()
        watch = self.day.watch
        self.tasks += [asyncio.create_task(work) for work in (watch.watch(), watch.close_minutes())]

    async def renew(self):
        raise AssertionError("the paper account has no login")

    async def die(self):
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.day.close()
        await self.broker.close()
        self.store.close()

    async def closed(self, minute):
        async with asyncio.timeout(60):
            while self.day.minutes.closed < minute:  # noqa: ASYNC110 - the day closes minutes by itself
                await asyncio.sleep(0.02)

    def bars(self):
        """Minute, and the closes of its bars."""
        return [(m.minute, {bar.close for bar in m.bars}) for m in self.day.minutes.history()]

    def links(self):
        return [
            (event.fact.link, event.fact.status)
            for event in self.store.events()
            if event.kind == "LinkChanged"
        ]


def run(folder, act, begin_ns, stale_s=30):
    async def whole():
        rig = Rig(folder, begin_ns, stale_s)
        await rig.serve()
        try:
            await rig.begin()
            await act(rig)
        finally:
            await rig.die()
            await rig.unserve()

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def _quiet(capfd):
    yield
    capfd.readouterr()


def test_from_before_the_open_on_every_minute_is_watched(tmp_path):
    async def act(rig):
        assert len(rig.day.plan.symbols) == 2 * 21
        await rig.closed(2)
        assert rig.bars()[:3] == [(0, {2000}), (1, {2001}), (2, {2002})]
        assert not rig.candles.asked
        assert rig.links() == []

    run(tmp_path, act, OPEN_NS - 60 * NS)


def test_a_late_start_fills_up_what_it_missed(tmp_path):
    async def act(rig):
        await rig.closed(5)
        known = rig.bars()
        assert known[:4] == [(minute, {777}) for minute in range(4)]
        assert known[5] == (5, {2005})

    run(tmp_path, act, OPEN_NS + 3 * MINUTE + 30 * NS)


def test_a_restart_goes_on_from_its_bars_and_asks_for_the_rest(tmp_path):
    async def act(rig):
        await rig.closed(1)
        await rig.die()
        await asyncio.sleep(150 / RATE)
        await rig.begin()
        await rig.closed(6)
        known = dict(rig.bars())
        assert known[0] == {2000}
        assert known[1] == {2001}
        assert known[2] == {777}
        assert known[6] == {2006}
        assert min(first for _, first, _ in rig.candles.asked) == 2

    run(tmp_path, act, OPEN_NS - 30 * NS)


def test_after_a_crash_that_may_have_left_a_short_naked_candles_are_not_waited_for(tmp_path, monkeypatch):
    async def act(rig):
        await rig.closed(1)
        await rig.die()
        await asyncio.sleep(150 / RATE)
        monkeypatch.setattr(day_gap, "may_be_naked", lambda _state: True)
        await rig.begin()
        asked_when_begun = list(rig.candles.asked)
        await rig.closed(6)
        assert asked_when_begun == []
        known = dict(rig.bars())
        assert known[2] <= {777, 2002}  # from candles, or from the ticks that the feed repeats
        assert all(known[minute] for minute in range(7))

    run(tmp_path, act, OPEN_NS - 30 * NS)


def test_a_feed_that_is_mute_for_a_while_is_stale_and_its_minutes_are_filled_up(tmp_path):
    async def act(rig):
        await rig.closed(0)
        rig.feed.mute = True
        async with asyncio.timeout(60):
            while rig.day.watch.fresh or rig.day.minutes.closed < 1:  # noqa: ASYNC110 - told by nobody
                await asyncio.sleep(0.02)
        assert not rig.day.trader.state.feed_fresh
        rig.feed.mute = False
        await rig.closed(5)
        assert rig.day.watch.fresh
        assert rig.links() == [("feed", "stale"), ("feed", "up")]
        known = dict(rig.bars())
        assert known[0] == {2000}
        assert {777} in (known[1], known[2])
        assert known[5] == {2005}

    run(tmp_path, act, OPEN_NS - 30 * NS, stale_s=1)


def test_a_wall_clock_that_jumps_changes_no_minute(tmp_path):
    async def act(rig):
        await rig.closed(0)
        rig.clock.jump = 3600 * NS
        await rig.closed(2)
        rig.clock.jump = 0
        await rig.closed(3)
        assert rig.bars()[:4] == [(minute, {2000 + minute}) for minute in range(4)]
        assert rig.links() == [("clock", "jumped")] * 2

    run(tmp_path, act, OPEN_NS - 30 * NS)


def test_prices_dated_ahead_count_by_their_receipt_and_are_told(tmp_path):
    async def act(rig):
        rig.feed.ahead_ns = 3600 * NS
        await rig.closed(2)
        assert rig.bars() == [(0, {2000}), (1, {2001}), (2, {2002})]
        assert rig.day.minutes.newest_ns < OPEN_NS + 10 * MINUTE
        told = [event.fact.text for event in rig.store.events() if event.kind == "Noticed"]
        assert len([text for text in told if "ahead of our clocks" in text]) == 1

    run(tmp_path, act, OPEN_NS - 30 * NS)


def test_the_last_minute_ends_the_day(tmp_path):
    async def act(rig):
        await asyncio.wait_for(rig.day.over.wait(), 60)
        assert rig.day.minutes.closed == LAST
        assert await rig.day.end()
        assert rig.store.state.today.flat

    run(tmp_path, act, OPEN_NS + (LAST - 1) * MINUTE)
