"""The suite that every broker adapter passes: subclass `BrokerSuite` and give a fixture `rig`.

A rig has a connected `broker`, a `symbol` of lot size `lot` that trades at about 100 rupees, and knows how to play
time on, switch faults of the practice exchange on by name, and log in anew.
"""

import asyncio
from decimal import Decimal
from typing import Protocol

import pytest

from engine.live.brokers.base import (
    Broker,
    BrokerAuth,
    BrokerBusy,
    BrokerRefused,
    BrokerUnknown,
    OrderRequest,
    OrderStatus,
)
from engine.market.contracts import lot_size
from engine.market.prices import to_rupees


class Rig(Protocol):
    broker: Broker
    symbol: str
    other: str  # another contract of the same expiry
    underlying: str
    user_id: str
    lot: int

    def play(self, moments: int) -> None: ...
    def fault(self, *texts: str) -> None: ...  # replaces those switched on; none = all is well
    def expire_login(self) -> None: ...
    def log_in_again(self) -> None: ...
    def now_ns(self) -> int: ...


class Desk:
    """A trader at a rig: requests in few words, every call run to its end."""

    def __init__(self, rig):
        self.rig = rig
        self.broker = rig.broker
        self.count = 0

    def run(self, work):
        return self.rig.run(work)

    def last(self, symbol=None):
        (quote,) = self.run(self.broker.quotes([symbol or self.rig.symbol]))
        return quote.last

    def request(self, side="SELL", lots=1, limit=0, kind="LIMIT", tag=None, **more):
        self.count += 1
        more.setdefault("symbol", self.rig.symbol)
        return OrderRequest(tag or f"T{self.count}", more.pop("symbol"), side, lots * self.rig.lot, kind,
                            limit_ticks=limit, **more)  # fmt: skip

    def place(self, *args, **more):
        return self.run(self.broker.place(self.request(*args, **more)))

    def orders(self):
        return self.run(self.broker.orders())

    def order(self, key):
        (found,) = [one for one in self.orders() if key in {one.order_id, one.tag}]
        return found

    def position(self, symbol=None):
        found = [
            one for one in self.run(self.broker.positions()) if one.symbol == (symbol or self.rig.symbol)
        ]
        return sum(one.quantity for one in found)


READS = ("orders", "trades", "positions", "quotes", "instruments", "margin", "connect")


def ask(desk, what):
    broker = desk.broker
    given = {
        "quotes": ([desk.rig.symbol],),
        "instruments": (desk.rig.underlying,),
        "margin": ([desk.request(limit=2000)],),
    }
    return desk.run(getattr(broker, what)(*given.get(what, ())))


