"""What a session does about partial fills, races, commands, stale prices and budgets. Prices in ticks."""

from dataclasses import replace

import pytest
from exchange_for_session import OPEN_NS, Exchange, closed
from oracle.compare import DATE, EXPIRY
from oracle.market import Bar as MarketBar
from oracle.market import Contract, Market, day_bars

from engine.live.decisions import session_entries
from engine.live.decisions.session_inputs import (
    BrokerSnapshot,
    Command,
    FeedStatus,
    OrderUpdate,
    Quotes,
    RequestRefused,
    Timer,
    Trade,
)
from engine.live.decisions.session_intents import (
    Alert,
    CancelOrder,
    ExitPosition,
    ModifyEntry,
    PlaceEntry,
    PlaceStop,
    Record,
    ReplaceStop,
    TakeBack,
)
from engine.live.decisions.session_state import MINUTE_NS, new_state
from engine.live.log.events import DayLatched, DecisionMade, LatchChanged
from engine.live.session import step
from engine.params import load_params

TO_AN_ORDER = (
    (2400, 2420, 2360, 2380), (2380, 2390, 2300, 2320), (2320, 2360, 2280, 2340), (2340, 2420, 2330, 2410),
    (2410, 2480, 2400, 2460), (2460, 2470, 2380, 2390), (2390, 2400, 2320, 2330), (2330, 2340, 2260, 2270),
    (2270, 2360, 2264, 2350), (2350, 2380, 2340, 2370),
)  # fmt: skip
"""Bars after which a SELL stop-limit for 650 units is wanted below the low of 2260: 2259, limit 2199, stop 2400."""
QUIET = (2370, 2375, 2365, 2370)
OPENING = (PlaceEntry, ModifyEntry)


class Desk:
    """A session at the close of minute 9, its first order asked for; the test is its exchange."""

    def __init__(self, *after, kinds=("CE",), **changes):
        contracts = tuple(
            Contract(
                f"N24000{kind}", 24000, kind,
                tuple(MarketBar(*p, 650) for p in (*TO_AN_ORDER, *after, *[QUIET] * (60 - len(after)))),
            )
            for kind in kinds
        )  # fmt: skip
        known = {"min_vwap_premium_percent": -10, "slippage_rupees": 0, "entry_start_time": "09:25"}
        self.bars = day_bars(Market(contracts, 70), DATE, EXPIRY)
        self.state = Exchange(self.bars, load_params(**{**known, **changes})).state
        self.ns = OPEN_NS
        self.minute = 0
        self.trade_ids = 0
        for _ in range(10):
            self.asked = self.close()

    def tell(self, event):
        return step(self.state, event)

    def close(self):
        self.minute += 1
        self.ns = OPEN_NS + self.minute * MINUTE_NS
        return self.tell(closed(self.bars, self.minute - 1))

    def wait(self, seconds):
        self.ns += seconds * 1_000_000_000
        return self.tell(Timer(self.ns))

    def update(self, leg, status, quantity=650, filled=0, position=1, trigger=2259, limit=2199):
        return self.tell(OrderUpdate(position, leg, status, quantity, trigger, limit, filled, self.ns))

    def trade(self, leg, quantity, price, position=1, trade_id=None):
        self.trade_ids += 1
        return self.tell(Trade(trade_id or f"T{self.trade_ids}", position, leg, quantity, price, self.ns))

    def enter(self, quantity=650):
        """The order stands and fills."""
        self.update("entry", "stands")
        done = self.trade("entry", quantity, 2259)
        if quantity == 650:
            self.update("entry", "ended", filled=650)
        return done

    def protected(self):
        self.enter()
        self.update("stop", "stands", trigger=2400, limit=2460)


def of(intents, *kinds):
    return [i for i in intents if isinstance(i, kinds)]


def test_the_worked_example_is_asked_for_at_the_confirming_close():
    (order,) = of(Desk().asked, PlaceEntry)
    assert (order.quantity, order.trigger, order.limit, order.stop) == (650, 2259, 2199, 2400)
    assert order.symbol == "N24000CE"


