"""A past day as a feed, and the candles of a day: both say what the day says."""

import asyncio
import dataclasses
import datetime as dt
import time

import numpy as np
import pytest

from engine.errors import DataError, ParamsError
from engine.execution.bar_path import MOMENT_MS
from engine.history.bars import BarBuilder
from engine.live.day.recorder import Recorder
from engine.live.day.recording import Instrument, Recording
from engine.live.feeds.candles import KITE_SPACING_S, KiteCandles, ReplayCandles, is_loopback, open_candles
from engine.live.feeds.replay import ReplayFeed, open_script
from engine.live.feeds.script import CLOSE, LakeScript, RecordingScript
from engine.live.feeds.wire import ClockTick, Hello, Index, Status, Subscription, Ticks, Wanted
from engine.live.spec import load_session_params, make_spec
from engine.market.clock import NS_PER_MINUTE, minute_start, to_ns

DATE = dt.date(2026, 9, 1)
OPEN_NS = to_ns(minute_start(DATE, 0))


@pytest.fixture
def replay_spec(lake, tmp_path):
    def make(**options):
        return make_spec(
            load_session_params("paper", feed="replay"),
            date=DATE,
            data_folder=tmp_path,
            feed_options={"lake": str(lake.root), "source": "simulated", **options},
        )

    return make


def built(ticks, instruments, minutes):
    builder = BarBuilder(OPEN_NS, minutes, instruments)
    builder.push(ticks)
    return builder.close_all()


def assert_bars_of(day, bars):
    assert len(bars) == day.valid.sum()
    at = (bars["instrument"], bars["minute"])
    for name in ("open", "high", "low", "close", "volume"):
        assert (bars[name] == getattr(day, name)[at]).all(), name


