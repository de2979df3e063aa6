"""A short that a person converts to another product: what closes it goes out in the product in which it stands."""

from decimal import Decimal

import pytest
from scripted_broker import LOT, SYMBOL, run
from test_reconcile import BrokerOfMany, Room

from engine.live.brokers.base import OrderStatus, PositionReport


class BrokerWithProducts(BrokerOfMany):
    """Positions by product, and a person who converts them; `listed` False hides a row of MIS that is flat."""

    def __init__(self, clock, **given):
        super().__init__(clock, **given)
        self.moved = 0
        self.carried = 0  # NRML units held since yesterday
        self.listed = True
        self.positions_fail = False

    def by_product(self):
        net = {"MIS": -self.moved, "NRML": self.carried + self.moved}
        for order in self.held.values():
            net[order.request.product] += order.filled * (1 if order.request.side == "BUY" else -1)
        return net

    async def positions(self):
        await self._answer("positions")
        self._fail("never" if self.positions_fail else "")
        return [
            PositionReport(SYMBOL, product, units, Decimal(100))
            for product, units in self.by_product().items()
            if units or (self.moved if product == "NRML" else self.listed)
        ]


class RoomWithProducts(Room):
    def __init__(self, folder):
        super().__init__(folder)
        self.desk.broker = self.broker = BrokerWithProducts(self.desk.clock)

    def standing(self):
        return [(o.request.product, o.request.kind, o.request.quantity) for o in self.broker.open]


