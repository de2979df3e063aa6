"""Modifying, replacing and cancelling through the gateway."""

from dataclasses import replace

import pytest
from scripted_broker import LOT, Desk, closing_store, entry, gaps, moved, protected, run
from store_facts import facts_on_disk

from engine.live.brokers.base import OrderStatus
from engine.live.orders.wire import Rules

# ---- modify ----


def test_a_modification_is_written_first_and_confirmed(desk):
    async def story():
        tag = await protected(desk)
        sent = await moved(desk, tag, 2150)
        assert sent.outcome == "confirmed"
        await desk.gateway.wire.look()
        order = desk.state.orders[tag]
        assert (order.trigger, order.limit, order.pending) == (2150, 2210, "")
        assert desk.broker.held["o2"].request.trigger_ticks == 2150

    run(story())


def test_the_old_numbers_of_an_order_that_is_being_changed_prove_nothing(desk):
    async def story():
        tag = await protected(desk)
        (held,) = desk.broker.of(tag)
        before = desk.broker._report(held)
        await moved(desk, tag, 2150, quantity=LOT)
        changing = replace(before, status=OrderStatus.PENDING, status_text="MODIFY PENDING")
        desk.gateway.wire.absorb([changing], [])
        order = desk.state.orders[tag]
        assert (order.trigger, order.limit, order.status) == (2150, 2210, "MODIFY PENDING")
        await desk.gateway.wire.look()
        assert desk.state.orders[tag].status == "TRIGGER PENDING"

    run(story())


def test_an_order_that_is_shown_without_its_tag_is_known_by_its_number(desk):
    async def story():
        tag = await protected(desk)
        (held,) = desk.broker.of(tag)
        held.status = OrderStatus.CANCELLED
        desk.gateway.wire.absorb([replace(desk.broker._report(held), tag=None)], [])
        assert not desk.state.orders[tag].open

    run(story())


