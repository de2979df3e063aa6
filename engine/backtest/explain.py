"""Why this strike, why not that one: the decision of one minute, and the story of one contract's day.

It runs the day through the same loop with a snapshot at the minute in question, and judges what it finds with
the strategy's own functions. Nothing is decided here.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from engine.backtest.day_record import Snapshot
from engine.backtest.outcome import DayOutcome
from engine.backtest.run import play_day
from engine.errors import DataError
from engine.execution.decisions import VERDICTS
from engine.history.day import DayBars
from engine.market.clock import minute_label
from engine.market.prices import TICKS_PER_RUPEE, to_rupees
from engine.params import SwingBreakParams
from engine.strategy.candidates import SLOT, pack, room_for
from engine.strategy.filters import (
    NO_RANK,
    affordable_lots,
    has_vwap_premium,
    in_price_range,
    stop_distance_allowed,
)
from engine.strategy.predicates import CANDIDATE, Predicate, keeps
from engine.strategy.rules import Rules, rules_for
from engine.strategy.swing import LOW, detect
from engine.strategy.swing_break import NOBODY, describe, kernel_day


@dataclass(frozen=True)
class SwingLow:
    """A confirmed swing low and what stage 1 said of it; prices in ticks."""

    conf_minute: int
    swing_minute: int
    swing_low: int
    vwap: Decimal
    premium_percent: float
    update: bool
    verdict: str
    passed: bool


@dataclass(frozen=True, eq=False)
class MinuteExplanation:
    """
    One minute's decision.

    Attributes
    ----------
    decided_at : "HH:MM"
        Clock time of the decision: the close of the minute before it.
    contracts : polars frame
        One row per contract, best first: `symbol, option_type, strike, swing_low, vwap_premium_percent,
        highest_high, stop, stop_points, stop_percent, lots, verdict, chosen`; rupees.
    slots : tuple of str
        What was decided for CE and for PE.
    """

    date: dt.date
    decided_at: str
    contracts: pl.DataFrame
    slots: tuple[str, str]


def swing_lows_of(day: DayBars, contract: int, params: SwingBreakParams) -> list[SwingLow]:
    """Every confirmed swing low of one contract's day, judged by stage 1."""
    rules = rules_for(params, day.lot_size)
    bars = room_for(day.minutes)
    n, _ = pack(
        day.high[contract], day.low[contract], day.close[contract], day.volume[contract], day.valid[contract], rules,
        bars,
    )  # fmt: skip
    events = detect(
        bars.high[:n],
        bars.low[:n],
        bars.close[:n],
        variant=params.swing_variant,
        same_bar_rule=params.same_bar_rule,
    )
    lows = []
    origin = -1
    for event in events:
        if event["kind"] != LOW:
            continue
        index, price = int(event["index"]), int(event["price"])
        if not event["update"] or rules.updated_vwap:
            origin = index
        numerator, denominator = int(bars.vwap_numerator[origin]), int(bars.vwap_denominator[origin])
        vwap = Decimal(numerator) / denominator / TICKS_PER_RUPEE
        premium = 100 * float(to_rupees(price) / vwap - 1)
        verdict, passed = _stage_one_words(price, numerator, denominator, premium, params, rules)
        lows.append(
            SwingLow(
                int(bars.minute[event["conf"]]), int(bars.minute[index]), price, vwap, premium, bool(event["update"]),
                verdict, passed,
            )
        )  # fmt: skip
    return lows


def _stage_one_words(
    price: int, numerator: int, denominator: int, premium: float, params: SwingBreakParams, rules: Rules
) -> tuple[str, bool]:
    low = to_rupees(price)
    if not in_price_range(price, rules):
        limits = f"{params.min_entry_price_rupees} to {params.max_entry_price_rupees}"
        return f"swing low {low} outside {limits}", False
    if not has_vwap_premium(price, numerator, denominator, rules):
        return (
            f"swing low {low} is {premium:+.2f} % from VWAP, needs {params.min_vwap_premium_percent:+} %",
            False,
        )
    return f"swing low {low} is {premium:+.2f} % over VWAP", True


