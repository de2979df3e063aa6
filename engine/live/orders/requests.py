"""What the session asks for, carried out through the gateway: entries, their changes, stops, exits.

The session speaks of one order per (position, leg); the freeze quantity may cut it into slices, so a change here is
spread over them. A request that had provably no effect is told back at once; one whose outcome is unknown is told by
the log once the book has proved it (`telling`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.execution.risk import CE
from engine.live.brokers.base import BrokerAuth, BrokerError
from engine.live.decisions.session_entries import is_for_margin
from engine.live.decisions.session_inputs import Input, OrderUpdate, Request, RequestRefused
from engine.live.decisions.session_intents import (
    CancelOrder,
    ExitPosition,
    Intent,
    ModifyEntry,
    PlaceEntry,
    PlaceStop,
    ReplaceStop,
    TakeBack,
)
from engine.live.decisions.telling import leg_orders, leg_update
from engine.live.log.events import Fact, FillBooked, Leg, RequestAnswered, Slot, StopPlanned
from engine.live.log.state import Order
from engine.live.orders.prechecks import Wish
from engine.live.orders.slicing import slices
from engine.live.orders.wire import Sent

if TYPE_CHECKING:
    from engine.live.trader import Trader

_NO_EFFECT = frozenset({"refused", "denied"})


class Requests:
    """The session's requests on their way to the gateway."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._exits: set[int] = set()  # positions whose ladder is running
        self._planned: dict[int, StopPlanned] = {}  # waiting for their position's first booked fill
        self._doubtful: set[str] = set()  # tags of changes whose outcome is unknown
        self._changing: set[int] = set()  # positions whose entry is being changed, or replaced

    def inherit(self) -> None:
        """What an earlier process asked for and got no answer to is in doubt here as well."""
        self._doubtful |= {order.tag for order in self._trader.store.state.open_orders if order.pending}

    def facts(self, intents: Sequence[Intent]) -> list[Fact]:
        """What has to be in the log before these requests leave."""
        made: list[Fact] = []
        for intent in intents:
            if isinstance(intent, PlaceStop | ReplaceStop):
                fact = StopPlanned(
                    position=intent.position,
                    trigger=intent.trigger,
                    limit=intent.limit,
                    quantity=intent.quantity,
                    reason="fill",
                )
                if intent.position in self._trader.store.state.positions:
                    made.append(fact)
                else:
                    self._planned[intent.position] = fact  # its trades are still on their way
        return made

    def learnt(self, fact: Fact) -> tuple[list[Fact], list[RequestRefused]]:
        """What a committed fact makes due: plans that waited for it, a refusal of what was in doubt."""
        if isinstance(fact, FillBooked):
            order = self._trader.store.state.orders[fact.tag]
            plan = self._planned.pop(order.position, None)
            return ([plan] if plan is not None else []), []
        if isinstance(fact, RequestAnswered) and fact.outcome == "refused" and fact.tag in self._doubtful:
            order = self._trader.store.state.orders[fact.tag]
            self._doubtful.discard(fact.tag)
            return [], [RequestRefused(order.position, order.leg, fact.request, fact.reason)]
        return [], []

    def exiting(self, position: int) -> bool:
        """Whether the ladder of a position is running."""
        return position in self._exits

    def changing(self, position: int) -> bool:
        """Whether the entry of a position is being changed; the end of its order may be that of one replaced."""
        return position in self._changing

    def so_far(self, told: Input) -> Input:
        """What is told while an entry is being changed: that its order has ended proves nothing until that is over."""
        if isinstance(told, OrderUpdate) and (told.leg, told.status) == ("entry", "ended"):
            return replace(told, status="stands") if self.changing(told.position) else told
        return told

    def send(self, intent: Intent) -> None:
        """Set a request on its way."""
        match intent:
            case PlaceEntry():
                self._trader.spawn(self._place_entry(intent))
            case ModifyEntry():
                self._trader.spawn(self._modify_entry(intent))
            case CancelOrder():
                self._trader.spawn(self._cancel(intent))
            case PlaceStop():
                self._trader.spawn(self._place_stop(intent, intent.quantity))
            case ReplaceStop():
                self._trader.spawn(self._grow_stop(intent))
            case ExitPosition():
                if intent.position not in self._exits:  # the ladder reads anew at each step what is held
                    self._exits.add(intent.position)
                    self._trader.spawn(self._exit(intent))
            case TakeBack():
                self._trader.spawn(self._take_back(intent))
            case _:
                raise TypeError(f"{type(intent).__name__} is no request")

    # ---- entries ----

    async def _place_entry(self, intent: PlaceEntry) -> None:
        wish = Wish(
            position=intent.position, slot="CE" if intent.kind == CE else "PE", leg="entry", reason="entry",
            symbol=intent.symbol, side="SELL", quantity=intent.quantity, order_type="SL", trigger=intent.trigger,
            limit=intent.limit, conf_minute=intent.conf_minute, swing_index=intent.swing_index, stop=intent.stop,
        )  # fmt: skip
        sent = await self._trader.gateway.place(wish)
        if all(one.outcome in _NO_EFFECT for one in sent):
            self._refused(intent.position, "entry", "place", sent)

    async def _modify_entry(self, intent: ModifyEntry) -> None:
        standing = self._standing(intent.position, "entry")
        sent: Sequence[Sent] = ()
        self._changing.add(intent.position)
        try:
            sent = await self._change(intent, standing) if standing else ()
            self._trader.tell_new()
        finally:
            self._changing.discard(intent.position)
        self._told(intent.position, "entry")
        self._answered(intent.position, "entry", "modify", sent)

    async def _change(self, intent: ModifyEntry, standing: Sequence[Order]) -> list[Sent]:
        gateway = self._trader.gateway
        sizes = slices(intent.quantity, gateway.rails.lot, gateway.rails.freeze)
        sent = [
            await gateway.cancel(order.tag, "a smaller order is wanted") for order in standing[len(sizes) :]
        ]
        for order, size in zip(standing, sizes, strict=False):
            sent.append(
                await gateway.modify(
                    order.tag, quantity=size, trigger=intent.trigger, limit=intent.limit, order_type="SL"
                )
            )
            if sent[-1].outcome in _NO_EFFECT:
                break
        more = sum(sizes[len(standing) :])
        if more and all(one.outcome == "confirmed" for one in sent):
            order = standing[0]
            wish = Wish(
                position=intent.position, slot=order.slot, leg="entry", reason="entry", symbol=order.symbol,
                side="SELL", quantity=more, order_type="SL", trigger=intent.trigger, limit=intent.limit,
                conf_minute=intent.conf_minute, swing_index=intent.swing_index, stop=intent.stop,
            )  # fmt: skip
            sent += await gateway.place(wish, {each.tag for each in standing})
        return sent

    async def _cancel(self, intent: CancelOrder) -> None:
        sent = [
            await self._trader.gateway.cancel(order.tag, intent.reason)
            for order in leg_orders(self._trader.store.state, intent.position, intent.leg)
            if order.open
        ]
        self._answered(intent.position, intent.leg, "cancel", sent)
        if not self._standing(intent.position, intent.leg):
            self._told(intent.position, intent.leg)

    # ---- stops and exits ----

    async def _place_stop(self, intent: PlaceStop | ReplaceStop, quantity: int) -> None:
        wish = Wish(
            position=intent.position, slot=self._slot(intent.position), leg="stop", reason="stop",
            symbol=intent.symbol, side="BUY", quantity=quantity, order_type="SL", trigger=intent.trigger,
            limit=intent.limit,
        )  # fmt: skip
        sent = await self._trader.gateway.place(wish)
        again = sum(one.quantity for one in sent if one.busy)
        if again:  # too many requests is no reason to buy back: once more, after the lanes' pause
            sent = (
                *(one for one in sent if not one.busy),
                *await self._trader.gateway.place(replace(wish, quantity=again)),
            )
        if any(one.outcome in _NO_EFFECT for one in sent):
            self._refused(intent.position, "stop", "place", sent)

    async def _grow_stop(self, intent: ReplaceStop) -> None:
        """The newest standing slice takes what fits into it, the rest becomes a stop of its own."""
        gateway = self._trader.gateway
        orders = leg_orders(self._trader.store.state, intent.position, "stop")
        more = intent.quantity - sum(o.quantity if o.open else o.filled for o in orders)
        standing = [order for order in orders if order.open and order.order_id]
        if standing and more > 0:
            last = standing[-1]
            freeze = gateway.rails.freeze // gateway.rails.lot * gateway.rails.lot
            grown = min(more, max(freeze - last.quantity, 0))
            if grown:
                sent = await gateway.modify(
                    last.tag, quantity=last.quantity + grown, trigger=intent.trigger, limit=intent.limit,
                    order_type="SL",
                )  # fmt: skip
                self._answered(intent.position, "stop", "modify", [sent])
                more -= grown
        if more > 0:
            await self._place_stop(intent, more)
        elif more < 0 or not standing:
            self._told(intent.position, "stop")

    async def _exit(self, intent: ExitPosition) -> None:
        try:
            closed = await self._trader.gateway.exit(
                intent.position, intent.reason, self._trader.rules.exit_within_s
            )
        finally:
            self._exits.discard(intent.position)
        if closed.auth:
            self._trader.lost_login(closed.reason)
        self._trader.tell_new()
        if not closed.flat:
            self._trader.tell(RequestRefused(intent.position, "exit", "place", closed.reason))

    async def _take_back(self, intent: TakeBack) -> None:
        try:
            await self._trader.gateway.trim(intent.position)
        except BrokerAuth as error:
            self._trader.lost_login(error.message)
        except BrokerError as error:
            self._trader.alert("error", f"position {intent.position}: surplus not taken back yet ({error})")

    # ---- answers ----

    def _answered(self, position: int, leg: Leg, request: Request, sent: Sequence[Sent]) -> None:
        """Tell what had no effect; what is unknown is told by the log, or here where no book will ever tell it."""
        for one in sent:
            if one.outcome == "unknown":
                order = self._trader.store.state.orders.get(one.tag)
                if order is not None and order.open and not order.pending:
                    self._refused(position, leg, request, [one])
                    return
                self._doubtful.add(one.tag)
        if any(one.outcome in _NO_EFFECT for one in sent):
            self._refused(position, leg, request, sent)

    def _refused(self, position: int, leg: Leg, request: Request, sent: Sequence[Sent]) -> None:
        bad = next((one for one in sent if one.outcome in _NO_EFFECT), sent[0])
        told = RequestRefused(position, leg, request, bad.reason)
        if bad.auth:
            self._trader.lost_login(bad.reason)
        elif bad.outcome == "refused" and not is_for_margin(told):
            self._trader.alert("warning", f"{leg} of position {position}: {request} refused ({bad.reason})")
        self._trader.tell_new()
        self._trader.tell(told)

    def _told(self, position: int, leg: Leg) -> None:
        """Nothing was sent, as the orders stood otherwise than the session knew: tell it how."""
        self._trader.tell_new()
        orders = leg_orders(self._trader.store.state, position, leg)
        if orders:
            self._trader.tell(leg_update(self._trader.store.state, orders[-1], self._trader.state.now_ns))

    def _standing(self, position: int, leg: Leg) -> list[Order]:
        return [o for o in leg_orders(self._trader.store.state, position, leg) if o.open and o.order_id]

    def _slot(self, position: int) -> Slot:
        short = self._trader.state.shorts[position]
        return "CE" if short.kind == CE else "PE"
