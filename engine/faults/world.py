"""One history: a day that one seed decides, its market, its broker, its troubles, and the processes that live in it."""

import asyncio
import datetime as dt
import re
import sqlite3
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from engine.faults.exchange import Exchange, Held
from engine.faults.life import CANNOT_START, Life
from engine.faults.market import STEP_S, STEPS, Market, draw_market
from engine.faults.others import Others
from engine.faults.settings import OPEN_MINUTE, draw_parameters
from engine.faults.virtual import NS, Died, Fate, WallClock, run
from engine.faults.watch import Violation, Watch
from engine.faults.weather import Weather
from engine.live.brokers.base import ContractMismatchError, OrderStatus
from engine.live.decisions.session_state import Plan, plan_for
from engine.live.log.events import LatchState
from engine.live.log.state import State
from engine.live.log.store_errors import StoreError
from engine.live.orders.wire import Rules
from engine.live.store import Store
from engine.market.contracts import lot_size

DATE, EXPIRY = dt.date(2026, 11, 20), dt.date(2026, 11, 23)
OPEN_NS = 1_795_146_300 * NS  # 09:15 IST of that day
START_AGAIN_S = 5.0
FLAT_WITHIN_S = 420.0  # after all faults: an exit of unknown outcome is waited for, then placed anew
MOST_DEATHS = 12
_TAG, _LEGS = re.compile(r"\b[ESX][0-9A-Z]{9,}\b"), {"E": "an entry", "S": "a stop", "X": "an exit"}
_FOLDER = Path("/dev/shm")  # noqa: S108 - memory where there is some; the folder inside is private


@dataclass(frozen=True)
class History:
    """
    What became of one seed.

    Attributes
    ----------
    met : Counter
        Faults by number.
    died_at : Counter
        Deaths of a process, by the point at which it died.
    fills : int
        Trades of ours at the exchange.
    lines : tuple of str
        What happened, if it was asked for.
    """

    seed: int
    violation: Violation | None
    met: Counter[int]
    died_at: Counter[str]
    fills: int
    positions: int
    digest: str
    lines: tuple[str, ...]


