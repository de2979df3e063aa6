"""Every cause of a difference from evidence made by hand, and none without evidence."""

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from engine.desk.parity import CAUSES, BacktestDay, TradeRow, compare_day, session_day, trade_hash
from engine.errors import DataError
from engine.execution.orders import ENTRY, ORDER_EVENT, ORDER_EVENTS
from engine.live.log import events as e

DATE, EXPIRY = dt.date(2026, 9, 1), dt.date(2026, 9, 1)
OPEN_NS = 1_788_234_300_000_000_000
S = 1_000_000_000
CE, OTHER = "NIFTY01SEP2624800CE", "NIFTY01SEP2624900CE"
SYMBOLS = (CE, OTHER)
DECIDED, FILLED, LEFT = 660, 700, 1000  # seconds after the open


def decision(minute=10, symbol=CE, **more):
    told = {
        "minute": minute, "slot": "CE", "verdict": "wanted", "candidates": 2, "qualified": 1, "symbol": symbol,
        "conf_minute": 9, "swing_index": 4, "swing_minute": 7, "swing_low": 2001, "highest_high": 2180,
        "bars_after": 2, "trigger": 2000, "limit": 1940, "lots": 1, "stop": 2200,
    }  # fmt: skip
    return e.DecisionMade(**{**told, **more})


def row(
    symbol=CE, entry=FILLED, left=LEFT, price=2000, out=2200, quantity=65, reason="stop", stop=2200, **more
):
    return TradeRow(
        symbol=symbol, conf_minute=9, swing_index=4, entry_ns=OPEN_NS + entry * S, entry_value=price * quantity,
        quantity=quantity, stop=stop, exit_ns=OPEN_NS + left * S, exit_value=out * quantity, reason=reason,
        pnl=(price - out) * quantity * 5, **more,
    )  # fmt: skip


class Story:
    """A session's log, fact by fact."""

    def __init__(self):
        self.events = []
        self.at(
            -60,
            e.LatchChanged(state="ACTIVE", reason="new", who="store", reset=True),
            e.RunnerStarted(pid=7, boot_id="b", version="1"),
            e.SessionStarted(
                date=DATE, underlying="NIFTY", expiry=EXPIRY, mode="practice", params_hash="abc", lot_size=65,
                broker="kite", feed="practice", simulated=True,
            ),
        )  # fmt: skip

    def at(self, second, *facts):
        for fact in facts:
            self.events.append(e.Event(len(self.events) + 1, OPEN_NS + second * S, fact))
        return self

    def intent(self, second, tag="E1", leg="entry", position=1, symbol=CE, **more):
        told = {
            "slot": "CE", "reason": leg, "side": "SELL" if leg == "entry" else "BUY", "quantity": 65,
            "order_type": "SL", "trigger": 2000 if leg == "entry" else 2200,
            "limit": 1940 if leg == "entry" else 2260, "conf_minute": 9, "swing_index": 4, "stop": 2200,
        }  # fmt: skip
        return self.at(
            second, e.IntentPrepared(tag=tag, position=position, leg=leg, symbol=symbol, **{**told, **more})
        )

    def report(self, second, status, tag="E1", filled=0, quantity=65, trigger=2000, limit=1940, message=""):
        return self.at(
            second,
            e.OrderUpdated(
                tag=tag, order_id=f"o{tag}", status=status, filled=filled, quantity=quantity, trigger=trigger,
                limit=limit, average_milliticks=0, message=message, time_ns=OPEN_NS + second * S,
            ),
        )  # fmt: skip

    def fill(self, second, tag="E1", price=2000, quantity=65):
        return self.at(
            second,
            e.FillBooked(
                trade_id=f"t{len(self.events)}", order_id=f"o{tag}", tag=tag,
                side="SELL" if tag[0] == "E" else "BUY", quantity=quantity, price=price,
                time_ns=OPEN_NS + second * S,
            ),
        )  # fmt: skip

    def planned(self, second, trigger=2200):
        return self.at(
            second, e.StopPlanned(position=1, trigger=trigger, limit=trigger + 60, quantity=65, reason="fill")
        )

    def enter(self, filled=FILLED, price=2000, stood=DECIDED):
        """Decided, asked for, stands, fills, is protected."""
        self.at(DECIDED, decision()).intent(DECIDED).report(stood, "TRIGGER PENDING").fill(
            filled, price=price
        )
        return (
            self.planned(filled)
            .intent(filled, "S1", "stop")
            .report(filled, "TRIGGER PENDING", "S1", trigger=2200, limit=2260)
        )

    def leave(self, second=LEFT, price=2200, tag="S1"):
        return self.fill(second, tag, price)


