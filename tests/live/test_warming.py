"""After warming a session compiles nothing more."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import gc, sys
sys.path.insert(0, "tests")
from numba.core.dispatcher import Dispatcher
from live.exchange_for_session import Exchange, plan_of
from oracle import draws
from oracle.compare import DATE, EXPIRY
from oracle.market import day_bars
from engine.live.day.warming import warm

def compiled():
    found = [one for one in gc.get_objects() if isinstance(one, Dispatcher)]
    return {(one.py_func.__module__, one.py_func.__name__): len(one.signatures) for one in found if one.signatures}

exchange = {"engine.execution.matching", "engine.execution.bar_path"}
before = None
for seed in range(40):
    params = draws.parameters(seed, latency_ms=0)
    bars = day_bars(draws.market(seed), DATE, EXPIRY)
    if before is None:
        warm(plan_of(bars, params))
        before = compiled()
    Exchange(bars, params).play()
print({name: count for name, count in compiled().items() if before.get(name, 0) < count and name[0] not in exchange})
"""


def test_after_warming_a_session_compiles_nothing():
    ran = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    assert ran.stdout.strip() == "{}"
