"""The live path measured: socket to decision, ticks lost, decision to durable intent, recovery, memory, CPU share.

Sender and reader are processes of their own, joined by the feed's own socket; prices are made up.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench.live_reader import DATE, HISTORY, bars_of, percentiles, session_of
from engine.errors import DataError
from engine.live.decisions.session_restart import rebuild
from engine.live.decisions.session_state import MINUTE_NS
from engine.live.log.events import IntentPrepared, OrderAccepted, SessionStarted
from engine.live.store import Store
from engine.params import project_folder

SECONDS, QUICK_SECONDS = 20.0, 5.0
INTENTS, QUICK_INTENTS = 1000, 200
GOALS = {
    "socket_to_decision_p99_us": 1000.0,
    "in_process_p99_us": 100.0,
    "durable_intent_p99_us": 5000.0,
    "rss_mb": 250.0,
    "lost_ticks": 0.0,
}


def measure_live(*, quick: bool = False) -> dict[str, Any]:
    """
    Measure; about a minute, with `quick` a third of it.

    Returns
    -------
    dict, ready for JSON
        `ticks_8400` (42 contracts, 200 frames a second) and `ticks_20000` (1,000 contracts, 20 frames a second): `sent`,
        `lost`, percentiles of `socket_to_decision`, `in_process` and `minute_close`, `cpu_share`, `rss_mb`.
        `durable_intent`: percentiles. `recovery_s`: opening a day's log and rebuilding its session.
        `goals`: name to (goal, measured, met).
    """
    seconds = QUICK_SECONDS if quick else SECONDS
    figures: dict[str, Any] = {
        "ticks_8400": stream(42, 200, seconds),
        "ticks_20000": stream(1000, 20, seconds),
        **durable(QUICK_INTENTS if quick else INTENTS),
    }
    small, large = figures["ticks_8400"], figures["ticks_20000"]
    measured = {
        "socket_to_decision_p99_us": small["socket_to_decision"]["p99_us"],
        "in_process_p99_us": small["in_process"]["p99_us"],
        "durable_intent_p99_us": figures["durable_intent"]["p99_us"],
        "rss_mb": float(small["rss_mb"]),
        "lost_ticks": float(small["lost"] + large["lost"]),
    }
    figures["goals"] = {
        name: {"goal": goal, "measured": measured[name], "met": measured[name] <= goal}
        for name, goal in GOALS.items()
    }
    return figures


def stream(contracts: int, frames: float, seconds: float) -> dict[str, Any]:
    """
    One sender and one reader.

    Raises
    ------
    DataError
        If one of them fails.
    """
    with tempfile.TemporaryDirectory(prefix="wb-") as folder:
        path = str(Path(folder) / "feed.sock")
        sender = _process("engine.bench.live_sender", path, str(frames), str(seconds))
        reader = _process("engine.bench.live_reader", path, str(contracts), str(seconds + 15))
        heard, sent = _answer(reader), _answer(sender)
    return {**heard, **sent, "lost": sent["sent"] - heard["heard"], "contracts": contracts, "frames": frames}


def durable(intents: int) -> dict[str, Any]:
    """Commit so many intents to a real file, then open its log again and rebuild the session."""
    took = []
    with tempfile.TemporaryDirectory(dir=project_folder()) as folder:  # a disk, not memory
        path = Path(folder) / "live.sqlite"
        with Store.open(path, "bench") as store:
            store.append(_session())
            for number in range(intents):
                intent = _intent(number)
                at = time.perf_counter_ns()
                store.append(intent)
                took.append(time.perf_counter_ns() - at)
                store.append(OrderAccepted(tag=intent.tag, order_id=str(number)))
        open_ns = time.time_ns() - (HISTORY + 1) * MINUTE_NS
        plan = session_of(42, open_ns).plan
        began = time.perf_counter()
        with Store.open(path, "bench") as store:
            events = store.events()
            rebuild(plan, events, store.state, [bars_of(42, minute) for minute in range(HISTORY)])
        recovery = time.perf_counter() - began
    return {
        "durable_intent": percentiles(np.array(took)),
        "recovery_s": round(recovery, 3),
        "recovery_events": 2 * intents,
    }


def _session() -> SessionStarted:
    return SessionStarted(
        date=DATE, underlying="NIFTY", expiry=DATE, mode="practice", params_hash="bench", lot_size=65, broker="kite",
        feed="practice", simulated=True,
    )  # fmt: skip


def _intent(number: int) -> IntentPrepared:
    return IntentPrepared(
        tag=f"E{number:06d}", position=number + 1, slot="CE", leg="entry", reason="entry", symbol="BENCH0001",
        side="SELL", quantity=65, order_type="SL", trigger=2000, limit=1940, stop=2200,
    )  # fmt: skip


def _process(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - this very Python
        [sys.executable, "-m", *arguments],
        cwd=project_folder(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    said, complaint = process.communicate(timeout=300)
    if process.returncode:
        last = (complaint.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"a measured process ended with {process.returncode}: {last}")
    told: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return told
