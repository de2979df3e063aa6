"""What the runner tells of itself every second: the heartbeat's status for panels, status command and watchdog."""

import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from engine.live.log.heartbeat import Heart
from engine.live.log.money import billed_charges
from engine.live.log.store_errors import StoreError
from engine.live.reconcile import Comparison
from engine.market.prices import to_rupees

if TYPE_CHECKING:
    from engine.live.day.live_day import LiveDay

KEPT = 8192
"""Latencies kept for the percentiles."""


class DayStatus:
    """
    Collects what is worth knowing and beats.

    Attributes
    ----------
    phase : str
        starting, login_needed, waiting, trading, closing or done; a lost login and a KILL show while they last.
    killing : bool
        A KILL is being carried out.
    minute : int
        Last closed minute; -1 before the first.
    """

    def __init__(self) -> None:
        self.phase = "starting"
        self.killing = False
        self.minute = -1
        self._log = structlog.get_logger("runner")
        self._latency = np.zeros(KEPT, np.int64)
        self._count = 0
        self.ticks = 0
        self._compared: Comparison | None = None
        self._compared_at = 0.0

    def log(self, level: str, text: str) -> None:
        """A line of the runner's own log."""
        getattr(self._log, level)(text)

    def decided(self, arrived_ns: int, ticks: int) -> None:
        """Ticks that arrived at a moment of `perf_counter_ns` have been dealt with just now."""
        self._latency[self._count % KEPT] = time.perf_counter_ns() - arrived_ns
        self._count += 1
        self.ticks += ticks

    def compared(self, comparison: Comparison) -> None:
        """The broker was asked."""
        self._compared = comparison
        self._compared_at = time.monotonic()

    def latency_us(self, percent: float) -> float | None:
        """Percentile of the time from the socket to the end of the decision, in microseconds; None before any."""
        known = self._latency[: min(self._count, KEPT)]
        return round(float(np.percentile(known, percent)) / 1000, 1) if known.shape[0] else None

    def beat(self, heart: Heart, day: "LiveDay | None") -> None:
        """Give a sign of life; a disk that takes none leaves us silent, which the watchdog sees."""
        told: dict[str, Any] = {"phase": self._phase(day), "minute": self.minute}
        told["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        told["latency_us"] = {"p50": self.latency_us(50), "p99": self.latency_us(99)}
        told["ticks"] = self.ticks
        seq = 0
        if day is not None:
            told |= _market(day)
            seq = day.store.state.seq
            compared = self._compared
            told["broker"] = {
                "up": not day.login_lost and (compared is None or compared.known),
                "age_s": round(time.monotonic() - self._compared_at, 1) if compared is not None else None,
                "detail": "" if compared is None else compared.detail,
            }
        try:
            heart.beat(seq, told)
        except StoreError as error:
            self._log.warning("no heartbeat: %s", error)

    def _phase(self, day: "LiveDay | None") -> str:
        if self.phase == "done":
            return "done"
        if day is not None and day.login_lost:
            return "login_needed"
        return "closing" if self.killing else self.phase


def _market(day: "LiveDay") -> dict[str, Any]:
    spec = day.spec
    told: dict[str, Any] = {
        "mode": spec.mode,
        "underlying": spec.params.underlying,
        "date": spec.date.isoformat(),
        "now_ns": day.clock.wall_ns(),
        "paced": day.paced,
        "simulated": spec.simulated,
    }
    condition, detail = day.link.condition(None)
    age = day.link.tick_age_s
    told["feed"] = {
        "fresh": day.watch.fresh and condition == "up",
        "age_s": None if age == float("inf") else round(age, 1),
        "detail": detail or day.watch.detail,
    }
    if not day.started:
        return told
    state = day.trader.state
    shorts = [short.contract for short in state.open]
    asked = [slot.entry.contract for slot in state.slots if slot.entry is not None]
    told["prices"] = {
        day.plan.symbols[place]: str(to_rupees(int(state.price[place])))
        for place in sorted({*shorts, *asked})
        if state.price[place] > 0
    }
    gross = int(state.day_paise())
    fills = [fill for fill in day.store.state.fills.values() if day.is_todays(fill.position)]
    charges = billed_charges(spec.date, fills)
    told["day_pnl_paise"] = gross
    told["charges_paise"] = charges
    told["net_paise"] = gross - charges
    told["r_paise"] = int(spec.params.r_value_rupees * 100)
    return told
