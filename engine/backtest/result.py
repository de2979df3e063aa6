"""What a backtest gives back: trades, orders, decisions, money, the funnel, and what it could not know."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine.backtest.frames import day_frame, decision_frame, funnel_frame, order_frame, trade_frame
from engine.backtest.outcome import DayOutcome, SkippedDay, trade_hash
from engine.errors import MarketFactError
from engine.history.manifest import LakeDay
from engine.market.calendar import trading_days
from engine.market.charges import COMPONENTS, UNITS_PER_RUPEE, Charges, charge_fills, contract_note
from engine.market.prices import PAISE_PER_RUPEE
from engine.params import SwingBreakParams
from engine.strategy.candidates import level_names
from engine.strategy.predicates import Predicate

SIMULATED_LABEL = "SIMULATED PRICES"


@dataclass(frozen=True, eq=False)
class Result:
    """
    Outcome of a run over history.

    Attributes
    ----------
    params : SwingBreakParams
    filters : tuple of Predicate
        User filters in the order in which they were applied.
    start, end : date
        The range that was asked for.
    entries : tuple of LakeDay
        Stored days of the range.
    days : tuple of DayOutcome
        Days that were traded, ascending.
    skipped : tuple of SkippedDay
        Stored days that could not be traded, with the reason.
    elapsed_s : float
        From the call to the end of the last day, loading included.
    """

    params: SwingBreakParams
    filters: tuple[Predicate, ...]
    start: dt.date
    end: dt.date
    entries: tuple[LakeDay, ...]
    days: tuple[DayOutcome, ...]
    skipped: tuple[SkippedDay, ...]
    elapsed_s: float

    @cached_property
    def trades(self) -> pl.DataFrame:
        """One row per trade; see `frames.trade_frame`."""
        return trade_frame(self.days, int(self.params.r_value_rupees * PAISE_PER_RUPEE))

    @cached_property
    def orders(self) -> pl.DataFrame:
        """One row per event of an order."""
        return order_frame(self.days)

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """One row whenever the wanted order of a slot changed."""
        return decision_frame(self.days)

    @cached_property
    def funnel(self) -> pl.DataFrame:
        """`rule, reached, removed`: how far candidates came and which rule removed how many."""
        return funnel_frame(self.days, level_names(tuple(f.name for f in self.filters)))

    @cached_property
    def daily(self) -> pl.DataFrame:
        """One row per traded day: trades, P&L, charges, R, running R, drawdown."""
        billed = {date: note.total for date, note in self.contract_notes.items()}
        return day_frame(self.days, self.trades, billed, self.params.r_value_rupees)

    @cached_property
    def contract_notes(self) -> Mapping[dt.date, Charges]:
        """Charges of each day as billed: STT and stamp to whole rupees, the rest to the paisa."""
        return {day.date: _billed(day) for day in self.days if len(day.trades)}

    @cached_property
    def trade_hash(self) -> str:
        """Sixteen hex digits over every trade; equal hashes mean equal trades."""
        return trade_hash(self.days)

    @property
    def simulated(self) -> bool:
        """True when any price behind this result was made by a model."""
        return any(entry.simulated for entry in self.entries)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the prices came from."""
        return tuple(sorted({entry.source for entry in self.entries}))

    @cached_property
    def absent(self) -> tuple[dt.date, ...] | None:
        """Trading days of the range that the lake does not hold; None where the calendar does not reach."""
        held = {entry.date for entry in self.entries}
        try:
            return tuple(date for date in trading_days(self.start, self.end) if date not in held)
        except MarketFactError:
            return None

    @cached_property
    def data_gaps(self) -> pl.DataFrame:
        """Stored days with missing minutes: `date, missing` (contract-minutes)`, worst_symbol, worst_missing`."""
        rows = [
            (e.date, e.gaps.missing, e.gaps.worst_symbol, e.gaps.worst_missing)
            for e in self.entries
            if e.gaps.missing
        ]
        schema = {"date": pl.Date, "missing": pl.Int64, "worst_symbol": pl.String, "worst_missing": pl.Int64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def charges(self) -> dict[str, Decimal]:
        """Charges of the run by component in rupees, as billed; they add up to the total."""
        total = {
            name: sum((getattr(note, name) for note in self.contract_notes.values()), Decimal("0.00"))
            for name in COMPONENTS
        }
        return {name: value.quantize(Decimal("0.01")) for name, value in total.items()}

    def summary(self) -> dict[str, Any]:
        """
        The run in one flat mapping, ready for JSON; money in rupees as text of exact decimals.

        `total_r` and what derives from it count P&L before charges over the value of one R; `net_r` after.
        """
        trades = self.trades.filter(~pl.col("invalid"))
        daily = self.daily
        r = trades["r"].to_numpy()
        own_r = trades["own_r"].to_numpy()
        gross = Decimal(sum(int(day.trades["pnl"].sum()) for day in self.days)) / PAISE_PER_RUPEE
        charged = sum((note.total for note in self.contract_notes.values()), Decimal("0.00"))
        wins = int((r > 0).sum())
        return {
            "strategy": self.params.strategy,
            "underlying": self.params.underlying,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "simulated": self.simulated,
            "sources": list(self.sources),
            "params_hash": self.params.hash,
            "filters": [f.name for f in self.filters],
            "filter_hashes": {f.name: f.hash for f in self.filters},
            "days": len(self.days),
            "days_skipped": len(self.skipped),
            "days_absent": None if self.absent is None else len(self.absent),
            "bars": sum(day.bars for day in self.days),
            "trades": trades.height,
            "win_rate": round(wins / trades.height, 4) if trades.height else None,
            "total_r": round(float(r.sum()), 4),
            "net_r": round(float(daily["net_r"].sum()), 4),
            "mean_r": round(float(r.mean()), 4) if trades.height else None,
            "mean_own_r": round(float(own_r.mean()), 4) if trades.height else None,
            "best_day_r": round(float(daily["r"].max()), 4),  # type: ignore[arg-type]
            "worst_day_r": round(float(daily["r"].min()), 4),  # type: ignore[arg-type]
            "max_drawdown_r": round(float(daily["drawdown_r"].min()), 4),  # type: ignore[arg-type]
            "gross_pnl": str(gross.quantize(Decimal("0.01"))),
            "charges": str(charged.quantize(Decimal("0.01"))),
            "net_pnl": str((gross - charged).quantize(Decimal("0.01"))),
            "charges_by_component": {name: str(value) for name, value in self.charges.items()},
            "exit_reasons": dict(
                self.trades.group_by("exit_reason")
                .len()
                .sort("len", "exit_reason", descending=[True, False])
                .iter_rows()
            ),
            "day_stops": int(daily["latch"].eq("day_stop").sum()),
            "day_targets": int(daily["latch"].eq("day_target").sum()),
            "funnel": {rule: reached for rule, reached, _ in self.funnel.iter_rows()},
            "ambiguous_bars": sum(day.ambiguous_bars for day in self.days),
            "invalid_trades": int(self.trades["invalid"].sum()),
            "trades_through_gaps": int((self.trades["gap_minutes"] > 0).sum()),
            "missing_contract_minutes": int(self.data_gaps["missing"].sum()),
            "trade_hash": self.trade_hash,
            "elapsed_s": round(self.elapsed_s, 3),
        }

    def plot(self) -> Any:
        """Equity, daily R and drawdown as one Plotly figure."""
        from engine.backtest.report import overview

        return overview(self)

    def report(self, path: str | Path, lake: Any = None) -> Path:
        """
        Write one self-contained HTML page and return its path.

        Parameters
        ----------
        path : str or Path
        lake : Lake, optional
            Where the bars of the trades shown in detail are read; without it those charts are left out.
        """
        from engine.backtest.report import write_report

        return write_report(self, Path(path), lake)

    def __repr__(self) -> str:
        facts = self.summary()
        label = f"  [{SIMULATED_LABEL}]" if self.simulated else ""
        absent = f", {len(self.absent)} trading days absent" if self.absent else ""
        return (
            f"{facts['underlying']} {facts['strategy']} {self.start} to {self.end}: {facts['days']} days{absent}, "
            f"{facts['trades']} trades, {facts['total_r']:+.2f} R, net Rs {facts['net_pnl']}, "
            f"hash {facts['trade_hash']}{label}"
        )


def _billed(day: DayOutcome) -> Charges:
    """The contract note of one day's entry and exit orders."""
    rows = day.trades
    done = rows[~rows["invalid"]]
    fills = np.concatenate(
        (
            charge_fills(day.date, True, rows["quantity"], rows["entry_price"]),
            charge_fills(day.date, False, done["quantity"], done["exit_price"])
            if len(done)
            else charge_fills(day.date, False, np.ones(0, np.int64), np.ones(0, np.int64)),
        )
    )
    sums = {name: Decimal(int(fills[name].sum())) / UNITS_PER_RUPEE for name in COMPONENTS}
    return contract_note([Charges(**sums)]).rounded
