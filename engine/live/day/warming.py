"""Compiling what a session calls, before it has to answer.

On a machine that never ran it, these functions take tens of seconds to compile. A runner that did so in its loop, at
its first tick or closed bar, would give no sign of life meanwhile and be taken for dead.
"""

import gc

from engine.history.bars import BarBuilder
from engine.live.day.last_prices import LastPrices
from engine.live.decisions.session_inputs import (
    Bar,
    BarsClosed,
    EntryKnown,
    OrderUpdate,
    Quotes,
    Timer,
    Trade,
)
from engine.live.decisions.session_state import MINUTE_NS, Plan, new_state
from engine.live.session import step
from engine.strategy.candidates import drop


def settle_memory() -> None:
    """
    Collect what the start has left, and take what it has made to be there for good.

    Half of a runner's objects are the compiler's and its libraries'. To go through them at a collection in the middle
    of a day would hold up a decision for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


def warm(plan: Plan) -> None:
    """
    Play two minutes and a fill of a day that leaves no trace; every function a live day calls is compiled then.

    Parameters
    ----------
    plan : Plan
        Of the session to come, with at least one contract.
    """
    quotes = Quotes.of(plan.open_ns, ((0, 2000),))
    builder = BarBuilder(plan.open_ns, 1, 1)
    builder.push(quotes.ticks)
    builder.close_all()
    LastPrices(1, plan.open_ns).push(quotes.ticks, plan.open_ns)
    state = new_state(plan)
    bar = Bar(contract=0, open=2000, high=2010, low=1990, close=2000, volume=plan.rules.lot_size)
    kind = 0 if plan.is_call[0] else 1
    units, at_ns = plan.rules.lot_size, plan.open_ns + MINUTE_NS
    for event in (
        quotes,
        Timer(plan.open_ns),
        BarsClosed(0, (bar,)),
        EntryKnown(position=1, kind=kind, contract=0, conf_minute=0, swing_index=0, trigger=1990, limit=1930, lots=1,
                   stop=2200),
        OrderUpdate(1, "entry", "stands", units, 1990, 1930, 0, at_ns),
        Trade("warm", 1, "entry", units, 1990, at_ns),
        Timer(at_ns),
        BarsClosed(1, (bar,)),
    ):  # fmt: skip
        step(state, event)
    drop(state.pool, 0)