ENTRY_LINE = {
    "event": "placed",
    "ms": DECIDED * 1000,
    "contract": 0,
    "trigger": 2000,
    "limit": 1940,
    "number": 1,
}


DECIDED_ALIKE = (decision(),)


def backtest(*trades, lines=(ENTRY_LINE,), decisions=DECIDED_ALIKE, latch=0, invalid=()):
    orders = np.zeros(len(lines), ORDER_EVENT)
    for place, line in enumerate(lines):
        orders[place]["role"] = ENTRY
        orders[place]["conf_minute"], orders[place]["swing_index"] = 9, 4
        for name, value in line.items():
            orders[place][name] = ORDER_EVENTS.index(value) if name == "event" else value
    outcome = SimpleNamespace(minutes=385, orders=orders, latch=latch, symbols=SYMBOLS)
    return BacktestDay(outcome, OPEN_NS, tuple(sorted(trades)), tuple(decisions), tuple(invalid))


def causes(story, theirs, latency_ms=0):
    found = compare_day(session_day(story.events, DATE, open_ns=OPEN_NS), theirs, latency_ms=latency_ms)
    assert {each.cause for each in found.differences} <= CAUSES.keys()
    return [(each.what, each.cause) for each in found.differences]


def test_equal_days_are_equal_and_hash_equal():
    ours = session_day(Story().enter().leave().events, DATE, open_ns=OPEN_NS)
    found = compare_day(ours, backtest(row()))
    assert found.equal
    assert found.is_accounted_for(exact=True)
    assert found.trade_hash == found.backtest_trade_hash == trade_hash(DATE, [row()])
    assert (found.trades, found.decisions, found.fills, found.pnl) == (1, 1, 2, -200 * 65 * 5)


@pytest.mark.parametrize(
    "change",
    [
        {"entry_value": 1},
        {"exit_ns": OPEN_NS},
        {"stop": 1},
        {"reason": "time"},
        {"quantity": 130},
        {"pnl": 0},
    ],
)
def test_the_hash_sees_every_part_of_a_trade(change):
    assert trade_hash(DATE, [replace(row(), **change)]) != trade_hash(DATE, [row()])


def test_the_hash_knows_no_order_of_trades():
    assert trade_hash(DATE, [row(), row(OTHER)]) == trade_hash(DATE, [row(OTHER), row()])


def test_without_evidence_a_difference_is_unexplained():
    assert causes(Story().enter(price=1999).leave(), backtest(row())) == [("entry", "unexplained")]
    assert causes(Story().enter().leave(price=2201), backtest(row())) == [("exit", "unexplained")]
    assert causes(Story().enter().leave(), backtest()) == [("only_ours", "unexplained")]
    assert causes(Story().at(DECIDED, decision()), backtest(row())) == [("only_theirs", "unexplained")]
    assert causes(Story().enter().leave(), backtest(row(), decisions=(decision(lots=2),))) == [
        ("decision", "unexplained")
    ]
    assert causes(Story().enter().leave(), backtest(row(stop=2201))) == [("stop", "unexplained")]


def test_an_unexplained_difference_is_never_well():
    ours = session_day(Story().enter().leave(price=2201).events, DATE, open_ns=OPEN_NS)
    assert not compare_day(ours, backtest(row())).is_accounted_for(exact=False)


def test_a_stop_that_jumped_its_limit_is_the_backtests_own_price():
    ours = session_day(Story().enter().leave(price=2290).events, DATE, open_ns=OPEN_NS)
    found = compare_day(ours, backtest(row(out=2310, reason="stop_gap")))
    assert found.causes == {"stop_gap": 1}
    assert found.is_accounted_for(exact=True)


