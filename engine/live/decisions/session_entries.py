"""The two entry orders: what is wanted against what stands, one request at a time per order.

The rule what to do is `orders.reconcile`. Here stands only what a real exchange adds: requests whose outcome is
open, orders that end by themselves, partial fills, and budgets against churn.
"""

import re

import numpy.typing as npt

from engine.execution.orders import CANCEL, KEEP, MODIFY, PLACE, reconcile
from engine.live.decisions.session_inputs import OrderUpdate, RequestRefused
from engine.live.decisions.session_intents import Alert, CancelOrder, ModifyEntry, PlaceEntry
from engine.live.decisions.session_state import MINUTE_NS, Entry, SessionState, Slot, no_order
from engine.strategy.swing_break import NOBODY

MODIFICATIONS = 20
"""Modifications of one order before it is withdrawn and placed anew; the broker allows 25."""

CYCLE_NS = 30_000_000_000
CHURN_WINDOW_NS = 300_000_000_000
CYCLES_PER_CONTRACT = 2
CYCLES_IN_ALL = 5
"""An order placed anew within 30 s of its withdrawal is one cycle; counted over 5 min. Swing-break rules 5.4."""

OVERDUE_NS = 45_000_000_000
"""A change or withdrawal without an outcome for so long, e.g. as one slice of it was rejected, is asked for anew."""

RETRY_NS = 2_000_000_000
RETRY_DOUBLES = 4
"""A refused withdrawal is asked for again after 2, 4, 8, 16, then 32 s: refused calls count against the day's too."""

MARGIN_WAIT_NS = 900_000_000_000
"""After a refusal for margin no entry is asked for until margin was freed, or 15 min have passed: no retry loop."""

_NO_MARGIN = re.compile(r"margin|insufficient (?:funds|balance)", re.IGNORECASE)


def stands(slot: Slot) -> bool:
    """Whether an entry order of this slot stands or may stand."""
    return slot.entry is not None


def ask(state: SessionState, kind: int, wanted: npt.NDArray) -> None:
    """Want an order (DESIRED_ORDER[1]) of a slot, or none; whatever forbids entries turns it into none."""
    slot = state.slots[kind]
    slot.wish = wanted.copy() if state.may_enter else no_order()
    pursue(state, slot, kind)


def withdraw_all(state: SessionState) -> None:
    """Want no entry order any more."""
    if state.latch != "ACTIVE":
        margin_freed(state)  # whoever makes the latch ACTIVE again has seen to it
        state.margin_told_ns = 0
    for kind, slot in enumerate(state.slots):
        slot.wish = no_order()
        pursue(state, slot, kind)


def withdraw(state: SessionState, entry: Entry) -> None:
    """Want no more of one order."""
    slot = state.slots[entry.kind]
    if slot.entry is entry:
        slot.wish = no_order()
        pursue(state, slot, entry.kind)


def retry(state: SessionState) -> None:
    """Ask again for what was refused, or has found no outcome, and is still wanted."""
    for kind, slot in enumerate(state.slots):
        _overdue(state, slot)
        if not state.may_enter and slot.entry is not None:
            slot.wish = no_order()
        pursue(state, slot, kind)


def pursue(state: SessionState, slot: Slot, kind: int) -> None:
    """Send the next request that brings a slot nearer to its wish, unless one is on its way."""
    entry, wish = slot.entry, slot.wish
    if wish is None or (entry is not None and (entry.request or _waits_to_ask_again(state, entry))):
        return
    action = reconcile(wish[0], no_order()[0] if entry is None else entry.order[0])
    if action == KEEP:
        slot.wish = None
    elif (
        entry is not None
        and action == MODIFY
        and not entry.filled
        and _same_numbers(state, entry.order, wish)
    ):
        if _same_numbers(state, entry.order, entry.asked):
            entry.asked = wish
        entry.order, slot.wish = wish, None  # only what is planned after the fill has changed
    elif action == PLACE:
        slot.wish = None
        _place(state, slot, kind, wish)
    elif entry is not None and action == MODIFY and not entry.filled and entry.modifications < MODIFICATIONS:
        slot.wish = None
        entry.request, entry.asked_ns = "modify", state.now_ns
        entry.asked = wish
        entry.modifications += 1
        state.outbox.append(ModifyEntry(position=entry.position, **_numbers(state, wish)))
    elif entry is not None:
        if action == CANCEL:
            slot.wish = None
        entry.request, entry.asked_ns = "cancel", state.now_ns
        entry.withdrawing = True
        reason = "not wanted" if action == CANCEL else "another order is wanted"
        state.outbox.append(CancelOrder(entry.position, "entry", reason))


def _overdue(state: SessionState, slot: Slot) -> None:
    entry = slot.entry
    if entry is None or entry.request not in {"modify", "cancel"}:
        return
    entry.asked_ns = entry.asked_ns or state.now_ns
    if state.now_ns - entry.asked_ns >= OVERDUE_NS:
        refused(state, entry, RequestRefused(entry.position, "entry", entry.request, "no outcome"))  # type: ignore[arg-type]


def updated(state: SessionState, entry: Entry, event: OrderUpdate) -> None:
    """Take in what stands of an entry order."""
    if entry.ended:
        return
    slot = state.slots[entry.kind]
    entry.refusals = 0
    if event.status == "ended":
        entry.ended = True
        entry.request = ""
        if means_no_margin(event.reason):
            _refused_for_margin(state, entry, event.reason)
        elif entry.withdrawing and not entry.filled:
            margin_freed(state)
        if slot.entry is not entry:
            return
        slot.entry = None
        state.withdrawn[entry.contract] = state.now_ns
        if not entry.withdrawing or entry.filled:
            slot.wish = None  # it ended by itself: the next close decides anew
    elif entry.request == "place" or (
        entry.request == "modify"
        and _equals(state, entry.asked, event)
        and not _equals(state, entry.order, event)
    ):
        if entry.request == "modify":
            entry.before.append(entry.order)
            entry.order = entry.asked
        entry.request = ""
    elif not entry.request:
        _believe(state, entry, event)
    pursue(state, slot, entry.kind)


