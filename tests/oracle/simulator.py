"""A naive day: orders and positions walked tick by tick through the four moments of each bar."""

import math
from dataclasses import dataclass, field
from fractions import Fraction

from oracle.pool import Pool, exact

MOMENT = (0, 20_000, 40_000, 59_000)
BUY, SELL = +1, -1
KINDS = ("CE", "PE")


@dataclass(frozen=True)
class Want:
    contract: int
    conf_minute: int
    swing_index: int
    swing_minute: int
    swing_low: int
    trigger: int
    limit: int
    lots: int
    stop: int


@dataclass
class Working:
    want: Want
    number: int
    triggered: bool = False


@dataclass
class Trade:
    contract: int
    conf_minute: int
    swing_index: int
    swing_minute: int
    swing_low: int
    trigger: int
    limit: int
    lots: int
    quantity: int
    entry_minute: int
    entry_moment: int
    entry_price: int
    planned_stop: int
    stop: int
    planned_risk: int
    risk: int
    exit_minute: int = 0
    exit_moment: int = 0
    exit_price: int = 0
    reason: str = "open"
    gap_minutes: int = 0
    ambiguous: bool = False
    invalid: bool = False
    pnl: int = 0


@dataclass
class Position:
    trade: Trade
    number: int
    mark: int
    stop_limit: int
    live_ms: int
    triggered_ms: int | None = None
    exit: tuple | None = None  # (reason, from ms)


@dataclass
class Outcome:
    trades: list = field(default_factory=list)
    orders: list = field(default_factory=list)
    decisions: list = field(default_factory=list)
    ambiguous: int = 0
    latch: str = ""
    funnel: list = field(default_factory=list)


def prices_of(bar, path):
    high_first = path == "high_first" or (
        path == "nearest_first" and bar.high - bar.open < bar.open - bar.low
    )
    middle = (bar.high, bar.low) if high_first else (bar.low, bar.high)
    return (bar.open, *middle, bar.close)


def trail(previous, price, jump):
    """Every tick that is traded in one step, in order."""
    if jump or previous == price:
        return [price]
    way = 1 if price > previous else -1
    return range(previous, price + way, way)