def explain_minute(
    day: DayBars, params: SwingBreakParams, minute: int, predicates: Sequence[Predicate] = ()
) -> MinuteExplanation:
    """
    Explain the decision taken when `minute` closed.

    Raises
    ------
    DataError
        If the minute is outside the session.
    """
    if not 0 <= minute < day.minutes:
        assert day.date is not None
        raise DataError(
            f"no bar closes then: the session of {day.date} decides from {minute_label(day.date, 1)} to "
            f"{minute_label(day.date, day.minutes)}"
        )
    snapshot = Snapshot(minute, np.zeros(day.contracts, SLOT), np.zeros(day.contracts, np.bool_))
    outcome = play_day(day, params, predicates, snapshot)
    rules = rules_for(params, day.lot_size)
    chosen = _chosen(outcome, minute)
    rows = []
    for contract, symbol in enumerate(day.symbols):
        slot = snapshot.slots[contract]
        kind = "CE" if day.is_call[contract] else "PE"
        row = {"symbol": symbol, "option_type": kind, "strike": int(day.strike[contract]), "rank": NO_RANK}
        if slot["active"]:
            row |= _live_row(day, params, rules, snapshot, contract, minute, predicates)
        else:
            row |= {"verdict": _dormant_words(day, params, outcome, contract, minute)}
        row["chosen"] = contract == chosen[kind][0]
        if row["chosen"]:
            row["verdict"] = f"CHOSEN: {row['verdict']}"
        rows.append(row)
    schema: dict[str, Any] = {
        "symbol": pl.String, "option_type": pl.String, "strike": pl.Int32, "rank": pl.Int64, "swing_low": pl.Decimal(18, 2),
        "vwap_premium_percent": pl.Float64, "highest_high": pl.Decimal(18, 2), "stop": pl.Decimal(18, 2),
        "stop_points": pl.Decimal(18, 2), "stop_percent": pl.Float64, "lots": pl.Int32, "verdict": pl.String,
        "chosen": pl.Boolean,
    }  # fmt: skip
    full = [{name: row.get(name) for name in schema} for row in rows]
    frame = pl.DataFrame(full, schema=schema).sort("option_type", "rank", "strike").drop("rank")
    assert day.date is not None
    return MinuteExplanation(
        date=day.date,
        decided_at=minute_label(day.date, minute + 1),
        contracts=frame,
        slots=(f"CE: {chosen['CE'][1]}", f"PE: {chosen['PE'][1]}"),
    )


def _live_row(
    day: DayBars,
    params: SwingBreakParams,
    rules: Rules,
    snapshot: Snapshot,
    contract: int,
    minute: int,
    predicates: Sequence[Predicate],
) -> dict[str, object]:
    """A contract that has a candidate: its numbers and what stage 2 says."""
    slot = snapshot.slots[contract]
    room = np.zeros(1, CANDIDATE)
    describe(kernel_day(day), slot, contract, minute, room[0])
    candidate = room[0]
    low, stop = int(slot["swing_low"]), int(slot["stop"])
    percent = float(candidate["stop_percent"])
    failed = [p.name for p in predicates if not keeps(p.address, room)]
    if not stop_distance_allowed(low, stop - low, rules):
        verdict = (
            f"stop {percent:.2f} % away, allowed {params.min_stop_percent} to {params.max_stop_percent} %"
        )
    elif affordable_lots(stop - low, rules) < 1:
        verdict = f"one lot risks more than Rs {params.r_value_rupees}"
    elif failed:
        verdict = f"filter {failed[0]} says no"
    elif snapshot.blocked[contract]:
        verdict = "a position is open in it"
    else:
        points = to_rupees(stop - low)
        verdict = f"qualifies, stop {points} points from the low (target {params.target_stop_points_rupees})"
    return {
        "rank": int(slot["rank"]) if not snapshot.blocked[contract] else NO_RANK - 1,
        "swing_low": to_rupees(low),
        "vwap_premium_percent": float(candidate["vwap_premium_percent"]),
        "highest_high": to_rupees(int(slot["highest_high"])),
        "stop": to_rupees(stop),
        "stop_points": to_rupees(stop - low),
        "stop_percent": percent,
        "lots": int(slot["lots"]),
        "verdict": verdict,
    }


def _dormant_words(
    day: DayBars, params: SwingBreakParams, outcome: DayOutcome, contract: int, minute: int
) -> str:
    """Why a contract has no candidate at a minute."""
    known = [low for low in swing_lows_of(day, contract, params) if low.conf_minute <= minute]
    if not known:
        return "no swing low confirmed yet"
    last = known[-1]
    passed = [low for low in known if low.passed]
    if not passed or (not last.passed and not _leaves_slot(last, params)):
        return last.verdict
    return fate(day, outcome, contract, passed[-1], minute)


