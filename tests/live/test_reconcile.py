"""Broker against log: what others did, what lags, what nobody knows; and what is done about each."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scripted_broker import LOT, START_NS, SYMBOL, Desk, Held, ScriptedBroker, run
from store_facts import DATE, EXPIRY

from engine.live.brokers.base import OrderRequest, OrderStatus, PositionReport
from engine.live.decisions.session_inputs import Command
from engine.live.decisions.session_intents import CancelOrder
from engine.live.decisions.session_state import plan_for
from engine.live.trader import Trader
from engine.params import load_params

NS = 1_000_000_000
APP = "app"  # shown without a tag, as an order from the broker's app


class BrokerOfMany(ScriptedBroker):
    """With positions, and orders of somebody else."""

    def __init__(self, clock, **given):
        super().__init__(clock, **given)
        self.lag = 0  # reads of positions that still show the state of before
        self.before = []
        self.left_out = False
        self.off_by = 0

    async def positions(self):
        await self._answer("positions")
        self._fail(self._next(self.read_faults))
        if self.left_out:
            return []
        if self.lag:
            self.lag -= 1
            return self.before
        net = self.net + self.off_by
        return [self._position(net)] if any(order.filled for order in self.held.values()) else []

    def _report(self, order):
        report = super()._report(order)
        return replace(report, tag=None) if report.tag == APP else report

    @staticmethod
    def _position(net):
        return PositionReport(SYMBOL, "MIS", net, Decimal(100))

    def somebody(self, side, lots, order_id="x1", tag=None):
        """An order of somebody else, filled at once."""
        request = OrderRequest(tag or APP, SYMBOL, side, lots * LOT, "LIMIT", 0, 2000, "MIS")
        order = Held(order_id, request, OrderStatus.OPEN, 0)
        self.held[order_id] = order
        self.fill(order, lots * LOT)
        return order


def make_plan():
    return plan_for(
        load_params("swing_break"), date=DATE, expiry=EXPIRY, open_ns=START_NS, open_minute=555, minutes=375,
        lot_size=LOT, symbols=(SYMBOL,), strike=np.array([24000], np.int32), is_call=np.array([True]),
    )  # fmt: skip


class Room:
    """A trader over a scripted broker, with one short of two lots and its stop."""

    def __init__(self, folder):
        self.desk = Desk(folder / "live.sqlite")
        self.desk.broker = self.broker = BrokerOfMany(self.desk.clock)
        self.alerts = []

    async def start(self, lots=2):
        desk = self.desk
        await desk.start()
        if lots:
            await desk.short(lots=lots)
        self.trader = Trader(
            make_plan(), desk.store, desk.gateway, desk.clock, alert=lambda *told: self.alerts.append(told)
        )
        self.first = await self.trader.start()
        await self.trader.settle()
        return self

    @property
    def log(self):
        return self.desk.store.state

    @property
    def latch(self):
        return self.log.latch.state

    def facts(self, kind):
        return [event.fact for event in self.desk.store.events() if event.kind == kind]

    async def compare(self):
        compared = await self.trader.reconcile()
        await self.trader.settle()
        return compared

    def ours(self):
        return [order for order in self.broker.held.values() if order.request.tag in self.log.orders]

    def close(self):
        self.desk.store.close()


@pytest.fixture
def room(tmp_path):
    made = Room(tmp_path)
    yield made
    made.close()


def test_a_start_places_the_stop_that_is_missing_and_finds_both_sides_equal(room):
    async def act():
        await room.start()
        assert (room.first.known, room.first.mismatches) == (True, 0)
        stops = [order for order in room.log.open_orders if order.leg == "stop"]
        assert [order.quantity for order in stops] == [2 * LOT]
        assert room.latch == "ACTIVE"

    run(act())


@pytest.mark.parametrize(("faults", "stops"), [(["busy"], 1), (["busy", "busy"], 0)])
def test_a_stop_refused_for_too_many_requests_is_asked_for_once_more(room, faults, stops):
    async def act():
        await room.desk.start()
        await room.desk.short(lots=2)
        room.broker.place_faults.extend(faults)
        await room.start(lots=0)
        assert len([order for order in room.broker.open if order.request.side == "BUY"]) == stops
        assert bool(room.broker.net) == bool(stops)  # without a stop it is bought back

    run(act())


def test_an_order_of_somebody_else_stops_entries_once_and_is_left_alone(room):
    async def act():
        await room.start()
        stranger = room.broker.somebody("SELL", 3)
        assert (await room.compare()).mismatches == 1
        assert room.latch == "REDUCING"
        assert [fact.subject for fact in room.facts("Mismatch")] == ["external"]
        calls = len(room.broker.order_calls())
        assert (await room.compare()).known
        assert len(room.facts("Mismatch")) == 1
        assert len(room.broker.order_calls()) == calls
        assert stranger.filled == 3 * LOT
        assert -sum(row.net for row in room.log.open_positions) == 2 * LOT

    run(act())


def test_what_the_broker_squared_off_is_adopted_and_its_stop_withdrawn(room):
    async def act():
        await room.start()
        room.broker.somebody("BUY", 2, "auto")
        await room.compare()
        adopted = room.facts("OutsideFill")
        assert [(fact.order_id, fact.quantity) for fact in adopted] == [("auto", 2 * LOT)]
        assert not room.log.open_positions
        assert not room.log.open_orders
        assert not room.broker.open
        assert room.broker.net == 0
        assert await room.trader.proves_flat()
        await room.compare()
        assert len(room.facts("OutsideFill")) == 1

    run(act())


@pytest.mark.parametrize("units", [1, 2])
def test_an_exit_does_not_buy_what_somebody_has_just_bought_back(room, units):
    async def act():
        await room.start()
        room.broker.somebody("BUY", units, "person")  # a moment ago: nothing has been compared since
        room.trader.tell(Command("flatten", "panel", "why", 1))
        await room.trader.settle()
        assert room.broker.net == 0
        assert not room.broker.open
        assert [fact.quantity for fact in room.facts("OutsideFill")] == [units * LOT]

    run(act())


def test_a_login_lost_while_a_cancel_is_proved_is_told_and_ends_nothing(room):
    async def act():
        await room.start()
        room.broker.read_faults.extend(["auth"] * 3)
        (stop,) = room.broker.open
        room.broker.cancel_faults.append("never")
        room.trader._requests.send(CancelOrder(1, "stop", "not wanted"))
        await room.trader.settle()
        assert room.trader.login_lost
        assert room.trader.failure is None
        assert room.broker.open == [stop]

    run(act())


def test_of_a_larger_foreign_order_only_what_we_held_is_ours(room):
    async def act():
        await room.start()
        room.broker.somebody("BUY", 5, "person")
        await room.compare()
        assert [fact.quantity for fact in room.facts("OutsideFill")] == [2 * LOT]
        assert not room.broker.open
        assert room.broker.net == 3 * LOT  # theirs, and left to them
        assert await room.trader.proves_flat()

    run(act())


def test_a_part_that_somebody_bought_back_leaves_a_stop_for_the_rest(room):
    async def act():
        await room.start()
        room.broker.somebody("BUY", 1, "person")
        await room.compare()
        await room.compare()
        assert [row.net for row in room.log.open_positions] == [-LOT]
        standing = [order for order in room.broker.open if order.request.side == "BUY"]
        assert sum(order.request.quantity - order.filled for order in standing) == LOT

    run(act())


def test_a_stop_without_a_position_is_swept_even_if_its_first_cancel_failed(room):
    async def act():
        await room.start()
        room.broker.cancel_faults.extend(["refuse", "refuse"])
        room.broker.somebody("BUY", 2, "auto")
        for _ in range(3):
            await room.compare()
            await room.desk.clock.sleep_ns(40 * NS)
        assert not room.broker.open
        assert room.broker.net == 0

    run(act())


@pytest.mark.parametrize("good", [0, 1, 2])
def test_a_read_that_failed_proves_nothing(room, good):
    async def act():
        await room.start(lots=0)
        assert await room.trader.proves_flat()
        room.broker.read_faults.extend([""] * good + ["never"])  # of orders, positions, orders again
        assert not await room.trader.proves_flat()
        room.broker.read_faults.extend([""] * good + ["never"])
        assert not (await room.compare()).known
        assert (await room.compare()).known
        assert room.latch == "ACTIVE"

    run(act())


def test_positions_that_leave_out_what_was_traded_are_not_flat(room):
    async def act():
        await room.start()
        room.broker.left_out = True
        compared = await room.compare()
        assert not compared.known
        assert SYMBOL in compared.detail
        assert not room.facts("Mismatch")
        room.broker.somebody("BUY", 2, "auto")
        await room.trader.look()
        assert not await room.trader.proves_flat()
        room.broker.left_out = False
        await room.compare()
        assert await room.trader.proves_flat()

    run(act())


def test_positions_that_lag_behind_are_given_time(room):
    async def act():
        await room.start()
        room.broker.before = [room.broker._position(0)]
        room.broker.lag = 1
        compared = await room.compare()
        assert (compared.known, compared.mismatches) == (True, 0)
        assert room.latch == "ACTIVE"

    run(act())


def test_a_difference_that_stays_stops_entries_and_keeps_the_stop(room):
    async def act():
        await room.start()
        room.broker.off_by = -LOT
        compared = await room.compare()
        assert compared.mismatches == 1
        assert room.latch == "REDUCING"
        told = room.facts("Mismatch")
        assert [(fact.subject, fact.ours, fact.theirs) for fact in told] == [("position", "-130", "-195")]
        assert [order.request.kind for order in room.broker.open] == ["SL"]
        await room.compare()
        assert len(room.facts("Mismatch")) == 1
        assert not await room.trader.proves_flat()

    run(act())


def test_a_lost_login_is_told_once_and_nothing_is_sent(room):
    async def act():
        await room.start()
        calls = len(room.broker.order_calls())
        for _ in range(2):
            room.broker.read_faults.append("auth")
            assert not (await room.compare()).known
            assert room.trader.login_lost
        assert sum("login" in text for _, text in room.alerts) == 1
        assert len(room.broker.order_calls()) == calls
        assert (await room.compare()).known
        assert not room.trader.login_lost

    run(act())


def test_a_stop_that_filled_unnoticed_ends_its_position(room):
    async def act():
        await room.start()
        order = room.broker.open[0]
        room.broker.fill(order, order.request.quantity)
        await room.compare()
        assert not room.log.open_positions
        assert await room.trader.proves_flat()
        assert room.latch == "ACTIVE"

    run(act())


def test_an_order_with_a_tag_like_ours_that_the_log_does_not_know_is_not_ours(room):
    async def act():
        await room.start()
        tag = next(iter(room.log.orders))
        room.broker.somebody("SELL", 1, "old", tag=f"{tag[:-1]}Z")
        await room.compare()
        assert [fact.subject for fact in room.facts("Mismatch")] == ["external"]

    run(act())


assert dt.date(2026, 11, 20) == DATE, "the scripted broker's moments are of that day"
