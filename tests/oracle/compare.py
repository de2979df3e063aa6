"""The engine's structured records as the oracle's plain tuples."""

import datetime as dt
from dataclasses import asdict

from engine.backtest.run import play_day
from engine.execution.decisions import VERDICTS
from engine.execution.fills import LATCHES
from engine.execution.ledger import EXIT_REASONS
from engine.execution.orders import ORDER_EVENTS, ORDER_ROLES
from engine.strategy.predicates import compile_all
from oracle.market import day_bars
from oracle.simulator import Outcome, Trade, Want, simulate

DATE = dt.date(2025, 12, 22)
EXPIRY = dt.date(2025, 12, 23)


def plain(record):
    return {name: record[name].item() for name in record.dtype.names}


def trade_of(record):
    values = plain(record)
    values["reason"] = EXIT_REASONS[values["reason"]]
    return Trade(**values)


def order_of(record):
    v = plain(record)
    return (
        v["minute"], v["ms"], v["number"], ORDER_ROLES[v["role"]], ORDER_EVENTS[v["event"]], v["contract"],
        v["trigger"], v["limit"], v["quantity"], v["price"],
    )  # fmt: skip


def decision_of(record):
    want = plain(record["order"])
    wanted = None
    if want["contract"] >= 0:
        wanted = Want(**{name: want[name] for name in Want.__dataclass_fields__})
    return (
        int(record["minute"]),
        ("CE", "PE")[record["kind"]],
        VERDICTS[record["verdict"]],
        int(record["candidates"]),
        int(record["qualified"]),
        wanted,
    )


def engine_outcome(market, params, functions=()):
    """What the engine makes of a market, in the oracle's words."""
    day = play_day(day_bars(market, DATE, EXPIRY), params, compile_all(functions))
    return Outcome(
        trades=[trade_of(t) for t in day.trades],
        orders=[order_of(o) for o in day.orders],
        decisions=[decision_of(d) for d in day.decisions],
        ambiguous=day.ambiguous_bars,
        latch=LATCHES[day.latch],
        funnel=day.funnel.tolist(),
    )


def differences(market, params, functions=()):
    """First difference of every kind between engine and oracle; empty when they agree."""
    engine = engine_outcome(market, params, functions)
    oracle = simulate(market, params, functions)
    found = {}
    for name in ("trades", "orders", "decisions"):
        ours, theirs = getattr(engine, name), getattr(oracle, name)
        for place in range(max(len(ours), len(theirs))):
            a = ours[place] if place < len(ours) else None
            b = theirs[place] if place < len(theirs) else None
            if a != b:
                if isinstance(a, Trade) and isinstance(b, Trade):
                    left, right = asdict(a), asdict(b)
                    a = {k: v for k, v in left.items() if v != right[k]}
                    b = {k: right[k] for k in a}
                found[name] = (place, "engine", a, "oracle", b)
                break
    for name in ("ambiguous", "latch", "funnel"):
        if getattr(engine, name) != getattr(oracle, name):
            found[name] = ("engine", getattr(engine, name), "oracle", getattr(oracle, name))
    return found
