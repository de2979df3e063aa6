"""What time brings to a live day: the wall clock's minutes, a silent feed, a lost login, a full disk, comparisons.

Each duty is a task of its own, so that none waits for another: candles that do not come hold up neither the forced
exit nor the day's loss limit. Faults 21, 30, 32 and 33 of the reference `reliability`.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from engine.errors import WorkbenchError
from engine.history.bars import GRACE_NS
from engine.live.brokers.base import BrokerError
from engine.live.clocks import NS_PER_SECOND
from engine.live.day.day_time import DayTime
from engine.live.day.feed_link import Condition
from engine.live.day.minute_closing import CANDLES_WAIT_NS, MinuteClosing
from engine.live.decisions.session_inputs import FeedStatus, Timer
from engine.live.decisions.session_state import MINUTE_NS
from engine.live.log.events import LinkChanged
from engine.live.log.store_errors import StoreError

if TYPE_CHECKING:
    from engine.live.day.live_day import LiveDay

WATCH_S = 0.25
BOOK_S = 2.0
LOST_AT_MOST_S = 60
"""A feed from which no tick ever came is taken to have been away for so long."""


class DayWatch:
    """
    The duties of one day.

    Parameters
    ----------
    day : LiveDay
    closing : MinuteClosing

    Attributes
    ----------
    fresh : bool
        Whether prices are.
    detail : str
        What is wrong with them, or what the feed says.
    """

    def __init__(self, day: "LiveDay", closing: MinuteClosing) -> None:
        self._day = day
        self._closing = closing
        self._time = DayTime(day.clock)
        self._now = self._time.read()[0]
        self.fresh = True
        self.detail = ""
        self._lost_ns = 0
        self._told_ahead = False
        self._mending = asyncio.Lock()
        self._doubt = asyncio.Event()

    async def watch(self) -> None:
        """Tell the time, notice a silent feed and a jumping clock; for ever."""
        day = self._day
        while True:
            day.trader.raise_failure()
            self.look_at_feed()
            if not day.paced:
                self._tell_time()
            await asyncio.sleep(WATCH_S)

    async def close_minutes(self) -> None:
        """Close minutes by the wall clock; for ever."""
        day = self._day
        while not day.paced:
            if not self.fresh:
                day.minutes.lost(self._lost_ns, self._now)
            await self._closing.close_until(self._now, patient=True)
            end = day.open_ns + day.minutes_in_day * MINUTE_NS + GRACE_NS
            if day.minutes.closed >= day.minutes_in_day - 1 or self._now > end + CANDLES_WAIT_NS:
                day.over.set()
            await asyncio.sleep(WATCH_S)

    async def read_books(self) -> None:
        """Look at the broker's books while something of ours is open: pushes may be lost."""
        day = self._day
        while True:
            await asyncio.sleep(BOOK_S)
            if day.trader.login_lost:
                await self.mend_login()
            elif (day.store.state.open_orders or day.trader.held()) and not await day.trader.look():
                self._doubt.set()

    async def guard_disk(self) -> None:
        """While the log cannot be written: say so, and try until it can, so that what was journalled is in it."""
        day = self._day
        told = False
        while True:
            await asyncio.sleep(BOOK_S)
            failure = day.store.failure
            fails = failure is not None or day.store.journalled > 0
            if not fails and not told:
                continue
            if not told:
                day.tell_link("disk", "log", "down", str(failure))
            told = True
            try:  # is it the first to be taken, all that was journalled goes with it
                day.store.append(LinkChanged(link="disk", name="log", status="up", detail="written again"))
                told = False
            except StoreError as error:
                if error.failure == "lost_lease":
                    raise

    async def reconcile(self) -> None:
        """Compare broker and log: every so often, and soon after a feed or a broker was away (fault 34)."""
        day = self._day
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._doubt.wait(), day.spec.session.reconcile_seconds)
            self._doubt.clear()
            if day.trader.login_lost:
                continue  # compared when it is mended
            compared = await day.trader.reconcile()
            day.status.compared(compared)
            if not compared.known:
                self._doubt.set()
                await asyncio.sleep(BOOK_S)

    async def mend_login(self) -> None:
        """While the login is gone: wait for a person to log in again, then compare before going on."""
        day = self._day
        async with self._mending:
            if not day.trader.login_lost:
                return
            day.tell_link("broker", day.spec.broker, "token_expired", f"log in: {day.spec.login_command}")
            told = ""
            while True:
                try:
                    await day.renew_login()
                    break
                except (
                    WorkbenchError
                ) as error:  # no login yet, no answer, a file of secrets that is not in order
                    if not isinstance(error, BrokerError) and str(error) != told:
                        told = str(error)
                        day.notice("error", told)
                    await asyncio.sleep(BOOK_S)
            day.trader.login_lost = False
            day.tell_link("broker", day.spec.broker, "up", "logged in again")
            await day.backfill.close()  # its login is the old one
            day.status.compared(await day.trader.reconcile())

    # ---- inside ----

    def _tell_time(self) -> None:
        day = self._day
        age_s = day.link.tick_age_s
        heard = day.minutes.newest_ns
        exchange_ns = heard + round(age_s * NS_PER_SECOND) if heard and age_s < LOST_AT_MOST_S else 0
        self._now, jumped = self._time.read(exchange_ns)
        if jumped:
            day.tell_link("clock", "wall clock", "jumped", f"by {jumped / 1e9:+.1f} s")
        if day.minutes.ahead and not self._told_ahead:
            self._told_ahead = True
            words = "their time of receipt counts; compare the machine's clock: workbench check"
            day.notice("warning", f"prices are dated ahead of our clocks: {words}")
        day.broker_time(self._now)
        day.trader.tell(Timer(self._now))

    def look_at_feed(self) -> None:
        """Tell the session when prices stop being fresh, and when they are fresh again."""
        day = self._day
        condition, detail = self._condition()
        fresh = condition == "up"
        self.detail = detail
        if fresh == self.fresh or day.stopping:
            return
        self.fresh = fresh
        if not fresh:
            age_s = min(day.link.tick_age_s, LOST_AT_MOST_S)
            self._lost_ns = self._now - round(age_s * NS_PER_SECOND)
        elif not day.paced:  # a played day counts its moments
            day.minutes.lost(self._lost_ns, self._now)
        if fresh:
            self._doubt.set()  # pushes were lost with the prices
        day.tell_link("feed", day.spec.feed, condition, detail)
        day.trader.tell(FeedStatus(fresh, detail))

    def _condition(self) -> tuple[Condition, str]:
        day = self._day
        stale_s = float(day.spec.session.stale_ticks_seconds)
        if not day.paced:
            end_ns = day.open_ns + day.minutes_in_day * MINUTE_NS
            return day.link.condition(stale_s if day.open_ns <= self._now < end_ns else None)
        condition, detail = day.link.condition(None)
        rate = day.rate
        if condition == "up" and rate and not day.over.is_set():
            silent_s = day.link.silent_s
            if silent_s > stale_s + MINUTE_NS / NS_PER_SECOND / rate:  # some moments of a day lie far apart
                return "stale", f"the played day has said nothing for {silent_s:.0f} s"
        return condition, detail
