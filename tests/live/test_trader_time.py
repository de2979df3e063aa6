"""What moves a session's clock, how long a stop waits for it to settle: the trader between log, session and broker."""

import asyncio

import pytest
from scripted_broker import LOT, NS, START_NS, run
from test_reconcile import Room

from engine.live.brokers.base import OrderStatus
from engine.live.decisions.session_inputs import OrderUpdate, Timer, Trade

SOON, FAR = 3 * NS, 300 * NS


@pytest.fixture
def room(tmp_path):
    made = Room(tmp_path)
    yield made
    made.close()


def dated(kind, at_ns):
    made = {
        "trade": lambda: Trade("x/1", 9, "stop", LOT, 2000, at_ns),
        "update": lambda: OrderUpdate(9, "stop", "stands", LOT, 2200, 2260, 0, at_ns),
    }
    return made[kind]()


@pytest.mark.parametrize("kind", ["trade", "update"])
def test_a_moment_far_ahead_of_our_clocks_does_not_move_the_session(room, kind):
    async def act():
        await room.start(lots=0)
        trader = room.trader
        trader.tell(Timer(room.desk.clock.wall_ns()))
        trader.tell(dated(kind, trader.state.now_ns + SOON))
        known = trader.state.now_ns
        assert known == room.desk.clock.wall_ns() + SOON, (
            "whole seconds of the exchange, a clock a little late"
        )
        for _ in range(2):
            trader.tell(dated(kind, known + FAR))
        assert trader.state.now_ns == known
        assert len([text for _, text in room.alerts if "ahead of our clocks" in text]) == 1

    run(act())


@pytest.mark.parametrize("jump_ns", [-FAR, FAR])
def test_after_a_jump_of_the_wall_clock_either_clock_is_believed(room, jump_ns):
    async def act():
        await room.start(lots=0)
        clock = room.desk.clock
        told = clock.wall_ns()
        room.trader.tell(Timer(told))
        clock.wall_ns = lambda: START_NS + clock.monotonic_ns() + jump_ns
        true_ns = told + max(
            jump_ns, 0
        )  # set back: the time goes on; a machine that slept: the wall clock is right
        room.trader.tell(dated("update", true_ns))
        assert room.trader.state.now_ns == true_ns

    run(act())


def test_a_trade_that_never_comes_is_named_and_not_waited_for(room):
    async def act():
        await room.start()
        trades, room.broker.trades = room.broker.trades, None

        async def none_of_the_stop():
            return [trade for trade in await trades() if trade.side == "SELL"]

        room.broker.trades = none_of_the_stop
        (stop,) = room.broker.open
        room.broker.fill(stop, 2 * LOT)
        await room.trader.look()
        missing = await room.trader.settled_within(20)
        assert missing == f"trades of 130 units of stop {stop.request.tag}"
        room.broker.trades = trades
        assert await room.trader.settled_within(20) == ""

    run(act())


def test_an_exit_that_does_not_end_is_named(room):
    async def act():
        await room.start()
        room.broker.liquid = False
        room.trader.spawn(room.trader.gateway.exit(1, "person", 60))
        missing = await room.trader.settled_within(10)
        assert missing
        room.broker.liquid = True
        assert await room.trader.settled_within(100) == ""
        assert all(order.status == OrderStatus.COMPLETE for order in room.broker.held.values())
        await asyncio.sleep(0)

    run(act())
