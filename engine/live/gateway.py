"""The only door to a broker: nothing is placed, changed or cancelled but through here.

An order is checked (`prechecks`), waits for its lane (`lanes`), is cut at the freeze quantity (`slicing`), written
down and sent once (`wire`); the check, the commit and the departure happen in one turn, so no second task can slip
between. How a position is closed stands in `closing`. Until `recover` has looked at the broker nothing leaves.
Rules R1 to R3 and R10 of the reference `reliability`.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

from engine.errors import WorkbenchError
from engine.live.brokers.base import Broker, BrokerAuth, BrokerError
from engine.live.clocks import Clock, seconds
from engine.live.log.events import IntentPrepared, ModifyPrepared, OrderDenied, OrderType, OrderUnknown
from engine.live.log.state import PREPARED, SENT, Order
from engine.live.orders import closing
from engine.live.orders.closing import Closed
from engine.live.orders.lanes import Lane, Lanes, LanesExhaustedError
from engine.live.orders.prechecks import Rails, Wish, exposure, refusal
from engine.live.orders.slicing import Tags, slices
from engine.live.orders.wire import Rules, Sent, Wire
from engine.live.store import Store

LANES: dict[str, Lane] = {"entry": Lane.ENTRY, "stop": Lane.STOP, "exit": Lane.EXIT}
WORKING = frozenset({"OPEN", "TRIGGER PENDING"})  # Kite's spellings of an order that stands at the exchange
_MINUTE_NS = seconds(60)


def _nothing() -> None:
    return


class UnknownTagError(WorkbenchError):
    """No intent of the log carries this tag."""


class Gateway:
    """
    Orders of one session.

    Parameters
    ----------
    store : Store
        The only writer's.
    broker : Broker
    clock : Clock
    rails : Rails
        Of this trading day.
    reference : function
        Symbol to the exchange's reference price in ticks (mean trade price of the last 30 s); None if not known.
    rules : Rules

    Attributes
    ----------
    take_in : function
        Books, at each step of an exit, what others have bought back: it must not be bought twice.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        clock: Clock,
        rails: Rails,
        reference: Callable[[str], int | None],
        rules: Rules | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.rails = rails
        self.rules = rules or Rules()
        self.reference = reference
        self.wire = Wire(store, broker, clock, Lanes(), self.rules)
        self._tags = Tags(clock.wall_ns())
        self._recovered = False
        self._closing: dict[int, asyncio.Lock] = {}
        self.take_in: Callable[[], None] = _nothing

    # ---- start and doubt ----

    async def recover(self, within_s: float = 60) -> tuple[str, ...]:
        """
        Settle what an earlier process left open, by tag, before anything else may leave.

        Returns
        -------
        tuple of str
            Tags still in doubt: their risk stays reserved until `resolve` settles them.

        Raises
        ------
        BrokerError
            If the books could not be read within the time: unknown is not flat.
        """
        now = self.clock.wall_ns()
        today = self.store.state.today
        mine = [o for o in self.store.state.orders.values() if today and o.prepared_ns >= today.started_ns]
        self.wire.lanes.restore(
            sum(
                2 + order.modifications for order in mine
            ),  # its placing and a cancel: no fewer than were made
            sum(2 + order.modifications for order in mine if order.updated_ns >= now - _MINUTE_NS),
            self.clock.monotonic_ns(),
        )
        deadline = self.clock.monotonic_ns() + seconds(within_s)
        while True:
            try:
                await self.wire.look()
                break
            except BrokerAuth:
                raise
            except BrokerError:
                if self.clock.monotonic_ns() >= deadline:
                    raise
            await self.clock.sleep_ns(seconds(self.rules.poll_s))
        doubtful = self.wire.unresolved()
        for order in doubtful:
            if order.state in {PREPARED, SENT}:
                self.wire.note(
                    OrderUnknown(tag=order.tag, reason="left without an answer by an earlier process")
                )
        self._recovered = True
        return tuple(order.tag for order in doubtful)

    async def resolve(self, within_s: float) -> tuple[str, ...]:
        """
        Look at the books until no order is in doubt, or the time is over.

        Returns
        -------
        tuple of str
            Tags still in doubt.

        Raises
        ------
        BrokerAuth
            If the login is not good any more.
        """
        await self.watch(lambda: not self.wire.unresolved(), within_s)
        return tuple(order.tag for order in self.wire.unresolved())

    async def watch(self, done: Callable[[], bool], within_s: float) -> bool:
        """Look at the books until `done`, at least once; False when the time is over first."""
        deadline = self.clock.monotonic_ns() + seconds(within_s)
        while True:
            try:
                await self.wire.look()
            except BrokerAuth:
                raise
            except BrokerError:  # nothing learnt; look again
                pass
            if done():
                return True
            if self.clock.monotonic_ns() >= deadline:
                return False
            await self.clock.sleep_ns(seconds(self.rules.poll_s))

    # ---- orders ----

    async def place(self, wish: Wish, apart_from: Collection[str] = ()) -> tuple[Sent, ...]:
        """
        Send an order, in slices where it exceeds the freeze quantity.

        An entry stops at the first slice that is not confirmed or unknown; what was sent stays. Exits and stops go on.
        The sum of the slices never exceeds the wish.

        Parameters
        ----------
        wish : Wish
        apart_from : tags
            A stop that this order replaces.

        Returns
        -------
        tuple of Sent
            One for each slice that was tried.
        """
        if wish.quantity < 1:
            return (self._deny(wish, f"quantity {wish.quantity} is not at least one lot"),)
        sizes = slices(wish.quantity, self.rails.lot, self.rails.freeze)
        results: list[Sent] = []
        siblings = set(apart_from)
        for number, size in enumerate(sizes, start=1):
            sent = await self._slice(replace(wish, quantity=size), number, len(sizes), siblings)
            results.append(sent)
            if wish.leg == "entry":
                siblings.add(sent.tag)
                if sent.outcome in {"refused", "denied"}:
                    break
        return tuple(results)

    async def _slice(self, wish: Wish, number: int, count: int, apart_from: Collection[str]) -> Sent:
        reason = self._refusal(wish, apart_from)
        if not reason:
            try:
                await self.wire.turn(LANES[wish.leg])
            except LanesExhaustedError as error:
                reason = str(error)
            else:
                reason = self._refusal(wish, apart_from)
        if reason:
            return self._deny(wish, reason)
        intent = IntentPrepared(
            tag=self._tags.new(wish.leg, self.store.state.orders), slice=number, slices=count,
            **{name: getattr(wish, name) for name in Wish.__slots__},  # type: ignore[attr-defined]
        )  # fmt: skip
        return await self.wire.place(intent)

    def _refusal(self, wish: Wish, apart_from: Collection[str]) -> str:
        if not self._recovered:
            return "the broker's books have not been read yet"
        if 0 < self.rails.until_ns <= self.clock.wall_ns():
            return f"the day {self.rails.date} is over: an order would open a position"
        return refusal(
            wish, self.store.state, self.store.latch(), self.rails, self.reference(wish.symbol), apart_from
        )

    def _deny(self, wish: Wish, reason: str) -> Sent:
        self.wire.note(
            OrderDenied(
                position=wish.position, slot=wish.slot, leg=wish.leg, symbol=wish.symbol,
                quantity=max(wish.quantity, 0), reason=reason,
            )
        )  # fmt: skip
        return Sent("", wish.quantity, "denied", reason)

    async def modify(
        self,
        tag: str,
        *,
        quantity: int,
        trigger: int,
        limit: int,
        order_type: OrderType,
        lane: Lane | None = None,
        or_replace: bool = True,
        reason: str = "",
        apart_from: Collection[str] = (),
    ) -> Sent:
        """
        Change a working order; where the broker refuses (the 26th time) or the exchange keeps rejecting, replace it.

        A stop is replaced without a gap in protection, an entry once its end is proven.

        Parameters
        ----------
        tag : str
        quantity : int
            Units in total, what has been filled included.
        trigger, limit : int
            Ticks.
        order_type : str
        lane : Lane or None
            None = that of its leg.
        or_replace : bool
            False: a refusal is the answer.
        reason : str
            What the order is for from then on; "" = what it was for.
        apart_from : tags
            Orders that this one may double: stops in doubt that an exit does not wait for.

        Raises
        ------
        UnknownTagError
            If no intent carries the tag.
        """
        order = self.order(tag)
        left = quantity - (0 if order.leg == "entry" else order.filled)
        wish = Wish(
            position=order.position, slot=order.slot, leg=order.leg, reason=order.reason, symbol=order.symbol,
            side=order.side, quantity=left, order_type=order_type, trigger=trigger, limit=limit,
            conf_minute=order.conf_minute, swing_index=order.swing_index, stop=order.stop,
        )  # fmt: skip
        besides = {tag, *apart_from}
        denied = self._unchangeable(order, quantity) or self._refusal(wish, besides)
        if not denied:
            try:
                await self.wire.turn(LANES[order.leg] if lane is None else lane)
            except LanesExhaustedError as error:
                denied = str(error)
            else:
                order = self.order(tag)
                denied = self._unchangeable(order, quantity) or self._refusal(wish, besides)
        if denied:
            return self._deny(wish, denied)
        hopeless = self.wire.will_not_change(order)
        if not hopeless:
            change = ModifyPrepared(
                tag=tag, quantity=quantity, trigger=trigger, limit=limit, order_type=order_type, reason=reason
            )
            sent = await self.wire.modify(order, change)
            if sent.outcome != "refused":
                return sent
        else:
            sent = Sent(tag, quantity, "refused", hopeless)
        await self.watch(lambda: True, 0)
        order = self.order(tag)
        if not (or_replace and order.open and order.status in WORKING):
            return sent
        return await closing.replace_order(self, order, replace(wish, quantity=quantity - order.filled))

    def _unchangeable(self, order: Order, quantity: int) -> str:
        if quantity > self.rails.freeze:
            return f"quantity {quantity} exceeds the freeze quantity of {self.rails.freeze}"
        if not order.open:
            return f"order {order.tag} has ended ({order.status or order.state})"
        if not order.order_id:
            return f"order {order.tag} is {order.state}: whether the broker holds it is not known"
        return f"order {order.tag} is being cancelled" if order.pending == "cancel" else ""

    async def cancel(self, tag: str, reason: str, *, lane: Lane = Lane.STOP, prove: bool = True) -> Sent:
        """
        Cancel an order and wait for the proof of its end; a fill wins over an acknowledged cancel.

        Without `prove` it returns with the broker's answer, which proves nothing.

        Returns
        -------
        Sent
            "confirmed": it has ended, by cancel or by fill, and the log tells which. "refused" or "unknown": it may
            still fill.

        Raises
        ------
        UnknownTagError
            If no intent carries the tag.
        """
        order = self.order(tag)
        if order.open and not order.order_id:
            await self.watch(lambda: True, 0)
            order = self.order(tag)
        if not order.open:
            return Sent(tag, order.quantity, "confirmed", order.status or order.state)
        if not order.order_id:
            return Sent(tag, order.quantity, "unknown", "the broker's order is not found yet")
        sent = Sent(tag, order.quantity, "unknown", "a cancel is on its way")
        if order.pending != "cancel" or self.wire.doubtful_for(tag) >= seconds(self.rules.prove_s):
            try:  # asking again is harmless: an order is cancelled once
                await self.wire.turn(lane)
            except LanesExhaustedError as error:
                return Sent("", order.quantity, "denied", str(error))
            order = self.order(tag)
            if order.open:
                sent = await self.wire.cancel(order, reason)
                if sent.outcome == "denied":
                    return sent
        proof_s = self.rules.prove_s if sent.outcome != "refused" else 0
        if prove and await self.watch(lambda: not self.order(tag).open, proof_s):
            order = self.order(tag)
            return Sent(tag, order.quantity, "confirmed", order.status or order.state)
        if sent.outcome == "confirmed":
            return Sent(tag, order.quantity, "unknown", "acknowledged, its end is not proven yet")
        return sent

    # ---- closing ----

    async def exit(self, position: int, reason: str, within_s: float) -> Closed:
        """Close a position by the ladder of `closing.close`; a second call waits for the first."""
        async with self._closing.setdefault(position, asyncio.Lock()):
            return await closing.close(self, position, reason, within_s)

    async def trim(self, position: int) -> None:
        """Take back what would reduce more than is held: orphan stops, the loser of a race, a surplus fill."""
        async with self._closing.setdefault(position, asyncio.Lock()):
            await closing.trim(self, position)

    async def refit(self, position: int) -> tuple[Sent, ...]:
        """Replace what stands in another product than the position; the outcome of each."""
        return await closing.refit(self, position)

    async def flatten(self, reason: str, within_s: float) -> tuple[Closed, ...]:
        """Cancel every entry and close every position at once; set the latch before. The broker proves flat."""
        state = self.store.state
        mine = {order.position for order in state.open_orders}
        mine |= {number for number in state.positions if exposure(state, number)}
        return tuple(
            await asyncio.gather(*(self.exit(position, reason, within_s) for position in sorted(mine)))
        )

    def order(self, tag: str) -> Order:
        """
        One of our orders as the log knows it.

        Raises
        ------
        UnknownTagError
            If no intent carries the tag.
        """
        order = self.store.state.orders.get(tag)
        if order is None:
            raise UnknownTagError(f"tag {tag!r} names no order of this log; take one from the orders table")
        return order
