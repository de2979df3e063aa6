"""Placing through the gateway: written first, sent once, found again, never sent blindly."""

import asyncio

import pytest
from scripted_broker import FREEZE, LOT, NS, SYMBOL, Desk, closing_store, entry, run, stop
from store_facts import facts_on_disk

from engine.live.brokers.base import BrokerUnknown
from engine.live.gateway import UnknownTagError
from engine.live.log import events as e
from engine.live.orders.book import request_of
from engine.live.orders.wire import Rules


def test_the_intent_is_on_disk_before_the_request_leaves(desk):
    seen = []

    async def story():
        await desk.start()
        desk.broker.on_place = lambda request: seen.extend(
            fact.tag == request.tag for fact in facts_on_disk(desk.path, "IntentPrepared")
        )
        (sent,) = await desk.gateway.place(entry())
        assert sent.outcome == "confirmed"

    run(story())
    assert seen == [True]
    assert [type(f).__name__ for f in facts_on_disk(desk.path)][-3:] == [
        "IntentPrepared",
        "IntentSent",
        "OrderAccepted",
    ]


def test_a_tag_is_at_most_twenty_letters_and_digits_and_new_each_time(desk):
    async def story():
        await desk.start()
        tags = {desk.gateway._tags.new("entry", {}) for _ in range(2000)}
        assert len(tags) == 2000
        assert all(tag.isalnum() and len(tag) <= 20 for tag in tags)

    run(story())


@pytest.mark.parametrize(("fault", "found_after"), [("lost", 1), ("late", 9)])
def test_an_order_whose_answer_was_lost_is_adopted_once_and_not_sent_again(desk, fault, found_after):
    async def story():
        await desk.start()
        desk.broker.place_faults.append(fault)
        (sent,) = await desk.gateway.place(entry())
        assert sent.outcome == "unknown"
        assert desk.state.orders[sent.tag].state == "UNKNOWN"
        (again,) = await desk.gateway.place(entry(position=2))
        assert again.outcome == "denied"
        assert "must be proven" in again.reason
        began = desk.clock.monotonic_ns()
        assert await desk.gateway.resolve(120) == ()
        assert (desk.clock.monotonic_ns() - began) / NS <= found_after
        await desk.gateway.resolve(3)
        order = desk.state.orders[sent.tag]
        assert (order.state, order.order_id) == ("ACCEPTED", "o1")
        assert len(desk.broker.held) == 1
        found = [f.found for f in facts_on_disk(desk.path, "OrderAccepted")]
        assert found == [True]

    run(story())


