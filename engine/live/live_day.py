"""One live day from the open to the proof of flat: prices in, the trader told, minutes closed, people obeyed.

Start and recovery are one path: read what is on disk, ask the broker, rebuild, place what protects, go on. The day
runs on the wall clock, or on the clock of a feed that plays one ("paced": each moment is settled, then answered, so
a played day decides the same at any speed). Rules R7 and R10, faults 21, 24, 32 and 33 of the reference `reliability`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from engine.execution.risk import limits_for
from engine.history.bars import BAR, GRACE_NS
from engine.live.backfill import Backfill
from engine.live.bar_log import BarLog
from engine.live.brokers.base import Broker, BrokerAuth, BrokerError, BrokerUnknown
from engine.live.clocks import Clock, PacedClock
from engine.live.day_contracts import DayContracts, choose, plan_of
from engine.live.day_status import DayStatus
from engine.live.events import LinkChanged, Noticed, SessionEnded, SessionStarted
from engine.live.feed_link import FeedLink
from engine.live.feeds.wire import ClockTick, Index, Message, Order, Ticks
from engine.live.gateway import Gateway
from engine.live.minutes import Minutes
from engine.live.money import billed_charges
from engine.live.prechecks import Rails
from engine.live.recorder import Instrument, Recorder, Recording, recording_folder
from engine.live.session_inputs import BarsClosed, FeedStatus, Timer
from engine.live.session_state import MINUTE_NS, Plan
from engine.live.spec import SessionSpec
from engine.live.store import Store
from engine.live.store_errors import StoreError
from engine.live.trader import Trader
from engine.market.clock import minute_start, to_ns
from engine.market.contracts import freeze_quantity
from engine.market.prices import TICKS_PER_RUPEE
from engine.market.sessions import session_minutes

WATCH_S = 0.25
BOOK_S = 2.0
OPENING_BEFORE_S = 300
"""The index's value from so long before the open is the opening price: the pre-open session has settled it."""
CONFIRM_S = 3.0
JUMP_S = 2.0


@dataclass(frozen=True, slots=True)
class DayParts:
    """
    What a day works with, made by the process around it.

    Attributes
    ----------
    log_in : function
        Returns a broker whose login is good, or raises `BrokerAuth`; called again after a lost login.
    """

    spec: SessionSpec
    store: Store
    broker: Broker
    clock: Clock
    link: FeedLink
    status: DayStatus
    backfill: Backfill
    renew_login: Callable[[], Awaitable[None]]


