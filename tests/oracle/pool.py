"""Stage 1, stage 2 and ranking (rules 4) in exact fractions of rupees."""

import math
from dataclasses import dataclass
from fractions import Fraction

from oracle.swings import literal_swings

STAGES = (
    "contract_days",
    "contract_days_examined",
    "swing_lows",
    "price_range",
    "vwap_premium",
    "stop_distance",
    "lots",
)


def rupees(ticks):
    return Fraction(ticks, 20)


def exact(number):
    return Fraction(str(number))


@dataclass
class Candidate:
    contract: int
    conf_minute: int
    swing_index: int
    swing_minute: int
    low: int
    vwap: Fraction
    reached: int = 0  # place in the list of levels after "vwap_premium"
    high: int = 0
    stop: int = 0
    lots: int = 0
    key: tuple | None = None


class Pool:
    def __init__(self, market, params, predicates=()):
        self.market = market
        self.params = params
        self.predicates = predicates
        self.levels = (
            *STAGES,
            *(f"filter:{p.__name__}" for p in predicates),
            "best_of_type",
            "ordered",
            "filled",
        )
        self.funnel = dict.fromkeys(self.levels, 0)
        self.candidates = {}
        self.ended = []
        self.events = {}
        for number, contract in enumerate(market.contracts):
            self.funnel["contract_days"] += 1
            self._prepare(number, contract)

    # -- before the day: what each bar's close will confirm -------------------------------------------------
    def _prepare(self, number, contract):
        minutes = [m for m, bar in enumerate(contract.bars) if bar is not None]
        bars = [contract.bars[m] for m in minutes]
        vwaps, money, units = [], Fraction(0), 0
        for bar in bars:
            typical = (rupees(bar.high) + rupees(bar.low) + rupees(bar.close)) / 3
            money += typical * bar.volume
            units += bar.volume
            vwaps.append(money / units if units else typical)
        if not (
            any(self._price_ok(bar.low) for bar in bars)
            and any(self._premium_ok(bar.low, vwap) for bar, vwap in zip(bars, vwaps, strict=True))
        ):
            return
        self.funnel["contract_days_examined"] += 1
        origin = None
        events = literal_swings(
            [b.high for b in bars],
            [b.low for b in bars],
            [b.close for b in bars],
            variant=self.params.swing_variant,
            same_bar_rule=self.params.same_bar_rule,
        )
        for event in events:
            if event.kind != "L":
                continue
            if not event.update or self.params.updated_swing_vwap == "updated":
                origin = event.index
            candidate = Candidate(
                number, minutes[event.conf], event.index, minutes[event.index], event.price, vwaps[origin]
            )
            self.events.setdefault(minutes[event.conf], []).append(candidate)

    def _price_ok(self, low):
        return (
            exact(self.params.min_entry_price_rupees)
            <= rupees(low)
            <= exact(self.params.max_entry_price_rupees)
        )

    def _premium_ok(self, low, vwap):
        return (rupees(low) - vwap) / vwap * 100 >= exact(self.params.min_vwap_premium_percent)

    # -- the close of a minute ------------------------------------------------------------------------------
    def close(self, minute, held):
        """Apply what closed; return per type (best candidate or None, candidates, qualified)."""
        for candidate in sorted(self.events.get(minute, ()), key=lambda c: c.contract):
            self._stage_one(candidate)
        for number in sorted(self.candidates):
            candidate = self.candidates[number]
            bar = self.market.contracts[number].bars[minute]
            if candidate.conf_minute < minute and bar is not None and bar.low < candidate.low:
                self.end(number)
        answer = {}
        for kind in ("CE", "PE"):
            of_kind = [
                c for n, c in sorted(self.candidates.items()) if self.market.contracts[n].option_type == kind
            ]
            good = [c for c in of_kind if self._stage_two(c, minute)]
            free = [c for c in good if c.contract not in held]
            best = min(free, key=lambda c: c.key, default=None)
            if best is not None:
                self.reach(best, "best_of_type")
            answer[kind] = (best, len(of_kind), len(good))
        return answer

    def reach(self, candidate, level):
        candidate.reached = max(candidate.reached, self.levels.index(level))

    def end(self, number):
        """A candidate's life ends: it enters the funnel."""
        candidate = self.candidates.pop(number)
        self.ended.append(candidate)

    def totals(self):
        """Counts per level of the whole day."""
        counts = dict(self.funnel)
        for candidate in [*self.ended, *self.candidates.values()]:
            for level in self.levels[5 : candidate.reached + 1]:
                counts[level] += 1
        return [counts[name] for name in self.levels]

    def _stage_one(self, candidate):
        self.funnel["swing_lows"] += 1
        standing = candidate.contract in self.candidates
        if not self._price_ok(candidate.low):
            if standing:
                self.end(candidate.contract)
            return
        self.funnel["price_range"] += 1
        if not self._premium_ok(candidate.low, candidate.vwap):
            if standing and self.params.failed_vwap_low == "remove_previous":
                self.end(candidate.contract)
            return
        self.funnel["vwap_premium"] += 1
        if standing:
            self.end(candidate.contract)
        self.candidates[candidate.contract] = candidate

    def highest_since(self, candidate, minute):
        """Highest high of the closed bars strictly after the swing bar; its own when there is none."""
        bars = self.market.contracts[candidate.contract].bars
        after = [b.high for b in bars[candidate.swing_minute + 1 : minute + 1] if b is not None]
        return max(after) if after else bars[candidate.swing_minute].high

    def _stage_two(self, candidate, minute):
        params, contract = self.params, self.market.contracts[candidate.contract]
        candidate.high = self.highest_since(candidate, minute)
        stop = rupees(candidate.high) + exact(params.stop_buffer_rupees)
        candidate.stop = int(stop * 20)
        points = stop - rupees(candidate.low)
        percent = points / rupees(candidate.low) * 100
        if not exact(params.min_stop_percent) <= percent <= exact(params.max_stop_percent):
            return False
        self.reach(candidate, "stop_distance")
        candidate.lots = min(
            math.floor(exact(params.r_value_rupees) / (points * self.market.lot)), params.max_lots
        )
        if candidate.lots < 1:
            return False
        self.reach(candidate, "lots")
        for predicate in self.predicates:
            if not predicate(self._view(candidate, minute)):
                return False
            self.reach(candidate, f"filter:{predicate.__name__}")
        nearness = abs(points - exact(params.target_stop_points_rupees))
        uneven = params.round_strike_rupees is not None and contract.strike % params.round_strike_rupees != 0
        candidate.key = (nearness, uneven, -candidate.low, contract.strike, contract.symbol)
        return True

    def _view(self, candidate, minute):
        contract = self.market.contracts[candidate.contract]
        bar = contract.bars[minute]
        closes = [b.close for b in contract.bars[: minute + 1] if b is not None]
        return CandidateView(
            minute=minute,
            age=minute - candidate.conf_minute,
            conf_minute=candidate.conf_minute,
            swing_minute=candidate.swing_minute,
            strike=contract.strike,
            is_call=contract.option_type == "CE",
            swing_low=candidate.low,
            highest_high=candidate.high,
            stop=candidate.stop,
            lots=candidate.lots,
            close=closes[-1],
            volume=bar.volume if bar else 0,
            price=float(rupees(candidate.low)),
            vwap=float(candidate.vwap),
        )


@dataclass(frozen=True)
class CandidateView:
    minute: int
    age: int
    conf_minute: int
    swing_minute: int
    strike: int
    is_call: bool
    swing_low: int
    highest_high: int
    stop: int
    lots: int
    close: int
    volume: int
    price: float
    vwap: float
