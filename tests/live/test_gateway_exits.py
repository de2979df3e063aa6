"""Closing through the gateway: an exit ends flat whatever it meets, and never buys twice."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest
from scripted_broker import LOT, NS, entry, gaps, moved, protected, run, stop
from store_facts import facts_on_disk

from engine.live.brokers.base import BrokerUnknown, OrderStatus, Quote
from engine.live.orders.closing import ladder_price
from engine.live.orders.prechecks import exposure
from engine.market.contracts import price_band


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
        await moved(desk, tag, 2150, reason="kill")
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
        await moved(desk, first, 2200, quantity=2 * LOT)
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
        sent = await moved(desk, tag, 2200, quantity=freeze + LOT)
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