def test_a_modification_without_an_answer_is_settled_by_the_book(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("lost")
        assert (await moved(desk, tag, 2150)).outcome == "unknown"
        assert desk.state.orders[tag].pending == "modify"
        await desk.gateway.wire.look()
        assert (desk.state.orders[tag].trigger, desk.state.orders[tag].pending) == (2150, "")

    run(story())


def test_a_modification_that_never_arrived_is_given_up_after_its_window(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("never")
        await moved(desk, tag, 2150)
        await desk.gateway.watch(lambda: False, 20)
        assert desk.state.orders[tag].pending == "modify"
        await desk.gateway.watch(lambda: False, 15)
        assert (desk.state.orders[tag].trigger, desk.state.orders[tag].pending) == (2200, "")

    run(story())


@pytest.mark.parametrize("refused_by", ["broker", "budget"])
def test_the_twenty_sixth_modification_of_a_stop_replaces_it_without_a_gap(tmp_path, refused_by):
    budget = 25 if refused_by == "budget" else 10_000
    with closing_store(Desk(tmp_path / "s.sqlite", rules=Rules(modifications=budget))) as desk:

        async def story():
            desk.broker.max_modifies = 25 if refused_by == "broker" else 10_000
            tag = await protected(desk)
            found = gaps(desk)
            for number in range(1, 26):
                assert (await moved(desk, tag, 2200 - number)).tag == tag
            sent = await moved(desk, tag, 2150)
            assert sent.outcome == "confirmed"
            assert sent.tag != tag
            assert found == []
            (left,) = desk.broker.open
            assert (left.request.tag, left.request.trigger_ticks) == (sent.tag, 2150)

        run(story())


def test_a_successor_in_doubt_leaves_the_old_stop_standing(desk):
    async def story():
        tag = await protected(desk)
        found = gaps(desk)
        desk.broker.modify_faults.append("refuse")
        desk.broker.place_faults.append("never")
        sent = await moved(desk, tag, 2150)
        assert sent.outcome == "unknown"
        assert found == []
        assert [o.request.tag for o in desk.broker.open] == [tag]

    run(story())


def test_an_old_stop_that_fills_while_it_is_replaced_takes_its_successor_with_it(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("refuse")
        desk.broker.cancel_faults.append("fill")
        await moved(desk, tag, 2150)
        assert desk.broker.net == 0
        assert desk.broker.open == []

    run(story())


def test_when_both_stops_fill_the_surplus_is_sold_at_once(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("refuse")
        desk.broker.place_faults.append("part")  # the successor fills as it arrives
        desk.broker.cancel_faults.append("fill")
        await moved(desk, tag, 2150)
        assert desk.broker.net == 0
        assert desk.broker.open == []

    run(story())


def test_an_entry_that_cannot_be_modified_is_cancelled_first_and_only_the_rest_placed(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry(lots=4))
        await desk.gateway.wire.look()
        desk.broker.fill(desk.broker.held["o1"], LOT)
        desk.broker.modify_faults.append("refuse")
        after = await desk.gateway.modify(
            sent.tag, quantity=4 * LOT, trigger=1970, limit=1910, order_type="SL"
        )
        assert after.outcome == "confirmed"
        assert after.quantity == 3 * LOT
        assert desk.broker.held["o1"].status == OrderStatus.CANCELLED
        assert desk.broker.held["o2"].request.quantity == 3 * LOT

    run(story())


def test_what_an_entry_fills_while_it_is_replaced_is_not_placed_again(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry(lots=4))
        await desk.gateway.wire.look()
        desk.broker.modify_faults.append("refuse")
        desk.broker.cancel_faults.append("part")
        after = await desk.gateway.modify(
            sent.tag, quantity=4 * LOT, trigger=1970, limit=1910, order_type="SL"
        )
        assert after.quantity == 3 * LOT
        assert desk.broker.net == -LOT
        assert desk.broker.held["o2"].request.quantity == 3 * LOT

    run(story())


def test_an_entry_whose_end_is_not_proven_is_not_replaced(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry())
        await desk.gateway.wire.look()
        desk.broker.modify_faults.append("refuse")
        desk.broker.cancel_faults.append("never")
        after = await desk.gateway.modify(sent.tag, quantity=LOT, trigger=1970, limit=1910, order_type="SL")
        assert after.outcome == "unknown"
        assert len(desk.broker.held) == 1
        assert facts_on_disk(desk.path, "OrderDenied") == []

    run(story())


def test_an_entry_that_fills_while_it_is_replaced_is_not_placed_again(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry(lots=4))
        await desk.gateway.wire.look()
        desk.broker.modify_faults.append("refuse")
        desk.broker.cancel_faults.append("fill")
        await desk.gateway.modify(sent.tag, quantity=4 * LOT, trigger=1970, limit=1910, order_type="SL")
        assert desk.broker.net == -4 * LOT
        assert len(desk.broker.held) == 1

    run(story())


# ---- cancel ----


def test_a_fill_wins_over_an_acknowledged_cancel(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry())
        desk.broker.cancel_faults.append("fill")
        assert (await desk.gateway.cancel(sent.tag, "switch")).reason == "COMPLETE"
        assert desk.state.positions[1].net == -LOT
        assert facts_on_disk(desk.path, "RequestAnswered")[-1].outcome == "confirmed"

    run(story())


def test_a_partly_filled_order_keeps_its_fill_when_cancelled(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry(lots=3))
        desk.broker.fill(desk.broker.held["o1"], LOT)
        assert (await desk.gateway.cancel(sent.tag, "switch")).outcome == "confirmed"
        assert desk.state.positions[1].net == -LOT
        assert desk.state.orders[sent.tag].reserved == 0

    run(story())


@pytest.mark.parametrize("fault", ["lost", "never"])
def test_a_cancel_without_an_answer_is_known_by_the_book_only(desk, fault):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry())
        desk.broker.cancel_faults.append(fault)
        outcome = (await desk.gateway.cancel(sent.tag, "switch")).outcome
        assert outcome == ("confirmed" if fault == "lost" else "unknown")
        assert desk.state.orders[sent.tag].open == (fault == "never")

    run(story())


def test_a_stuck_order_is_not_cancelled_by_an_acknowledgement_and_not_sent_again(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.append("stuck")
        (sent,) = await desk.gateway.place(entry())
        assert (await desk.gateway.cancel(sent.tag, "late")).outcome == "unknown"
        assert (await desk.gateway.place(entry(position=2)))[0].outcome == "denied"
        assert len(desk.broker.held) == 1

    run(story())
