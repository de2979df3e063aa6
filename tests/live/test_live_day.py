"""Parts of a live day that no played day meets: earlier days, candles that do not come, silent feeds, wrong clocks."""

import asyncio
import datetime as dt
import sys
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
from machine_clocks import Machine
from store_facts import DATE, intent, session, short, update

from engine.errors import DataError
from engine.history.bars import BAR, TICK
from engine.live.brokers.base import BrokerUnknown
from engine.live.clocks import SystemClock
from engine.live.control.dead_man import close_everything
from engine.live.day.bar_log import BarLog
from engine.live.day.day_status import DayStatus
from engine.live.day.day_watch import DayWatch
from engine.live.day.live_day import LiveDay
from engine.live.day.minute_closing import CANDLES_WAIT_NS, MinuteClosing
from engine.live.day.minutes import Minutes
from engine.live.day.old_days import settle_earlier_days
from engine.live.decisions.session_inputs import BarsClosed, FeedStatus, Timer
from engine.live.feeds.wire import Order
from engine.live.runner import Outlet
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store
from engine.market.clock import minute_start, to_ns

NEXT = dt.date(2026, 11, 23)
OPEN_NS = to_ns(minute_start(DATE, 0))
NS, MINUTE = 1_000_000_000, 60_000_000_000


# ---- earlier days ----


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "live.sqlite", "practice") as made:
        made.append(session())
        yield made


def settle(store, held=(), date=NEXT):
    told = []

    async def positions():
        return [SimpleNamespace(symbol=symbol, quantity=-65) for symbol in held]

    broker = SimpleNamespace(positions=positions)
    asyncio.run(settle_earlier_days(store, broker, date, lambda *words: told.append(words)))
    return told


def test_what_an_earlier_day_left_open_is_closed_in_the_log_and_told(store):
    store.append(*short(), intent("E2", position=2))
    told = settle(store)
    assert not store.state.open_orders
    assert not store.state.open_positions
    trade = store.state.trades[0]
    assert (trade.date, trade.bought_value) == (DATE.isoformat(), 65 * 2200)  # at its stop
    assert [level for level, _ in told] == ["warning"]
    assert settle(store) == []


def test_what_filled_without_a_price_is_booked_at_its_average(store):
    facts = short()
    store.append(*facts[:2], update("E1", "oE1", "COMPLETE", filled=65, average_milliticks=1_998_000))
    settle(store)
    assert not store.state.open_positions
    assert store.state.trades[0].sold_value == 65 * 1998


def test_the_present_day_is_left_as_it_is(store):
    store.append(*short())
    settle(store, date=DATE)
    assert store.state.open_positions


def test_a_position_that_the_broker_still_holds_ends_the_start(store):
    store.append(*short())
    with pytest.raises(DataError, match="still held"):
        settle(store, held=["NIFTY24NOV2624000CE"])


# ---- a day by the wall clock ----


class Link:
    """A line whose condition is set by hand."""

    def __init__(self):
        self.state = ("up", "")
        self.tick_age_s = 0.0
        self.silent_s = 0.0

    def condition(self, stale_s):
        if self.state[0] == "up" and stale_s is not None and self.tick_age_s > stale_s:
            return "stale", f"no tick for {self.tick_age_s:.0f} s"
        return self.state


class Candles:
    """Answers with one bar per minute and contract, or not at all."""

    def __init__(self):
        self.answers = True
        self.asked = []

    async def bars(self, _contracts, first, last):
        self.asked.append((first, last))
        if not self.answers:
            raise BrokerUnknown("no answer")
        made = np.zeros(last - first + 1, BAR)
        made["minute"] = np.arange(first, last + 1)
        for name in ("open", "high", "low", "close"):
            made[name] = 777
        return made


