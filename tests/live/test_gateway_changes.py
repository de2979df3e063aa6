"""Modifying, replacing, cancelling and closing through the gateway."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from scripted_broker import LOT, NS, Desk, closing_store, entry, run, stop
from store_facts import facts_on_disk

from engine.live.brokers.base import BrokerUnknown, OrderStatus, Quote
from engine.live.orders.closing import ladder_price
from engine.live.orders.prechecks import exposure
from engine.live.orders.wire import Rules
from engine.market.contracts import price_band


@pytest.fixture
def desk(tmp_path):
    with closing_store(Desk(tmp_path / "store.sqlite")) as made:
        yield made


def moved(tag, desk, trigger, **given):
    return desk.gateway.modify(
        tag, **{"quantity": LOT, "trigger": trigger, "limit": trigger + 60, "order_type": "SL", **given}
    )


async def protected(desk, lots=1):
    """A short with its stop standing."""
    await desk.start()
    await desk.short(lots)
    (sent,) = await desk.gateway.place(stop(lots))
    await desk.gateway.wire.look()
    return sent.tag


# ---- modify ----


def test_a_modification_is_written_first_and_confirmed(desk):
    async def story():
        tag = await protected(desk)
        sent = await moved(tag, desk, 2150)
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
        await moved(tag, desk, 2150, quantity=LOT)
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
        assert (await moved(tag, desk, 2150)).outcome == "unknown"
        assert desk.state.orders[tag].pending == "modify"
        await desk.gateway.wire.look()
        assert (desk.state.orders[tag].trigger, desk.state.orders[tag].pending) == (2150, "")

    run(story())


def test_a_modification_that_never_arrived_is_given_up_after_its_window(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("never")
        await moved(tag, desk, 2150)
        await desk.gateway.watch(lambda: False, 20)
        assert desk.state.orders[tag].pending == "modify"
        await desk.gateway.watch(lambda: False, 15)
        assert (desk.state.orders[tag].trigger, desk.state.orders[tag].pending) == (2200, "")

    run(story())


def gaps(desk):
    """Watch every change at the exchange for a moment at which the short has too little protection."""
    found = []

    def check(broker):
        live = sum(o.request.quantity - o.filled for o in broker.open if o.request.side == "BUY")
        if -broker.net > live:
            found.append((broker.net, live))

    desk.broker.on_change = check
    return found


@pytest.mark.parametrize("refused_by", ["broker", "budget"])
def test_the_twenty_sixth_modification_of_a_stop_replaces_it_without_a_gap(tmp_path, refused_by):
    budget = 25 if refused_by == "budget" else 10_000
    with closing_store(Desk(tmp_path / "s.sqlite", rules=Rules(modifications=budget))) as desk:

        async def story():
            desk.broker.max_modifies = 25 if refused_by == "broker" else 10_000
            tag = await protected(desk)
            found = gaps(desk)
            for number in range(1, 26):
                assert (await moved(tag, desk, 2200 - number)).tag == tag
            sent = await moved(tag, desk, 2150)
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
        sent = await moved(tag, desk, 2150)
        assert sent.outcome == "unknown"
        assert found == []
        assert [o.request.tag for o in desk.broker.open] == [tag]

    run(story())


def test_an_old_stop_that_fills_while_it_is_replaced_takes_its_successor_with_it(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("refuse")
        desk.broker.cancel_faults.append("fill")
        await moved(tag, desk, 2150)
        assert desk.broker.net == 0
        assert desk.broker.open == []

    run(story())


def test_when_both_stops_fill_the_surplus_is_sold_at_once(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("refuse")
        desk.broker.place_faults.append("part")  # the successor fills as it arrives
        desk.broker.cancel_faults.append("fill")
        await moved(tag, desk, 2150)
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


# ---- closing ----


def test_an_exit_turns_the_stop_into_a_marketable_limit(desk):
    async def story():
        tag = await protected(desk)
        found = gaps(desk)
        closed = await desk.gateway.exit(1, "time", 30)
        assert closed.flat
        assert found == []
        assert len(desk.broker.held) == 2
        assert desk.broker.of(tag)[0].request.kind == "LIMIT"
        assert desk.state.positions[1].net == 0

    run(story())


def test_a_stop_that_became_the_exit_closes_the_position_for_the_exits_reason(desk):
    async def story(fault):
        tag = await protected(desk)
        desk.broker.modify_faults.append(fault)
        assert (await desk.gateway.exit(1, "day_stop", 60)).flat
        assert desk.state.orders[tag].reason == "day_stop"
        assert desk.state.positions[1].exit_reason == "day_stop"

    run(story("lost"))


def test_a_stop_keeps_its_reason_while_its_change_is_not_confirmed(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.modify_faults.append("never")
        await moved(tag, desk, 2150, reason="kill")
        assert desk.state.orders[tag].reason == "stop"
        desk.broker.fill(desk.broker.held["o2"], LOT)
        await desk.gateway.wire.look()
        assert desk.state.positions[1].exit_reason == "stop"

    run(story())


@pytest.mark.parametrize("left_by", ["a crash", "a successor that appeared late"])
def test_two_stops_over_one_position_do_not_keep_an_exit_from_it(desk, left_by):
    async def story():
        tag = await protected(desk)
        (second,) = await desk.gateway.place(stop(trigger=2190, limit=2250), {tag})
        if left_by == "a crash":
            await desk.start()
        assert len(desk.broker.open) == 2
        assert (await desk.gateway.exit(1, "kill", 30)).flat
        assert desk.broker.net == 0
        ended = [desk.broker.of(one)[0].status for one in (tag, second.tag)]
        assert ended == [OrderStatus.CANCELLED, OrderStatus.COMPLETE]

    run(story())


def test_a_trim_sells_at_once_what_stop_and_exit_both_bought(desk):
    async def story():
        tag = await protected(desk)
        exits = stop(leg="exit", reason="time", order_type="LIMIT", trigger=0, limit=2020)
        await desk.gateway.place(exits, {tag})
        desk.broker.fill(desk.broker.of(tag)[0], LOT)
        assert desk.broker.net == LOT
        before = desk.clock.monotonic_ns()
        await desk.gateway.trim(1)
        assert desk.broker.net == 0
        assert desk.clock.monotonic_ns() - before < 2 * NS
        assert desk.state.positions[1].net == 0

    run(story())


def test_a_stop_that_cannot_be_made_smaller_is_replaced_by_a_smaller_one(desk):
    async def story():
        tag = await protected(desk, lots=3)
        exits = stop(leg="exit", reason="time", order_type="LIMIT", trigger=0, limit=2020)
        await desk.gateway.place(exits, {tag})
        assert desk.broker.net == -2 * LOT
        desk.broker.max_modifies = 0
        await desk.gateway.trim(1)
        (left,) = desk.broker.open
        assert (left.request.quantity, left.request.kind, left.request.tag == tag) == (2 * LOT, "SL", False)

    run(story())


def test_what_fills_while_an_exit_deals_with_another_order_is_not_bought_once_more(desk):
    async def story():
        first = await protected(desk, lots=4)
        await moved(first, desk, 2200, quantity=2 * LOT)
        (sent,) = await desk.gateway.place(stop(2))
        await desk.gateway.wire.look()
        desk.broker.liquid = False
        second = desk.broker.of(sent.tag)[0]

        def fills(_):
            desk.broker.on_change = lambda _: None
            desk.broker.fill(second, LOT)
            desk.gateway.wire.absorb([desk.broker._report(second)], [])

        desk.broker.on_change = fills
        await desk.gateway.exit(1, "time", 0)
        asked = [(f.tag, f.quantity) for f in facts_on_disk(desk.path, "ModifyPrepared")]
        assert asked[1:] == [(first, 2 * LOT), (sent.tag, 2 * LOT)]

    run(story())


def test_no_change_makes_an_order_larger_than_the_freeze_quantity(desk):
    async def story():
        freeze = desk.rails.freeze // LOT * LOT
        tag = await protected(desk, lots=freeze // LOT)
        desk.broker.fill(desk.broker.of(tag)[0], LOT)
        await desk.gateway.wire.look()
        sent = await moved(tag, desk, 2200, quantity=freeze + LOT)
        assert (sent.outcome, "freeze" in sent.reason) == ("denied", True)

    run(story())


def test_an_exit_widens_step_by_step_inside_the_price_band(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.liquid = False
        assert not (await desk.gateway.exit(1, "time", 30)).flat
        limits = [f.limit for f in facts_on_disk(desk.path, "ModifyPrepared")]
        assert limits == sorted(limits)
        assert limits[0] == 2020  # ask 100.00 + 1 %
        high = price_band(desk.last, desk.rails.date)[1]
        assert limits[-1] == high == max(limits)
        desk.broker.liquid = True
        desk.broker.match(desk.broker.of(tag)[0])
        assert (await desk.gateway.exit(1, "time", 30)).flat
        assert desk.broker.net == 0

    run(story())


def test_too_many_requests_amid_an_exit_delay_it_and_never_double_it(desk):
    async def story():
        await desk.start()
        await desk.short(60)
        desk.broker.place_faults.extend(["", "busy", "busy", "busy"])
        closed = await desk.gateway.exit(1, "day_stop", 60)
        assert closed.flat
        assert desk.broker.net == 0

    run(story())


@pytest.mark.parametrize("faults", [["late"], ["lost"], ["reject", "refuse"], ["part"], ["rest"]])
def test_an_exit_ends_flat_whatever_its_first_order_meets(desk, faults):
    async def story():
        await desk.start()
        await desk.short(3)
        desk.broker.place_faults.extend(faults)
        assert (await desk.gateway.exit(1, "time", 60)).flat
        assert desk.broker.net == 0
        assert desk.broker.open == []

    run(story())


def test_an_exit_waits_for_a_failed_book_and_is_not_flat_meanwhile(desk):
    async def story():
        await protected(desk)
        desk.broker.fill(desk.broker.held["o2"], LOT)
        desk.broker.read_faults.extend(["never"] * 10)
        closed = await desk.gateway.exit(1, "time", 5)
        assert not closed.flat
        assert len(desk.broker.held) == 2
        assert (await desk.gateway.exit(1, "time", 30)).flat

    run(story())


def test_nothing_known_is_not_flat_until_the_books_were_read(desk):
    async def story():
        await desk.start()
        desk.broker.read_faults.extend(["never"] * 10)
        assert not (await desk.gateway.exit(1, "time", 3)).flat
        assert (await desk.gateway.exit(1, "time", 10)).flat

    run(story())


def test_a_standing_exit_is_not_joined_by_another(desk):
    async def story():
        tag = await protected(desk)
        desk.broker.liquid = False
        await desk.gateway.exit(1, "time", 20)
        assert [o.request.tag for o in desk.broker.open] == [tag]
        assert facts_on_disk(desk.path, "OrderDenied") == []

    run(story())


def test_a_stop_nobody_has_seen_does_not_keep_a_position_naked_and_goes_when_it_appears(desk):
    async def story():
        await desk.start()
        await desk.short()
        desk.broker.place_faults.append("late")
        await desk.gateway.place(stop())
        began = desk.clock.monotonic_ns()
        exiting = asyncio.ensure_future(desk.gateway.exit(1, "no stop", 60))
        await asyncio.sleep(7)
        assert desk.broker.net == 0
        assert (await exiting).flat
        assert (desk.clock.monotonic_ns() - began) / NS < 30
        assert desk.broker.open == []
        assert desk.broker.net == 0

    run(story())


def test_without_any_price_an_exit_is_a_market_order_with_protection(desk):
    async def story():
        await desk.start()
        await desk.short()
        desk.last, desk.broker.bid, desk.broker.ask = None, 0, 0
        desk.broker.quotes = _no_quotes
        assert (await desk.gateway.exit(1, "time", 30)).flat
        order = list(desk.broker.held.values())[-1].request
        assert (order.kind, order.market_protection) == ("MARKET", 5)

    run(story())


async def _no_quotes(_):
    raise BrokerUnknown("timed out")


def test_an_orphan_stop_after_flat_is_swept(desk):
    async def story():
        tag = await protected(desk)
        await desk.gateway.place(stop(trigger=2150), {tag})
        desk.broker.fill(desk.broker.held["o2"], LOT)
        await desk.gateway.trim(1)
        assert desk.broker.open == []
        assert exposure(desk.state, 1) == 0

    run(story())


def test_flatten_cancels_entries_and_closes_every_position(desk):
    async def story():
        await protected(desk, lots=2)
        await desk.gateway.place(entry(position=2, symbol="P", slot="PE"))
        desk.broker.cancel_faults.append("fill")
        desk.store.set_latch("FLATTENING", "kill", "trader")
        assert all(closed.flat for closed in await desk.gateway.flatten("kill", 60))
        assert desk.broker.net == 0
        assert desk.broker.open == []

    run(story())


@pytest.mark.parametrize("faults", [["never"], ["never"] * 3, ["busy"], ["lost"], ["part"]])
def test_an_entry_whose_cancel_is_not_answered_does_not_hold_up_the_exit(desk, faults):
    async def story():
        await desk.start()
        await desk.gateway.place(entry(lots=4))
        desk.broker.fill(desk.broker.held["o1"], 2 * LOT)
        desk.broker.cancel_faults.extend(faults)
        exiting = asyncio.ensure_future(desk.gateway.exit(1, "day_stop", 60))
        await asyncio.sleep(3)
        assert desk.broker.net == 0
        assert (await exiting).flat
        assert desk.broker.net == 0
        assert desk.broker.held["o1"].status == OrderStatus.CANCELLED

    run(story())


def test_a_login_lost_in_the_middle_of_an_exit_ends_it_without_an_error(desk):
    async def story():
        await protected(desk)
        desk.broker.modify_faults.extend(["auth"] * 9)
        desk.broker.read_faults.extend(["", "auth"])
        assert not (await desk.gateway.exit(1, "time", 30)).flat

    run(story())


def test_a_lost_login_ends_the_exit_and_says_so(desk):
    async def story():
        await protected(desk)
        desk.broker.read_faults.append("auth")
        closed = await desk.gateway.exit(1, "time", 30)
        assert (closed.flat, closed.held) == (False, -LOT)
        assert "Token" in closed.reason
        assert closed.auth

    run(story())


def test_a_write_refused_for_the_login_says_so(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.extend(["auth", "refuse"])
        (sent,) = await desk.gateway.place(entry())
        assert (sent.outcome, sent.auth) == ("refused", True)
        (sent,) = await desk.gateway.place(entry(position=2))
        assert (sent.outcome, sent.auth) == ("refused", False)
        (sent,) = await desk.gateway.place(entry(position=3))
        desk.broker.cancel_faults.append("auth")
        assert (await desk.gateway.cancel(sent.tag, "test", prove=False)).auth

    run(story())


def test_exits_leave_at_once_while_entries_fill_their_lane(desk):
    async def story():
        tag = await protected(desk)
        crowd = [
            asyncio.ensure_future(
                desk.gateway.modify(tag, quantity=LOT, trigger=2199 - k, limit=2260, order_type="SL")
            )
            for k in range(20)
        ]
        await asyncio.sleep(0.01)
        began = desk.clock.monotonic_ns()
        closed = await desk.gateway.exit(1, "day_stop", 30)
        assert closed.flat
        assert (desk.clock.monotonic_ns() - began) / NS < 3
        await asyncio.gather(*crowd)
        assert desk.broker.net == 0

    run(story())


def test_a_limit_of_the_ladder_without_prices_is_zero():
    assert ladder_price("BUY", None, None, 1, None) == 0


def test_prices_that_have_gone_far_since_the_last_tick_do_not_hold_back_an_exit():
    quote = Quote(
        "NIFTY", last=3190, bid=3180, ask=3200, volume=0, time_ns=0, low_limit=1900, high_limit=4000
    )
    day = dt.date(2026, 9, 1)
    assert price_band(2000, day)[1] < quote.ask  # the band around our last tick
    assert ladder_price("BUY", quote, 2000, 1, day) == 3232
    assert ladder_price("BUY", quote, 2000, 64, day) == 4000
    stub = replace(quote, last=2010, high_limit=0)  # nobody trades at such an offer
    assert ladder_price("BUY", stub, 2000, 1, day) == price_band(2000, day)[1]


def test_an_exit_reaches_a_quote_far_from_the_last_tick(desk):
    async def story():
        tag = await protected(desk)
        desk.gateway.reference = lambda _symbol: 900  # long ago
        assert (await desk.gateway.exit(1, "time", 10)).flat
        assert desk.state.orders[tag].reason == "time"

    run(story())


def test_who_wakes_on_another_day_buys_nothing(desk):
    async def story():
        await desk.start()
        await desk.short()
        desk.gateway.rails = replace(desk.rails, until_ns=desk.clock.wall_ns() + 10 * NS)
        desk.broker.held.clear()  # a night later: the books are empty, the position was squared off
        await desk.clock.sleep_ns(20 * NS)
        assert not (await desk.gateway.exit(1, "time", 5)).flat
        assert desk.broker.held == {}
        assert "is over" in facts_on_disk(desk.path, "OrderDenied")[-1].reason

    run(story())