class BrokerSuite:
    """What the gateway may rely on."""

    @pytest.fixture
    def desk(self, rig):
        return Desk(rig)

    # --- the ordinary day ---

    def test_it_is_a_broker(self, rig):
        assert isinstance(rig.broker, Broker)

    def test_connecting_tells_who_is_logged_in(self, desk, rig):
        assert ask(desk, "connect") == rig.user_id

    def test_a_day_begins_with_empty_books(self, desk):
        assert ask(desk, "orders") == []
        assert ask(desk, "trades") == []
        assert desk.position() == 0

    def test_a_resting_limit_order_is_reported_as_it_was_sent(self, desk, rig):
        limit = desk.last() + 101  # an odd number of ticks
        order_id = desk.place(limit=limit, tag="EntryCE1")
        told = desk.order(order_id)
        assert (told.tag, told.symbol, told.side) == ("EntryCE1", rig.symbol, "SELL")
        assert (told.status, told.kind, told.product) == (OrderStatus.OPEN, "LIMIT", "MIS")
        assert (told.limit_ticks, told.trigger_ticks) == (limit, 0)
        assert (told.quantity, told.filled, told.average) == (rig.lot, 0, None)
        assert abs(told.time_ns - rig.now_ns()) <= 60e9

    def test_a_stop_waits_for_its_trigger_and_fills_once_it_is_reached(self, desk, rig):
        last = desk.last()
        order_id = desk.place("SELL", limit=last - 60, kind="SL", trigger_ticks=last - 1, product="NRML")
        told = desk.order(order_id)
        assert (told.status, told.kind, told.product) == (OrderStatus.TRIGGER_PENDING, "SL", "NRML")
        assert (told.trigger_ticks, told.limit_ticks) == (last - 1, last - 60)
        for _ in range(200):
            rig.play(5)
            told = desk.order(order_id)
            if told.status.is_final:
                break
        assert (told.status, told.filled) == (OrderStatus.COMPLETE, rig.lot)
        assert Decimal(0) < told.average <= to_rupees(last - 1)

    def test_a_fill_shows_in_order_trades_and_position_alike(self, desk, rig):
        order_id = desk.place("SELL", lots=2, limit=desk.last() - 10)
        told = desk.order(order_id)
        assert (told.status, told.filled) == (OrderStatus.COMPLETE, 2 * rig.lot)
        trades = ask(desk, "trades")
        assert {(one.order_id, one.symbol, one.side) for one in trades} == {(order_id, rig.symbol, "SELL")}
        assert sum(one.quantity for one in trades) == 2 * rig.lot
        paid = sum(one.quantity * to_rupees(one.price_ticks) for one in trades)
        assert told.average == paid / told.filled
        assert desk.position() == -2 * rig.lot

    def test_buying_back_makes_it_flat(self, desk):
        desk.place("SELL", limit=desk.last() - 10)
        desk.place("BUY", limit=desk.last() + 10)
        assert desk.position() == 0

    def test_a_protected_market_order_fills(self, desk):
        order_id = desk.place("BUY", kind="MARKET", market_protection=-1)
        assert desk.order(order_id).status is OrderStatus.COMPLETE

    def test_a_change_moves_prices_and_quantity(self, desk, rig):
        last = desk.last()
        order_id = desk.place("SELL", limit=last - 20, kind="SL", trigger_ticks=last - 10)
        change = desk.request("SELL", lots=3, limit=last - 41, kind="SL", trigger_ticks=last - 33)
        desk.run(desk.broker.modify(order_id, change))
        told = desk.order(order_id)
        assert (told.trigger_ticks, told.limit_ticks, told.quantity) == (last - 33, last - 41, 3 * rig.lot)

    def test_a_stop_can_be_turned_into_a_limit_order(self, desk):
        last = desk.last()
        order_id = desk.place("BUY", limit=last + 60, kind="SL", trigger_ticks=last + 50)
        desk.run(desk.broker.modify(order_id, desk.request("BUY", limit=last + 10)))
        assert desk.order(order_id).status is OrderStatus.COMPLETE

    def test_a_cancelled_order_is_over(self, desk):
        order_id = desk.place(limit=desk.last() + 100)
        desk.run(desk.broker.cancel(order_id))
        told = desk.order(order_id)
        assert (told.status, told.filled) == (OrderStatus.CANCELLED, 0)

    @pytest.mark.parametrize("how", ["cancelled", "filled", "never placed"])
    def test_an_order_that_is_over_can_be_neither_cancelled_nor_changed(self, desk, how):
        last = desk.last()
        order_id = "999"
        if how != "never placed":
            order_id = desk.place(limit=last + 100 if how == "cancelled" else last - 10)
        if how == "cancelled":
            desk.run(desk.broker.cancel(order_id))
        with pytest.raises(BrokerRefused):
            desk.run(desk.broker.cancel(order_id))
        with pytest.raises(BrokerRefused):
            desk.run(desk.broker.modify(order_id, desk.request(limit=last + 50)))

    def test_quotes_come_in_the_order_asked_for(self, desk, rig):
        there = desk.run(desk.broker.quotes([rig.symbol, rig.other]))
        back = desk.run(desk.broker.quotes([rig.other, rig.symbol]))
        assert [one.symbol for one in there] == [rig.symbol, rig.other]
        assert there == back[::-1]
        assert all(0 < one.bid < one.ask and one.last > 0 for one in there)

    def test_a_missing_quote_is_named_and_never_left_out(self, desk, rig):
        with pytest.raises(BrokerUnknown, match="NIFTYNONE"):
            desk.run(desk.broker.quotes([rig.symbol, "NIFTYNONE"]))

    def test_contracts_of_an_expiry_come_by_strike_with_their_lot(self, desk, rig):
        listed = ask(desk, "instruments")
        assert [(one.strike, one.kind) for one in listed] == sorted(
            {(one.strike, one.kind) for one in listed}
        )
        assert {one.lot for one in listed} == {lot_size(rig.underlying, listed[0].expiry)} == {rig.lot}
        assert rig.symbol in {one.symbol for one in listed}

    def test_a_hedge_lowers_the_margin_of_a_short(self, desk, rig):
        short = desk.request("SELL", limit=desk.last())
        hedge = desk.request("BUY", limit=desk.last(rig.other), symbol=rig.other)
        alone = desk.run(desk.broker.margin([short]))
        both = desk.run(desk.broker.margin([hedge, short]))
        assert 0 < both.final_paise < both.initial_paise
        assert both.final_paise < alone.final_paise < alone.available_paise

    # --- refusals ---

    def test_what_is_refused_at_once_is_in_no_book(self, desk):
        half = OrderRequest(
            "HALF1", desk.rig.symbol, "SELL", desk.rig.lot + 1, "LIMIT", limit_ticks=desk.last() + 5
        )
        with pytest.raises(BrokerRefused) as caught:
            desk.run(desk.broker.place(half))
        assert "multiples" in caught.value.message
        with pytest.raises(BrokerRefused):
            desk.place("SELL", limit=1)  # far outside the price band
        assert desk.orders() == []

    def test_margin_that_is_not_there_is_a_refusal(self, desk):
        def place_on_and_on():
            for _ in range(60):
                desk.place("SELL", lots=27, limit=desk.last() + 200)
                desk.rig.play(5)  # another second, for the order rate

        with pytest.raises(BrokerRefused, match="Insufficient"):
            place_on_and_on()
        assert all(one.status is not OrderStatus.REJECTED for one in desk.orders())

    def test_a_rejection_after_acceptance_stands_in_the_book_with_its_reason(self, desk, rig):
        rig.fault("reject:p=1")
        order_id = desk.place(limit=desk.last() + 100)
        told = desk.order(order_id)
        assert (told.status, told.filled) == (OrderStatus.REJECTED, 0)
        assert told.message

    # --- part of an order ---

    def test_a_partial_fill_stays_open_with_what_was_filled(self, desk, rig):
        rig.fault("partial_fill:nth=1")
        order_id = desk.place("SELL", lots=4, limit=desk.last() - 1)
        told = desk.order(order_id)
        assert (told.status, told.filled, told.quantity) == (OrderStatus.OPEN, 2 * rig.lot, 4 * rig.lot)
        assert isinstance(told.average, Decimal)
        assert desk.position() == -2 * rig.lot

    def test_a_cancelled_order_may_have_been_filled_in_part(self, desk, rig):
        rig.fault("partial_fill:nth=1,rest=cancelled")
        order_id = desk.place("SELL", lots=4, limit=desk.last() - 1)
        told = desk.order(order_id)
        assert (told.status, told.filled) == (OrderStatus.CANCELLED, 2 * rig.lot)
        assert desk.position() == -2 * rig.lot

    def test_an_acknowledged_cancel_may_lose_against_a_fill(self, desk, rig):
        last = desk.last()
        order_id = desk.place("SELL", limit=last - 60, kind="SL", trigger_ticks=last - 40)
        rig.fault("cancel_raced_by_fill:p=1")
        desk.run(desk.broker.cancel(order_id))
        told = desk.order(order_id)
        assert (told.status, told.filled) == (OrderStatus.COMPLETE, rig.lot)

    def test_an_order_on_its_way_is_pending_and_cannot_be_cancelled_yet(self, desk, rig):
        rig.fault("stuck_order:p=1,seconds=90")
        order_id = desk.place("SELL", limit=desk.last() + 100)
        told = desk.order(order_id)
        assert told.status is OrderStatus.PENDING
        assert told.status_text != "PENDING"  # the broker's own word
        with pytest.raises(BrokerRefused):
            desk.run(desk.broker.cancel(order_id))
        rig.fault()
        rig.play(15)
        assert desk.order(order_id).status is not OrderStatus.PENDING

    # --- answers that do not come ---

    def test_an_order_whose_answer_was_lost_is_unknown_and_found_by_its_tag(self, desk, rig):
        rig.fault("lost_answer:p=1")
        with pytest.raises(BrokerUnknown):
            desk.place(limit=desk.last() + 100, tag="Lost1")
        rig.fault()
        assert desk.order("Lost1").status is OrderStatus.OPEN

    def test_an_order_that_never_arrived_is_unknown_and_sent_only_once(self, desk, rig):
        rig.fault("lost_request:nth=1")
        with pytest.raises(BrokerUnknown):
            desk.place(limit=desk.last() + 100, tag="Lost2")
        assert desk.orders() == []

    def test_an_order_reported_as_timed_out_may_stand_later(self, desk, rig):
        rig.fault("timed_out_but_placed:p=1,seconds=8")
        with pytest.raises(BrokerUnknown):
            desk.place(limit=desk.last() + 1000, tag="Late1")
        rig.fault()
        assert desk.orders() == []
        rig.play(5)
        assert desk.order("Late1").status is OrderStatus.OPEN

    def test_a_lost_cancel_or_change_is_unknown_too(self, desk, rig):
        last = desk.last()
        order_id = desk.place(limit=last + 100)
        rig.fault("lost_answer:p=1")
        with pytest.raises(BrokerUnknown):
            desk.run(desk.broker.modify(order_id, desk.request(limit=last + 120)))
        with pytest.raises(BrokerUnknown):
            desk.run(desk.broker.cancel(order_id))
        rig.fault()
        told = desk.order(order_id)
        assert (told.status, told.limit_ticks) == (OrderStatus.CANCELLED, last + 120)

    @pytest.mark.parametrize("what", READS)
    def test_a_failed_read_is_unknown_and_never_empty(self, desk, rig, what):
        rig.fault("outage:p=1")
        with pytest.raises(BrokerUnknown):
            ask(desk, what)

    def test_writes_during_an_outage_are_unknown(self, desk, rig):
        last = desk.last()
        rig.fault("outage:p=1")
        with pytest.raises(BrokerUnknown):
            desk.place(limit=last + 100)
        with pytest.raises(BrokerUnknown):
            desk.run(desk.broker.cancel("1"))

    def test_too_many_requests_have_no_effect(self, desk, rig):
        last = desk.last()
        rig.fault("too_many_requests:p=1")
        with pytest.raises(BrokerBusy):
            desk.place(limit=last + 100)
        with pytest.raises(BrokerBusy):
            desk.orders()
        rig.fault()
        assert desk.orders() == []

    # --- login ---

    def test_a_dead_login_stops_reads_and_writes_until_a_new_one(self, desk, rig):
        last = desk.last()
        order_id = desk.place(limit=last + 100)
        rig.expire_login()
        with pytest.raises(BrokerAuth):
            desk.place(limit=last + 100, tag="NotSent")
        with pytest.raises(BrokerAuth):
            desk.run(desk.broker.cancel(order_id))
        for what in READS:
            with pytest.raises(BrokerAuth):
                ask(desk, what)
        rig.log_in_again()
        (told,) = desk.orders()
        assert (told.order_id, told.status) == (order_id, OrderStatus.OPEN)

    # --- many at once ---

    def test_requests_may_be_made_side_by_side(self, desk):
        last = desk.last()
        wanted = [desk.request(limit=last + 100 + n, tag=f"Side{n}") for n in range(8)]

        async def together():
            sent = asyncio.gather(*(desk.broker.place(one) for one in wanted))
            read = asyncio.gather(*(desk.broker.orders() for _ in range(4)))
            return await sent, await read

        ids, _ = desk.run(together())
        assert len(set(ids)) == 8
        told = {one.order_id: (one.tag, one.limit_ticks) for one in desk.orders()}
        assert told == {
            order_id: (one.tag, one.limit_ticks) for order_id, one in zip(ids, wanted, strict=True)
        }

    def test_after_closing_nothing_is_sent(self, desk):
        limit = desk.last() + 100
        desk.run(desk.broker.close())
        with pytest.raises(BrokerRefused):
            desk.place(limit=limit)
        with pytest.raises(BrokerUnknown):
            desk.orders()