class Day:
    """What the duties of a day ask of it."""

    def __init__(self, folder, clock=None):
        self.clock = clock or Machine(OPEN_NS)
        self.paced = False
        self.rate = 0.0
        self.stopping = False
        self.over = asyncio.Event()
        self.open_ns, self.minutes_in_day = OPEN_NS, 375
        self.plan = SimpleNamespace(exit_ns=OPEN_NS + 360 * MINUTE)
        self.spec = SimpleNamespace(feed="kite", session=SimpleNamespace(stale_ticks_seconds=5))
        self.bar_log = BarLog(folder, DATE)
        self.minutes = Minutes(OPEN_NS, 375, 1, self.bar_log)
        self.link, self.backfill = Link(), Candles()
        self.day = SimpleNamespace(contracts=("only",))
        self.status = DayStatus()
        self.told, self.links, self.notices = [], [], []
        self.trader = SimpleNamespace(tell=self.told.append)
        self.closing = MinuteClosing(self)
        self.watch = DayWatch(self, self.closing)

    def record_bars(self, rows):
        pass

    def broker_time(self, now_ns):
        pass

    def notice(self, level, text):
        self.notices.append((level, text))

    def tell_link(self, *words):
        self.links.append(words)

    def tick(self, second, price):
        made = np.zeros(1, TICK)
        made["exchange_ns"] = made["receive_ns"] = OPEN_NS + round(second * NS)
        made["price"], made["volume"] = price, second + 1
        self.minutes.push(made)

    def look(self):
        """One turn of the watch."""
        self.watch.look_at_feed()
        self.watch._tell_time()

    def close(self):
        if not self.watch.fresh:
            self.minutes.lost(self.watch._lost_ns, self.watch._now)
        asyncio.run(self.closing.close_until(self.watch._now, patient=True))

    @property
    def closed(self):
        return [(m.minute, m.replayed, [b.close for b in m.bars]) for m in self.of(BarsClosed)]

    def of(self, kind):
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def day(tmp_path):
    return Day(tmp_path)


def test_minutes_close_by_the_clock(day):
    day.tick(10, 100)
    day.clock.passes(61)
    day.look()
    day.close()
    assert day.closed == []
    day.clock.passes(1.5)
    day.look()
    day.close()
    assert day.closed == [(0, False, [100])]
    assert day.of(Timer)[-1].at_ns == OPEN_NS + round(62.5 * NS)


def test_a_minute_that_ends_while_the_feed_is_away_is_filled_up_before_it_is_told(day):
    day.tick(10, 100)
    day.clock.passes(50)
    day.link.state = ("down", "gone")
    day.look()
    assert day.of(FeedStatus) == [FeedStatus(False, "gone")]
    assert day.links == [("feed", "kite", "down", "gone")]
    day.clock.passes(65)
    day.look()
    day.close()
    assert day.closed == [(0, True, [777])]
    day.clock.passes(60)
    day.look()
    day.close()
    assert day.closed[1:] == [(1, True, [777])]
    day.link.state = ("up", "")
    day.look()
    assert day.of(FeedStatus)[-1].fresh
    assert day.minutes.needs_candles(day.minutes.closed + 1)  # seen from its middle on


def test_a_mute_feed_is_stale_in_trading_hours_only(day):
    day.link.tick_age_s = 30
    day.look()
    assert not day.watch.fresh
    day.clock.passes(376 * 60)
    day.look()
    day.look()
    assert day.watch.fresh


def test_candles_that_do_not_come_are_waited_for_and_several_minutes_are_asked_for_at_once(day):
    day.minutes.lost(OPEN_NS, OPEN_NS + 130 * NS)
    day.tick(185, 300)
    day.backfill.answers = False
    day.clock.passes(250)
    day.look()
    for _ in range(3):
        day.close()
    assert day.closed == []
    assert day.backfill.asked == [(0, 2)]  # not again within seconds
    day.backfill.answers = True
    day.clock.passes(11)
    day.look()
    day.close()
    assert day.closed == [(0, True, [777]), (1, True, [777]), (2, True, [777]), (3, False, [300])]


def test_after_a_while_a_minute_without_candles_is_told_as_it_was_seen(day):
    day.minutes.lost(OPEN_NS, OPEN_NS + 30 * NS)
    day.tick(50, 100)
    day.backfill.answers = False
    day.clock.passes(60 + CANDLES_WAIT_NS / NS)
    day.look()
    day.close()
    assert day.closed[0] == (0, True, [100])
    assert day.notices[0][0] == "error"


