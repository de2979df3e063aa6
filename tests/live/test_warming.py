"""After warming a session compiles nothing more."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import gc, sys, tempfile
from pathlib import Path
import numpy as np
sys.path.insert(0, "tests")
from numba.core.dispatcher import Dispatcher
from live.exchange_for_session import Exchange, plan_of
from oracle import draws
from oracle.compare import DATE, EXPIRY
from oracle.market import day_bars
from engine.history.bars import TICK
from engine.live.day.bar_log import BarLog
from engine.live.day.minutes import Minutes
from engine.live.day.warming import warm
from engine.live.feeds.wire import TICKS, Ticks, decode
from engine.live.session import step
from engine.live.decisions.session_state import new_state

def compiled():
    found = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
    return {(one.py_func.__module__, one.py_func.__name__): len(one.signatures) for one in found if one.signatures}

def ticks(plan, second, *contracts):
    made = np.zeros(len(contracts), TICK)
    made["instrument"] = contracts
    made["price"] = 100 + second
    made["volume"] = 65 * second
    made["exchange_ns"] = plan.open_ns + second * 10**9
    return decode(TICKS, made.tobytes()).ticks

def bars_and_prices(plan):
    # from the wire to the session, as every tick of a live day goes
    state = new_state(plan)
    with tempfile.TemporaryDirectory() as folder:
        minutes = Minutes(plan.open_ns, 5, len(plan.symbols), BarLog(Path(folder), plan.date))
        for second in (1, 30, 59, 61, 30, 130):
            for quotes in minutes.push(ticks(plan, second, 0, 1)):
                step(state, quotes)
        step(state, minutes.close(0))
        assert minutes.reference(0, plan.open_ns) is not None

exchange = {"engine.execution.matching", "engine.execution.bar_path"}
before = None
for seed in range(40):
    params = draws.parameters(seed, latency_ms=0)
    bars = day_bars(draws.market(seed), DATE, EXPIRY)
    if before is None:
        plan = plan_of(bars, params)
        warm(plan)
        before = compiled()
        bars_and_prices(plan)
    Exchange(bars, params).play()
print({name: count for name, count in compiled().items() if before.get(name, 0) < count and name[0] not in exchange})
"""


def test_after_warming_a_session_compiles_nothing():
    ran = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    assert ran.stdout.strip() == "{}"


MATCHING = """
import engine.execution.matching as matching
from dataclasses import dataclass
from itertools import product
from engine.execution import resting

@dataclass
class Order:
    side: int
    order_type: str
    triggered: bool
    fresh: bool
    is_stop: bool
    limit: int = 2000
    trigger: int = 2010
    pending: int = 65

def compiled():
    return {name: len(one.signatures) for name, one in vars(matching).items() if getattr(one, "signatures", None)}

resting.warm()
before = compiled()
assert before
for side, kind, *flags in product((matching.BUY, matching.SELL), ("SL", "LIMIT", "MARKET"), *[(False, True)] * 3):
    for price in (1980, 2020):
        resting.bar_price(Order(side, kind, *flags), resting.Step(2000, price, price > 2000, 1970, 2030), 2, 5)
        resting.quote_price(Order(side, kind, *flags), price, (1990, 2010), [65, 65])
print({name: count for name, count in compiled().items() if before.get(name, 0) < count})
"""


def test_after_warming_no_order_waits_for_a_compiler():
    ran = subprocess.run(
        [sys.executable, "-c", MATCHING],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    assert ran.stdout.strip() == "{}"
