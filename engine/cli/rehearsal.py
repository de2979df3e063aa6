"""One rehearsed day: a practice exchange, the live session's own processes, and the backtest of the same day beside.

Nothing here trades or decides. The processes are those of a live session, in a folder of their own, so that a rehearsal
never meets the paper account.
"""

import datetime as dt
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.backtest.outcome import DayOutcome
from engine.backtest.run import load_day, play_day
from engine.backtest.setup import why_untradable
from engine.cli.rehearsal_processes import (
    Look,
    exchange_state,
    log_in,
    measured_latency,
    pace,
    practice_exchange,
    running_session,
    watch,
)
from engine.desk.parity import BacktestDay, Comparison, backtest_day, compare_day, read_session
from engine.desk.parity_bars import seen_day
from engine.errors import DataError
from engine.history.day import DayBars
from engine.history.lake import Lake
from engine.history.manifest import LakeDay
from engine.history.simulate import ensure_simulated
from engine.live.day.recording import recording_folder
from engine.live.spec import PRACTICE_ACCOUNT, SessionSpec, load_session_params
from engine.market.clock import IST
from engine.params import SwingBreakParams
from engine.practice.faults import parse_fault, refuse_at_max
from engine.strategy.predicates import compile_all, load_filter

SEED = 7


@dataclass(frozen=True)
class Rehearsal:
    """
    A rehearsed day beside its backtest.

    Attributes
    ----------
    exact : bool
        Without delay and faults at speed "max": nothing may differ but what no exchange does.
    latency_us : (float, float)
        p50 and p99 from a tick to the decision, microseconds, as the runner measured them; NaN where it did not.
    struck : dict
        How often each fault of the exchange struck.
    seconds : float
        Wall time of the whole.
    """

    entry: LakeDay
    params: SwingBreakParams
    speed: str
    delay_ms: int
    exact: bool
    backtest: BacktestDay
    comparison: Comparison
    flat: bool
    latency_us: tuple[float, float]
    struck: dict[str, int]
    restarts: int
    seconds: float
    folder: Path

    @property
    def is_well(self) -> bool:
        """Flat at the end, and equal to the backtest or every difference accounted for."""
        return self.flat and self.comparison.is_accounted_for(exact=self.exact)

    def as_dict(self) -> dict[str, Any]:
        """Plain, for JSON."""
        names = ("p50", "p99")
        latency = {
            name: round(value / 1000, 4) if value == value else None  # noqa: PLR0124 - NaN
            for name, value in zip(names, self.latency_us, strict=True)
        }
        return {
            "underlying": self.params.underlying,
            "date": self.entry.date.isoformat(),
            "source": self.entry.source,
            "simulated": self.entry.simulated,
            "params_hash": self.params.hash,
            "speed": self.speed,
            "delay_ms": self.delay_ms,
            **self.comparison.as_dict(),
            "causes": self.comparison.causes,
            "latency_ms": latency,
            "faults": self.struck,
            "restarts": self.restarts,
            "flat": self.flat,
            "well": self.is_well,
            "seconds": round(self.seconds, 1),
            "folder": str(self.folder),
        }


def rehearse_day(
    lake: Lake,
    params: SwingBreakParams,
    date: dt.date,
    *,
    source: str | None = None,
    speed: str = "max",
    delay_ms: int = 0,
    faults: Sequence[str] = (),
    seed: int = 0,
    keep: bool = True,
    progress: Callable[[Look], object] | None = None,
) -> Rehearsal:
    """
    Rehearse one day and compare it with its backtest; a day no source has is simulated.

    Parameters
    ----------
    speed : str
        "max" or a number.
    delay_ms : int
        Of the exchange, in its own time; the backtest takes the same latency.
    faults : sequence of str
        As `practice serve --fault`.
    keep : bool
        Keep the rehearsal's folder even when all is well.
    progress : callable, optional
        Told where the day stands, a few times a second.

    Raises
    ------
    RehearsalError
        If exchange or session do not start, or the session ends before its day.
    DataError, ParamsError, FaultError
        If day, parameters or faults are wrong.
    """
    begun = time.monotonic()
    pace(speed)
    switched_on = [parse_fault(fault) for fault in faults]
    if speed == "max":
        refuse_at_max(switched_on)
    entry = find_day(lake, params.underlying, date, source)
    params = params.replace(latency_ms=delay_ms)
    bars = tradable_day(lake, entry, params)
    outcome = play_as_told(bars, params)
    folder = lake.root.resolve() / "rehearsals" / f"{dt.datetime.now(IST):%Y%m%dT%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        spec, state = _play(lake, entry, params, outcome.minutes, speed, faults, seed, folder, progress)
    except KeyboardInterrupt:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    ours = read_session(spec.places.database, date)
    theirs = backtest_day(outcome)
    recording = recording_folder(spec.places.folder, params.underlying, date)
    seen = seen_day(recording, bars, params, lambda day: play_as_told(day, params))
    comparison = compare_day(ours, theirs, latency_ms=delay_ms, seen=seen)
    made = Rehearsal(
        entry=entry,
        params=params,
        speed=speed,
        delay_ms=delay_ms,
        exact=not delay_ms and not faults and speed == "max",
        backtest=theirs,
        comparison=comparison,
        flat=bool(state["flat"]) and not ours.open_positions,
        latency_us=measured_latency(spec),
        struck=dict(state["faults"]),
        restarts=sum(event.kind == "RunnerStarted" for event in ours.events),
        seconds=time.monotonic() - begun,
        folder=folder,
    )
    if made.is_well and not keep:
        shutil.rmtree(folder)
    return made


def _play(
    lake: Lake, entry: LakeDay, params: SwingBreakParams, minutes: int, speed: str, faults: Sequence[str], seed: int,
    folder: Path, progress: Callable[[Look], object] | None,
) -> tuple[SessionSpec, dict[str, Any]]:  # fmt: skip
    """Play the day with all its processes; the session, and where the exchange stood at the end."""
    with practice_exchange(lake, entry, params, speed, params.latency_ms, faults, seed, folder) as told:
        spec = SessionSpec(
            mode="practice",
            account=PRACTICE_ACCOUNT,
            date=entry.date,
            session=load_session_params("practice"),
            params=params,
            data_folder=folder,
            broker="kite",
            broker_root=told["rest_url"],
            feed="practice",
            feed_options={
                "ticker_url": told["ticker_url"],
                "rest_url": told["rest_url"],
                "speed": pace(speed),
            },
            simulated=True,
        )
        spec.write()
        with running_session(spec, log_in(told)) as process:
            watch(spec, process, minutes, told, progress)
        state = exchange_state(told["rest_url"])
    return spec, state


def find_day(lake: Lake, underlying: str, date: dt.date, source: str | None) -> LakeDay:
    """The stored day, made by the simulator where no source has it."""
    if source in {None, "simulated"} and not lake.entries(underlying, date, date, source):
        ensure_simulated(lake, underlying, date, date, seed=SEED)
    return lake.select(underlying, date, date, source)[0]


def tradable_day(lake: Lake, entry: LakeDay, params: SwingBreakParams) -> DayBars:
    """
    The bars of a day.

    Raises
    ------
    DataError
        If it cannot be traded.
    """
    bars = load_day(lake, entry, params)
    reason = why_untradable(bars, params)
    if reason:
        raise DataError(f"{entry.date} cannot be rehearsed: {reason}")
    return bars


def play_as_told(bars: DayBars, params: SwingBreakParams) -> DayOutcome:
    """A day as the backtest trades it, with the filters that the parameters name."""
    return play_day(bars, params, compile_all(load_filter(name) for name in params.filters))
