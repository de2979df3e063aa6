"""A session at work: the state machine, the gateway and the log, joined; without a process, a feed or a schedule.

Facts that the session states are committed before any request that follows from them leaves; what the broker tells
is committed first and told to the session from the log. So the session knows nothing that the log does not hold,
and a restart is the same as going on. The runner drives it on the wall clock, the fault simulator in virtual time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from engine.live.brokers.base import BrokerAuth, BrokerError, OrderReport
from engine.live.clocks import Clock, PacedClock, seconds
from engine.live.decisions.session_inputs import (
    BarsClosed,
    Command,
    Input,
    LatchKnown,
    OrderUpdate,
    Timer,
    Trade,
)
from engine.live.decisions.session_intents import Alert, Intent, Record
from engine.live.decisions.session_restart import rebuild
from engine.live.decisions.session_state import Plan, SessionState, new_state
from engine.live.decisions.telling import inputs_of
from engine.live.gateway import Gateway
from engine.live.log.events import Event, Fact, LatchChanged
from engine.live.log.state import STRICTNESS
from engine.live.log.store_errors import StoreError
from engine.live.orders.prechecks import exposure
from engine.live.orders.requests import Requests
from engine.live.reconcile import Comparison, Reconciler
from engine.live.session import step
from engine.live.store import Store

ASLEEP_S = 0.005
AHEAD_S = 5.0
"""A moment that lies further ahead of our clocks than this is no time: it would move the session's."""

Alarm = Callable[[str, str], None]
"""Called with level (info, warning, error) and text."""


@dataclass(frozen=True, slots=True)
class TraderRules:
    """Time limits of a trader; seconds."""

    exit_within_s: float = 60  # one ladder of an exit; then the session asks again
    recover_within_s: float = 60
    adopt_within_s: float = 2  # before a KILL