class Simulator:
    def __init__(self, market, params, predicates=()):
        self.market, self.params = market, params
        self.pool = Pool(market, params, predicates)
        self.out = Outcome()
        self.working = dict.fromkeys(KINDS)
        self.coming = dict.fromkeys(KINDS)  # (ms, Want or None)
        self.positions = {}  # contract -> Position, in opening order
        self.numbers = 0
        self.realised = 0
        self.last_decision = dict.fromkeys(KINDS, ("none_qualifies", None))
        opened = 9 * 60 + 15
        forced = params.forced_exit_time.hour * 60 + params.forced_exit_time.minute - opened
        early = max(market.minutes - 15, 1)  # a session that is shorter than the forced exit time
        self.exit_minute = forced if forced < market.minutes else early
        start, end = params.entry_start_time, params.entry_end_time
        self.entry_from = start.hour * 60 + start.minute - opened
        self.entry_until = min(end.hour * 60 + end.minute - opened, self.exit_minute)

    # -- small facts ----------------------------------------------------------------------------------------
    def ticks(self, name):
        return int(exact(getattr(self.params, name)) * 20)

    def worse(self, price, side):
        share = math.ceil(Fraction(price) * exact(self.params.slippage_percent) / 100)
        return max(price + side * (self.ticks("slippage_rupees") + share), 1)

    def kind(self, contract):
        return self.market.contracts[contract].option_type

    def bar(self, contract, minute):
        return self.market.contracts[contract].bars[minute]

    def log(self, ms, number, role, event, want, trigger, limit, quantity, price=0):
        self.out.orders.append(
            (ms // 60_000, ms, number, role, event, want.contract, trigger, limit, quantity, price)
        )

    def log_entry(self, ms, number, event, want, price=0):
        self.log(
            ms, number, "entry", event, want, want.trigger, want.limit, want.lots * self.market.lot, price
        )

    def room(self, kind, counts):
        p = self.params
        total = sum(counts.values())
        own = p.max_ce_positions if kind == "CE" else p.max_pe_positions
        return (p.max_positions is None or total < p.max_positions) and (own is None or counts[kind] < own)

    def held_counts(self):
        return {kind: sum(self.kind(c) == kind for c in self.positions) for kind in KINDS}

    def day_paise(self):
        open_ = sum((p.trade.entry_price - p.mark) * 5 * p.trade.quantity for p in self.positions.values())
        return self.realised + open_

    # -- the day --------------------------------------------------------------------------------------------
    def run(self):
        for minute in range(self.market.minutes):
            for moment in range(4):
                self.moment(minute, moment)
            self.after_last_moment(minute)
            self.decide(minute)
        for position in list(self.positions.values()):
            trade = position.trade
            trade.exit_minute, trade.exit_moment = self.market.minutes - 1, 3
            trade.reason, trade.invalid = "no_price", True
            self.log_stop(self.market.minutes * 60_000 - 1, position, "cancelled")
        self.out.funnel = self.pool.totals()
        return self.out

    def moment(self, minute, moment):
        now = minute * 60_000 + MOMENT[moment]
        self.deliver(minute, moment, now)
        if (minute, moment) == (self.exit_minute, 0):
            self.ask_exits("time", now)
        for contract in list(self.positions):
            bar = self.bar(contract, minute)
            if bar is None:
                self.positions[contract].trade.gap_minutes += moment == 0
                continue
            self.walk_position(contract, bar, minute, moment, now)
        for kind in KINDS:
            self.walk_entry(kind, minute, moment, now)
        limit = self.params.daily_stop_r
        if not self.out.latch and limit is not None:
            most = exact(limit) * exact(self.params.r_value_rupees) * 100
            if self.day_paise() <= -most:
                self.out.latch = "day_stop"
                self.out.ambiguous += moment in (1, 2) and bool(self.positions)
                self.end_day("day_stop", now)
        self.settle(minute, moment, now)

    def after_last_moment(self, minute):
        goal = self.params.daily_target_r
        if self.out.latch or goal is None or not self.positions:
            return
        if self.day_paise() >= exact(goal) * exact(self.params.r_value_rupees) * 100:
            now = minute * 60_000 + MOMENT[3]
            self.out.latch = "day_target"
            self.end_day("day_target", now)
            self.settle(minute, 3, now)

    def end_day(self, reason, now):
        self.ask_exits(reason, now)
        for kind in KINDS:
            self.ask(kind, None, now + self.params.latency_ms)

    def ask_exits(self, reason, now):
        for position in self.positions.values():
            if position.exit is None:
                position.exit = (reason, now + self.params.latency_ms)

    # -- messages to the exchange ---------------------------------------------------------------------------
    def ask(self, kind, want, at):
        standing = self.working[kind].want if self.working[kind] else None
        if self.coming[kind] is not None:
            standing = self.coming[kind][1]
        if want != standing:
            self.coming[kind] = (at, want)

    def last_price(self, contract, minute, moment):
        """Last trade before this moment, or the last closed bar's close."""
        bar = self.bar(contract, minute)
        if moment > 0 and bar is not None:
            return prices_of(bar, self.params.bar_path)[moment - 1]
        for m in range(minute - 1, -1, -1):
            if self.bar(contract, m) is not None:
                return self.bar(contract, m).close
        return None

    def deliver(self, minute, moment, now):
        for kind in KINDS:
            if self.coming[kind] is None or self.coming[kind][0] > now:
                continue
            want = self.coming[kind][1]
            self.coming[kind] = None
            working = self.working[kind]
            if want == (working.want if working else None):
                continue
            if working and (want is None or want.contract != working.want.contract):
                self.log_entry(now, working.number, "cancelled", working.want)
                self.working[kind] = working = None
            if want is None:
                continue
            if working is None:
                self.numbers += 1
            number = working.number if working else self.numbers
            price = self.last_price(want.contract, minute, moment)
            if price is not None and want.trigger >= price:
                self.log_entry(now, number, "rejected", want)
                continue
            self.log_entry(now, number, "modified" if working else "placed", want)
            if working:
                working.want = want
            else:
                self.working[kind] = Working(want, number)
            candidate = self.pool.candidates.get(want.contract)
            if candidate and candidate.conf_minute == want.conf_minute:
                self.pool.reach(candidate, "ordered")

    # -- prices ---------------------------------------------------------------------------------------------
    def match(self, side, trigger, limit, triggered, steps):
        """Walk a stop-limit over traded prices: (triggered, fill or None)."""
        resting = triggered
        for price in steps:
            if resting:
                if side * price <= side * limit:
                    return True, limit
            elif side * price >= side * trigger:
                resting = True
                if side * price <= side * limit:
                    worse = self.worse(price, side)
                    return True, min(worse, limit) if side == BUY else max(worse, limit)
        return resting, None

    def walk_entry(self, kind, minute, moment, now):
        working = self.working[kind]
        if working is None:
            return
        want = working.want
        bar = self.bar(want.contract, minute)
        if bar is None:
            return
        prices = prices_of(bar, self.params.bar_path)
        steps = trail(prices[max(moment - 1, 0)], prices[moment], moment == 0)
        triggered, fill = self.match(SELL, want.trigger, want.limit, working.triggered, steps)
        if triggered and not working.triggered:
            working.triggered = True
            self.log_entry(now, working.number, "triggered", want)
        if fill is not None:
            fill = min(max(fill, bar.low), bar.high)
            self.open(kind, fill, prices, minute, moment, now)

    def open(self, kind, fill, prices, minute, moment, now):
        working, lot = self.working[kind], self.market.lot
        want = working.want
        quantity = want.lots * lot
        room = self.room(kind, self.held_counts())
        highs = [want.stop, max(prices[: moment + 1]) + self.ticks("stop_buffer_rupees")]
        candidate = self.pool.candidates.get(want.contract)
        own = candidate if candidate and candidate.conf_minute == want.conf_minute else None
        if own:
            highs.append(self.pool.highest_since(own, minute - 1) + self.ticks("stop_buffer_rupees"))
        stop = max(highs)
        trade = Trade(
            want.contract, want.conf_minute, want.swing_index, want.swing_minute, want.swing_low,
            want.trigger, want.limit, want.lots, quantity, minute, moment, fill, want.stop, stop,
            planned_risk=(want.stop - want.swing_low) * 5 * quantity,
            risk=(stop - fill) * 5 * quantity,
        )  # fmt: skip
        self.log_entry(now, working.number, "filled", want, fill)
        self.out.trades.append(trade)
        self.numbers += 1
        position = Position(
            trade,
            self.numbers,
            prices[moment],
            stop + self.ticks("stop_limit_buffer_rupees"),
            now + self.params.latency_ms,
        )
        self.positions[want.contract] = position
        self.log_stop(now, position, "placed")
        reason = None if room else "limit_breach"
        if self.out.latch:
            reason = self.out.latch
        elif now >= self.exit_minute * 60_000:
            reason = "time"
        if reason:
            position.exit = (reason, now + self.params.latency_ms)
        bar = self.bar(want.contract, minute)
        before = max(prices[: moment + 1])
        if self.params.bar_path != "worst" and moment > 0 and bar.high == before >= want.stop:
            trade.ambiguous = True  # the high might have come after the entry, and hit the stop
            self.out.ambiguous += 1
        if own:
            self.pool.reach(own, "filled")
            self.pool.end(want.contract)
        self.working[kind] = None
        self.coming[kind] = None

    def walk_position(self, contract, bar, minute, moment, now):
        position, prices = self.positions[contract], prices_of(bar, self.params.bar_path)
        price, previous = prices[moment], prices[max(moment - 1, 0)]
        position.mark = price
        if self.exit_due(position, now):
            self.exit_at_market(contract, bar, minute, moment, now)
            return
        if position.live_ms > now:
            return
        trade, jump = position.trade, moment == 0
        steps = trail(previous, price, jump)
        was = position.triggered_ms
        triggered, fill = self.match(BUY, trade.stop, position.stop_limit, was is not None, steps)
        if was is not None and now - was >= self.params.stop_unfilled_seconds * 1000:
            worst = price if jump else max(previous, price)
            self.close(contract, bar, self.worse(worst, BUY), "stop_gap", minute, moment, now)
            return
        if triggered and was is None:
            position.triggered_ms = now
            self.log_stop(now, position, "triggered")
        if fill is not None:
            self.close(contract, bar, fill, "stop", minute, moment, now)

    def exit_due(self, position, now):
        return position.exit is not None and position.exit[1] <= now

    def settle(self, minute, moment, now):
        for contract in list(self.positions):
            bar = self.bar(contract, minute)
            if bar is not None and self.exit_due(self.positions[contract], now):
                self.exit_at_market(contract, bar, minute, moment, now)

    def exit_at_market(self, contract, bar, minute, moment, now):
        position = self.positions[contract]
        self.close(contract, bar, self.worse(position.mark, BUY), position.exit[0], minute, moment, now)

    def close(self, contract, bar, fill, reason, minute, moment, now):
        position = self.positions.pop(contract)
        trade = position.trade
        trade.exit_price = min(max(fill, bar.low), bar.high)
        trade.exit_minute, trade.exit_moment, trade.reason = minute, moment, reason
        trade.pnl = (trade.entry_price - trade.exit_price) * 5 * trade.quantity
        self.realised += trade.pnl
        late = trade.entry_minute == minute and trade.entry_moment > 0
        if reason in ("stop", "stop_gap") and late and bar.close < trade.stop and not trade.ambiguous:
            trade.ambiguous = True
            self.out.ambiguous += 1
        if reason == "stop":
            self.log_stop(now, position, "filled", trade.exit_price)
            return
        self.log_stop(now, position, "cancelled")
        self.numbers += 1
        self.log(now, self.numbers, "exit", "filled", trade, 0, 0, trade.quantity, trade.exit_price)

    def log_stop(self, now, position, event, price=0):
        trade = position.trade
        stop, limit = trade.stop, position.stop_limit
        self.log(now, position.number, "stop", event, trade, stop, limit, trade.quantity, price)

    # -- the close ------------------------------------------------------------------------------------------
    def decide(self, minute):
        choices = self.pool.close(minute, set(self.positions))
        counts = self.held_counts()
        pe_first = self.working["CE"] is None and self.working["PE"] is not None
        for kind in ("PE", "CE") if pe_first else KINDS:
            best, seen, good = choices[kind]
            want, verdict = None, "none_qualifies"
            if best is not None:
                if self.out.latch:
                    verdict = "day_over"
                elif not self.entry_from <= minute + 1 < self.entry_until:
                    verdict = "outside_hours"
                elif not self.room(kind, counts):
                    verdict = "no_room"
                else:
                    verdict = "wanted"
                    want = self.want_of(best)
                    counts[kind] += 1
            if (verdict, want) != self.last_decision[kind]:
                self.out.decisions.append((minute, kind, verdict, seen, good, want))
                self.last_decision[kind] = (verdict, want)
            self.ask(kind, want, (minute + 1) * 60_000 + self.params.latency_ms)

    def want_of(self, candidate):
        trigger = candidate.low - self.ticks("entry_trigger_below_low_rupees")
        return Want(
            candidate.contract, candidate.conf_minute, candidate.swing_index, candidate.swing_minute,
            candidate.low, trigger, max(trigger - self.ticks("entry_limit_buffer_rupees"), 1),
            candidate.lots, candidate.stop,
        )  # fmt: skip


def simulate(market, params, predicates=()):
    """One day by hand."""
    return Simulator(market, params, predicates).run()