class LiveDay:
    """
    The day at work; `begin`, then `follow` until `over`.

    Attributes
    ----------
    trader : Trader
        After `begin`.
    over : asyncio.Event
        The session's last minute has closed.
    """

    def __init__(self, parts: DayParts) -> None:
        self.spec = parts.spec
        self.store = parts.store
        self.broker = parts.broker
        self.clock = parts.clock
        self.link = parts.link
        self.status = parts.status
        self._backfill = parts.backfill
        self._renew_login = parts.renew_login
        self.open_ns = to_ns(minute_start(self.spec.date, 0))
        self.minutes_in_day = session_minutes(self.spec.date)
        self.over = asyncio.Event()
        self.trader: Trader
        self.plan: Plan
        self.day: DayContracts
        self.minutes: Minutes
        self._recorder: Recorder
        self._waiting: list[Message] | None = []  # until the trader is there
        self._last_clock: ClockTick | None = None
        self._closing = asyncio.Lock()
        self._kept: DayContracts | None = None
        self._lost_ns = 0
        self._fresh = True

    # ---- beginning ----

    @property
    def paced(self) -> bool:
        """Whether the feed plays a day with a clock of its own."""
        return isinstance(self.clock, PacedClock)

    @property
    def has_begun(self) -> bool:
        """Whether decisions are taken."""
        return self._waiting is None

    @property
    def trader_login_lost(self) -> bool:
        """Whether the broker does not know us any more."""
        return self.has_begun and self.trader.login_lost

    def prepare(self) -> None:
        """Before the feed is followed: what an earlier process of this day watched is watched again."""
        self._kept = DayContracts.read(self.spec.places.contracts, self.spec.date)
        if self._kept is not None:
            self._want(self._kept)

    async def begin(self) -> None:
        """
        Everything until the first decision may be taken.

        Raises
        ------
        BrokerError
            If the broker could not be asked within the time.
        WorkbenchError
            If contracts, parameters or filters do not fit; a new start would fail alike.
        """
        self.day = await self._contracts()
        self.plan = plan_of(self.day, self.spec.params)
        await self._subscribe()
        log = BarLog(self.spec.places.folder, self.spec.date)
        now = self.clock.wall_ns()
        self.minutes = Minutes(
            self.open_ns, self.minutes_in_day, len(self.plan.symbols), log, from_open=self._from_open(now)
        )
        await self._fill_gap(now)
        self._begin_recording()
        gateway = Gateway(self.store, self.broker, self.clock, self._rails(), self._reference)
        self._log_start()
        self.trader = Trader(self.plan, self.store, gateway, self.clock, alert=self.notice)
        compared = await self.trader.start(self.minutes.history())
        if not compared.known:
            raise BrokerUnknown(f"the broker's books could not be compared at the start: {compared.detail}")
        for message in self._drain():
            await self._process(message)
        self._waiting = None

    async def _contracts(self) -> DayContracts:
        if self._kept is not None:
            return self._kept
        opening = await self._opening()
        listed = await self.broker.instruments(self.spec.params.underlying)
        day = choose(listed, opening, self.spec.params, self.spec.date)
        day.write(self.spec.places.contracts)
        return day

    async def _opening(self) -> Decimal | None:
        """The index at the open, rupees; None where a played day has none."""
        while True:
            index = self.link.index
            if index is not None and index.ns >= self.open_ns - OPENING_BEFORE_S * 1_000_000_000:
                begun = index.ns >= self.open_ns and index.open > 0
                return Decimal(index.open if begun else index.last) / TICKS_PER_RUPEE
            if self.paced and self._last_clock is not None and index is None:
                self.notice("warning", "the played day has no index: every listed strike is watched")
                return None
            await self.link.wait_news()

    async def _subscribe(self) -> None:
        wanted = self._want(self.day)
        await self.link.subscribe(wanted)
        with suppress(TimeoutError):  # some contracts have not traded yet: nothing is told of them
            await asyncio.wait_for(self.link.confirmed(len(wanted)), CONFIRM_S)

    def _want(self, day: DayContracts) -> list[tuple[int, str, int]]:
        follow = getattr(self.broker, "follow", None)
        if follow is not None:
            follow(day.contracts)
        wanted = [(n, c.symbol, c.token) for n, c in enumerate(day.contracts)]
        self.link.want(wanted)
        return wanted

    def _from_open(self, now: int) -> bool:
        first = self._last_clock
        if self.paced:
            return first is None or (first.minute, first.moment) == (0, 0)
        return now < self.open_ns

    async def _fill_gap(self, now: int) -> None:
        """Minutes that closed while nobody watched, and the one in progress if its beginning was missed."""
        if self.minutes.closed < 0 and self._from_open(now):
            return
        past = self.link.past_from_ns
        current = min((now - self.open_ns) // MINUTE_NS, self.minutes_in_day)
        missing = self.minutes.due(now, grace_ns=0)
        if missing:
            bars = await self._backfill.bars(self.day.contracts, missing[0], missing[-1])
            for minute in missing:
                self.minutes.fill(minute, bars[bars["minute"] == minute])
        self.minutes.resume()
        begun = self.open_ns + current * MINUTE_NS
        if current < self.minutes_in_day and (past is None or not 0 < past <= begun):
            self.minutes.lost(begun, now)

    def _begin_recording(self) -> None:
        instruments = tuple(
            Instrument(c.symbol, c.kind, self.day.expiry, c.strike) for c in self.day.contracts
        )
        recording = Recording(self.day.underlying, self.spec.date, self.spec.simulated, instruments)
        folder = recording_folder(self.spec.places.folder, self.day.underlying, self.spec.date)
        self._recorder = Recorder(folder, recording)

    def _rails(self) -> Rails:
        spec = self.spec
        return Rails(
            date=spec.date,
            lot=self.day.lot,
            freeze=freeze_quantity(self.day.underlying, spec.date),
            limits=limits_for(spec.params),
            max_order_paise=spec.session.max_order_value_rupees * 100,
        )

    def _reference(self, symbol: str) -> int | None:
        if symbol not in self.plan.symbols:
            return None
        return self.minutes.reference(self.plan.symbols.index(symbol), self.clock.wall_ns())

    def _log_start(self) -> None:
        today = self.store.state.today
        if today is not None and today.date == self.spec.date.isoformat() and not today.ended_ns:
            return
        self.store.append(
            SessionStarted(
                date=self.spec.date, underlying=self.day.underlying, expiry=self.day.expiry, mode=self.spec.mode,
                params_hash=self.spec.params.hash, lot_size=self.day.lot, broker=self.spec.broker,
                feed=self.spec.feed, simulated=self.spec.simulated,
            )
        )  # fmt: skip

    # ---- what the feed says ----

    async def follow(self) -> None:
        """Take in the feed's messages for as long as it has any."""
        async for message in self.link.messages():
            if isinstance(message, ClockTick):
                self._told_time(message)
            if isinstance(message, Index):
                on_index = getattr(self.broker, "on_index", None)
                if on_index is not None:
                    on_index(message.last)
            elif self._waiting is not None:
                self._waiting.append(message)
            else:
                await self._process(message)

    def _drain(self) -> list[Message]:
        assert self._waiting is not None
        drained, self._waiting = self._waiting, []
        return drained

    async def _process(self, message: Message) -> None:
        match message:
            case Ticks():
                self._ticks(message)
            case Order():
                self.trader.pushed(message.report)
            case ClockTick():
                await self._clock_tick(message)
            case _:
                pass
        self.trader.raise_failure()

    def _ticks(self, message: Ticks) -> None:
        ticks, past = message.ticks, self.link.in_past
        for quotes in self.minutes.push(ticks):
            if self.paced:
                self.trader.tell(Timer(quotes.at_ns))
            self.trader.tell(quotes)
        on_ticks = getattr(self.broker, "on_ticks", None)
        if on_ticks is not None:
            on_ticks(ticks, self.clock.wall_ns(), past=past)
        if not past:
            self._recorder.ticks(ticks)
        self.status.decided(self.link.arrived_ns, ticks.shape[0])

    def _told_time(self, tick: ClockTick) -> None:
        if isinstance(self.clock, PacedClock):
            self.clock.told(tick.ns, tick.speed if isinstance(tick.speed, float | int) else 0.0)
        before = self._last_clock
        if before is not None and tick.seq > before.seq + 1 and self._waiting is None:
            self.minutes.lost(before.ns, tick.ns)
            self.notice("warning", f"{tick.seq - before.seq - 1} moments of the played day were not heard")
        if before is None or tick.seq > before.seq:
            self._last_clock = tick

    async def _clock_tick(self, tick: ClockTick) -> None:
        if self.link.in_past:
            return
        on_time = getattr(self.broker, "on_time", None)
        if on_time is not None:
            on_time(tick.ns)
        if isinstance(tick.speed, str):
            await self.trader.settle()  # what this moment filled is booked before it is judged
        # a minute's end still belongs to it: what is due at the next one meets that one's first price
        self.trader.tell(Timer(tick.ns - tick.closes))
        if tick.closes:
            await self._close_minutes(self.open_ns + (tick.minute + 1) * MINUTE_NS + GRACE_NS)
        if isinstance(tick.speed, str):
            await self.trader.settle()
        await self.link.done(tick.seq)
        if tick.closes and tick.minute >= self.minutes_in_day - 1:
            self.over.set()

    # ---- minutes ----

    async def _close_minutes(self, now: int) -> None:
        async with self._closing:
            for minute in self.minutes.due(now):
                closed = await self._closed(minute)
                self._record_bars(closed)
                self.trader.tell(closed)
                self.status.minute = minute

    async def _closed(self, minute: int) -> BarsClosed:
        if not self.minutes.needs_candles(minute):
            return self.minutes.close(minute)
        try:
            bars = await self._backfill.bars(self.day.contracts, minute, minute)
        except BrokerError as error:
            self.notice("error", f"minute {minute} was not watched wholly and has no candles ({error})")
            return self.minutes.close(minute)
        self.notice("info", f"minute {minute} was filled up from candles; nothing is sent for it")
        return self.minutes.fill(minute, bars)

    def _record_bars(self, closed: BarsClosed) -> None:
        rows = np.zeros(len(closed.bars), BAR)
        for place, bar in enumerate(closed.bars):
            row = rows[place]
            row["instrument"], row["minute"] = bar.contract, closed.minute
            row["open"], row["high"], row["low"], row["close"] = bar.open, bar.high, bar.low, bar.close
            row["volume"] = bar.volume
        self._recorder.bars(rows)

    # ---- what time brings ----

    async def watch(self) -> None:
        """The wall clock's work: the time told, minutes closed, a silent feed and a jumping clock noticed."""
        drift = self.clock.wall_ns() - self.clock.monotonic_ns()
        exit_at = self.clock.monotonic_ns() + self.plan.exit_ns - self.clock.wall_ns()
        while True:
            await asyncio.sleep(WATCH_S)
            self.trader.raise_failure()
            self._watch_feed()
            if self.paced:
                continue
            now = self.clock.wall_ns()
            jumped = now - self.clock.monotonic_ns() - drift
            if abs(jumped) > JUMP_S * 1e9:
                drift += jumped
                self._tell_link("clock", "wall clock", "jumped", f"by {jumped / 1e9:+.1f} s")
            if self.clock.monotonic_ns() >= exit_at:
                now = max(now, self.plan.exit_ns)  # the exit does not wait for a clock that was set back
            on_time = getattr(self.broker, "on_time", None)
            if on_time is not None:
                on_time(now)
            self.trader.tell(Timer(now))
            await self._close_minutes(now)
            if self.minutes.closed >= self.minutes_in_day - 1:
                self.over.set()

    def _watch_feed(self) -> None:
        stale = float(self.spec.session.stale_ticks_seconds)
        hours = (
            self.paced
            or self.open_ns <= self.clock.wall_ns() < self.open_ns + self.minutes_in_day * MINUTE_NS
        )
        condition, detail = self.link.condition(stale if hours and not self.paced else None)
        fresh = condition == "up"
        if fresh == self._fresh:
            return
        self._fresh = fresh
        now = self.clock.wall_ns()
        if not fresh:
            self._lost_ns = now - round(min(self.link.tick_age_s, 60) * 1e9)
        elif not self.paced:  # a played day waits for us: its moments are counted
            self.minutes.lost(self._lost_ns, now)
        self._tell_link("feed", self.spec.feed, condition, detail)
        self.trader.tell(FeedStatus(fresh, detail))

    async def read_books(self) -> None:
        """Look at the broker's books while something of ours is open: pushes may be lost."""
        while True:
            await asyncio.sleep(BOOK_S)
            if self.store.state.open_orders or self.trader.held():
                await self.trader.look()
            await self._mend_login()

    async def reconcile(self) -> None:
        """Compare broker and log, every so often."""
        while True:
            await asyncio.sleep(self.spec.session.reconcile_seconds)
            compared = await self.trader.reconcile()
            self.status.compared(compared)

    async def _mend_login(self) -> None:
        """While the login is gone: wait for a person to log in again, then compare before going on."""
        if not self.trader.login_lost:
            return
        self._tell_link("broker", self.spec.broker, "token_expired", "log in: workbench login kite")
        self.status.phase = "login_needed"
        while True:
            try:
                await self._renew_login()
                break
            except BrokerAuth:
                await asyncio.sleep(BOOK_S)
            except BrokerError:
                await asyncio.sleep(BOOK_S)
        self.trader.login_lost = False
        self._tell_link("broker", self.spec.broker, "up", "logged in again")
        self.status.phase = "trading"
        await self.trader.reconcile()

    def _tell_link(self, link: str, name: str, status: str, detail: str) -> None:
        self.trader.gateway.wire.note(
            LinkChanged(link=link, name=name, status=status, detail=detail)  # type: ignore[arg-type]
        )

    def notice(self, level: str, text: str) -> None:
        """Tell a person, by way of the log."""
        self.status.log(level, text)
        with suppress(StoreError):  # it stands in the runner's own log all the same
            self.store.append_exit(Noticed(level=level, text=text))  # type: ignore[arg-type]

    # ---- ending ----

    async def end(self) -> bool:
        """The day is over: close what is left, prove flat, sum up. Whether it is flat, by the broker."""
        within = self.spec.session.flatten_within_seconds
        await self.trader.reconcile()
        flat = not self.trader.held() and await self.trader.proves_flat()
        if not flat:
            flat = await self.trader.kill("end of day", "runner", within)
        fills = [fill for fill in self.store.state.fills.values() if self.is_todays(fill.position)]
        self.trader.gateway.wire.note(
            SessionEnded(
                date=self.spec.date,
                flat=flat,
                charges=billed_charges(self.spec.date, fills),
                reason="end of day" if flat else "end of day, not proved flat",
            )
        )
        return flat

    def is_todays(self, position: int) -> bool:
        """Whether a position was opened on this day."""
        row = self.store.state.positions.get(position)
        return row is not None and row.date == self.spec.date.isoformat()

    def close(self) -> None:
        """Write down what is recorded."""
        self._recorder.close()