class World:
    """Everything outside the process, and the process that lives at the moment."""

    def __init__(self, seed: int, folder: Path, *, verbose: bool = False) -> None:
        self.seed = seed
        self.path = folder / "live.sqlite"
        self.account = "simulated"
        self.lines: list[str] | None = [] if verbose else None
        draws = {
            name: Random(f"{seed} {name}")  # noqa: S311 - histories must repeat
            for name in ("market", "weather", "exchange", "death", "events")
        }
        self.draw = draws["events"]
        self._death = draws["death"]
        self.lot = lot_size("NIFTY", EXPIRY)
        self.market: Market = draw_market(draws["market"], self.lot)
        params = draw_parameters(draws["market"], self.market.minutes)
        self.plan: Plan = plan_for(
            params, date=DATE, expiry=EXPIRY, open_ns=OPEN_NS, open_minute=OPEN_MINUTE,
            minutes=self.market.minutes, lot_size=self.lot, symbols=self.market.symbols,
            strike=self.market.strike, is_call=self.market.is_call,
        )  # fmt: skip
        self.freeze = self.lot * self.draw.choice([4, 4, 27])
        self.rules = Rules()
        self.look_s = self.draw.choice([4.0, 8.0])
        self.weather = Weather(draws["weather"], self.market.minutes * 60)
        self.machine = WallClock(OPEN_NS)
        self.exchange = Exchange(self.market, draws["exchange"], OPEN_NS, self.lot, self.weather.partial)
        self.exchange.max_modifies = self.draw.choice([2, 25, 25])
        self.exchange.on_change = self._changed
        self.listed_lot = self.lot + (25 if self.draw.random() < 0.04 else 0)
        self.watch = Watch(self)
        self.life: Life | None = None
        self._kept = State()
        self.kill_wanted = False
        self.died_at: Counter[str] = Counter()
        self._over = asyncio.Event()
        self._own: set[asyncio.Future[Any]] = set()
        self._orphans: set[str] = set()
        self.leaving = False

    # ---- what the others ask ----

    @property
    def latch(self) -> LatchState:
        """The latch as the process that lives must obey it."""
        life = self.life
        return life.store.latch().state if life is not None and life.store is not None else "HALTED"

    @property
    def log(self) -> State:
        """What is written down."""
        life = self.life
        return life.store.state if life is not None and life.store is not None else self._kept

    @property
    def minute(self) -> int:
        """The minute of the session that is going on."""
        return min(int(self.exchange.now_s // 60), self.market.minutes)

    @property
    def session_ns(self) -> int:
        """What the session's schedule takes for the time: the exchange's."""
        return self.machine.true_ns()

    @property
    def able(self) -> bool:
        """Whether the process could do something about what stands."""
        now = self.exchange.now_s
        weather = self.weather
        return (
            self.life is not None
            and self.life.ready
            and not any(weather.is_on(kind, now) for kind in ("network", "login", "journal"))
        )

    def owned(self, symbol: str) -> int:
        """Units of ours that nobody else has bought back."""
        ours = self.exchange.ours[symbol]
        return ours + self.exchange.covered_by_others(symbol, ours)

    def say(self, text: str) -> None:
        """Keep a line of the history, if it is wanted."""
        if self.lines is not None:
            self.lines.append(f"{self.exchange.now_s:9.2f}  {text}")

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Let something happen outside the process."""
        task = asyncio.ensure_future(work)
        self._own.add(task)
        task.add_done_callback(self._own.discard)
        return task

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        """Let something happen after a while."""
        asyncio.get_running_loop().call_later(delay_s, self._guarded, what)

    def end(self) -> None:
        """The history is over."""
        self._over.set()

    def opened(self, store: Store) -> None:
        """A process has opened the store: what was committed is there."""
        kept = self._kept
        gone = (kept.orders.keys() - store.state.orders.keys()) | (
            kept.fills.keys() - store.state.fills.keys()
        )
        if gone or store.state.seq < kept.seq:
            self.watch.find("what was committed is there", f"{sorted(gone)} gone, seq {store.state.seq}")
        write = store._journal.append  # noqa: SLF001 - the disk under the journal fails

        def append(lines: Any) -> None:
            if self.weather.is_on("journal", self.exchange.now_s):
                raise StoreError("the fallback journal cannot be written", "full")
            write(lines)

        store._journal.append = append  # type: ignore[method-assign]  # noqa: SLF001

    # ---- the history ----

    async def play(self) -> None:
        """From the open to the proof of flat."""
        own = [self.start(self._market()), self.start(self._finish())]
        own[1].add_done_callback(self._finished)
        Others(self).plan()
        while not self._over.is_set():
            await self._one_life()
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)

    async def _one_life(self) -> None:
        share = 0.0 if self.weather.calm or self.died_at.total() >= MOST_DEATHS else self.weather.death_share
        fate = Fate(self._death, share)
        life = self.life = Life(self, fate)
        self.watch.new_life()
        self.leaving = False
        task = asyncio.ensure_future(life.run())
        waits = [task, *(asyncio.ensure_future(one.wait()) for one in (fate.death, self._over))]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        life.ready = False
        pause = START_AGAIN_S
        if fate.dead_at:
            self.died_at[_place(fate.dead_at)] += 1
            self.say(f"DIED {fate.dead_at}")
            self.weather.count(26)
            if self.watch.uncovered():
                self.weather.count(6)
        elif task.done() and not self._over.is_set() and not self.leaving:
            pause = self._why_ended(task)
        if life.store is not None:
            self._kept = life.store.state
        fate.die("over")
        await self._bury(life)
        if not self._over.is_set():
            await asyncio.wait(
                [asyncio.ensure_future(self._over.wait())], timeout=pause * self.draw.uniform(0.3, 2)
            )

    def _why_ended(self, task: "asyncio.Future[None]") -> float:
        error = task.exception()
        self.say(f"ended: {type(error).__name__}: {error}")
        if isinstance(error, ContractMismatchError):
            self.weather.count(25)
            if self.exchange.orders:
                self.watch.find("contract facts", "an order was sent against another lot size")
            self.listed_lot = self.lot
            return 4 * START_AGAIN_S
        if isinstance(error, Died):
            return START_AGAIN_S
        if not isinstance(error, CANNOT_START):
            words = "".join(traceback.format_exception(error)) if self.lines is not None else repr(error)
            self.watch.find("no unexpected error", words)
        return START_AGAIN_S

    async def _bury(self, life: Life) -> None:
        """As the system does when a process has ended: everything is thrown away but disk and broker."""
        here = asyncio.current_task()
        while mine := [task for task in asyncio.all_tasks() if task is not here and task not in self._own]:
            for task in mine:
                task.cancel()  # again where it was swallowed: asyncio.wait_for of Python 3.11 does
            await asyncio.wait(mine, timeout=0.001)
        if life.store is not None:
            life.store.abandon()
        self.life = None

    async def _market(self) -> None:
        step = 0
        last = self.market.minutes * STEPS - 1
        while True:
            await asyncio.sleep(max((step + 1) * STEP_S - self.exchange.now_s, 0))
            self.exchange.advance(min(step, last))
            self._guarded(lambda step=step: self._moment(step))  # type: ignore[misc]
            step += 1

    def _moment(self, step: int) -> None:
        self.watch.step()
        if self.life is not None and self.life.ready:
            self.life.moment(step)

    def _guarded(self, what: Callable[[], None]) -> None:
        """What happens outside may meet the death of the process, or an error in it."""
        try:
            what()
        except Died:
            pass
        except Exception as error:  # noqa: BLE001 - a finding, whatever it is
            words = traceback.format_exc() if self.lines is not None else repr(error)
            if not isinstance(error, StoreError):
                self.watch.find("no unexpected error", words)
            elif self.life is not None:
                self.say(f"{error}")
                self.life.fate.die("the store fails")

    def _changed(self, order: Held) -> None:
        """The exchange did something to an order."""
        self.say(f"exchange: {_line(order)}")
        self.watch.changed(order)
        tag, weather = order.tag or "", self.weather
        if (
            order.status == OrderStatus.OPEN
            and order.request.kind == "SL"
            and not order.filled
            and tag[:1] == "S"
        ):
            weather.count(9, tag)
        if tag[:1] == "S" and order.filled and order.request.kind == "SL":
            mine = self.log.orders.get(tag)
            if mine is not None and (
                mine.pending == "modify"
                or any(o.leg == "exit" and o.position == mine.position for o in self.log.open_orders)
            ):
                weather.count(10, tag)
        if tag[:1] == "E" and order.filled and order.left and not weather.calm and self.draw.random() < 0.2:
            weather.count(7, tag)
            self.later(self.draw.uniform(0.2, 3), lambda: self._drop(order))
        for one in self.exchange.open:
            if (
                one.tag
                and one.tag[0] in "SX"
                and one.tag not in self._orphans
                and not self.owned(one.request.symbol)
            ):
                self._orphans.add(one.tag)
                weather.count(20)
        self._push(order)

    def _drop(self, order: Held) -> None:
        """The exchange ends what is left of an order."""
        if order.left:
            self.exchange.end(order, OrderStatus.CANCELLED, "")

    def _push(self, order: Held) -> None:
        if order.visible_s > self.exchange.now_s:
            return  # what no book shows is not told either
        if self.weather.calm or self.draw.random() >= self.weather.push_lost:
            report = self.exchange.shown(order)
            for delay in (0.05, 3.0)[: 1 + (self.draw.random() < 0.1)]:
                self.later(delay * self.draw.uniform(0.5, 3), lambda: self._deliver(report))

    def _deliver(self, report: Any) -> None:
        now = self.exchange.now_s
        if self.life is not None and not any(self.weather.is_on(kind, now) for kind in ("network", "login")):
            self.life.pushed(report)

    # ---- the end ----

    async def _finish(self) -> None:
        """Faults end; the day must end flat, and a kill must prove it."""
        exit_s = self.plan.hours.exit_minute * 60
        await asyncio.sleep(exit_s + self.draw.uniform(-60, 90))
        self.weather.calm = True
        self.say("all faults are over")
        if self.life is not None:
            self.life.fate.spare()
        if not await self._until(self._flat, max(exit_s - self.exchange.now_s, 0) + FLAT_WITHIN_S):
            held = {symbol: net for symbol, net in self.exchange.ours.items() if self.owned(symbol)}
            mine = [order.tag for order in self.exchange.open if order.tag]
            self.watch.find("flat at the end of the day", f"held {held}, open {mine}")
            return
        self.kill_wanted = True
        if not await self._until(lambda: self.life is not None and self.life.proved, FLAT_WITHIN_S):
            self.watch.find("KILL proves flat", "not proved")
            return
        self.watch.ended()
        life = self.life
        if life is not None and life.store is not None:
            problems = life.store.verify().problems
            if problems:
                self.watch.find("replaying the log gives the same state", "; ".join(problems))
        self._over.set()

    def _finished(self, task: "asyncio.Future[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            words = "".join(traceback.format_exception(task.exception()))
            self.watch.find(
                "no unexpected error", words if self.lines is not None else repr(task.exception())
            )
        self._over.set()

    def _flat(self) -> bool:
        nothing = not any(self.owned(symbol) for symbol in self.market.symbols)
        return nothing and not any(order.tag for order in self.exchange.open) and self.able

    async def _until(self, done: Callable[[], bool], within_s: float) -> bool:
        deadline = self.exchange.now_s + within_s
        while not done():
            if self.exchange.now_s >= deadline:
                return False
            await asyncio.sleep(3)
        return True


def play(seed: int, *, verbose: bool = False) -> History:
    """
    The history of a seed; the same each time.

    Parameters
    ----------
    seed : int
    verbose : bool
        Keep a line for everything that happens.
    """
    where = _FOLDER if _FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="faults-", dir=where) as folder:
        return run(_history(seed, Path(folder), verbose))


async def _history(seed: int, folder: Path, verbose: bool) -> History:
    world = World(seed, folder, verbose=verbose)
    await world.play()
    if verbose and world.lines is not None:
        world.lines += _log_lines(world.path)
    return History(
        seed=seed,
        violation=world.watch.found,
        met=world.weather.met,
        died_at=world.died_at,
        fills=sum(len(order.deals) for order in world.exchange.orders.values() if order.tag),
        positions=len(world.log.positions),
        digest=world.log.digest(),
        lines=tuple(world.lines or ()),
    )


def _place(point: str) -> str:
    """A point of the order path without the tag that passed it."""
    return _TAG.sub(lambda tag: _LEGS[tag[0][0]], point)


def _log_lines(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    try:
        rows = db.execute("SELECT seq, ts_ns, kind, payload FROM events ORDER BY seq").fetchall()
    finally:
        db.close()
    return ["the log:"] + [f"{(ts - OPEN_NS) / NS:9.2f}  {seq} {kind} {body}" for seq, ts, kind, body in rows]


def _line(order: Held) -> str:
    request = order.request
    return (
        f"{order.order_id} {order.tag} {request.side} {request.symbol} {request.kind} {order.filled}/"
        f"{request.quantity} @{request.trigger_ticks}/{request.limit_ticks} {order.status.value}"
    )