def test_an_entry_refused_because_its_trigger_was_reached():
    story = Story().at(DECIDED, decision()).intent(DECIDED)
    story.report(
        DECIDED, "REJECTED", message="Trigger price for stoploss sell orders should be lower than (Rs. 99)."
    )
    assert causes(story, backtest(row())) == [("only_theirs", "refused_late")]


def test_an_entry_refused_for_another_reason():
    story = Story().at(DECIDED, decision()).intent(DECIDED)
    story.at(DECIDED, e.OrderRefused(tag="E1", code="400", reason="The contract is banned today"))
    assert causes(story, backtest(row())) == [("only_theirs", "refused")]


def refused_for_margin(second):
    """An entry in the other contract, refused so many seconds after the open."""
    story = Story().intent(second, "E9", position=9, symbol=OTHER)
    return story.at(second, e.OrderRefused(tag="E9", code="400", reason="Insufficient funds"))


@pytest.mark.parametrize(
    ("filled", "cause"), [(700, "no_margin"), (1199, "no_margin"), (1300, "unexplained")]
)
def test_an_entry_that_was_not_asked_for_after_one_was_refused_for_margin(filled, cause):
    story = refused_for_margin(300).at(DECIDED, decision())
    assert causes(story, backtest(row(entry=filled, left=2400))) == [("only_theirs", cause)]


def test_a_decision_beside_an_order_that_was_held_back():
    story = refused_for_margin(DECIDED - 60).at(DECIDED, decision())
    story.at(DECIDED + 60, decision(11, verdict="wanted", trigger=1990))
    other = (decision(), decision(11, verdict="kept"))
    assert ("decision", "no_margin") in causes(story, backtest(decisions=other))


def test_an_entry_refused_for_margin_itself():
    story = Story().at(DECIDED, decision()).intent(DECIDED)
    story.at(DECIDED, e.OrderRefused(tag="E1", code="400", reason="Insufficient funds"))
    assert causes(story, backtest(row())) == [("only_theirs", "no_margin")]


def test_the_backtests_entry_that_was_refused():
    lines = ({**ENTRY_LINE, "event": "rejected"},)
    assert causes(Story().enter().leave(), backtest(lines=lines)) == [("only_ours", "refused_late")]


def test_an_entry_that_our_gateway_let_not_out():
    story = Story().at(DECIDED, decision())
    story.at(
        DECIDED, e.OrderDenied(position=1, slot="CE", leg="entry", symbol=CE, quantity=65, reason="value")
    )
    assert causes(story, backtest(row())) == [("only_theirs", "denied")]


def test_an_entry_that_stood_later_fills_otherwise():
    story = Story().enter(filled=720, price=1998, stood=690).leave()
    assert causes(story, backtest(row())) == [("entry", "entry_latency")]


def test_an_entry_filled_while_its_change_was_on_its_way():
    story = Story().at(DECIDED, decision()).intent(DECIDED, trigger=1990, limit=1930)
    story.report(DECIDED, "TRIGGER PENDING", trigger=1990, limit=1930)
    story.at(680, e.ModifyPrepared(tag="E1", quantity=65, trigger=2000, limit=1940, order_type="SL"))
    story.fill(FILLED, price=1990).planned(FILLED).intent(FILLED, "S1", "stop").leave()
    assert ("entry", "entry_latency") in causes(story, backtest(row()))


def test_an_entry_that_filled_though_it_was_being_cancelled():
    story = Story().at(DECIDED, decision()).intent(DECIDED).report(DECIDED, "TRIGGER PENDING")
    story.at(690, e.CancelPrepared(tag="E1", reason="switch")).fill(FILLED).planned(FILLED)
    story.intent(FILLED, "S1", "stop").leave()
    lines = (ENTRY_LINE, {**ENTRY_LINE, "event": "cancelled", "ms": 690_000})
    assert causes(story, backtest(lines=lines)) == [("only_ours", "entry_latency")]


def test_an_exit_that_was_on_its_way():
    story = Story().enter().intent(900, "X1", "exit", reason="time", order_type="LIMIT", trigger=0)
    story.fill(903, "X1", 2100)
    assert causes(story, backtest(row(left=900, out=2095, reason="time"))) == [("exit", "exit_latency")]


