"""Bugs put in by hand: the simulator finds each within 200 seeds, and says which invariant it breaks."""

import pytest

from engine.faults import line
from engine.faults.world import play
from engine.live import reconcile
from engine.live.brokers.base import BrokerError, BrokerUnknown
from engine.live.decisions import session_positions
from engine.live.decisions.session_intents import PlaceStop, ReplaceStop
from engine.live.log.events import OrderUpdated
from engine.live.orders import wire

SEEDS = 200


def found():
    """Invariants that the first violated history names."""
    for seed in range(SEEDS):
        violation = play(seed).violation
        if violation is not None:
            return violation.invariant
    return None


def test_a_stop_that_is_not_placed_after_a_partial_fill_is_found(monkeypatch):
    protect = session_positions.protect

    def forgetful(state, short):
        before = len(state.outbox)
        protect(state, short)
        whole = int(short.entry.order[0]["lots"]) * state.plan.rules.lot_size
        if max(short.told, short.sold) < whole:
            state.outbox[before:] = [
                i for i in state.outbox[before:] if not isinstance(i, PlaceStop | ReplaceStop)
            ]
            short.stop_request, short.stop_covers = "", short.stop_asked

    monkeypatch.setattr(session_positions, "protect", forgetful)
    assert found() == "a short has its stop"


def test_a_blind_resend_is_found(monkeypatch):
    place = line.Line.place

    async def twice(self, request):
        try:
            return await place(self, request)
        except BrokerUnknown:
            return await place(self, request)

    monkeypatch.setattr(line.Line, "place", twice)
    assert found() == "one order per intent"


def test_a_cancel_that_is_taken_for_final_is_found(monkeypatch):
    cancel = wire.Wire.cancel

    async def final(self, order, reason):
        sent = await cancel(self, order, reason)
        if sent.outcome == "confirmed" and self.store.state.orders[order.tag].open:
            self.note(
                OrderUpdated(
                    tag=order.tag, order_id=order.order_id, status="CANCELLED", filled=order.filled,
                    quantity=order.quantity, trigger=order.trigger, limit=order.limit, average_milliticks=0,
                    message="", time_ns=0,
                )
            )  # fmt: skip
        return sent

    monkeypatch.setattr(wire.Wire, "cancel", final)
    assert found() in {"an order is over only when it is", "limits", "flat is proved by the broker"}


def test_a_failed_fetch_that_is_taken_for_flat_is_found(monkeypatch):
    proves_flat = reconcile.Reconciler.proves_flat

    async def gullible(self):
        try:
            await self._trader.gateway.wire.look()
        except BrokerError:
            return True
        return await proves_flat(self)

    monkeypatch.setattr(reconcile.Reconciler, "proves_flat", gullible)
    assert found() == "flat is proved by the broker"


@pytest.fixture(autouse=True)
def _sound_without_the_bug():
    """What the bugs are measured against."""
    assert play(0).violation is None
