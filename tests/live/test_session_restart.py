"""A session that is rebuilt from its log and its bars goes on as if nothing had happened."""

import datetime as dt

import pytest
from exchange_for_session import OPEN_NS, Exchange, closed
from oracle import draws
from oracle.compare import DATE, EXPIRY
from oracle.market import day_bars
from test_session_parity import decisions_of, settings, trades_in, trades_of

from engine.backtest.run import load_day, play_day
from engine.errors import DataError
from engine.execution.bar_path import MINUTE_MS
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.decisions.session_inputs import OrderUpdate, Timer, Trade
from engine.live.decisions.session_intents import (
    CancelOrder,
    ExitPosition,
    ModifyEntry,
    PlaceEntry,
    PlaceStop,
    Record,
)
from engine.live.decisions.session_restart import rebuild
from engine.live.log import events as e
from engine.live.log.projections import replay
from engine.live.session import step

SIMULATED = dt.date(2026, 9, 2)


class LoggedExchange(Exchange):
    """Writes the day's log as runner and gateway would, and can lose the session's memory."""

    def __init__(self, bars, params):
        super().__init__(bars, params)
        self.events = []
        self.ts_ns = OPEN_NS - 1
        self.write(
            e.SessionStarted(
                date=bars.date, underlying="NIFTY", expiry=bars.expiry, mode="practice", params_hash="x",
                lot_size=bars.lot_size, broker="test", feed="test", simulated=True,
            )
        )  # fmt: skip
        self.write(e.LatchChanged(state="ACTIVE", reason="start", who="test", reset=True))

    def write(self, fact):
        self.ts_ns = max(self.ts_ns, self.now_ns)
        self.events.append(e.Event(len(self.events) + 1, self.ts_ns, fact))

    def prepare(self, intent, leg, **more):
        tag = f"{leg}{intent.position}"
        entry = self.state.entries[intent.position]
        told = {"order_type": "SL", "trigger": 0, "limit": 0, "reason": leg, **more}
        self.write(
            e.IntentPrepared(
                tag=tag, position=intent.position, leg=leg, quantity=intent.quantity, symbol=intent.symbol,
                slot="PE" if entry.kind else "CE", side="SELL" if leg == "entry" else "BUY", **told,
            )
        )  # fmt: skip
        if leg != "entry":
            self.write(e.OrderAccepted(tag=tag, order_id=tag))

    def carry_out(self, intent):
        match intent:
            case PlaceEntry():
                self.prepare(intent, "entry", trigger=intent.trigger, limit=intent.limit, stop=intent.stop,
                             conf_minute=intent.conf_minute, swing_index=intent.swing_index)  # fmt: skip
            case ModifyEntry():
                tag = f"entry{intent.position}"
                self.write(e.ModifyPrepared(tag=tag, quantity=intent.quantity, trigger=intent.trigger,
                                            limit=intent.limit, order_type="SL"))  # fmt: skip
            case CancelOrder():
                self.write(e.CancelPrepared(tag=f"{intent.leg}{intent.position}", reason=intent.reason))
            case PlaceStop():
                self.write(e.StopPlanned(position=intent.position, trigger=intent.trigger, limit=intent.limit,
                                         quantity=intent.quantity, reason="fill"))  # fmt: skip
                self.prepare(intent, "stop", trigger=intent.trigger, limit=intent.limit)
            case ExitPosition() if f"exit{intent.position}" in replay(self.events).orders:
                pass  # asked for again after a restart: what stands is not joined by another
            case ExitPosition():
                self.prepare(intent, "exit", order_type="LIMIT", limit=9999, reason=intent.reason)
            case Record():
                self.write(intent.fact)
        super().carry_out(intent)

    def report(self, order, leg, status, filled=0):
        tag = f"{leg}{order.position}"
        words = {
            "stands": "TRIGGER PENDING",
            "triggered": "OPEN",
            "ended": "COMPLETE" if filled else "CANCELLED",
        }
        if leg == "entry" and status == "stands" and not self.order_row(tag).order_id:
            self.write(e.OrderAccepted(tag=tag, order_id=tag))
        self.write(
            e.OrderUpdated(tag=tag, order_id=tag, status=words[status], filled=filled, quantity=order.quantity,
                           trigger=order.trigger, limit=order.limit, average_milliticks=0, message="",
                           time_ns=self.now_ns)
        )  # fmt: skip
        super().report(order, leg, status, filled)

    def order_row(self, tag):
        return replay(self.events).orders[tag]

    def trade(self, order, leg, quantity, price):
        tag = f"{leg}{order.position}"
        self.write(
            e.FillBooked(trade_id=f"T{self.trade_ids + 1}", order_id=tag, tag=tag, quantity=quantity, price=price,
                         side="SELL" if leg == "entry" else "BUY", time_ns=self.now_ns)
        )  # fmt: skip
        super().trade(order, leg, quantity, price)

    def tell(self, event):
        name = type(event).__name__
        if name == "RequestRefused":
            tag = f"{event.leg}{event.position}"
            if event.request == "place":
                self.write(e.OrderRefused(tag=tag, code="400", reason=event.reason))
            else:
                self.write(e.RequestAnswered(tag=tag, request=event.request, outcome="refused", reason="no"))
        elif name == "BarsClosed":
            self.ts_ns = max(self.ts_ns, OPEN_NS + (event.minute + 1) * MINUTE_MS * 1_000_000)
        super().tell(event)

    def restart(self, minute):
        """Forget everything but the log and the bars up to `minute`."""
        bars = [closed(self.bars, m) for m in range(minute + 1)]
        before, self.state = self.state, rebuild(self.state.plan, self.events, replay(self.events), bars)
        return before

    def play_restarting(self, every):
        for minute in range(self.bars.minutes):
            self.play_minute(minute)
            if minute % every == every - 1:
                self.restart(minute)
        return self