def test_partial_fill_gets_a_stop_of_exactly_the_filled_quantity_and_grows():
    desk = Desk()
    (stop,) = of(desk.enter(65), PlaceStop)
    assert (stop.quantity, stop.trigger, stop.limit) == (65, 2400, 2460)
    assert of(desk.trade("entry", 130, 2258), PlaceStop, ReplaceStop) == [], "one request at a time"
    (grown,) = of(desk.update("stop", "stands", quantity=65), ReplaceStop)
    assert (grown.quantity, grown.trigger) == (195, 2400)
    assert of(desk.update("stop", "stands", quantity=195), ReplaceStop) == []
    (grown,) = of(desk.trade("entry", 455, 2257), ReplaceStop)
    assert grown.quantity == 650


def test_a_fill_told_by_the_order_before_its_trade_is_protected_at_once():
    desk = Desk()
    desk.update("entry", "stands")
    (stop,) = of(desk.update("entry", "stands", filled=195), PlaceStop)
    assert stop.quantity == 195
    assert desk.trade("entry", 195, 2259) == ()


def test_the_rest_of_a_partial_fill_is_withdrawn_at_the_next_close():
    desk = Desk()
    desk.enter(65)
    assert CancelOrder(1, "entry", "not wanted") in desk.close()


def test_a_trade_is_booked_once():
    desk = Desk()
    desk.enter()
    assert desk.trade("entry", 650, 2259, trade_id="T1") == ()
    assert desk.state.shorts[1].sold == 650


def test_stop_at_the_fill_counts_the_bar_in_progress():
    desk = Desk()
    desk.update("entry", "stands")
    desk.tell(Quotes.of(desk.ns + 1, ((0, 2450),)))
    desk.tell(Quotes.of(desk.ns + 2, ((0, 2255),)))
    (stop,) = of(desk.trade("entry", 650, 2259), PlaceStop)
    assert (stop.trigger, stop.limit) == (2470, 2530)


def test_cancel_raced_by_a_fill_leaves_a_protected_position():
    desk = Desk()
    desk.update("entry", "stands")
    assert CancelOrder(1, "entry", "not wanted") in desk.tell(Command("pause", "test"))
    assert of(desk.trade("entry", 650, 2259), PlaceStop)
    assert desk.update("entry", "ended", filled=650) == ()
    assert desk.tell(RequestRefused(1, "entry", "cancel", "order is complete")) == ()
    assert desk.state.shorts[1].units == 650
    assert desk.state.slots[0].entry is None


def test_a_cancel_is_believed_only_when_the_order_has_ended():
    desk = Desk()
    desk.update("entry", "stands")
    desk.tell(Command("pause", "test"))
    desk.tell(Command("resume", "test"))
    assert of(desk.close(), PlaceEntry) == [], "the old order may still fill"
    assert desk.state.slots[0].entry is not None
    assert of(desk.update("entry", "ended"), PlaceEntry), "now the new one may stand"


def test_kill_leads_to_reducing_requests_only():
    desk = Desk()
    desk.protected()
    done = desk.tell(Command("kill", "test"))
    assert [(i.quantity, i.reason) for i in of(done, ExitPosition)] == [(650, "kill")]
    assert of(done, CancelOrder) == [], "the stop stays until the exit takes its place"
    assert [i.fact.state for i in of(done, Record)] == ["FLATTENING"]
    for _ in range(20):
        done = (*desk.close(), *desk.wait(1))
        assert of(done, *OPENING) == []
    assert desk.tell(Command("resume", "test")) == (
        Alert("warning", "resume by test refused: latch is FLATTENING"),
    )


def test_kill_before_the_first_fill_withdraws_and_buys_back_what_crosses():
    desk = Desk()
    desk.update("entry", "stands")
    assert of(desk.tell(Command("kill", "test")), CancelOrder)
    done = desk.trade("entry", 650, 2259)
    assert [type(i) for i in done] == [PlaceStop, ExitPosition]
    assert done[1].reason == "kill"


def test_pause_withdraws_entries_and_keeps_stops():
    desk = Desk()
    desk.protected()
    done = desk.tell(Command("pause", "test"))
    assert of(done, CancelOrder, ExitPosition) == []
    waiting = Desk()
    waiting.update("entry", "stands")
    assert of(waiting.tell(Command("pause", "test")), CancelOrder) == [CancelOrder(1, "entry", "not wanted")]
    waiting.update("entry", "ended")
    assert of(waiting.close(), *OPENING) == []
    waiting.tell(Command("resume", "test"))
    assert of(waiting.close(), PlaceEntry), "the next close orders again"


def test_decisions_are_written_the_same_while_paused():
    desk, other = Desk(), Desk()
    desk.tell(Command("pause", "test"))
    for each in (desk, other):
        each.update("entry", "ended")
    assert of(desk.close(), Record) == of(other.close(), Record)


