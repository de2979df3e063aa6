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