def _leaves_slot(low: SwingLow, params: SwingBreakParams) -> bool:
    """Whether a failed swing low leaves the candidate before it standing."""
    in_range = in_price_range(low.swing_low, rules_for(params, 1))
    return in_range and params.failed_vwap_low == "keep_previous"


def fate(day: DayBars, outcome: DayOutcome, contract: int, low: SwingLow, until: int) -> str:
    """What became of a passed swing low up to a minute: filled, broken, or standing."""
    assert day.date is not None
    for trade in outcome.trades:
        if (
            trade["contract"] == contract
            and trade["conf_minute"] == low.conf_minute
            and trade["entry_minute"] <= until
        ):
            return f"swing low {to_rupees(low.swing_low)} filled at {minute_label(day.date, int(trade['entry_minute']))}"
    for minute in range(low.conf_minute + 1, until + 1):
        if day.valid[contract, minute] and day.low[contract, minute] < low.swing_low:
            return f"swing low {to_rupees(low.swing_low)} broken at {minute_label(day.date, minute)}"
    return "standing"


def _chosen(outcome: DayOutcome, minute: int) -> dict[str, tuple[int, str]]:
    """The decision that held for each slot after a minute's close: contract and words."""
    found = {"CE": (NOBODY, "nothing decided yet"), "PE": (NOBODY, "nothing decided yet")}
    for line in outcome.decisions:
        if line["minute"] > minute:
            break
        kind = "CE" if line["kind"] == 0 else "PE"
        order = line["order"]
        contract = int(order["contract"])
        if contract == NOBODY:
            words = VERDICTS[line["verdict"]].replace("_", " ")
        else:
            words = (
                f"SELL {int(order['lots'])} lots {outcome.symbols[contract]} stop-limit, trigger "
                f"{to_rupees(int(order['trigger']))}, limit {to_rupees(int(order['limit']))}, planned stop "
                f"{to_rupees(int(order['stop']))}"
            )
        found[kind] = (contract, words)
    return found


def find_contract(day: DayBars, text: str) -> int:
    """
    The contract a person means by a symbol, or by strike and type such as 25400CE.

    Raises
    ------
    DataError
        If no watched contract of the day matches; names the nearest.
    """
    wanted = text.upper().replace(" ", "")
    names = [f"{s}{'CE' if c else 'PE'}" for s, c in zip(day.strike, day.is_call, strict=True)]
    for contract, symbol in enumerate(day.symbols):
        if wanted in (symbol, names[contract]):
            return contract
    raise DataError(
        f"no watched contract {text!r} on {day.date}; strikes {day.strike.min()} to {day.strike.max()}, "
        f"e.g. {day.symbols[0]} or {names[0]}"
    )


def explain_contract(
    day: DayBars, params: SwingBreakParams, contract: int, predicates: Sequence[Predicate] = ()
) -> pl.DataFrame:
    """
    The story of one contract's day: every swing low, what stage 1 said, and what became of it.

    Returns
    -------
    polars frame
        `confirmed_at, swing_at` (HH:MM)`, swing_low, vwap` (rupees)`, premium_percent, kind` (new, update)`, verdict,
        fate`.
    """
    outcome = play_day(day, params, predicates)
    assert day.date is not None
    date = day.date
    lows = swing_lows_of(day, contract, params)
    rows = []
    for k, low in enumerate(lows):
        replaced = next(
            (later.conf_minute for later in lows[k + 1 :] if later.passed or not _leaves_slot(later, params)),
            day.minutes,
        )
        ending = fate(day, outcome, contract, low, min(replaced, day.minutes - 1)) if low.passed else ""
        if ending == "standing":
            ending = "replaced by the next" if replaced < day.minutes else "standing at the close"
        rows.append(
            (
                minute_label(date, low.conf_minute + 1),
                minute_label(date, low.swing_minute),
                to_rupees(low.swing_low),
                low.vwap.quantize(Decimal("0.01")),
                low.premium_percent,
                "update" if low.update else "new",
                low.verdict,
                ending,
            )
        )
    schema: dict[str, Any] = {
        "confirmed_at": pl.String, "swing_at": pl.String, "swing_low": pl.Decimal(18, 2), "vwap": pl.Decimal(18, 2),
        "premium_percent": pl.Float64, "kind": pl.String, "verdict": pl.String, "fate": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")