class Trader:
    """
    One day's session over one gateway.

    Parameters
    ----------
    plan : Plan
    store : Store
        Its log holds SessionStarted of the day.
    gateway : Gateway
    clock : Clock
    alert : function
        Told what a person should know; must return at once.
    rules : TraderRules

    Attributes
    ----------
    state : SessionState
        For reading.
    failure : BaseException or None
        What a request of its own died of; the process must end, a restart recovers.
    login_lost : bool
        The broker said that the login is not good; cleared by the next good answer.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        gateway: Gateway,
        clock: Clock,
        *,
        alert: Alarm,
        rules: TraderRules | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.gateway = gateway
        self.clock = clock
        self.alert = alert
        self.rules = rules or TraderRules()
        self.state: SessionState = new_state(plan, store.state.next_position)
        self.failure: BaseException | None = None
        self.login_lost = False
        self._requests = Requests(self)
        self._reconciler = Reconciler(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._new: deque[Event] = deque()
        self._telling = False
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._started = False
        self._told_time = (0, 0)  # by the last Timer: ns UTC, and when by the counting clock
        self._told_ahead = False
        store.listener = self._committed
        gateway.take_in = self._reconciler.adopt

    # ---- start ----

    async def start(self, bars: Sequence[BarsClosed] = ()) -> Comparison:
        """
        Go on from the log: settle doubt, rebuild, compare with the broker, place what protects.

        Parameters
        ----------
        bars : sequence of BarsClosed
            The day's closed minutes, ascending.

        Raises
        ------
        BrokerError
            If the broker could not be asked: unknown is not flat.
        """
        await self.gateway.recover(self.rules.recover_within_s)
        self._new.clear()  # what recovery learnt is in the log that is gone through now
        today = self.store.state.today
        events = self.store.events(today.start_seq - 1 if today is not None else 0)
        self.state = rebuild(self.plan, events, self.store.state, bars)
        self._requests.inherit()
        self._started = True
        compared = await self.reconcile()  # first: in which product is what we are short?
        self.tell(LatchKnown(self.store.latch().state))
        self.tell(Timer(self.state.now_ns))  # the time itself is told by whoever keeps the schedule
        return compared

    # ---- the session's turn ----

    def tell(self, event: Input) -> None:
        """
        One step of the session: its facts are committed, its requests set on their way. Never waits for the broker.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        if isinstance(event, Timer):
            self._told_time = (event.at_ns, self.clock.monotonic_ns())
        self._carry_out(step(self.state, self._in_time(event)))

    @property
    def latest_ns(self) -> int:
        """
        The last moment that can be, ns UTC: a little ahead of our own clocks.

        Of the time told last and of the wall clock: one of them is right after a jump or a sleep (rule R7).
        """
        return max(self._steady_ns(), self.clock.wall_ns()) + seconds(AHEAD_S)

    def _steady_ns(self) -> int:
        """The time told last and what has passed since; the wall clock's before any was told."""
        told_ns, told_at = self._told_time
        return told_ns + self.clock.monotonic_ns() - told_at if told_ns else self.clock.wall_ns()

    def _in_time(self, event: Input) -> Input:
        """
        What the broker tells, at our own time where its own lies ahead of it; on a played day the feed is the time.

        The times of prices were judged when they came (`LastPrices.push`).
        """
        if isinstance(self.clock, PacedClock) or not isinstance(event, OrderUpdate | Trade):
            return event
        at_ns = event.time_ns if isinstance(event, Trade) else event.at_ns
        ahead_ns = at_ns - self.latest_ns
        if ahead_ns <= 0:
            return event
        steady_ns = self._steady_ns()
        if not self._told_ahead:
            self._told_ahead = True
            what = type(event).__name__.lower()
            words = "such times are not believed; compare the machine's clock: workbench check"
            self.alert(
                "warning", f"{what} dated {ahead_ns / 1e9 + AHEAD_S:.0f} s ahead of our clocks; {words}"
            )
        if isinstance(event, Trade):
            return replace(event, time_ns=steady_ns)
        return replace(event, at_ns=steady_ns)

    def tell_new(self) -> None:
        """Tell the session what the log has learnt since the last call."""
        if self._telling or not self._started:
            return
        self._telling = True
        try:
            while self._new:
                event = self._new.popleft()
                if isinstance(event.fact, LatchChanged) and event.fact.state == self.state.latch:
                    continue
                facts, refusals = self._requests.learnt(event.fact)
                if facts:
                    self._commit(facts)
                for each in (*inputs_of(event, self.store.state, self.state.now_ns), *refusals):
                    self.tell(self._requests.so_far(each))
        finally:
            self._telling = False
        if self._started and self._trades_missing():
            self._look_soon()
        self._changed.set()

    async def settle(self) -> None:
        """
        Return when every request has its answer and everything learnt was told.

        On the clock of a played day also when what is left waits for that day to go on, as an exit does for its fill.
        """
        paced = isinstance(self.clock, PacedClock)
        while True:
            self.tell_new()
            self.raise_failure()
            waiting = {*self._tasks} | ({self._looking} if self._looking is not None else set())
            if isinstance(self.clock, PacedClock):
                waiting -= self.clock.asleep()
            if not waiting:
                if not self._new:
                    return
                await asyncio.sleep(0)
                continue
            # one that falls asleep does not end, so a played day looks again
            await asyncio.wait(
                waiting, timeout=ASLEEP_S if paced else None, return_when=asyncio.FIRST_COMPLETED
            )

    async def settled_within(self, within_s: float) -> str:
        """
        Settle, but wait no longer than so many seconds of the machine.

        Returns
        -------
        str
            What has not come by then; "" when everything is settled.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.settle()
                return ""
        orders = self.store.state.orders.values()
        missing = [
            f"trades of {o.filled - o.booked} units of {o.leg} {o.tag}" for o in orders if o.filled > o.booked
        ]
        missing += [
            f"the outcome of {o.leg} {o.tag} ({o.pending or o.state})"
            for o in orders
            if o.open and (o.pending or not o.order_id)
        ]
        missing += [f"the end of position {n}" for n in self.store.state.positions if self.exiting(n)]
        return "; ".join(missing) or "an answer of the broker"

    def raise_failure(self) -> None:
        """
        Raise what a request of its own died of.

        Raises
        ------
        BaseException
            As it was.
        """
        if self.failure is not None:
            raise self.failure

    # ---- the broker's turn ----

    def pushed(self, report: OrderReport) -> None:
        """Take in an order that the broker told by itself; its trades are fetched."""
        self.gateway.wire.absorb([report], [])
        self.tell_new()

    async def look(self) -> bool:
        """
        Read the broker's books and tell what is new; False if they could not be read.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        try:
            await self.gateway.wire.look()
        except BrokerAuth as error:
            self.lost_login(error.message)
            return False
        except BrokerError:
            return False
        self.login_lost = False
        self.tell_new()
        return True

    async def reconcile(self) -> Comparison:
        """Compare broker and log; what differs is written down, told and acted upon."""
        compared = await self._reconciler.compare()
        self.tell_new()
        return compared

    # ---- commands ----

    def command(self, command: Command) -> None:
        """A person's word for the session."""
        self.tell(command)

    async def kill(self, reason: str, who: str, within_s: float) -> bool:
        """
        Latch FLATTENING, cancel every entry, buy every short back, prove flat from orders, trades and positions.

        Returns
        -------
        bool
            Whether the broker proved it within the time; the latch stays, so call again.
        """
        deadline = self.clock.monotonic_ns() + round(within_s * 1e9)
        await self._adopt_first(reason, who)
        self.tell(Command("kill", who, reason))
        while True:
            rest = (deadline - self.clock.monotonic_ns()) / 1e9
            await self.gateway.flatten("kill", max(rest, 1))
            self.tell_new()
            if await self.proves_flat():
                return True
            if self.clock.monotonic_ns() >= deadline:
                return False
            await self.clock.sleep_ns(round(self.gateway.rules.poll_s * 1e9))

    async def _adopt_first(self, reason: str, who: str) -> None:
        """Take in what a person has just closed by hand, or it would be bought back twice; no entry meanwhile."""
        if not self.held():
            return
        if self.store.latch().strictness < STRICTNESS["HALTED"]:
            with suppress(StoreError):  # while nothing can be written the latch reads HALTED anyway
                self.store.set_latch("HALTED", reason, who)
            self.tell_new()
        with suppress(TimeoutError):  # a broker that does not answer must not hold up a KILL
            await asyncio.wait_for(self.proves_flat(), self.rules.adopt_within_s)

    async def proves_flat(self) -> bool:
        """Whether orders, trades and positions of the broker all show that nothing of ours is left."""
        return await self._reconciler.proves_flat()

    def lost_login(self, words: str) -> None:
        """The broker does not know us any more: what protects stays there, nothing new is sent."""
        if not self.login_lost:
            self.alert("error", f"the broker's login is gone ({words}); log in again")
        self.login_lost = True

    @property
    def busy(self) -> bool:
        """Whether a request is on its way."""
        return bool(self._tasks)

    def exiting(self, position: int) -> bool:
        """Whether a position is being bought back right now."""
        return self._requests.exiting(position)

    def changing(self, position: int) -> bool:
        """Whether the entry order of a position is being changed right now."""
        return self._requests.changing(position)

    def held(self) -> int:
        """Units that are short by the log, over all positions."""
        state = self.store.state
        return sum(abs(exposure(state, number)) for number in state.positions)

    async def close(self) -> None:
        """Drop what is on its way; the log holds its intents."""
        for task in [*self._tasks] + ([self._looking] if self._looking else []):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.store.listener = None

    # ---- inside ----

    def _carry_out(self, intents: Sequence[Intent]) -> None:
        facts = [intent.fact for intent in intents if isinstance(intent, Record)]
        facts += self._requests.facts(intents)
        if facts:
            self._commit(facts)
        for intent in intents:
            if isinstance(intent, Alert):
                self.alert(intent.level, intent.text)
            elif not isinstance(intent, Record):
                self._requests.send(intent)

    def _commit(self, facts: Sequence[Fact]) -> None:
        try:
            self.store.append_exit(*facts)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise
            self.alert("error", f"not written down: {error}")

    def _committed(self, events: Sequence[Event]) -> None:
        """The store has committed these, here or inside the gateway."""
        self._new.extend(events)
        if not self._telling and self._started:
            asyncio.get_running_loop().call_soon(self._tell_safely)

    def _tell_safely(self) -> None:
        try:
            self.tell_new()
        except BaseException as error:  # noqa: BLE001 - told to whoever drives this
            self._fail(error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a request beside the session."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BrokerAuth):  # the request is asked for anew once somebody has logged in
            self.lost_login(error.message)
        elif error is not None:
            self._fail(error)
        self._changed.set()

    def _fail(self, error: BaseException | None) -> None:
        self.failure = self.failure or error
        self._changed.set()

    async def wait_changed(self, within_s: float) -> None:
        """Return when something was told or a request has ended, at the latest after that many seconds."""
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), within_s)

    def _trades_missing(self) -> bool:
        return any(order.filled > order.booked for order in self.store.state.orders.values())

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_trades())
            self._looking.add_done_callback(self._looked)

    async def _look_for_trades(self) -> None:
        if not await self.look() or self._trades_missing():
            await self.clock.sleep_ns(round(self.gateway.rules.poll_s * 1e9))

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())
        self._changed.set()
