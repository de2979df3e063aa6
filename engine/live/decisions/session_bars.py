"""A minute closes: its bars go in, the shared strategy decides, the decision is written down."""

import numpy as np

from engine.execution.decisions import VERDICTS, decide
from engine.execution.fills import LATCHED_STOP, LATCHED_TARGET, LATCHES
from engine.execution.risk import CE, PE, loss_reached, target_reached
from engine.live.decisions import session_entries as entries
from engine.live.decisions import session_positions as positions
from engine.live.decisions.session_inputs import BarsClosed
from engine.live.decisions.session_intents import Record
from engine.live.decisions.session_state import MINUTE_NS, SessionState
from engine.live.log.events import DayLatched, DecisionMade
from engine.strategy.closed_minute import take_minute
from engine.strategy.swing_break import NOBODY, close_minute

UNBOOKED_NS = 5_000_000_000
"""A fill whose price is not told for so long is valued at the last price after all."""


def close(state: SessionState, event: BarsClosed) -> None:
    """Take in one closed minute and act on it."""
    minute = event.minute
    if minute <= state.closed_minute or minute >= state.plan.minutes:
        return  # told before, or outside the session
    _write_column(state, event)
    free = not event.replayed and _judge_target(state)
    found = take_minute(state.day, minute, state.tape, state.plan.rules, state.pool.funnel, state.lows)
    state.blocked[:] = False
    for short in state.open:
        if not (free and state.day.valid[short.contract, minute]):
            state.blocked[short.contract] = True
    ce, pe = close_minute(
        state.day, minute, state.lows, np.arange(found, dtype=np.int32), state.pool, state.blocked,
        state.plan.rules, state.addresses, state.row, False,
    )  # fmt: skip
    hours = state.plan.hours
    counts = positions.open_counts(state)
    first, changed = decide(
        minute, ce, pe, entries.stands(state.slots[CE]), entries.stands(state.slots[PE]), *counts,
        state.day_latch != 0, hours.entry_from <= minute + 1 < hours.entry_until, state.pool, state.plan.rules,
        state.plan.limits, state.wanted, state.last,
    )  # fmt: skip
    state.closed_minute = minute
    for kind in (first, 1 - first):
        if changed & (1 << kind):
            state.outbox.append(Record(_decision(state, kind)))
        if not event.replayed:
            entries.ask(state, kind, state.wanted[kind : kind + 1])


def judge_loss(state: SessionState) -> None:
    """
    The day's loss limit, at the last traded prices.

    Not between the report that an order has filled and the trade that tells its price: valued at the last price, a
    stop that filled better than the market stands now would look like a loss that nobody has.
    """
    if any(short.unbooked for short in state.shorts.values()):
        state.unbooked_ns = state.unbooked_ns or state.now_ns
        if state.now_ns - state.unbooked_ns < UNBOOKED_NS:
            return
    else:
        state.unbooked_ns = 0
    if state.day_latch == 0 and loss_reached(state.day_paise(), state.plan.limits):
        latch(state, LATCHED_STOP)


def latch(state: SessionState, why: int) -> None:
    """The day is over: no entry any more, everything is bought back."""
    state.day_latch = why
    state.outbox.append(
        Record(
            DayLatched(
                date=state.plan.date,
                reason="day_stop" if why == LATCHED_STOP else "day_target",
                day_pnl=int(state.day_paise()),
            )
        )
    )
    positions.exit_all(state, LATCHES[why])
    entries.withdraw_all(state)


def _judge_target(state: SessionState) -> bool:
    """
    The day's target, at the closes; True when it was reached just now.

    What is sold out at this very close does not block its contract in the decision, as with an exchange that
    answers at once. Nothing is ordered after the latch, so this touches the record only.
    """
    if state.day_latch or not state.open or not target_reached(state.day_paise(), state.plan.limits):
        return False
    latch(state, LATCHED_TARGET)
    return True


def _write_column(state: SessionState, event: BarsClosed) -> None:
    day, minute = state.day, event.minute
    for bar in event.bars:
        c = bar.contract
        day.open[c, minute], day.high[c, minute], day.low[c, minute] = bar.open, bar.high, bar.low
        day.close[c, minute], day.volume[c, minute], day.valid[c, minute] = bar.close, bar.volume, True
        state.price[c] = bar.close
    for seen in [m for m in state.highs if m <= minute]:
        del state.highs[seen]
    state.now_ns = max(state.now_ns, state.plan.open_ns + (minute + 1) * MINUTE_NS)


def _decision(state: SessionState, kind: int) -> DecisionMade:
    line = state.last[kind]
    order = line["order"]
    wanted = order["contract"] != NOBODY
    numbers = {
        name: int(order[name]) if wanted else 0
        for name in (
            "conf_minute", "swing_index", "swing_minute", "swing_low", "highest_high", "bars_after", "trigger",
            "limit", "lots", "stop",
        )
    }  # fmt: skip
    return DecisionMade(
        minute=int(line["minute"]),
        slot="CE" if kind == CE else "PE",
        verdict=VERDICTS[line["verdict"]],  # type: ignore[arg-type]
        candidates=int(line["candidates"]),
        qualified=int(line["qualified"]),
        symbol=state.plan.symbols[order["contract"]] if wanted else "",
        **numbers,
    )
