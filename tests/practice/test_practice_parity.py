"""The exchange fills what the backtest fills: its orders of simulated days, sent again to the exchange."""

import datetime as dt

import pytest

from engine.backtest.run import backtest, load_day
from engine.backtest.setup import setup_for
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS
from engine.execution.ledger import EXIT_REASONS
from engine.execution.orders import ENTRY, FILLED, MARKET_EXIT, ORDER_EVENTS, ORDER_ROLES, PROTECTIVE_STOP
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

    def __init__(self, bars, setup, events, trades):
        self.market = Market(PracticeDay.of_bars(bars))
        settings = ExchangeSettings(
            slip_ticks=setup.slip_ticks, slip_basis_points=setup.slip_basis_points, cash_rupees=10**9
        )
        self.exchange = Exchange(self.market, settings, Faults())
        self.bars = bars
        self.events = events
        self.trades = trades
        self.ids = {}  # (role, number) -> order id
        self.fills = []

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
        key = (event["role"], event["number"])
        if event["role"] == ENTRY:
            if name == "placed":
                self.ids[key] = self.exchange.place(self.form(event, "SELL"))["order_id"]
            elif name == "modified":
                self.exchange.modify(self.ids[key], self.form(event, "SELL"))
            elif name == "cancelled":
                self.exchange.cancel(self.ids[key])
        elif event["role"] == PROTECTIVE_STOP and name == "placed":
            self.ids[key] = self.exchange.place(self.form(event, "BUY"))["order_id"]
        elif event["role"] == MARKET_EXIT and name == "filled":
            self.exchange.cancel(self.ids[PROTECTIVE_STOP, event["number"]])
            high = price_band(self.market.reference(event["contract"]), self.market.date)[1]
            more = {"order_type": "LIMIT", "price": str(to_rupees(high))}
            self.ids[key] = self.exchange.place(self.form(event, "BUY", **more))["order_id"]

    def take_fills(self, ms):
        names = {order_id: key for key, order_id in self.ids.items()}
        for trade in self.exchange.trades[len(self.fills) :]:
            role, number = names[trade.order.order_id]
            self.fills.append((ORDER_ROLES[role], number, ms, trade.price, trade.quantity))

    def play(self):
        before = [e for e in self.events if e["role"] == ENTRY and e["event"] != FILLED]
        after = [e for e in self.events if e["role"] != ENTRY]
        for minute in range(self.bars.minutes):
            for moment in range(MOMENTS):
                ms = minute * MINUTE_MS + int(MOMENT_MS[moment])
                for event in [e for e in before if e["ms"] == ms]:
                    self.send(event)
                self.exchange.play(minute, moment)
                self.take_fills(ms)
                for event in [e for e in after if e["ms"] == ms]:
                    self.send(event)
                self.take_fills(ms)
            self.exchange.close_minute()
        return self.fills


def settings(**changes):
    changes = {"slippage_rupees": 0.25, "min_vwap_premium_percent": -10, "latency_ms": 0, **changes}
    return load_params("swing_break", strikes_each_side=5, **changes)


@pytest.fixture(scope="module")
def days(lake):
    ensure_simulated(lake, "NIFTY", FIRST, LAST, strikes_each_side=5)
    return lake


def day_fills(lake, params, entry, outcome):
    bars = load_day(lake, entry, params)
    gaps = {place + 1 for place, t in enumerate(outcome.trades) if EXIT_REASONS[t["reason"]] == "stop_gap"}
    # a stop that its limit left unfilled goes to market at the worse of two prices there: not an exchange's rule
    events = [e for e in outcome.orders if not (e["role"] == MARKET_EXIT and e["number"] in gaps)]
    wanted = [
        (ORDER_ROLES[e["role"]], int(e["number"]), int(e["ms"]), int(e["price"]), int(e["quantity"]))
        for e in events
        if e["event"] == FILLED
    ]
    fills = Replay(bars, setup_for(bars, params), events, outcome.trades).play()
    loose = {("stop", number) for number in gaps}
    return sorted(wanted), sorted(fill for fill in fills if fill[:2] not in loose)


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