def test_absent_is_not_sent_only_after_the_whole_window(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.append("never")
        (sent,) = await desk.gateway.place(entry())
        assert await desk.gateway.resolve(95) == (sent.tag,)
        assert desk.state.orders[sent.tag].reserved == LOT
        assert await desk.gateway.resolve(10) == ()
        assert desk.state.orders[sent.tag].status == "NOT_SENT"
        assert desk.state.orders[sent.tag].reserved == 0

    run(story())


def test_an_empty_book_where_an_order_is_known_proves_no_absence(desk):
    async def story():
        await desk.start()
        await desk.gateway.place(entry())
        desk.broker.place_faults.append("late")
        (sent,) = await desk.gateway.place(entry(position=2, symbol="OTHER"))
        await desk.gateway.watch(lambda: False, 5)
        orders, desk.broker.orders = desk.broker.orders, _empty
        await desk.gateway.watch(lambda: False, 120)
        assert desk.state.orders[sent.tag].open
        desk.broker.orders = orders
        await desk.gateway.wire.look()
        assert desk.state.orders[sent.tag].order_id

    run(story())


async def _empty():
    return []


def test_a_failed_fetch_settles_nothing(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.append("never")
        (sent,) = await desk.gateway.place(entry())
        desk.broker.read_faults.extend(["never"] * 500)
        assert await desk.gateway.resolve(300) == (sent.tag,)

    run(story())


def test_an_order_that_appears_after_it_was_given_up_is_adopted_and_stops_entries(tmp_path):
    with closing_store(Desk(tmp_path / "s.sqlite", rules=Rules(resolve_window_s=5))) as desk:

        async def story():
            await desk.start()
            desk.broker.place_faults.append("late")
            (sent,) = await desk.gateway.place(entry())
            await desk.gateway.resolve(7)
            assert desk.state.orders[sent.tag].status == "NOT_SENT"
            await desk.gateway.watch(lambda: False, 3)
            assert desk.state.orders[sent.tag].order_id == "o1"
            assert desk.state.latch.state == "REDUCING"
            assert len(facts_on_disk(desk.path, "Mismatch")) == 1

        run(story())


def test_a_second_broker_order_with_our_tag_is_told_once_and_stops_entries(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry())
        await desk.broker.place(desk.broker.of(sent.tag)[0].request)
        await desk.gateway.watch(lambda: False, 5)
        assert desk.state.latch.state == "REDUCING"
        (told,) = facts_on_disk(desk.path, "Mismatch")
        assert (told.ours, told.theirs) == ("o1", "o2")
        assert desk.state.orders[sent.tag].order_id == "o1"

    run(story())


def test_nothing_leaves_before_the_books_were_read(desk):
    async def story():
        await desk.start()
        desk.gateway._recovered = False
        (sent,) = await desk.gateway.place(entry())
        assert sent.outcome == "denied"

    run(story())


@pytest.mark.parametrize("state", ["REDUCING", "HALTED", "FLATTENING"])
def test_entries_only_while_active_and_stops_in_every_state(desk, state):
    async def story():
        await desk.start()
        await desk.short()
        desk.store.set_latch(state, "test", "test")
        (sent,) = await desk.gateway.place(entry(position=2, symbol="OTHER"))
        assert (sent.outcome, sent.tag) == ("denied", "")
        assert state in sent.reason
        (sent,) = await desk.gateway.place(stop())
        assert sent.outcome == "confirmed"

    run(story())


def test_a_latch_that_falls_while_an_entry_waits_for_its_lane_stops_it(desk):
    async def story():
        await desk.start()
        for _ in range(5):
            desk.gateway.wire.lanes.take(desk.clock.monotonic_ns())
        waiting = asyncio.ensure_future(desk.gateway.place(entry()))
        await asyncio.sleep(0.5)
        desk.store.set_latch("HALTED", "kill", "trader")
        (sent,) = await waiting
        assert sent.outcome == "denied"
        assert desk.broker.held == {}

    run(story())


def test_while_no_commit_succeeds_no_entry_leaves_but_a_stop_does(desk):
    async def story():
        await desk.start()
        await desk.short()
        desk.disk_fails = True
        for _ in range(2):
            (sent,) = await desk.gateway.place(entry(position=2, symbol="OTHER"))
            assert (sent.outcome, sent.tag) == ("denied", "")
        (sent,) = await desk.gateway.place(stop())
        assert sent.outcome == "confirmed"
        assert desk.store.journalled
        desk.disk_fails = False
        await desk.start()
        assert desk.state.orders[sent.tag].order_id == "o2"

    run(story())


def test_two_tasks_at_once_cannot_pass_the_limit_or_double_an_entry(desk):
    async def story():
        await desk.start()
        wishes = [entry(position=number, symbol=f"S{number}") for number in range(1, 9)]
        wishes += [entry(position=20 + number, symbol="S1") for number in range(3)]
        results = await asyncio.gather(*(desk.gateway.place(wish) for wish in wishes))
        outcomes = [sent.outcome for (sent,) in results]
        assert outcomes.count("confirmed") == 3  # CE limit
        assert len({order.request.symbol for order in desk.broker.held.values()}) == 3

    run(story())


def test_slices_stay_below_the_freeze_quantity_and_sum_to_the_wish(desk):
    async def story():
        await desk.start()
        sent = await desk.gateway.place(entry(lots=60))
        assert [one.quantity for one in sent] == [27 * LOT, 27 * LOT, 6 * LOT]
        assert max(o.request.quantity for o in desk.broker.held.values()) <= FREEZE
        orders = [desk.state.orders[one.tag] for one in sent]
        assert [(o.slice, o.slices) for o in orders] == [(1, 3), (2, 3), (3, 3)]
        (again,) = await desk.gateway.place(entry(lots=6))
        assert again.outcome == "denied"

    run(story())


def test_a_refused_slice_ends_an_entry_and_a_lost_one_does_not(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.extend(["lost", "refuse"])
        sent = await desk.gateway.place(entry(lots=80))
        assert [one.outcome for one in sent] == ["unknown", "refused"]
        assert len(desk.broker.held) == 1

    run(story())


def test_stop_slices_go_on_after_a_refused_one(desk):
    async def story():
        await desk.start()
        await desk.short(60)
        desk.broker.place_faults.extend(["", "refuse"])
        sent = await desk.gateway.place(stop(lots=60))
        assert [one.outcome for one in sent] == ["confirmed", "refused", "confirmed"]
        (rest,) = await desk.gateway.place(stop(lots=27))
        assert rest.outcome == "confirmed"
        (more,) = await desk.gateway.place(stop())
        assert more.outcome == "denied"

    run(story())


def test_a_start_after_a_crash_adopts_by_tag_and_keeps_the_rest_reserved(desk):
    async def story():
        await desk.start()
        prepared = e.IntentPrepared(
            tag="ECRASH1", position=1, slot="CE", leg="entry", reason="entry", symbol=SYMBOL, side="SELL",
            quantity=LOT, order_type="SL", trigger=1980, limit=1920, stop=2200,
        )  # fmt: skip
        desk.store.append(prepared)
        desk.store.append(
            e.IntentPrepared(**{n: getattr(prepared, n) for n in prepared.__slots__} | {"tag": "ECRASH2", "symbol": "P"})
        )  # fmt: skip
        await desk.broker.place(request_of(prepared, "MIS"))
        await desk.start()
        assert desk.doubtful == ("ECRASH2",)
        assert desk.state.orders["ECRASH1"].order_id == "o1"
        assert desk.state.orders["ECRASH2"].state == "UNKNOWN"
        assert desk.gateway.wire.lanes.calls >= 2
        assert await desk.gateway.resolve(120) == ()
        assert desk.state.orders["ECRASH2"].status == "NOT_SENT"

    run(story())


def test_a_start_that_cannot_read_the_books_raises(desk):
    async def story():
        desk.broker.read_faults.extend(["never"] * 500)
        with pytest.raises(BrokerUnknown, match="timed out"):
            await desk.start()
        (sent,) = await desk.gateway.place(entry())
        assert sent.outcome == "denied"

    run(story())


def test_an_unknown_tag_is_an_error(desk):
    async def story():
        await desk.start()
        with pytest.raises(UnknownTagError):
            await desk.gateway.cancel("NONE", "x")

    run(story())
