"""What a runner does with every tick, measured: socket, bars, session. A process of its own, so that its memory counts.

`python -m engine.bench.live_reader SOCKET CONTRACTS SECONDS` with a `live_sender` on the socket. Imports the real
runner; the session is the real one, with a hundred closed minutes behind it. Says its figures as JSON.
"""

import asyncio
import datetime as dt
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import engine.live.runner
from engine.live.day.bar_log import BarLog
from engine.live.day.feed_link import FeedLink
from engine.live.day.minutes import Minutes
from engine.live.day.warming import settle_memory
from engine.live.decisions.session_inputs import Bar, BarsClosed, Timer
from engine.live.decisions.session_state import MINUTE_NS, SessionState, new_state, plan_for
from engine.live.feeds.wire import Ticks
from engine.live.session import step
from engine.market.indices import index_of
from engine.params import load_params

HISTORY = 100
"""Closed minutes before the measurement."""
MINUTES = 375
DATE = dt.date(2026, 9, 1)
PATIENCE_S = 5.0


def session_of(contracts: int, open_ns: int) -> SessionState:
    """A session whose contracts have been waving for a hundred minutes."""
    params = load_params("swing_break", strikes_each_side=None, min_vwap_premium_percent=-10)
    half = contracts // 2
    plan = plan_for(
        params,
        date=DATE,
        expiry=DATE,
        open_ns=open_ns,
        open_minute=555,
        minutes=MINUTES,
        lot_size=65,
        symbols=[f"BENCH{place:04d}" for place in range(contracts)],
        strike=24_000 + 50 * np.arange(contracts, dtype=np.int32) % (50 * max(half, 1)),
        is_call=np.arange(contracts) < half,
    )
    state = new_state(plan)
    for minute in range(HISTORY):
        step(state, bars_of(contracts, minute))
    return state


def bars_of(contracts: int, minute: int) -> BarsClosed:
    """One minute of waves, each contract in its own phase; never a break, so nothing is ordered."""
    phase = (np.arange(contracts) * 7 + minute) % 12
    close = 4000 + 40 * np.abs(phase - 6)
    return BarsClosed(
        minute,
        tuple(
            Bar(place, int(price), int(price) + 8, int(price) - 8, int(price), 650)
            for place, price in enumerate(close)
        ),
    )


def percentiles(ns: list[int] | np.ndarray) -> dict[str, float]:
    """p50 and p99 in microseconds."""
    told = np.percentile(np.asarray(ns, np.float64), [50, 99]) / 1000
    return {"p50_us": round(float(told[0]), 1), "p99_us": round(float(told[1]), 1)}


def own_mb() -> int | None:
    """Memory of this process with what it shares with others counted in shares (PSS); None where none tells."""
    told = Path("/proc/self/smaps_rollup")
    if not told.exists():
        return None
    line = next(line for line in told.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) // 1024


async def read(path: Path, contracts: int, seconds: float) -> dict[str, Any]:
    """Follow the sender until it falls silent."""
    open_ns = time.time_ns() // MINUTE_NS * MINUTE_NS - HISTORY * MINUTE_NS
    state = session_of(contracts, open_ns)
    settle_memory()
    with tempfile.TemporaryDirectory() as folder:
        minutes = Minutes(open_ns, MINUTES, contracts, BarLog(Path(folder), DATE), from_open=False)
        link = FeedLink(path, index_of("NIFTY"))
        link.want([(place, f"BENCH{place:04d}", place + 1) for place in range(contracts)])
        whole: list[int] = []
        inside: list[int] = []
        heard = 0
        began = cpu = last = 0.0

        async def follow() -> None:
            nonlocal heard, began, cpu, last
            async for message in link.messages():
                if not isinstance(message, Ticks):
                    continue
                if not began:
                    began, cpu = time.monotonic(), time.process_time()
                    step(state, Timer(time.time_ns()))  # what is compiled is loaded before it is measured
                for quotes in minutes.push(message.ticks):
                    step(state, quotes)
                step(state, Timer(time.time_ns()))
                now = time.time_ns()
                whole.append(now - int(message.ticks["receive_ns"][0]))
                inside.append(time.perf_counter_ns() - link.arrived_ns)
                heard += message.ticks.shape[0]
                last = time.monotonic()

        following = asyncio.create_task(follow())
        silent_at = time.monotonic() + seconds + PATIENCE_S
        while not following.done() and time.monotonic() < min(silent_at, (last or silent_at) + PATIENCE_S):
            await asyncio.wait([following], timeout=PATIENCE_S / 5)
        if following.done():
            following.result()
        following.cancel()
        share = (time.process_time() - cpu) / (last - began)
    skip = len(whole) // 20
    close = []
    for minute in range(HISTORY, HISTORY + 100):
        bars = bars_of(contracts, minute)
        at = time.perf_counter_ns()
        step(state, bars)
        close.append(time.perf_counter_ns() - at)
    return {
        "heard": heard,
        "socket_to_decision": percentiles(whole[skip:]),
        "in_process": percentiles(inside[skip:]),
        "minute_close": percentiles(close),
        "cpu_share": round(share, 3),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "own_mb": own_mb(),
        "runner": engine.live.runner.__name__,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