def test_stale_prices_block_entries_and_keep_stops():
    desk = Desk()
    desk.update("entry", "stands")
    done = desk.tell(FeedStatus(fresh=False, detail="no tick for 30 s"))
    assert of(done, CancelOrder) == [CancelOrder(1, "entry", "not wanted")]
    desk.update("entry", "ended")
    assert of(desk.close(), *OPENING) == []
    desk.tell(FeedStatus(fresh=True))
    assert of(desk.close(), PlaceEntry)
    held = Desk()
    held.protected()
    assert of(held.tell(FeedStatus(fresh=False)), CancelOrder, ExitPosition) == []


def test_flatten_buys_one_position_back():
    desk = Desk()
    desk.protected()
    (exit_,) = of(desk.tell(Command("flatten", "test", position=1)), ExitPosition)
    assert (exit_.quantity, exit_.reason) == (650, "flatten")
    assert of(desk.tell(Command("flatten", "test", position=9)), Alert)


def test_an_exit_that_ends_unfilled_is_asked_for_again_until_flat():
    desk = Desk()
    desk.protected()
    desk.tell(Command("flatten", "test", position=1))
    desk.trade("exit", 250, 2300)
    assert desk.update("exit", "ended", filled=250) == ()
    (again,) = of(desk.wait(2), ExitPosition)
    assert again.quantity == 400
    assert of(desk.trade("exit", 400, 2310), CancelOrder) == [CancelOrder(1, "stop", "flat")]
    assert desk.state.trades[1].reason == "flatten"
    desk.update("stop", "ended", trigger=2400, limit=2460)
    assert desk.wait(60) == ()


def test_a_refused_stop_is_an_exit():
    desk = Desk()
    desk.enter()
    done = desk.tell(RequestRefused(1, "stop", "place", "trigger is through the market"))
    assert [(i.quantity, i.reason) for i in of(done, ExitPosition)] == [(650, "unprotected")]


def test_a_stop_that_ends_unasked_is_an_exit():
    desk = Desk()
    desk.protected()
    (exit_,) = of(desk.update("stop", "ended"), ExitPosition)
    assert exit_.reason == "unprotected"


def test_a_stop_reported_complete_before_its_trade_is_no_exit():
    desk = Desk()
    desk.protected()
    assert desk.update("stop", "ended", filled=650, trigger=2400, limit=2460) == ()
    assert desk.wait(10) == ()
    desk.trade("stop", 650, 2400)
    assert desk.state.trades[1].reason == "stop"


def test_a_stop_that_was_turned_into_the_exit_closes_for_the_exits_reason():
    desk = Desk()
    desk.protected()
    desk.tell(Command("flatten", "test", position=1))
    desk.update("stop", "triggered", trigger=0, limit=2350)
    desk.update("stop", "ended", filled=650, trigger=0, limit=2350)
    desk.trade("stop", 650, 2340)
    assert desk.state.trades[1].reason == "flatten"


def test_a_stop_that_fills_before_it_was_turned_closes_as_a_stop():
    desk = Desk()
    desk.protected()
    desk.tell(Command("flatten", "test", position=1))
    desk.trade("stop", 650, 2440)
    assert desk.state.trades[1].reason == "stop"


def test_what_stop_and_exit_both_bought_is_taken_back_at_once():
    desk = Desk()
    desk.protected()
    desk.tell(Command("flatten", "test", position=1))
    desk.trade("stop", 650, 2440)
    done = desk.trade("exit", 650, 2400)
    assert of(done, TakeBack) == [TakeBack(1)]
    assert of(done, Alert)
    sale = Trade("T9", 1, "exit", 650, 2380, desk.ns, reversal=True)
    assert of(desk.tell(sale), TakeBack, ExitPosition) == []
    assert desk.state.shorts[1].flat
    assert desk.state.trades[1].pnl == 650 * (2259 - 2440 - 2400 + 2380) * 5


def test_a_stop_in_doubt_is_not_waited_for():
    desk = Desk()
    desk.enter()
    assert of(desk.wait(9), ExitPosition) == []
    (exit_,) = of(desk.wait(2), ExitPosition)
    assert (exit_.quantity, exit_.reason) == (650, "unprotected")
    assert of(desk.wait(30), ExitPosition) == []


