"""Changes that are acknowledged and then rejected, orders that never reach the exchange: what is done, and told."""

from scripted_broker import LOT, NS, entry, moved, run, stop

from engine.live.brokers.base import OrderStatus
from engine.live.log.events import Noticed


def notices(desk, words):
    facts = (event.fact for event in desk.store.events())
    return [fact for fact in facts if isinstance(fact, Noticed) and words in fact.text]


async def change_twice(desk, tag, trigger, limit):
    """Two changes that the broker acknowledges and the exchange rejects."""
    for _ in range(2):
        desk.broker.modify_faults.append("reject")
        assert (await moved(desk, tag, trigger, limit=limit)).outcome == "confirmed"
        await desk.gateway.wire.look()


def test_a_stop_whose_changes_are_rejected_is_replaced_while_it_stands(desk):
    async def story():
        await desk.start()
        await desk.short()
        (sent,) = await desk.gateway.place(stop())
        await desk.gateway.wire.look()
        await change_twice(desk, sent.tag, 2150, 2210)
        naked = []
        desk.broker.on_change = lambda broker: naked.append(broker.net < 0 and not broker.open)
        assert (await moved(desk, sent.tag, 2150)).outcome == "confirmed"
        (standing,) = desk.broker.open
        assert standing.request.trigger_ticks == 2150
        assert not any(naked)
        assert len(notices(desk, "the exchange rejects its changes")) == 1

    run(story())


def test_an_entry_whose_changes_are_rejected_is_cancelled_and_placed_anew(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry())
        await desk.gateway.wire.look()
        await change_twice(desk, sent.tag, 1970, 1910)
        await moved(desk, sent.tag, 1970, limit=1910)
        assert desk.broker.held["o1"].status == OrderStatus.CANCELLED
        (standing,) = desk.broker.open
        assert (standing.request.trigger_ticks, standing.request.quantity) == (1970, LOT)
        assert sum(1 for _, what in desk.broker.calls if what == "modify") == 2

    run(story())


def test_a_change_that_holds_makes_earlier_rejections_forgotten(desk):
    async def story():
        await desk.start()
        (sent,) = await desk.gateway.place(entry())
        await desk.gateway.wire.look()
        for faults in (["reject"], [], ["reject"]):
            desk.broker.modify_faults.extend(faults)
            trigger = 1960 if not faults else 1970
            await moved(desk, sent.tag, trigger, limit=1900)
            await desk.gateway.wire.look()
        assert desk.gateway.wire.will_not_change(desk.state.orders[sent.tag]) == ""

    run(story())


def test_an_exit_does_not_wait_for_changes_that_are_rejected(desk):
    async def story():
        await desk.start()
        await desk.short()
        await desk.gateway.place(stop())
        await desk.gateway.wire.look()
        desk.broker.modify_faults.extend(["reject"] * 25)
        closed = await desk.gateway.exit(1, "person", 30)
        assert (closed.flat, desk.broker.net) == (True, 0)
        assert sum(1 for _, what in desk.broker.calls if what == "modify") == 2
        assert desk.clock.monotonic_ns() < 15 * NS

    run(story())


def test_an_order_that_does_not_reach_the_exchange_is_told_once_and_not_sent_again(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.append("stuck")
        (sent,) = await desk.gateway.place(entry())
        await desk.gateway.watch(lambda: False, 25)
        assert notices(desk, "stood before the exchange") == []
        await desk.gateway.watch(lambda: False, 60)
        (told,) = notices(desk, "stood before the exchange for 30 s (PUT ORDER REQ RECEIVED)")
        assert told.text.startswith(f"entry {sent.tag} of NIFTY24NOV2624000CE (SELL 65)")
        assert len(desk.broker.held) == 1

    run(story())


def test_an_order_that_reaches_the_exchange_in_time_is_not_told(desk):
    async def story():
        await desk.start()
        desk.broker.place_faults.append("stuck")
        await desk.gateway.place(entry())
        await desk.gateway.watch(lambda: False, 20)
        desk.broker.held["o1"].status = OrderStatus.TRIGGER_PENDING
        await desk.gateway.watch(lambda: False, 5)
        desk.broker.held["o1"].status = OrderStatus.PENDING  # a change on its way begins a new wait
        await desk.gateway.watch(lambda: False, 20)
        assert notices(desk, "stood before the exchange") == []

    run(story())