def test_a_wall_clock_that_jumps_ahead_closes_no_minute_and_sells_nothing_out(day):
    day.tick(1, 100)
    day.look()
    day.clock.wall += 7 * 3600 * NS
    day.clock.passes(0.25)
    day.look()
    day.close()
    assert day.closed == []
    assert day.of(Timer)[-1].at_ns < OPEN_NS + NS
    assert [words[:3] for words in day.links] == [("clock", "wall clock", "jumped")]


def test_the_forced_exit_comes_although_the_wall_clock_was_set_back(day):
    day.look()
    day.clock.passes(300 * 60)
    day.clock.wall -= 3600 * NS
    day.link.tick_age_s = float("inf")
    day.look()
    day.clock.passes(60 * 60)
    day.look()
    assert day.of(Timer)[-1].at_ns >= day.plan.exit_ns


def test_a_bar_file_that_cannot_be_written_is_told_once(day):
    day.bar_log.failure = "disk full"
    day.clock.passes(200)
    day.look()
    day.close()
    assert len(day.closed) == 3
    assert day.notices == [("warning", "disk full")]


def test_a_played_day_that_falls_silent_is_stale_by_its_own_speed(tmp_path):
    day = Day(tmp_path, clock=SystemClock())
    day.paced, day.rate = True, 60.0
    day.link.silent_s = 5.5
    day.watch.look_at_feed()
    assert day.watch.fresh
    day.link.silent_s = 6.5
    day.watch.look_at_feed()
    assert not day.watch.fresh
    day.rate = 0.0  # at "max" it waits for us
    day.watch.look_at_feed()
    assert day.watch.fresh


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch):
    class Full:
        def write(self, _text):
            raise OSError(28, "No space left on device")

        flush = write

    monkeypatch.setattr(sys, "stdout", Full())
    print("a line", file=Outlet())


def test_the_phase_told_is_what_a_person_must_know():
    status = DayStatus()
    status.phase = "trading"
    assert status._phase(None) == "trading"
    status.killing = True
    assert status._phase(None) == "closing"
    assert status._phase(SimpleNamespace(login_lost=True)) == "login_needed"
    status.phase = "done"
    assert status._phase(SimpleNamespace(login_lost=True)) == "done"


# ---- the watchdog's hand, on a later day ----


class EmptyBroker:
    """Holds nothing, and takes no order."""

    def __init__(self, held=()):
        self.held = held

    async def connect(self):
        return "practice"

    async def positions(self):
        return [SimpleNamespace(symbol=symbol, quantity=-65) for symbol in self.held]

    async def close(self):
        pass

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked of the broker")


def close_on(store, folder, date, **broker):
    spec = make_spec(load_session_params("practice"), date=date, data_folder=folder)
    work = close_everything(
        spec, store, lambda: EmptyBroker(**broker), "dead", lambda *_: None, who="test", within_s=0.0
    )
    return asyncio.run(work)


def test_what_an_earlier_day_left_open_is_never_bought_back(store, tmp_path):
    store.append(*short())
    assert close_on(store, tmp_path, NEXT).flat
    assert not store.state.open_positions
    assert store.state.latch.state == "FLATTENING"


def test_what_an_earlier_day_left_and_the_broker_still_holds_is_not_flat(store, tmp_path):
    store.append(*short())
    closed = close_on(store, tmp_path, NEXT, held=["NIFTY24NOV2624000CE"])
    assert not closed.flat
    assert "still held" in closed.left[-1]


# ---- orders that the feed tells ----


class Told:
    """A trader that notes what it was told."""

    def __init__(self):
        self.reports, self.looks = [], 0
        self.pushed = self.reports.append

    def raise_failure(self):
        pass

    async def look(self):
        self.looks += 1


def test_an_order_told_again_after_a_restart_does_not_undo_what_the_books_say():
    day = LiveDay.__new__(LiveDay)
    day.trader = Told()
    day._waiting = deque([(Order("old"), True), (Order("before the books were read"), False)])
    asyncio.run(day._catch_up())
    asyncio.run(day._process(Order("told again"), past=True))
    assert (day.trader.reports, day.trader.looks) == ([], 1)
    asyncio.run(day._process(Order("new"), past=False))
    assert day.trader.reports == ["new"]
