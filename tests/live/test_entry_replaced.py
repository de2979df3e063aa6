"""An entry order whose change is refused or rejected: what the session knows of it, before and after a restart."""

import pytest
from scripted_broker import LOT, entry, run
from test_reconcile import Room

from engine.execution.risk import CE
from engine.live.decisions import session_entries
from engine.live.decisions.session_inputs import Command, Timer

OLD, NEW = (1980, 1920), (1970, 1910)


class RoomWithEntry(Room):
    """An entry order of one lot stands and has not filled."""

    async def start(self, lots=1):
        await self.desk.start()
        if lots:
            await self.desk.gateway.place(entry(lots=lots))
        return await super().start(lots=0)

    @property
    def slot(self):
        return self.trader.state.slots[CE]

    @property
    def believed(self):
        order = self.slot.entry.order[0]
        return int(order["trigger"]), int(order["limit"])

    def want(self, trigger, limit):
        """The close decides other numbers."""
        self.trader.tell(Timer(self.desk.clock.wall_ns()))
        wish = self.slot.entry.order.copy()
        wish["trigger"], wish["limit"] = trigger, limit
        self.slot.wish = wish
        session_entries.pursue(self.trader.state, self.slot, CE)
        self.trader._carry_out(tuple(self.trader.state.outbox))
        self.trader.state.outbox.clear()

    def standing(self):
        return [
            (o.request.trigger_ticks, o.request.limit_ticks, o.request.quantity) for o in self.broker.open
        ]

    def push(self):
        """From now on the broker tells every change of an order at once, before it answers."""
        self.broker.on_change = lambda broker: [
            self.trader.pushed(broker._report(order)) for order in list(broker.held.values())
        ]


@pytest.fixture
def room(tmp_path):
    made = RoomWithEntry(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("pushed", [True, False])
def test_an_entry_that_is_replaced_keeps_its_slot(room, pushed):
    """Between the end of the old order and its successor's intent nobody may take the slot for free."""

    async def act():
        await room.start()
        if pushed:
            room.push()
        room.broker.modify_faults.append("refuse")
        room.want(*NEW)
        await room.trader.settle()
        assert room.standing() == [(*NEW, LOT)]
        assert room.slot.entry is not None
        assert (room.believed, room.slot.entry.request) == (NEW, "")
        room.trader.command(Command("pause", "test"))
        await room.trader.settle()
        assert room.standing() == [], "it is withdrawn like any other"

    run(act())


def test_an_entry_that_fills_while_it_is_replaced_gets_its_stop(room):
    async def act():
        await room.start()
        room.push()
        room.broker.modify_faults.append("refuse")
        room.broker.cancel_faults.append("fill")
        room.want(*NEW)
        await room.trader.settle()
        assert room.broker.net == -LOT
        (stop,) = room.broker.open
        assert (stop.request.side, stop.request.quantity) == ("BUY", LOT)
        assert room.slot.entry is None

    run(act())


def test_an_entry_whose_successor_is_refused_has_ended(room):
    async def act():
        await room.start()
        room.push()
        room.broker.modify_faults.append("refuse")
        room.broker.place_faults.append("refuse")
        room.want(*NEW)
        await room.trader.settle()
        assert (room.standing(), room.slot.entry) == ([], None)

    run(act())


def test_after_a_restart_a_replaced_entry_has_its_own_numbers(room):
    async def act():
        await room.start()
        room.broker.modify_faults.append("refuse")
        room.want(*NEW)
        await room.trader.settle()
        await room.trader.close()
        await room.start(lots=0)
        assert room.believed == NEW
        assert room.slot.entry.order["lots"] == 1

    run(act())


def test_what_filled_before_an_entry_was_replaced_counts_after_a_restart_as_before(room):
    """Wanted are two lots: one has filled, the successor holds the other."""

    async def act():
        await room.start(lots=2)
        room.broker.modify_faults.append("refuse")
        room.broker.cancel_faults.append("part")
        room.want(*NEW)
        await room.trader.settle()
        assert {(o.request.side, o.request.quantity) for o in room.broker.open} == {
            ("SELL", LOT),
            ("BUY", LOT),
        }
        before = room.slot.entry.order.copy()
        await room.trader.close()
        await room.start(lots=0)
        assert before["lots"] == 2
        assert room.slot.entry.order["lots"] == 2
        (short,) = room.trader.state.open
        assert (short.units, short.stop_covers) == (LOT, LOT)

    run(act())


def test_after_a_restart_a_change_that_was_rejected_is_not_believed(room):
    async def act():
        await room.start()
        room.broker.modify_faults.append("reject")
        room.want(*NEW)
        await room.trader.settle()
        await room.trader.look()
        assert room.believed == OLD
        await room.trader.close()
        await room.start(lots=0)
        assert (room.believed, room.standing()) == (OLD, [(*OLD, LOT)])

    run(act())


def test_a_change_that_is_rejected_while_nobody_watches_is_not_believed(room):
    async def act():
        await room.start()
        room.broker.modify_faults.append("reject")
        room.want(*NEW)
        await room.trader.settle()
        assert room.believed == NEW, "acknowledged, and the book not read since"
        await room.trader.close()
        await room.start(lots=0)
        assert (room.believed, room.standing()) == (OLD, [(*OLD, LOT)])

    run(act())