def test_a_stop_that_does_not_grow_in_time_is_not_waited_for():
    desk = Desk()
    desk.enter(325)
    desk.update("stop", "stands", quantity=325, trigger=2400, limit=2460)
    assert of(desk.trade("entry", 325, 2259), ReplaceStop)
    (exit_,) = of(desk.wait(11), ExitPosition)
    assert exit_.quantity == 650


def test_a_stop_that_appears_over_a_flat_position_is_taken_away_until_it_is_gone():
    desk = Desk()
    desk.enter()
    desk.wait(11)
    desk.trade("exit", 650, 2300)
    desk.wait(6)
    desk.update("stop", "stands", trigger=2400, limit=2460)
    assert of(desk.wait(1), CancelOrder) == [CancelOrder(1, "stop", "flat")]
    assert of(desk.wait(1), CancelOrder) == []
    assert of(desk.wait(5), CancelOrder) == [CancelOrder(1, "stop", "flat")]
    desk.update("stop", "ended", trigger=2400, limit=2460)
    assert of(desk.wait(10), CancelOrder) == []


def test_a_surplus_is_asked_back_until_it_is_sold():
    desk = Desk()
    desk.protected()
    desk.trade("stop", 650, 2440)
    desk.update("stop", "ended", filled=650, trigger=2400, limit=2460)
    desk.trade("exit", 650, 2400)
    assert of(desk.wait(6), TakeBack) == [TakeBack(1)]
    desk.tell(Trade("T9", 1, "exit", 650, 2380, desk.ns, reversal=True))
    assert of(desk.wait(6), TakeBack) == []


def test_a_withdrawal_without_an_outcome_is_asked_for_again():
    desk = Desk()
    desk.update("entry", "stands")
    assert of(desk.tell(Command("pause", "test")), CancelOrder)
    assert desk.wait(40) == ()
    (again,) = of([*desk.wait(10), *desk.wait(3)], CancelOrder)
    assert again.leg == "entry"


def test_a_triggered_stop_that_does_not_fill_goes_to_market():
    desk = Desk()
    desk.protected()
    desk.update("stop", "triggered", trigger=2400, limit=2460)
    assert of(desk.wait(4), ExitPosition) == []
    (exit_,) = of(desk.wait(1), ExitPosition)
    assert exit_.reason == "stop_gap"


def test_everything_is_bought_back_at_the_exit_time():
    desk = Desk(entry_end_time="09:40", forced_exit_time="09:40")
    desk.protected()
    desk.ns = OPEN_NS + 25 * MINUTE_NS - 1_000_000_000
    assert of(desk.wait(0), ExitPosition) == []
    assert [i.reason for i in of(desk.wait(1), ExitPosition)] == ["time"]


def test_the_day_is_latched_once():
    desk = Desk(daily_stop_r=0.5)
    desk.protected()
    desk.tell(Quotes.of(desk.ns, ((0, 2390),)))
    done = desk.wait(0)
    assert [i.fact.reason for i in of(done, Record) if isinstance(i.fact, DayLatched)] == ["day_stop"]
    assert [i.reason for i in of(done, ExitPosition)] == ["day_stop"]
    desk.trade("exit", 650, 2390)
    for _ in range(5):
        done = (*desk.wait(1), *desk.close())
        assert not [i for i in of(done, Record) if isinstance(i.fact, DayLatched)]
        assert of(done, *OPENING) == []


def test_a_change_is_a_native_modification_at_the_close():
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.update("entry", "stands", quantity=910)
    (change,) = of(desk.close(), ModifyEntry)
    assert (change.quantity, change.trigger, change.stop) == (650, 2259, 2460)
    assert desk.state.slots[0].entry.order[0]["stop"] == 2400, "until it is confirmed"
    desk.update("entry", "stands", quantity=910)
    assert desk.state.slots[0].entry.request == "modify", "a late report of the old order changes nothing"
    desk.update("entry", "stands", quantity=650)
    assert desk.state.slots[0].entry.order[0]["stop"] == 2460


def test_a_refused_modification_leaves_the_order_until_the_next_close():
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.update("entry", "stands", quantity=910)
    desk.close()
    assert desk.tell(RequestRefused(1, "entry", "modify", "limit reached")) == ()
    assert of(desk.close(), ModifyEntry), "asked again at the close"


