"""A paper broker that hears a played day, and a line to it that can be cut."""

import asyncio
from dataclasses import replace

import numpy as np

from engine.execution.bar_path import MOMENTS
from engine.history.bars import TICK
from engine.live.brokers.base import BrokerAuth, BrokerBusy, BrokerUnknown, Contract
from engine.live.brokers.paper import PaperBroker, PaperRules
from engine.practice.market import Market

MS = 1_000_000


def done(work):
    """The answer of a broker that never waits."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


class PlayedClock:
    """The time of the day that is played."""

    def __init__(self, open_ns):
        self.open_ns = open_ns
        self.ms = 0

    def wall_ns(self):
        return self.open_ns + self.ms * MS

    def monotonic_ns(self):
        return self.ms * MS

    async def sleep_ns(self, duration):
        self.ms += duration // MS


def contracts_of(market):
    return [
        Contract(one.symbol, one.token, one.name, one.expiry, one.strike, one.kind, one.lot_size)
        for one in market.instruments[:-1]
    ]


class Played:
    """A day of the practice market told to a paper broker: ticks, quotes, index."""

    def __init__(self, day, path, *, bar_path="worst", **rules):
        self.market = Market(day, path=bar_path)
        self.bars = day.bars
        self.clock = PlayedClock(self.market.open_ns)
        self.contracts = contracts_of(self.market)
        self.path = path
        self.rules = PaperRules(**{"match": "quotes", **rules})
        self.open()

    def open(self):
        """A broker; what the account's file holds goes on."""
        self.broker = PaperBroker(
            self.path, self.market.date, self.clock, contracts=self.contracts, rules=self.rules,
            ranges=self.range_of,
        )  # fmt: skip
        self.broker.follow(self.contracts)
        self.reports = []
        self.broker.on_report.append(self.reports.append)

    def range_of(self, symbol, minute):
        place = self.bars.symbols.index(symbol)
        if not self.bars.valid[place, minute]:
            return None
        return int(self.bars.low[place, minute]), int(self.bars.high[place, minute])

    def play(self, moments=1):
        for _ in range(moments):
            market = self.market
            step = 0 if market.minute < 0 else market.minute * MOMENTS + market.moment + 1
            market.play(step // MOMENTS, step % MOMENTS)
            self.tell(np.flatnonzero(market.traded))

    def tell(self, places, past=False):
        market = self.market
        ns = market.open_ns + market.ms * MS
        ticks = np.zeros(len(places), TICK)
        ticks["exchange_ns"], ticks["price"], ticks["instrument"] = ns, market.last[places], places
        ticks["volume"] = market.volume[places]
        self.broker.on_ticks(ticks, ns, past=past)
        self.clock.ms = market.ms
        bid, ask = np.array([market.quote(place) for place in places], np.int64).reshape(-1, 2).T
        offered = np.full(len(places), market.best_quantity)
        self.broker.on_quotes(places, bid, ask, ns, bid_quantity=offered, ask_quantity=offered)
        self.broker.on_index(int(market.index_ohlcl[4]) // 5)

    def trade(self, place, price):
        """One more trade, out of the day's own."""
        tick = np.zeros(1, TICK)
        tick["exchange_ns"], tick["price"], tick["instrument"] = self.clock.wall_ns(), price, place
        self.broker.on_ticks(tick, self.clock.wall_ns())

    def offer(self, place, bid, ask, quantity):
        one = np.array([place])
        self.broker.on_quotes(
            one, np.array([bid]), np.array([ask]), self.clock.wall_ns(),
            bid_quantity=np.array([quantity]), ask_quantity=np.array([quantity]),
        )  # fmt: skip


class CutLine:
    """The line to a broker: answers and requests can be lost on it, and logins die. It forwards all else."""

    def __init__(self, broker):
        self.far = broker
        self.fault = ""
        self.late = []
        self.logged_in = True
        self.after_request = lambda: None

    def __getattr__(self, name):
        async def call(*args, **more):
            write = name in {"place", "modify", "cancel"}
            if not self.logged_in:
                raise BrokerAuth("no login")
            if self.fault == "outage":
                raise BrokerUnknown("no answer")
            if self.fault == "too_many_requests":
                raise BrokerBusy("too many")
            if write and self.fault in {"lost_request", "timed_out_but_placed"}:
                self.late += [args] if self.fault == "timed_out_but_placed" else []
                raise BrokerUnknown("no answer")
            answer = await getattr(self.far, name)(*args, **more)
            if write:
                self.after_request()
            if write and self.fault == "lost_answer":
                raise BrokerUnknown("no answer")
            return answer

        return call if name in _METHODS else getattr(self.far, name)


_METHODS = ("connect", "close", "place", "modify", "cancel", "orders", "trades", "positions", "quotes", "instruments", "margin")  # fmt: skip


class PaperRig:
    """What `broker_suite` asks of a rig; the exchange's own faults come about as they do at an exchange."""

    underlying = "NIFTY"
    user_id = "paper"

    def __init__(self, day, path):
        self.day = Played(day, path)
        self.day.play(25)
        at_money, further = (
            next(one for one in self.day.contracts if (one.strike, one.kind) == (strike, "CE"))
            for strike in (25000, 25100)
        )
        self.symbol, self.other, self.lot = at_money.symbol, further.symbol, at_money.lot
        self.place = self.day.contracts.index(at_money)
        self.broker = CutLine(self.day.broker)

    def run(self, work):
        return asyncio.run(work)

    def play(self, moments):
        self.day.play(moments)
        for args in self.broker.late:
            self.run(self.day.broker.place(*args))
        self.broker.late = []

    def fault(self, *texts):
        name, _, more = texts[0].partition(":") if texts else ("", "", "")
        line, day, last = self.broker, self.day, int(self.day.market.last[self.place])
        line.fault, line.after_request = name, lambda: None
        latency = 0
        circuit = 0
        if name == "reject":
            circuit = last + 50
        elif name == "partial_fill":
            day.offer(self.place, last, last + 2, 2 * self.lot)
            if "rest=cancelled" in more:
                line.after_request = lambda: day.broker.on_time(day.broker._market.close_ns)
        elif name == "cancel_raced_by_fill":
            latency = 5_000
            line.after_request = lambda: day.trade(self.place, last - 45)
        elif name == "stuck_order":
            latency = 90_000
        day.broker._exchange.rules = replace(day.rules, latency_ms=latency)
        day.broker.on_circuits(np.array([self.place]), np.array([0]), np.array([circuit]))

    def expire_login(self):
        self.broker.logged_in = False

    def log_in_again(self):
        self.broker.logged_in = True

    def now_ns(self):
        return self.day.clock.wall_ns()