def test_a_stop_whose_change_into_the_exit_had_no_answer():
    story = Story().enter()
    story.at(
        900, e.ModifyPrepared(tag="S1", quantity=65, trigger=0, limit=2150, order_type="LIMIT", reason="time")
    )
    theirs = backtest(row(left=900, out=2100, reason="time"))
    answered = Story().enter().leave(900, 2100)
    assert causes(answered, theirs) == [("exit", "unexplained")]
    story.at(900, e.RequestAnswered(tag="S1", request="modify", outcome="unknown", reason="cut")).leave(
        900, 2100
    )
    assert causes(story, theirs) == [("exit", "outage")]


def test_a_stop_that_had_no_answer_is_bought_back():
    story = Story().enter()
    story.at(FILLED, e.OrderUnknown(tag="S1", reason="timed out"))
    change = {"quantity": 65, "trigger": 0, "limit": 2150, "order_type": "LIMIT", "reason": "unprotected"}
    story.at(FILLED + 20, e.ModifyPrepared(tag="S1", **change))
    story.at(FILLED + 20, e.RequestAnswered(tag="S1", request="modify", outcome="confirmed", reason=""))
    assert causes(story.leave(FILLED + 20, 2010), backtest(row())) == [("exit", "outage")]


def test_a_delay_that_was_put_in_explains_a_price_within_the_same_second():
    story = Story().enter().intent(900, "X1", "exit", reason="time", order_type="LIMIT", trigger=0)
    story.fill(900, "X1", 2100)
    theirs = backtest(row(left=920, out=2095, reason="time"))
    assert causes(story, theirs, latency_ms=300) == [("exit", "exit_latency")]
    assert causes(story, theirs) == [("exit", "unexplained")]


def test_a_delay_explains_no_exit_at_another_time_of_the_day():
    story = Story().enter().intent(3000, "X1", "exit", reason="time", order_type="LIMIT", trigger=0)
    story.fill(3000, "X1", 2100)
    assert causes(story, backtest(row()), latency_ms=300) == [("exit", "unexplained")]


def test_a_stop_that_was_refused():
    story = Story().at(DECIDED, decision()).intent(DECIDED).report(DECIDED, "TRIGGER PENDING").fill(FILLED)
    story.planned(FILLED).intent(FILLED, "S1", "stop")
    story.report(FILLED, "REJECTED", "S1", message="Trigger price for stoploss buy orders should be higher")
    story.intent(FILLED, "X1", "exit", reason="unprotected", order_type="LIMIT", trigger=0).fill(
        701, "X1", 2210
    )
    assert causes(story, backtest(row())) == [("exit", "stop_refused")]


def test_an_entry_in_parts():
    story = (
        Story()
        .at(DECIDED, decision())
        .intent(DECIDED, quantity=130)
        .report(DECIDED, "TRIGGER PENDING", quantity=130)
    )
    story.fill(FILLED).planned(FILLED).intent(FILLED, "S1", "stop")
    story.report(FILLED + 1, "CANCELLED", filled=65, quantity=130).leave()
    assert causes(story, backtest(row(quantity=130))) == [("entry", "partial_fill")]


def test_prices_that_were_away():
    story = Story().at(640, e.LinkChanged(link="feed", name="practice", status="stale", detail="no tick"))
    story.at(800, e.LinkChanged(link="feed", name="practice", status="up", detail=""))
    assert causes(story, backtest(row())) == [("decision", "outage"), ("only_theirs", "follows")]


def test_a_runner_that_was_started_again():
    story = Story().enter().at(990, e.RunnerStarted(pid=8, boot_id="b", version="1")).leave(1010, 2205)
    assert causes(story, backtest(row())) == [("exit", "restart")]


def test_a_minute_that_closed_before_the_runner_was_back():
    story = Story().at(500, e.RunnerStarted(pid=8, boot_id="b", version="1"))
    late = e.ReconcileDone(orders=0, positions=0, mismatches=0, took_ms=5)
    nothing = backtest(lines=())
    assert causes(story, nothing) == [("decision", "unexplained")]
    assert causes(story.at(800, late), nothing) == [("decision", "restart")]


