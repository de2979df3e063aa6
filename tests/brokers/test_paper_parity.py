"""What the backtest asked of its exchange, asked of the paper broker: the same fills, at the same moments."""

import datetime as dt
from itertools import groupby

import pytest
from paper_rig import MS, Played, done

from engine.backtest.run import load_day, play_day
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS
from engine.execution.orders import ORDER_EVENTS, ORDER_ROLES
from engine.history.importers import import_file
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.brokers.base import OrderRequest
from engine.market.contracts import price_band
from engine.params import load_params
from engine.practice.market import PracticeDay

FIRST, LAST = dt.date(2026, 9, 1), dt.date(2026, 9, 8)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("paper-days"))
    ensure_simulated(lake, "NIFTY", FIRST, LAST, strikes_each_side=5)
    return lake


class AskedAgain:
    """Sends a backtest's order log to a paper broker and keeps what filled."""

    def __init__(self, bars, params, path):
        self.paper = Played(
            PracticeDay.of_bars(bars), path, bar_path=params.bar_path, match="moves", moments=True,
            slip_ticks=int(params.slippage_rupees * 20), slip_basis_points=int(params.slippage_percent * 100),
            cash_rupees=10**9,
        )  # fmt: skip
        self.bars = bars
        self.ids = {}
        self.triggered = []

    def request(self, line):
        role, number = ORDER_ROLES[line["role"]], int(line["number"])
        symbol = self.bars.symbols[line["contract"]]
        side = "SELL" if role == "entry" else "BUY"
        if role == "exit":
            reference = self.paper.broker._market.reference(int(line["contract"]), self.paper.clock.wall_ns())
            limit = price_band(reference, self.bars.date)[1]
            return OrderRequest(f"N{number}", symbol, side, int(line["quantity"]), "LIMIT", limit_ticks=limit)
        return OrderRequest(
            f"N{number}", symbol, side, int(line["quantity"]), "SL", int(line["trigger"]), int(line["limit"])
        )

    def ask(self, line):
        broker, number, event = self.paper.broker, int(line["number"]), ORDER_EVENTS[line["event"]]
        role = ORDER_ROLES[line["role"]]
        if event == "placed" or (role == "exit" and event == "filled"):
            self.ids[number] = done(broker.place(self.request(line)))
        elif event == "modified":
            done(broker.modify(self.ids[number], self.request(line)))
        elif event == "cancelled":
            done(broker.cancel(self.ids[number]))

    def play(self, log):
        waiting = {ms: list(lines) for ms, lines in groupby(log, key=lambda line: int(line["ms"]))}
        for step in range(self.bars.minutes * MOMENTS):
            ms = step // MOMENTS * MINUTE_MS + int(MOMENT_MS[step % MOMENTS])
            asked = waiting.pop(ms, [])
            self.paper.clock.ms = ms
            for line in asked:
                if ORDER_ROLES[line["role"]] == "entry":
                    self.ask(line)
            self.paper.play()
            for line in asked:
                if ORDER_ROLES[line["role"]] != "entry":
                    self.ask(line)
        assert not waiting

    def fills(self):
        numbers = {order_id: number for number, order_id in self.ids.items()}
        open_ns = self.paper.market.open_ns
        return sorted(
            ((one.time_ns - open_ns) // MS, numbers[one.order_id], one.symbol, one.quantity, one.price_ticks)
            for one in done(self.paper.broker.trades())
        )

    def released(self):
        """When which order turned from a stop into a limit order."""
        open_ns = self.paper.market.open_ns
        stops = {one.order_id for one in self.paper.reports if one.status_text == "TRIGGER PENDING"}
        first = {}
        for one in self.paper.reports:
            if one.order_id in stops and one.status_text == "OPEN":
                first.setdefault(one.order_id, (one.time_ns - open_ns) // MS)
        numbers = {order_id: number for number, order_id in self.ids.items()}
        return sorted((ms, numbers[order_id]) for order_id, ms in first.items())


def compare(bars, params, path):
    log = play_day(bars, params).orders
    run = AskedAgain(bars, params, path)
    run.play(log)
    filled = log[log["event"] == ORDER_EVENTS.index("filled")]
    expected = sorted(
        (
            int(one["ms"]),
            int(one["number"]),
            bars.symbols[one["contract"]],
            int(one["quantity"]),
            int(one["price"]),
        )
        for one in filled
    )
    assert run.fills() == expected
    triggered = log[log["event"] == ORDER_EVENTS.index("triggered")]
    assert run.released() == sorted((int(one["ms"]), int(one["number"])) for one in triggered)
    assert done(run.paper.broker.positions()) == [] or not any(
        one.quantity for one in done(run.paper.broker.positions())
    )
    return {ORDER_ROLES[one["role"]] for one in filled}, len(filled)


@pytest.mark.parametrize("path", ["worst", "high_first", "nearest_first"])
def test_entries_stops_and_exits_of_simulated_days_fill_as_in_the_backtest(lake, tmp_path, path):
    params = load_params(
        "swing_break", strikes_each_side=5, slippage_rupees=0.25, slippage_percent=0.2,
        min_vwap_premium_percent=-10, latency_ms=0, bar_path=path,
    )  # fmt: skip
    roles, count = set(), 0
    for entry in lake.select("NIFTY", FIRST, LAST):
        found, filled = compare(load_day(lake, entry, params), params, tmp_path / f"{entry.date}.jsonl")
        roles |= found
        count += filled
    assert roles == {"entry", "stop", "exit"}
    assert count > 40


def test_the_real_day_fills_as_in_the_backtest(shared, tmp_path):
    lake = Lake(tmp_path)
    import_file(shared / "data" / "banknifty_1m_20221230.parquet", lake)
    params = load_params("swing_break_banknifty", min_vwap_premium_percent=-10, latency_ms=0)
    bars = load_day(lake, lake.entries()[0], params)
    roles, count = compare(bars, params, tmp_path / "book.jsonl")
    assert roles >= {"entry", "stop"}
    assert count > 10
