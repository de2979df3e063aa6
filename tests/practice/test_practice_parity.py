"""The exchange fills what the backtest fills: its orders of simulated days, sent again to the exchange."""

import datetime as dt

import pytest

from engine.backtest.run import backtest, load_day
from engine.backtest.setup import setup_for
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS
from engine.execution.ledger import EXIT_REASONS
from engine.execution.orders import ENTRY, FILLED, MARKET_EXIT, ORDER_EVENTS, PROTECTIVE_STOP
from engine.history.importers import import_file
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.market.contracts import price_band
from engine.market.prices import to_rupees
from engine.params import load_params
from engine.practice.exchange import Exchange
from engine.practice.faults import Faults
from engine.practice.market import Market, PracticeDay
from engine.practice.settings import ExchangeSettings

FIRST, LAST = dt.date(2026, 9, 1), dt.date(2026, 9, 10)


class Replay:
    """Sends a day's recorded orders to an exchange and notes its fills as the backtest logs them."""

    def __init__(self, bars, setup, outcome):
        self.market = Market(PracticeDay.of_bars(bars))
        settings = ExchangeSettings(
            slip_ticks=setup.slip_ticks, slip_basis_points=setup.slip_basis_points, cash_rupees=10**9
        )
        self.exchange = Exchange(self.market, settings, Faults())
        self.bars = bars
        self.events = outcome.orders
        self.gaps = gap_exits(outcome)
        self.ids = {}  # entries by number, stops and exits by contract -> order id
        self.roles = {}  # order id -> role
        self.loose = set()

    def form(self, event, side, **more):
        return {
            "exchange": "NFO",
            "tradingsymbol": self.bars.symbols[event["contract"]],
            "transaction_type": side,
            "order_type": "SL",
            "product": "MIS",
            "quantity": str(event["quantity"]),
            "price": str(to_rupees(event["limit"])),
            "trigger_price": str(to_rupees(event["trigger"])),
            **more,
        }

    def send(self, event):
        name = ORDER_EVENTS[event["event"]]
        role, contract = int(event["role"]), int(event["contract"])
        if role == ENTRY:
            key = (ENTRY, int(event["number"]))
            if name == "placed":
                self.remember(key, ENTRY, self.exchange.place(self.form(event, "SELL")))
            elif name == "modified":
                self.exchange.modify(self.ids[key], self.form(event, "SELL"))
            elif name == "cancelled":
                self.exchange.cancel(self.ids[key])
        elif role == PROTECTIVE_STOP and name == "placed":
            self.remember((role, contract), role, self.exchange.place(self.form(event, "BUY")))
        elif role == MARKET_EXIT and name == "filled":
            stop = self.ids[PROTECTIVE_STOP, contract]
            gap = (contract, int(event["ms"])) in self.gaps
            if not gap or not self.exchange.find(stop).ended:
                self.exchange.cancel(stop)
            if gap:
                # a stop left unfilled by its limit goes to market at the worse of two prices: no exchange's rule
                self.loose.add(stop)
                return
            high = price_band(self.market.reference(contract), self.market.date)[1]
            more = {"order_type": "LIMIT", "price": str(to_rupees(high))}
            self.remember((role, contract), role, self.exchange.place(self.form(event, "BUY", **more)))

    def remember(self, key, role, answer):
        self.ids[key] = answer["order_id"]
        self.roles[answer["order_id"]] = role

    def fills(self):
        return [
            (self.roles[t.order.order_id], t.order.instrument.place, t.ms, t.price, t.quantity)
            for t in self.exchange.trades
            if t.order.order_id not in self.loose
        ]

    def play(self):
        before = [e for e in self.events if e["role"] == ENTRY and e["event"] != FILLED]
        after = [e for e in self.events if e["role"] != ENTRY]
        for minute in range(self.bars.minutes):
            for moment in range(MOMENTS):
                ms = minute * MINUTE_MS + int(MOMENT_MS[moment])
                for event in [e for e in before if e["ms"] == ms]:
                    self.send(event)
                self.exchange.play(minute, moment)
                for event in [e for e in after if e["ms"] == ms]:
                    self.send(event)
            self.exchange.close_minute()
        return self.fills()


def settings(**changes):
    changes = {"slippage_rupees": 0.25, "min_vwap_premium_percent": -10, "latency_ms": 0, **changes}
    return load_params("swing_break", strikes_each_side=5, **changes)


@pytest.fixture(scope="module")
def days(lake):
    ensure_simulated(lake, "NIFTY", FIRST, LAST, strikes_each_side=5)
    return lake


def gap_exits(outcome):
    """Contract and time of the exits whose stop was triggered but left unfilled."""
    return {
        (int(t["contract"]), int(t["exit_minute"]) * MINUTE_MS + int(MOMENT_MS[t["exit_moment"]]))
        for t in outcome.trades
        if EXIT_REASONS[t["reason"]] == "stop_gap"
    }


def day_fills(lake, params, entry, outcome):
    bars = load_day(lake, entry, params)
    gaps = gap_exits(outcome)
    wanted = [
        tuple(int(e[name]) for name in ("role", "contract", "ms", "price", "quantity"))
        for e in outcome.orders
        if e["event"] == FILLED
        and not (e["role"] == MARKET_EXIT and (int(e["contract"]), int(e["ms"])) in gaps)
    ]
    fills = Replay(bars, setup_for(bars, params), outcome).play()
    return sorted(wanted), sorted(fills)


def compare(lake, params, result):
    reasons = set()
    for entry, outcome in zip(result.entries, result.days, strict=True):
        wanted, fills = day_fills(lake, params, entry, outcome)
        assert fills == wanted
        reasons |= {EXIT_REASONS[t["reason"]] for t in outcome.trades}
    return reasons


def test_entries_stops_and_exits_fill_as_in_the_backtest(days):
    params = settings()
    assert compare(days, params, backtest(params, days, FIRST, LAST)) == {"stop", "day_stop", "day_target"}


def test_positions_held_to_the_forced_exit_fill_as_in_the_backtest(days):
    params = settings(daily_stop_r=None, daily_target_r=None, max_positions=None, max_ce_positions=None,
                      max_pe_positions=None, slippage_percent=0.2)  # fmt: skip
    assert compare(days, params, backtest(params, days, FIRST, LAST)) >= {"stop", "time"}


def test_a_real_day_with_missing_minutes_fills_as_in_the_backtest(shared, tmp_path):
    lake = Lake(tmp_path)
    import_file(shared / "data" / "banknifty_1m_20221230.parquet", lake)
    day = lake.entries()[0].date
    params = load_params("swing_break_banknifty", min_vwap_premium_percent=-10, latency_ms=0)
    result = backtest(params, lake, day, day)
    assert compare(lake, params, result)
    assert len(result.days[0].trades) > 5


def test_the_same_requests_give_the_same_fills(days):
    params = settings()
    result = backtest(params, days, FIRST, FIRST)
    entry, outcome = result.entries[0], result.days[0]
    assert day_fills(days, params, entry, outcome)[1] == day_fills(days, params, entry, outcome)[1]
