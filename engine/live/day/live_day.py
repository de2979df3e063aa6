"""One live day from the open to the proof of flat: contracts, recovery, prices in, the trader told, the end.

Start and recovery are one path: read what is on disk, ask the broker, rebuild, place what protects, go on. The day
runs on the wall clock (`day_watch`), or on the clock of a feed that plays one ("paced": each moment is settled, then
answered, so a played day decides the same at any speed). Rules R7 and R10, faults 21, 24, 32 and 33 of the reference
`reliability`.
"""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import WorkbenchError
from engine.execution.risk import limits_for
from engine.history.bars import GRACE_NS
from engine.live.brokers.base import Broker
from engine.live.clocks import Clock, PacedClock
from engine.live.control.dead_man import close_everything
from engine.live.day.backfill import Backfill
from engine.live.day.bar_log import BarLog
from engine.live.day.day_contracts import DayContracts, plan_of
from engine.live.day.day_gap import fill_gap, from_open
from engine.live.day.day_opening import broker_answers, contracts_at_open
from engine.live.day.day_status import DayStatus
from engine.live.day.day_watch import DayWatch
from engine.live.day.feed_link import FeedLink
from engine.live.day.minute_closing import MinuteClosing
from engine.live.day.minutes import Minutes
from engine.live.day.old_days import settle_earlier_days
from engine.live.day.recorder import Recorder
from engine.live.day.recording import Instrument, Recording, recording_folder
from engine.live.day.warming import warm
from engine.live.decisions.session_inputs import Timer
from engine.live.decisions.session_state import MINUTE_NS, Plan
from engine.live.feeds.wire import ClockTick, Index, Message, Order, Ticks
from engine.live.gateway import Gateway
from engine.live.log.events import LinkChanged, Noticed, SessionEnded, SessionStarted
from engine.live.log.money import billed_charges
from engine.live.log.store_errors import StoreError
from engine.live.orders.prechecks import Rails
from engine.live.spec import SessionSpec
from engine.live.store import Store
from engine.live.trader import Trader
from engine.market.clock import IST, minute_start, to_ns
from engine.market.contracts import freeze_quantity
from engine.market.sessions import session_minutes

