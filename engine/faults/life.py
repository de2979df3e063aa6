"""One process of a history, from its start on the files that are there to its death: what a runner does."""

import asyncio
import sqlite3
from typing import TYPE_CHECKING

from engine.errors import DataError
from engine.faults.line import Line
from engine.faults.market import STEP_S, STEPS
from engine.faults.virtual import Died, Fate, ProcessClock
from engine.live.brokers.base import BrokerError, OrderReport
from engine.live.decisions.session_inputs import BarsClosed, Command, FeedStatus, Quotes, Timer
from engine.live.gateway import Gateway
from engine.live.log.events import SessionStarted
from engine.live.log.store_errors import StoreError
from engine.live.orders.prechecks import Rails
from engine.live.store import CrashPoint, Store
from engine.live.trader import Trader

if TYPE_CHECKING:
    from engine.faults.world import World

STALE_S = 15.0
RECONCILE_S = 60.0
AGAIN_S = 10.0
_CODES = {"locked": sqlite3.SQLITE_BUSY, "full": sqlite3.SQLITE_FULL}


class Life:
    """
    A runner.

    Attributes
    ----------
    ready : bool
        It has recovered and trades.
    """

    def __init__(self, world: "World", fate: Fate) -> None:
        self.world = world
        self.fate = fate
        self.clock = ProcessClock(world.machine, fate)
        self.store: Store | None = None
        self.trader: Trader | None = None
        self.ready = False
        self.proved = False
        self._last: dict[str, int] = {}
        self._heard_s = world.exchange.now_s
        self._fresh = True
        self._missed: list[int] = []
        self._killing = False

    # ---- from start to end ----

    async def run(self) -> None:
        """
        Trade until somebody ends this process.

        Raises
        ------
        StoreError, BrokerError, DataError
            If it cannot start; it is started again after a while.
        """
        world = self.world
        self.store = Store.open(world.path, world.account, clock=self.clock.wall_ns, at=self._at)
        world.opened(self.store)
        line = Line(world, self.fate)
        await line.instruments(world.plan.underlying, world.plan.expiry)  # contract facts agree, or no start
        if self.store.state.today is None:
            self.store.append(_started(world))
        rails = Rails(world.plan.date, world.lot, world.freeze, world.plan.limits, 10**12)
        gateway = Gateway(self.store, line, self.clock, rails, self._last.get, world.rules)
        self.trader = Trader(world.plan, self.store, gateway, self.clock, alert=self._alert)
        bars = [BarsClosed(minute, world.market.bars(minute)) for minute in range(world.minute)]
        await self.trader.start(bars)
        self.ready = True
        self.world.say("ready")
        if self.store.state.latch.state == "FLATTENING":
            world.kill_wanted = True
        await asyncio.gather(self._looks(), self._reconciles(), self._fails())

    async def _looks(self) -> None:
        assert self.trader is not None
        while True:
            await self.clock.sleep_ns(round(self.world.look_s * 1e9))
            if self.trader.store.state.open_orders or self.trader.held():
                await self.trader.look()

    async def _reconciles(self) -> None:
        assert self.trader is not None
        wait_s = RECONCILE_S
        while True:
            await self.clock.sleep_ns(round(wait_s * 1e9))
            wait_s = RECONCILE_S if (await self.trader.reconcile()).known else AGAIN_S

    async def _fails(self) -> None:
        assert self.trader is not None
        while True:
            await self.trader.wait_changed(60)
            self.trader.raise_failure()

    async def leave(self) -> None:
        """End in order, positions and stops as they are."""
        self.ready = False
        if self.trader is not None:
            await self.trader.close()

    # ---- what it is told ----

    def moment(self, step: int) -> None:
        """The market has moved on: what the feed brings, and the time."""
        world, trader = self.world, self.trader
        assert trader is not None
        now_s = world.exchange.now_s
        if not world.weather.is_on("mute", now_s):
            self._ticks(step, now_s)
        else:
            world.weather.count_spell(21, "mute", now_s)
        if self._fresh and now_s - self._heard_s > STALE_S:
            self._fresh = False
            trader.tell(FeedStatus(fresh=False))
        if (step + 1) % STEPS == 0 and step < world.market.minutes * STEPS:
            self._close(step // STEPS, now_s)
        trader.tell(Timer(world.session_ns))
        if world.kill_wanted and not self._killing:
            self._killing = True
            trader.spawn(self._kill())

    def _ticks(self, step: int, now_s: float) -> None:
        world, trader = self.world, self.trader
        assert trader is not None
        self._heard_s = now_s
        if not self._fresh:
            self._fresh = True
            trader.tell(FeedStatus(fresh=True))
        lost = self._lost(now_s)
        prices = [
            (place, world.exchange.price[symbol])
            for place, symbol in enumerate(world.plan.symbols)
            if place not in lost
        ]
        for place, price in prices:
            self._last[world.plan.symbols[place]] = price
        at_ns = world.session_ns
        trader.tell(Quotes.of(at_ns, tuple(prices)))
        if world.weather.is_on("bad ticks", now_s):
            world.weather.count_spell(23, "bad ticks", now_s)
            trader.tell(Quotes.of(at_ns, tuple(prices)))
            trader.tell(Quotes.of(at_ns, tuple((place, 0) for place, _ in prices)))
            late = max(step - 2 * STEPS, 0)
            old = tuple((place, int(world.market.price[place, late])) for place, _ in prices)
            trader.tell(Quotes.of(at_ns - (step - late) * STEP_S * 10**9, old))

    def _lost(self, now_s: float) -> frozenset[int]:
        if self.world.weather.is_on("one contract", now_s):
            self.world.weather.count_spell(22, "one contract", now_s)
            return frozenset({0})
        return frozenset()

    def _close(self, minute: int, now_s: float) -> None:
        """A minute is over; what was missed before is back-filled first, and decides nothing."""
        world, trader = self.world, self.trader
        assert trader is not None
        if not self._fresh or world.weather.is_on("no candles", now_s):
            self._missed.append(minute)
            return
        for missed in self._missed:
            world.weather.count(24)
            trader.tell(BarsClosed(missed, world.market.bars(missed), replayed=True))
        self._missed.clear()
        trader.tell(BarsClosed(minute, world.market.bars(minute, self._lost(now_s))))

    def pushed(self, report: OrderReport) -> None:
        """The broker tells an order by itself."""
        if self.ready and self.trader is not None:
            self.trader.pushed(report)

    def person(self, command: Command) -> None:
        """A person's word."""
        if self.ready and self.trader is not None:
            self.world.say(f"{command}")
            self.trader.command(command)

    async def _kill(self) -> None:
        assert self.trader is not None
        while not await self.trader.kill("person", "person", 120):
            self.world.say("not proved flat yet")
        self.proved = True
        self.world.watch.proved_flat("kill")

    # ---- inside ----

    def _at(self, point: CrashPoint) -> None:
        alive = not self.fate.dead_at
        try:
            self.fate.at(f"disk: {point}")
        except Died:
            if alive and point == "after commit":
                self.world.weather.count(31)
            raise
        if point == "before commit":
            now_s = self.world.exchange.now_s
            trouble = self.world.weather.disk(now_s)
            if trouble:
                for kind, number in (("locked", 29), ("full", 30), ("journal", 30)):
                    self.world.weather.count_spell(number, kind, now_s)
                error = sqlite3.OperationalError(f"database is {trouble}")
                error.sqlite_errorcode = _CODES[trouble]
                raise error
        elif point in {"after commit", "journalled"} and self.store is not None:
            self.world.watch.committed(self.store.state)

    def _alert(self, level: str, text: str) -> None:
        self.world.say(f"{level}: {text}")


def _started(world: "World") -> SessionStarted:
    return SessionStarted(
        date=world.plan.date, underlying=world.plan.underlying, expiry=world.plan.expiry, mode="paper",
        params_hash="simulated", lot_size=world.lot, broker="simulated", feed="simulated", simulated=True,
    )  # fmt: skip


CANNOT_START = (StoreError, BrokerError, DataError)