def test_an_order_modified_too_often_is_withdrawn_and_placed_anew():
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.update("entry", "stands", quantity=910)
    desk.state.slots[0].entry.modifications = session_entries.MODIFICATIONS
    done = desk.close()
    assert of(done, ModifyEntry, PlaceEntry) == []
    assert of(done, CancelOrder) == [CancelOrder(1, "entry", "another order is wanted")]
    (new,) = of(desk.update("entry", "ended", quantity=910), PlaceEntry)
    assert (new.position, new.quantity) == (2, 650)


def test_an_order_withdrawn_and_placed_again_and_again_is_left_alone():
    desk = Desk()
    placed = 1
    for k in range(6):
        position = desk.state.next_position - 1
        desk.update("entry", "stands", position=position)
        desk.state.now_ns += 50_000_000_000
        desk.update("entry", "ended", position=position)  # the exchange ends it just before each close
        desk.state.now_ns = desk.ns + 55_000_000_000
        for c in desk.state.withdrawn:
            desk.state.withdrawn[c] = desk.state.now_ns
        done = desk.close()
        placed += len(of(done, PlaceEntry))
        if k >= 2:
            assert of(done, PlaceEntry) == []
            assert of(done, Alert)
    assert placed == 2


def test_another_contract_waits_for_the_proven_end_of_the_first():
    desk = Desk()
    desk.update("entry", "stands")
    entry = desk.state.slots[0].entry
    wish = entry.order.copy()
    entry.order = entry.order.copy()
    entry.order["contract"] = 1  # what stands is an order of another contract
    session_entries.ask(desk.state, 0, wish)
    assert desk.state.outbox == [CancelOrder(1, "entry", "another order is wanted")]
    desk.state.outbox.clear()
    assert desk.wait(60) == (), "no second order while the first may fill"
    (new,) = of(desk.update("entry", "ended"), PlaceEntry)
    assert (new.position, new.contract) == (2, 0)


def test_prices_between_closes_never_move_an_order():
    desk = Desk()
    desk.update("entry", "stands")
    for price in (2500, 2261, 2300):
        assert desk.tell(Quotes.of(desk.ns, ((0, price),))) == ()
        assert desk.wait(1) == ()


def test_a_broker_that_holds_something_else_stops_entries():
    desk = Desk()
    desk.protected()
    assert desk.tell(BrokerSnapshot((), ((0, -650),))) == ()
    done = desk.tell(BrokerSnapshot((), ()))
    assert of(done, Alert)
    assert [i.fact.state for i in of(done, Record) if isinstance(i.fact, LatchChanged)] == ["REDUCING"]
    assert of(done, ExitPosition, PlaceStop) == []


def test_a_minute_told_twice_changes_nothing():
    desk = Desk()
    desk.minute -= 1
    assert desk.close() == ()


def test_what_leaves_a_session_cannot_be_changed():
    (order,) = of(Desk().asked, PlaceEntry)
    with pytest.raises(AttributeError):
        order.quantity = 1
    assert replace(order, quantity=65).quantity == 65
    assert isinstance(of(Desk().asked, Record)[0].fact, DecisionMade)


def test_an_unknown_event_is_refused():
    with pytest.raises(TypeError, match="takes no str"):
        step(Desk().state, "tick")


def test_an_order_refused_with_a_newer_wish_waits_for_the_next_close():
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.close()  # the place request is still open, and another quantity is wanted by now
    assert desk.state.slots[0].wish is not None
    assert of(desk.update("entry", "ended", quantity=910), *OPENING) == []
    assert of(desk.close(), PlaceEntry)


def test_the_rest_of_an_entry_is_withdrawn_once_its_position_is_flat():
    desk = Desk()
    desk.enter(65)
    desk.update("stop", "stands", quantity=65, trigger=2400, limit=2460)
    done = desk.trade("stop", 65, 2400)
    assert CancelOrder(1, "entry", "not wanted") in done


def test_nothing_is_placed_after_a_switch_that_a_pause_overtook():
    desk = Desk()
    desk.update("entry", "stands")
    entry = desk.state.slots[0].entry
    wish = entry.order.copy()
    entry.order = entry.order.copy()
    entry.order["contract"] = 1
    session_entries.ask(desk.state, 0, wish)
    desk.tell(Command("pause", "test"))
    assert desk.update("entry", "ended") == ()


def test_replayed_bars_ask_for_nothing():
    desk, again = Desk(), Desk()
    fresh = new_state(desk.state.plan)
    for minute in range(10):
        done = step(fresh, closed(desk.bars, minute, replayed=True))
    assert of(done, PlaceEntry) == []
    assert of(done, Record) == of(again.asked, Record)