def compare(bars, params, every):
    outcome = play_day(bars, params)
    run = LoggedExchange(bars, params).play_restarting(every)
    assert run.decisions == decisions_of(outcome)
    assert trades_in(run.state) == trades_of(outcome)
    assert run.alerts == []
    return outcome


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("restart-day"))
    ensure_simulated(lake, "NIFTY", SIMULATED, SIMULATED, strikes_each_side=5)
    return lambda params: load_day(lake, lake.entries()[0], params)


def test_a_day_with_a_restart_every_quarter_hour_ends_as_the_backtest(simulated):
    params = settings(daily_stop_r=None, daily_target_r=None)
    assert len(compare(simulated(params), params, 15).trades) > 3


@pytest.mark.parametrize("seed", range(0, 120, 3))
def test_wild_little_days_with_restarts_end_as_the_backtest(seed):
    compare(day_bars(draws.market(seed), DATE, EXPIRY), draws.parameters(seed, latency_ms=0), 1 + seed % 7)


def held_day(simulated):
    """A session with an open position whose stop stands."""
    params = settings(daily_stop_r=None, daily_target_r=None)
    run = LoggedExchange(simulated(params), params)
    for minute in range(run.bars.minutes):
        run.play_minute(minute)
        if run.state.open and minute > 60:
            return run, minute
    raise AssertionError("no position was ever open")


def test_a_stop_that_was_never_prepared_is_placed_first(simulated):
    run, minute = held_day(simulated)
    short = run.state.open[-1]
    lost = f"stop{short.position}"
    run.events = [x for x in run.events if getattr(x.fact, "tag", "") != lost]
    run.restart(minute)
    (stop,) = [i for i in step(run.state, Timer(run.now_ns)) if isinstance(i, PlaceStop)]
    assert (stop.position, stop.quantity, stop.trigger) == (short.position, short.units, short.stop)


def test_a_stop_whose_outcome_is_unknown_is_not_placed_twice(simulated):
    run, minute = held_day(simulated)
    lost = f"stop{run.state.open[-1].position}"
    run.events = [
        x for x in run.events if getattr(x.fact, "tag", "") != lost or isinstance(x.fact, e.IntentPrepared)
    ]
    run.restart(minute)
    assert not [i for i in step(run.state, Timer(run.now_ns)) if isinstance(i, (PlaceStop, ExitPosition))]