def test_a_replayed_day_gives_the_bars_of_the_lake(replay_spec, start_feed, reader, follow, played_day):
    spec = replay_spec(speed="max")
    start_feed(spec)
    day = played_day.bars

    async def story():
        follower = await reader.connect(spec)
        wanted = [(n, symbol, 5000 + n) for n, symbol in enumerate(day.symbols)]
        await follower.client.subscribe(wanted, index=("NIFTY 50", 256265))
        await follower.until(
            lambda message: isinstance(message, ClockTick) and message.minute == 384 and message.closes, 60
        )
        return follower

    follower = follow(story)
    hello = follower.of(Hello)[0]
    assert (hello.feed, hello.paced, hello.simulated) == ("replay", True, True)
    ticks = np.concatenate([message.ticks for message in follower.of(Ticks)])
    assert_bars_of(day, built(ticks, day.contracts, day.minutes))
    index = follower.of(Index)
    spot = played_day.spot
    assert [each.last for each in index[:4]] == [round(int(spot[0, place]) / 5) for place in (0, 2, 1, 3)]
    assert {each.open for each in index} == {round(int(spot[0, 0]) / 5)}
    clocks = follower.of(ClockTick)
    assert [clock.ns for clock in clocks] == sorted(clock.ns for clock in clocks)
    assert [(clock.ns - OPEN_NS) // 10**6 for clock in clocks[:5]] == [*MOMENT_MS, 60_000]


def test_an_instrument_the_day_lacks_is_told(replay_spec, start_feed, reader, follow, played_day):
    spec = replay_spec(speed="max")
    start_feed(spec)

    async def story():
        follower = await reader.connect(spec)
        await follower.client.subscribe([(0, played_day.bars.symbols[0], 1), (1, "NOSUCH", 2)])
        told = await follower.until(lambda message: isinstance(message, Status) and message.link == "up")
        assert "NOSUCH" in told.detail

    follow(story)


def recorded(folder, played_day, *, simulated, delay_ns=0):
    """A recording of the day's first half hour, ticks received a little late."""
    day = played_day.bars
    listed = [
        Instrument(symbol, "CE" if call else "PE", day.expiry, int(strike))
        for symbol, call, strike in zip(day.symbols, day.is_call, day.strike, strict=True)
    ]
    listed.append(Instrument("NIFTY", "SPOT", None, None))
    recording = Recording("NIFTY", DATE, simulated=simulated, instruments=tuple(listed))
    with Recorder(folder, recording) as recorder:
        for moment in LakeScript(day, played_day.spot).moments():
            if moment.minute == 30:
                break
            ticks = moment.ticks.copy()
            ticks["receive_ns"] += delay_ns
            recorder.ticks(ticks)
            if moment.index:
                spot = ticks[:1].copy()
                spot["instrument"], spot["price"], spot["volume"] = len(listed) - 1, moment.index, 0
                recorder.ticks(spot)
    return folder


@pytest.mark.parametrize(("simulated", "delay_ns"), [(True, 0), (False, 1_200_000_000)])
def test_a_recording_is_played_as_it_was_received(tmp_path, played_day, simulated, delay_ns):
    script = RecordingScript(recorded(tmp_path, played_day, simulated=simulated, delay_ns=delay_ns))
    day = played_day.bars
    moments = [moment for moment in script.moments() if moment.minute < 30]
    assert script.simulated == simulated
    times = [moment.ns for moment in moments]
    assert times == sorted(times)
    builder = BarBuilder(OPEN_NS, day.minutes, len(script.symbols))
    closed = []
    for moment in moments:
        builder.push(moment.ticks)
        assert (moment.ticks["receive_ns"] <= moment.ns).all()
        if moment.moment == CLOSE:
            bars = builder.close_until(OPEN_NS + (moment.minute + 1) * NS_PER_MINUTE + builder.grace_ns)
            assert set(bars["minute"]) == {moment.minute}
            closed.append(bars)
    bars = np.concatenate(closed)
    first = dataclasses.replace(day, valid=day.valid & (np.arange(day.minutes) < 30))
    assert_bars_of(first, bars)
    assert sum(moment.index > 0 for moment in moments) >= 60


def test_speeds_that_are_none_are_refused(played_day, replay_spec):
    script = LakeScript(played_day.bars, played_day.spot)
    for speed in ("manual", 0.0, -1.0):
        with pytest.raises(ParamsError, match="speed"):
            ReplayFeed(script, speed)
    with pytest.raises(DataError, match="path"):
        LakeScript(played_day.bars, None, "sideways")
    with pytest.raises(DataError, match="recording"):
        open_script(replay_spec(folder="/nowhere"))


def test_a_numbered_speed_is_kept(played_day):
    class Out:
        def __init__(self):
            self.times = []

        def send_ticks(self, ticks):
            pass

        def tell(self, status):
            pass

        def send(self, message):
            if isinstance(message, ClockTick):
                self.times.append((time.monotonic(), message.ns))

    async def story():
        feed = ReplayFeed(LakeScript(played_day.bars, played_day.spot), 600.0)
        out = Out()
        running = asyncio.create_task(feed.run(out))
        feed.wanted(Subscription(None, (Wanted(0, played_day.bars.symbols[0], 1),)))
        await asyncio.sleep(1.0)
        running.cancel()
        return out.times

    times = asyncio.run(story())
    played = (times[-1][1] - times[0][1]) / 1e9
    assert 400 < played < 660


def test_kites_candles_are_the_bars_of_the_day(serve, played_day):
    server = serve()
    server.step(5 * 20)
    day = played_day.bars
    one = server.exchange.market.instruments[4]
    index = server.exchange.market.index

    async def story():
        candles = KiteCandles(server.api_key, server.grant_token(), root=server.rest_url)
        try:
            bars = await candles.minute_bars(one.symbol, one.token, DATE, 3, 12)
            spot = await candles.minute_bars(index.symbol, index.token, DATE, 0, 2)
        finally:
            await candles.close()
        return bars, spot

    bars, spot = asyncio.run(story())
    traded = [minute for minute in range(3, 13) if day.valid[4, minute]]
    assert bars["minute"].tolist() == traded
    for name in ("open", "high", "low", "close", "volume"):
        assert bars[name].tolist() == getattr(day, name)[4, traded].tolist()
    assert spot["close"].tolist() == [round(int(paise) / 5) for paise in played_day.spot[:3, 3]]


def test_kites_three_requests_a_second_are_kept_at_kite_only():
    candles = KiteCandles("key", "token")
    stub = KiteCandles("key", "token", root="http://127.0.0.1:1")
    assert (candles._spacing_s, stub._spacing_s) == (KITE_SPACING_S, 0.0)
    assert 1 / KITE_SPACING_S < 3
    assert [is_loopback(root) for root in ("http://localhost:1", "https://api.kite.trade")] == [True, False]
    called = []
    candles._client.historical_data = lambda *_: called.append(time.monotonic()) or []

    async def story():
        await asyncio.gather(*(candles.minute_bars("A", 514, DATE, 0, 1) for _ in range(3)))
        await candles.close()
        await stub.close()

    asyncio.run(story())
    assert min(np.diff(called)) >= KITE_SPACING_S - 0.01


def test_candles_of_a_replay_are_its_bars(replay_spec, played_day):
    candles = open_candles(replay_spec(speed="max"))
    assert isinstance(candles, ReplayCandles)
    day = played_day.bars
    bars = asyncio.run(candles.minute_bars(day.symbols[2], 0, DATE, 100, 110))
    assert bars["close"].tolist() == day.close[2, 100:111][day.valid[2, 100:111]].tolist()
    with pytest.raises(DataError, match="NOSUCH"):
        asyncio.run(candles.minute_bars("NOSUCH", 0, DATE, 0, 1))