def test_a_person_who_stepped_in():
    story = Story().enter().at(800, e.CommandTaken(command=1, origin="cli", verb="flatten", payload="{}"))
    story.intent(800, "X1", "exit", reason="flatten", order_type="LIMIT", trigger=0).fill(801, "X1", 2050)
    assert causes(story, backtest(row())) == [("exit", "operator")]


def test_a_pause_of_entries():
    story = (
        Story().at(600, e.LatchChanged(state="REDUCING", reason="lunch", who="cli")).at(DECIDED, decision())
    )
    assert causes(story, backtest(row())) == [("only_theirs", "operator")]


def test_a_doubt_about_the_book():
    story = Story().at(600, e.LatchChanged(state="REDUCING", reason="mismatch", who="reconcile"))
    assert causes(story.at(DECIDED, decision()), backtest(row())) == [("only_theirs", "doubt")]


def test_a_position_that_the_log_still_holds():
    assert causes(Story().enter(), backtest(row())) == [("only_theirs", "session_cut")]


def test_a_trade_without_a_price_in_the_backtest():
    assert causes(Story().enter().leave(), backtest(invalid=(CE,))) == [("only_ours", "no_price")]


def test_what_follows_from_another_difference_names_it():
    story = Story().enter(filled=720, price=1998, stood=690).leave()
    story.at(DECIDED + 60, decision(11, verdict="no_room", symbol="", **dict.fromkeys(
        ("conf_minute", "swing_index", "swing_minute", "swing_low", "highest_high", "bars_after", "trigger",
         "limit", "lots", "stop"), 0)))  # fmt: skip
    theirs = backtest(row(entry=780), decisions=(decision(), decision(11)))
    found = compare_day(session_day(story.events, DATE, open_ns=OPEN_NS), theirs)
    assert [(each.what, each.cause) for each in found.differences][1] == ("decision", "follows")
    assert CE in found.differences[1].detail


def test_another_days_end_follows_from_another_profit():
    story = Story().enter(filled=720, price=1998, stood=690)
    story.at(900, e.DayLatched(date=DATE, reason="day_stop", day_pnl=-1))
    story.intent(900, "X1", "exit", reason="day_stop", order_type="LIMIT", trigger=0).fill(900, "X1", 2100)
    assert causes(story, backtest(row())) == [("entry", "entry_latency"), ("exit", "follows")]


@pytest.mark.parametrize(("took", "cause"), [(4, "exit_latency"), (0, "unexplained")])
def test_the_same_days_end_found_a_little_later_is_late_only_where_something_was_on_its_way(took, cause):
    story = Story().enter().at(918, e.DayLatched(date=DATE, reason="day_stop", day_pnl=-1))
    story.intent(920, "X1", "exit", reason="day_stop", order_type="LIMIT", trigger=0)
    story.fill(920 + took, "X1", 2100)
    theirs = backtest(row(left=880, out=2090, reason="day_stop"), latch=2)
    assert causes(story, theirs) == [("exit", cause)]


def test_a_swing_changed_by_modification_is_that_of_its_decision():
    story = (
        Story()
        .at(DECIDED, decision())
        .intent(DECIDED, conf_minute=3, swing_index=1, trigger=1900, limit=1840)
    )
    story.report(DECIDED, "TRIGGER PENDING", trigger=1900, limit=1840)
    story.at(DECIDED, e.ModifyPrepared(tag="E1", quantity=65, trigger=2000, limit=1940, order_type="SL"))
    story.report(DECIDED, "TRIGGER PENDING").fill(FILLED).planned(FILLED).intent(FILLED, "S1", "stop").leave()
    (made,) = session_day(story.events, DATE, open_ns=OPEN_NS).trades
    assert made.key == (CE, 9, 4)


def test_decisions_repeated_by_a_restart_count_once():
    story = Story().enter().at(800, decision()).leave()
    assert causes(story, backtest(row())) == []


def test_a_day_that_the_log_has_not_is_told():
    with pytest.raises(DataError, match="holds no session of 2026-09-02; it holds 2026-09-01"):
        session_day(Story().events, dt.date(2026, 9, 2))