def _believe(state: SessionState, entry: Entry, event: OrderUpdate) -> None:
    """An acknowledged change that the exchange rejects leaves the numbers of before: the next close asks again."""
    if _equals(state, entry.order, event):
        return
    known = (entry.asked, *reversed(entry.before))  # two may have been rejected before the book was read
    entry.order = next((one for one in known if _equals(state, one, event)), entry.order)


def refused(state: SessionState, entry: Entry, event: RequestRefused) -> None:
    """A request had no effect."""
    if entry.ended or event.request != entry.request:
        return
    slot = state.slots[entry.kind]
    entry.request = ""
    if event.request == "place":
        entry.ended = True
        slot.entry, slot.wish = None, None  # the next close decides anew
        if is_for_margin(event):
            _refused_for_margin(state, entry, event.reason)
    elif event.request == "cancel":
        entry.refused_ns = state.now_ns
        entry.refusals += 1
        if slot.wish is None:
            slot.wish = no_order()
    pursue(state, slot, entry.kind)


def filled(state: SessionState, entry: Entry) -> None:
    """The first units have filled: a change that was wanted finds the order filled."""
    slot = state.slots[entry.kind]
    if slot.entry is entry:
        slot.wish = None


def means_no_margin(reason: str) -> bool:
    """Whether the words of a refusal say that there is no margin."""
    return bool(_NO_MARGIN.search(reason))


def is_for_margin(event: RequestRefused) -> bool:
    """Whether a new entry was refused as there is no margin for it; that is told here, once."""
    return (event.leg, event.request) == ("entry", "place") and means_no_margin(event.reason)


def margin_freed(state: SessionState) -> None:
    """Something has freed margin, or a person says so: entries may be asked for again."""
    state.margin_refused_ns = 0


def _refused_for_margin(state: SessionState, entry: Entry, reason: str) -> None:
    if not state.margin_told_ns or (
        not state.margin_refused_ns and state.now_ns - state.margin_told_ns >= MARGIN_WAIT_NS
    ):
        state.margin_told_ns = max(state.now_ns, 1)
        symbol, minutes = state.plan.symbols[entry.contract], MARGIN_WAIT_NS // MINUTE_NS
        state.outbox.append(
            Alert(
                "error",
                f"{symbol}: no margin for the entry ({reason}); none is asked for until a position or an order of ours "
                f"frees some, else every {minutes} minutes; add funds, then: workbench live pause, workbench live resume",
            )
        )
    state.margin_refused_ns = max(state.now_ns, 1)


def _waits_for_margin(state: SessionState) -> bool:
    since = state.margin_refused_ns
    return since > 0 and state.now_ns - since < MARGIN_WAIT_NS


def _waits_to_ask_again(state: SessionState, entry: Entry) -> bool:
    doubled = min(max(entry.refusals - 1, 0), RETRY_DOUBLES)
    return state.now_ns - entry.refused_ns < RETRY_NS << doubled


def _place(state: SessionState, slot: Slot, kind: int, wish: npt.NDArray) -> None:
    contract = int(wish[0]["contract"])
    if contract == NOBODY or not state.may_enter or _waits_for_margin(state):
        return
    if not _churn_allows(state, contract):
        return
    entry = Entry(state.next_position, kind, wish, wish)
    state.next_position += 1
    state.entries[entry.position] = entry
    slot.entry = entry
    symbol = state.plan.symbols[contract]
    state.outbox.append(
        PlaceEntry(
            position=entry.position, kind=kind, contract=contract, symbol=symbol, **_numbers(state, wish)
        )
    )


def _churn_allows(state: SessionState, contract: int) -> bool:
    """Count an order that is placed right after it was withdrawn; False when there were too many."""
    ended = state.withdrawn.get(contract)
    if ended is not None and state.now_ns - ended < CYCLE_NS:
        state.cycles.setdefault(contract, []).append(state.now_ns)
    recent = {
        c: [t for t in times if state.now_ns - t < CHURN_WINDOW_NS] for c, times in state.cycles.items()
    }
    state.cycles = {c: times for c, times in recent.items() if times}
    own, all_ = len(state.cycles.get(contract, ())), sum(len(times) for times in state.cycles.values())
    if own < CYCLES_PER_CONTRACT and all_ < CYCLES_IN_ALL:
        return True
    symbol = state.plan.symbols[contract]
    state.outbox.append(
        Alert("warning", f"{symbol}: no entry, its order was placed and withdrawn {own} times in 5 minutes")
    )
    return False


def _numbers(state: SessionState, wish: npt.NDArray) -> dict[str, int]:
    order = wish[0]
    return {
        "quantity": int(order["lots"]) * state.plan.rules.lot_size,
        **{name: int(order[name]) for name in ("trigger", "limit", "stop", "conf_minute", "swing_index")},
    }


def _same_numbers(state: SessionState, one: npt.NDArray, other: npt.NDArray) -> bool:
    """Whether two orders are one and the same to the exchange."""
    a, b = _numbers(state, one), _numbers(state, other)
    return all(a[name] == b[name] for name in ("quantity", "trigger", "limit"))


def _equals(state: SessionState, order: npt.NDArray, event: OrderUpdate) -> bool:
    numbers = _numbers(state, order)
    return all(numbers[name] == getattr(event, name) for name in ("quantity", "trigger", "limit"))