@pytest.fixture
def room(tmp_path):
    made = RoomWithProducts(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("listed", [True, False])
def test_the_stop_of_a_converted_short_is_replaced_in_its_product(room, listed):
    async def act():
        await room.start()
        assert room.standing() == [("MIS", "SL", 2 * LOT)]
        room.broker.moved, room.broker.listed = -2 * LOT, listed
        uncovered = []
        room.broker.on_change = lambda broker: uncovered.append(not broker.open)
        compared = await room.compare()
        assert (compared.known, compared.mismatches, room.latch) == (True, 1, "REDUCING")
        assert room.standing() == [("NRML", "SL", 2 * LOT)]
        assert not any(uncovered), "the old stop stands until the new one does"
        assert (await room.compare()).mismatches == 0, "told once"
        assert len([text for _, text in room.alerts if "converted from MIS to NRML by hand" in text]) == 1

    run(act())


def test_a_kill_right_after_a_conversion_buys_back_in_the_product_of_the_short(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        assert await room.trader.kill("test", "person", 30)
        assert room.broker.by_product() == {"MIS": 0, "NRML": 0}
        assert not room.broker.open

    run(act())


def test_an_exit_does_not_turn_the_old_stop_into_its_order(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        room.broker.place_faults.append("refuse")
        await room.trader.reconcile()
        room.broker.cancel_faults.extend(["never"] * 3)
        assert await room.trader.kill("test", "person", 120)
        assert room.broker.by_product() == {"MIS": 0, "NRML": 0}

    run(act())


def test_a_short_that_is_converted_back_gets_its_first_product_back(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        await room.compare()
        room.broker.moved = 0
        await room.compare()
        assert room.standing() == [("MIS", "SL", 2 * LOT)]

    run(act())


def test_a_converted_short_that_a_person_buys_back_is_adopted_and_its_stop_withdrawn(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        await room.compare()
        bought = room.broker.somebody("BUY", 2)
        bought.request = bought.request.__class__("app", SYMBOL, "BUY", 2 * LOT, "LIMIT", 0, 2000, "NRML")
        await room.compare()
        assert room.log.positions[1].net == 0
        assert not [order for order in room.ours() if not order.status.is_final]
        assert await room.trader.proves_flat()

    run(act())


def test_what_the_person_carried_in_the_other_product_is_no_conversion(room):
    async def act():
        room.broker.carried = -2 * LOT
        await room.start()
        await room.compare()
        assert room.standing() == [("MIS", "SL", 2 * LOT)]
        assert await room.trader.kill("test", "person", 30)
        assert room.broker.by_product() == {"MIS": 0, "NRML": -2 * LOT}

    run(act())


def test_a_part_that_was_converted_is_told_and_nothing_is_replaced(room):
    async def act():
        await room.start()
        room.broker.moved = -LOT
        compared = await room.compare()
        assert (compared.mismatches, room.latch) == (1, "REDUCING")
        assert room.standing() == [("MIS", "SL", 2 * LOT)]

    run(act())


def test_a_stop_in_the_new_product_that_is_refused_leaves_the_old_one(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        room.broker.place_faults.extend(["refuse", "refuse"])
        for _ in range(2):
            await room.compare()
            assert room.standing() == [("MIS", "SL", 2 * LOT)]
        told = [text for _, text in room.alerts if "could not be placed in the product" in text]
        assert len(told) == 1, "not at every comparison"
        await room.compare()
        assert room.standing() == [("NRML", "SL", 2 * LOT)]
        assert all(o.status != OrderStatus.REJECTED for o in room.broker.held.values())

    run(act())


@pytest.mark.parametrize("listed", [True, False])
def test_a_kill_that_a_restart_takes_up_buys_back_in_the_product_of_the_short(room, listed):
    """Converted while nobody watched: the first exit must not leave before the positions are read."""

    async def act():
        await room.start()
        await room.trader.close()
        room.broker.moved, room.broker.listed = -2 * LOT, listed
        room.desk.store.set_latch("FLATTENING", "test", "person")
        await room.start(lots=0)
        assert room.broker.by_product() == {"MIS": 0, "NRML": 0}
        assert await room.trader.kill("test", "person", 30)

    run(act())


def test_a_restart_believes_the_stop_that_stands_while_positions_cannot_be_read(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        await room.compare()
        assert room.standing() == [("NRML", "SL", 2 * LOT)]
        await room.trader.close()
        room.desk.store.set_latch("FLATTENING", "test", "person")
        room.broker.positions_fail = True
        await room.start(lots=0)
        assert room.broker.by_product() == {"MIS": 0, "NRML": 0}

    run(act())


def test_what_was_carried_before_is_told_from_what_was_converted_after_a_restart_too(room):
    async def act():
        room.broker.carried = -2 * LOT
        await room.start()
        room.broker.moved = -2 * LOT
        await room.compare()
        await room.trader.close()
        await room.start(lots=0)
        assert (room.first.known, room.first.mismatches) == (True, 1)
        assert room.standing() == [("NRML", "SL", 2 * LOT)]

    run(act())


def test_a_conversion_that_is_taken_back_in_part_is_told(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        await room.compare()
        room.broker.moved = -LOT
        assert (await room.compare()).mismatches == 1
        assert any(f"broker holds {-LOT}, log {-2 * LOT}" in text for _, text in room.alerts)
        assert not await room.trader.kill("test", "person", 10), "both must be flat, not only their sum"

    run(act())


def test_a_stop_that_fills_in_the_first_product_is_not_taken_for_the_end_of_a_converted_short(room):
    async def act():
        await room.start()
        room.broker.moved = -2 * LOT
        room.broker.place_faults.append("refuse")
        await room.compare()
        (old,) = room.broker.open
        room.broker.fill(old, 2 * LOT)
        await room.compare()
        assert room.broker.by_product() == {"MIS": 2 * LOT, "NRML": -2 * LOT}
        assert any(f"broker holds {2 * LOT}, log 0" in text for _, text in room.alerts)
        assert not await room.trader.proves_flat()

    run(act())


def test_a_surplus_is_sold_in_the_product_in_which_it_was_bought(room):
    """Both stops trigger while the new one takes the old one's place: the old one has opened a long position."""

    async def act():
        await room.start()
        room.broker.moved = -2 * LOT

        def both_trigger(broker):
            if len(broker.open) == 2:
                broker.on_change = lambda _: None
                for order in broker.open:
                    broker.fill(order, 2 * LOT)

        room.broker.on_change = both_trigger
        await room.compare()
        await room.trader.settle()
        assert room.broker.by_product() == {"MIS": 0, "NRML": 0}
        assert await room.trader.proves_flat()

    run(act())