Records = npt.NDArray[np.void]
CONFIRM_S = 3.0
RETRY_S = 1.0
EARLY_CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class DayParts:
    """
    What a day works with, made by the process around it.

    Attributes
    ----------
    renew_login : function
        Logs in anew with the newest token, or raises what the broker or the secrets' file says.
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
        Once `has_trader`; it may be spoken to once `started`.
    begun : bool
        Decisions are taken.
    over : asyncio.Event
        The session's last minute has closed.
    first_clock : asyncio.Event
        A played day has told its time.
    last_clock : ClockTick or None
        What it told last.
    stopping : bool
        Prices are not followed any more.
    """

    def __init__(self, parts: DayParts) -> None:
        self.spec = parts.spec
        self.store = parts.store
        self.broker = parts.broker
        self.clock = parts.clock
        self.link = parts.link
        self.status = parts.status
        self.backfill = parts.backfill
        self.renew_login = parts.renew_login
        self.open_ns = to_ns(minute_start(self.spec.date, 0))
        self.minutes_in_day = session_minutes(self.spec.date)
        self.over = asyncio.Event()
        self.stopping = False
        self.has_trader = False
        self.started = False
        self.begun = False
        self.trader: Trader
        self.plan: Plan
        self.day: DayContracts
        self.minutes: Minutes
        self.bar_log = BarLog(self.spec.places.folder, self.spec.date)
        self._closing = MinuteClosing(self)
        self.watch = DayWatch(self, self._closing)
        self._recorder: Recorder | None = None
        self._waiting: deque[tuple[Message, bool]] = (
            deque()
        )  # until the trader is there; and whether repeated
        self.last_clock: ClockTick | None = None
        self.first_clock = asyncio.Event()
        self._books = asyncio.Lock()  # who asks the broker before the trader is there
        self._kept: DayContracts | None = None

    # ---- beginning ----

    @property
    def paced(self) -> bool:
        """Whether the feed plays a day with a clock of its own."""
        return isinstance(self.clock, PacedClock)

    @property
    def rate(self) -> float:
        """How much faster than the market's own a played day flows; 0 where it stands between its moments."""
        clock = self.last_clock
        return float(clock.speed) if clock is not None and not isinstance(clock.speed, str) else 0.0

    @property
    def login_lost(self) -> bool:
        """Whether the broker does not know us any more."""
        return self.has_trader and self.trader.login_lost

    def prepare(self) -> None:
        """Before the feed is followed: what an earlier process of this day watched is watched again."""
        self._kept = DayContracts.read(self.spec.places.contracts, self.spec.date)
        if self._kept is not None:
            self._want(self._kept)

    async def begin(self) -> None:
        """
        Everything until the first decision may be taken; waits for the feed and the broker as long as it takes.

        Raises
        ------
        WorkbenchError
            If contracts, parameters or filters do not fit; a new start would fail alike.
        """
        self.day = self._kept or await contracts_at_open(self)
        self.plan = await asyncio.to_thread(
            plan_of, self.day, self.spec.params
        )  # compiles: the heart beats on
        await asyncio.to_thread(warm, self.plan)
        warm_broker = getattr(self.broker, "warm", None)
        if warm_broker is not None:
            await asyncio.to_thread(warm_broker)
        await self._subscribe()
        if self.paced:
            await self.first_clock.wait()
        now = self.clock.wall_ns()
        self.minutes = Minutes(
            self.open_ns,
            self.minutes_in_day,
            len(self.plan.symbols),
            self.bar_log,
            from_open=from_open(self, now),
        )
        await fill_gap(self, now)
        self._begin_recording()
        async with self._books:
            await self._begin_trading()
        await self._catch_up()
        self.begun = True

    async def _catch_up(self) -> None:
        """Take in what was told meanwhile; orders are older than the books read since, so these are read again."""
        heard = False
        while self._waiting or heard:
            if not self._waiting:
                heard = False
                await self.trader.look()
                continue
            message, past = self._waiting.popleft()
            if isinstance(message, Order):
                heard |= not past
            else:
                await self._process(message, past=past)

    async def _begin_trading(self) -> None:
        gateway = Gateway(self.store, self.broker, self.clock, self._rails(), self._reference)
        await broker_answers(self, gateway)
        await settle_earlier_days(self.store, self.broker, self.spec.date, self.notice)
        self._log_start()
        self.trader = Trader(self.plan, self.store, gateway, self.clock, alert=self.notice)
        self.has_trader = True
        reports = getattr(self.broker, "on_report", None)
        if reports is not None:
            reports.append(self.trader.pushed)
        compared = await self.trader.start(self.minutes.history())
        self.started = True
        while not compared.known:  # what is open is looked after meanwhile; nothing is opened
            self.status.compared(compared)
            self.trader.raise_failure()
            await self.watch.mend_login()
            await asyncio.sleep(RETRY_S)
            compared = await self.trader.reconcile()
        self.status.compared(compared)

    async def close_early(self, reason: str, who: str) -> bool:
        """
        KILL before there is a trader: close what an earlier process of this day left, without prices of our own.

        Returns
        -------
        bool
            Whether flat is proved; False also where the trader has come meanwhile: then it is the trader's turn.
        """
        async with self._books:
            if self.has_trader:
                return False
            closed = await close_everything(
                    self.spec, self.store, lambda: _Lent(self.broker), reason, self.notice,  # type: ignore[arg-type, return-value]
                    who=who,
                    within_s=EARLY_CLOSE_S, clock=self.clock,
                )  # fmt: skip
            return closed.flat

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

    def _begin_recording(self) -> None:
        instruments = tuple(
            Instrument(c.symbol, c.kind, self.day.expiry, c.strike) for c in self.day.contracts
        )
        recording = Recording(self.day.underlying, self.spec.date, self.spec.simulated, instruments)
        folder = recording_folder(self.spec.places.folder, self.day.underlying, self.spec.date)
        try:
            self._recorder = Recorder(folder, recording)
        except (WorkbenchError, OSError) as error:  # a full disk must cost the recording only
            self.notice("error", f"the day is not recorded: {error}")

    def record_bars(self, rows: Records) -> None:
        """Write closed bars into the recording."""
        if self._recorder is not None:
            self._recorder.bars(rows)

    def _rails(self) -> Rails:
        spec = self.spec
        return Rails(
            date=spec.date,
            lot=self.day.lot,
            freeze=freeze_quantity(self.day.underlying, spec.date),
            limits=limits_for(spec.params),
            max_order_paise=spec.session.max_order_value_rupees * 100,
            until_ns=0 if spec.simulated else to_ns(dt.datetime.combine(spec.date, dt.time.max, IST)),
        )

    def _reference(self, symbol: str) -> int | None:
        if symbol not in self.plan.symbols:
            return None
        return self.minutes.reference(self.plan.symbols.index(symbol), self.clock.wall_ns())

    def _log_start(self) -> None:
        """A day begins once; one that ended without the proof of flat goes on."""
        today = self.store.state.today
        if today is not None and today.date == self.spec.date.isoformat():
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
                if on_index is not None and message.last > 0:
                    on_index(message.last)
            elif self.begun:
                await self._process(message, past=self.link.in_past)
            else:
                self._waiting.append((message, self.link.in_past))

    async def _process(self, message: Message, *, past: bool) -> None:
        match message:
            case Ticks():
                self._ticks(message.ticks, past=past)
            case Order() if not past:  # what is told again was true minutes ago; the books were read since
                self.trader.pushed(message.report)
            case ClockTick() if not past:
                await self._clock_tick(message)
            case _:
                pass
        self.trader.raise_failure()

    def _ticks(self, ticks: Records, *, past: bool) -> None:
        latest_ns = None if self.paced else self.trader.latest_ns
        for quotes in self.minutes.push(ticks, latest_ns):
            if self.paced:
                self.trader.tell(Timer(quotes.at_ns))
            self.trader.tell(quotes)
        self.status.decided(self.link.arrived_ns, ticks.shape[0])
        on_ticks = getattr(self.broker, "on_ticks", None)
        if on_ticks is not None:
            on_ticks(ticks, self.clock.wall_ns(), past=past)
        if not past and self._recorder is not None:
            self._recorder.ticks(ticks)

    def _told_time(self, tick: ClockTick) -> None:
        if isinstance(self.clock, PacedClock):
            self.clock.told(tick.ns, tick.speed if isinstance(tick.speed, float | int) else 0.0)
        before = self.last_clock
        if before is not None and tick.seq > before.seq + 1 and self.has_trader:
            self.minutes.lost(before.ns, tick.ns)
            self.notice("warning", f"{tick.seq - before.seq - 1} moments of the played day were not heard")
        if before is None or tick.seq > before.seq:
            self.last_clock = tick
            self.first_clock.set()

    async def _clock_tick(self, tick: ClockTick) -> None:
        self.broker_time(tick.ns)
        if isinstance(tick.speed, str):
            await self.trader.settle()  # what this moment filled is booked before it is judged
        # a minute's end still belongs to it: what is due at the next one meets that one's first price
        self.trader.tell(Timer(tick.ns - tick.closes))
        if tick.closes:
            end_ns = self.open_ns + (tick.minute + 1) * MINUTE_NS + GRACE_NS
            await self._closing.close_until(end_ns, patient=False)
        if isinstance(tick.speed, str):
            await self.trader.settle()
        await self.link.done(tick.seq)
        if tick.closes and tick.minute >= self.minutes_in_day - 1:
            self.over.set()

    def broker_time(self, now_ns: int) -> None:
        """Tell a broker that lives in this process how late it is."""
        on_time = getattr(self.broker, "on_time", None)
        if on_time is not None:
            on_time(now_ns)

    # ---- telling ----

    def tell_link(self, link: str, name: str, status: str, detail: str) -> None:
        """Write down that a feed, the broker's line or the clock has changed its condition."""
        fact = LinkChanged(link=link, name=name, status=status, detail=detail)  # type: ignore[arg-type]
        self.status.log("info", f"{link} {name}: {status} {detail}")
        try:
            self.store.append_exit(fact)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise

    def notice(self, level: str, text: str) -> None:
        """Tell a person, by way of the log."""
        self.status.log(level, text)
        with suppress(StoreError):  # it stands in the runner's own log all the same
            self.store.append_exit(Noticed(level=level, text=text))  # type: ignore[arg-type]

    # ---- ending ----

    async def end(self) -> bool:
        """The day is over: close what is left, prove flat, sum up. Whether it is flat, by the broker."""
        within = self.spec.session.flatten_within_seconds
        self.status.compared(await self.trader.reconcile())
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

    async def close(self) -> None:
        """Drop what is on its way, write down what is recorded."""
        if self.has_trader:
            await self.trader.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)


class _Lent:
    """A broker that is not to be closed by whoever borrows it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> object:
        return getattr(self._broker, name)

    async def close(self) -> None:
        """Nothing: the owner goes on."""