def test_a_kill_before_the_restart_still_buys_back(simulated):
    run, minute = held_day(simulated)
    run.write(e.LatchChanged(state="FLATTENING", reason="kill", who="test"))
    run.restart(minute)
    exits = [i for i in step(run.state, Timer(run.now_ns)) if isinstance(i, ExitPosition)]
    assert {(i.position, i.reason) for i in exits} == {(s.position, "kill") for s in run.state.open}


def test_a_stop_that_was_turned_into_the_exit_is_known_after_a_restart(simulated):
    day, minute = held_day(simulated)
    short = day.state.open[-1]
    tag, units, limit = f"stop{short.position}", short.units, short.stop_limit
    day.write(
        e.ModifyPrepared(
            tag=tag, quantity=units, trigger=0, limit=limit, order_type="LIMIT", reason="flatten"
        )
    )
    day.write(e.RequestAnswered(tag=tag, request="modify", outcome="confirmed", reason=""))
    day.restart(minute)
    short = day.state.shorts[short.position]
    assert (short.exit_reason, short.stop_is_exit, short.exit_asked) == ("flatten", True, 0)
    step(day.state, Trade("T99", short.position, "stop", units, limit, day.now_ns))
    assert day.state.trades[short.position].reason == "flatten"


def test_a_purchase_that_was_booked_before_its_sale_does_not_keep_a_session_from_starting(simulated):
    run, minute = held_day(simulated)
    short = run.state.open[-1]
    (at,) = [
        n
        for n, x in enumerate(run.events)
        if isinstance(x.fact, e.FillBooked) and x.fact.tag == f"entry{short.position}"
    ]
    sale = run.events.pop(at).fact
    run.events = [x for x in run.events if not isinstance(x.fact, e.StopPlanned)]  # committed with the sale
    run.trade(run.stops[short.position], "stop", short.units, short.stop)
    run.write(sale)
    run.events = [e.Event(n, x.ts_ns, x.fact) for n, x in enumerate(run.events, start=1)]
    run.restart(minute)
    assert run.state.trades[short.position].quantity == short.sold
    assert short.position not in {each.position for each in run.state.open}


def test_positions_go_on_counting(simulated):
    run, minute = held_day(simulated)
    before = run.restart(minute)
    assert run.state.next_position == before.next_position
    assert {p: s.units for p, s in run.state.shorts.items()} == {p: s.units for p, s in before.shorts.items()}
    assert run.state.day_paise() == before.day_paise()


def test_an_order_of_an_unknown_contract_is_refused(simulated):
    run, minute = held_day(simulated)
    run.events[-1:] = [
        e.Event(
            len(run.events), run.ts_ns,
            e.IntentPrepared(tag="other", position=999, leg="entry", quantity=65, symbol="X", slot="CE",
                             side="SELL", order_type="SL", trigger=1, limit=1, reason="entry"),
        )
    ]  # fmt: skip
    with pytest.raises(DataError, match="not among the"):
        run.restart(minute)


def amid_a_switch(simulated):
    """A session that has asked to cancel one order in order to place another."""
    params = settings(daily_stop_r=None, daily_target_r=None)
    run = LoggedExchange(simulated(params), params)
    for minute in range(run.bars.minutes):
        run.play_minute(minute)
        for slot in run.state.slots:
            if slot.wish is not None and slot.entry is not None and slot.entry.withdrawing:
                return run, minute, slot.entry
    raise AssertionError("no switch ever happened")


@pytest.mark.parametrize(("latch", "placed"), [("ACTIVE", 1), ("REDUCING", 0)])
def test_a_switch_cut_short_by_a_restart_is_ended_unless_entries_are_stopped(simulated, latch, placed):
    run, minute, entry = amid_a_switch(simulated)
    run.write(e.LatchChanged(state=latch, reason="r", who="test"))
    run.restart(minute)
    ended = OrderUpdate(entry.position, "entry", "ended", 65, 1, 1, 0, run.now_ns)
    done = step(run.state, ended)
    assert len([i for i in done if isinstance(i, PlaceEntry)]) == placed
