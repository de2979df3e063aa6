"""The kernels' integers as frames for people: rupees as exact decimals, times in IST."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.backtest.outcome import DayOutcome, moment_ms
from engine.execution.decisions import DECISION, VERDICTS
from engine.execution.ledger import EXIT_REASONS, TRADE
from engine.execution.orders import ORDER_EVENT, ORDER_EVENTS, ORDER_ROLES
from engine.market.charges import charge_fills, units_to_paise
from engine.market.clock import minute_start
from engine.market.prices import PAISE_PER_TICK

MONEY = pl.Decimal(18, 2)
TIME = pl.Datetime("ms", "Asia/Kolkata")
_MINUTE_MS = 60_000


def rupees(paise: npt.NDArray) -> pl.Series:
    """Paise as exact rupees."""
    return pl.Series([Decimal(int(p)).scaleb(-2) for p in paise], dtype=MONEY)


def ticks_as_rupees(ticks: npt.NDArray) -> pl.Series:
    """Ticks as exact rupees."""
    return rupees(np.asarray(ticks, np.int64) * PAISE_PER_TICK)


def _stack(
    days: Sequence[DayOutcome], name: str, dtype: np.dtype
) -> tuple[npt.NDArray, npt.NDArray[np.int64]]:
    """All rows of one kind of record, and which day each belongs to."""
    parts = [getattr(day, name) for day in days]
    rows = np.concatenate(parts) if parts else np.zeros(0, dtype)
    return rows, np.repeat(np.arange(len(days)), [len(part) for part in parts])


def _opens_ms(days: Sequence[DayOutcome]) -> npt.NDArray[np.int64]:
    return np.array([int(minute_start(day.date, 0).timestamp() * 1000) for day in days], np.int64)


def _times(
    opens: npt.NDArray[np.int64], of_day: npt.NDArray[np.int64], ms: npt.NDArray[np.int64]
) -> pl.Series:
    return pl.Series(opens[of_day] + ms).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone("Asia/Kolkata")


def _contract_columns(
    days: Sequence[DayOutcome], of_day: npt.NDArray[np.int64], contract: npt.NDArray
) -> dict[str, pl.Series]:
    pairs = list(zip(of_day.tolist(), contract.tolist(), strict=True))
    return {
        "date": pl.Series([days[d].date for d in of_day], dtype=pl.Date),
        "symbol": pl.Series([days[d].symbols[c] if c >= 0 else None for d, c in pairs], dtype=pl.String),
        "option_type": pl.Series(
            [("CE" if days[d].is_call[c] else "PE") if c >= 0 else None for d, c in pairs], dtype=pl.String
        ),
        "strike": pl.Series([int(days[d].strike[c]) if c >= 0 else None for d, c in pairs], dtype=pl.Int32),
        "expiry": pl.Series([days[d].expiry for d in of_day], dtype=pl.Date),
    }


def _reasons(codes: npt.NDArray, names: Sequence[str]) -> pl.Series:
    return pl.Series([names[code] for code in codes], dtype=pl.String)


def trade_frame(days: Sequence[DayOutcome], r_value_paise: int) -> pl.DataFrame:
    """
    One row per trade, in the order of entry.

    Prices and money are rupees (Decimal): `risk` from the fill to the stop as placed, `pnl` before charges,
    `charges` of both orders to the paisa, `net_pnl`. `r` is P&L over the value of one R, `own_r` over the
    trade's own risk. An invalid trade had no price to close it: its exit, pnl and R are null, not zero.
    """
    rows, of_day = _stack(days, "trades", TRADE)
    opens = _opens_ms(days)
    dates = np.array([day.date for day in days], "datetime64[D]")[of_day]
    done = ~rows["invalid"]
    charges = np.zeros(len(rows), np.int64)
    if len(rows):
        entry = charge_fills(dates, True, rows["quantity"], rows["entry_price"])["total"]
        charges += entry
        if done.any():
            charges[done] += charge_fills(
                dates[done], False, rows["quantity"][done], rows["exit_price"][done]
            )["total"]
    charged = np.asarray(units_to_paise(charges), np.int64)
    pnl = rows["pnl"]
    unknown = pl.Series(rows["invalid"])

    def known(series: pl.Series) -> pl.Series:
        return pl.select(pl.when(unknown).then(None).otherwise(series)).to_series()

    risk = np.maximum(rows["risk"], 1)
    return pl.DataFrame(
        {
            **_contract_columns(days, of_day, rows["contract"]),
            "lots": rows["lots"],
            "quantity": rows["quantity"],
            "swing_time": _times(opens, of_day, rows["swing_minute"].astype(np.int64) * _MINUTE_MS),
            "confirmed_at": _times(opens, of_day, (rows["conf_minute"].astype(np.int64) + 1) * _MINUTE_MS),
            "swing_low": ticks_as_rupees(rows["swing_low"]),
            "trigger": ticks_as_rupees(rows["trigger"]),
            "limit": ticks_as_rupees(rows["limit"]),
            "entry_time": _times(opens, of_day, moment_ms(rows["entry_minute"], rows["entry_moment"])),
            "entry_price": ticks_as_rupees(rows["entry_price"]),
            "planned_stop": ticks_as_rupees(rows["planned_stop"]),
            "stop": ticks_as_rupees(rows["stop"]),
            "exit_time": known(_times(opens, of_day, moment_ms(rows["exit_minute"], rows["exit_moment"]))),
            "exit_price": known(ticks_as_rupees(rows["exit_price"])),
            "exit_reason": _reasons(rows["reason"], EXIT_REASONS),
            "planned_risk": rupees(rows["planned_risk"]),
            "risk": rupees(rows["risk"]),
            "pnl": known(rupees(pnl)),
            "charges": rupees(charged),
            "net_pnl": known(rupees(pnl - charged)),
            "r": known(pl.Series(pnl / r_value_paise)),
            "own_r": known(pl.Series(pnl / risk)),
            "gap_minutes": rows["gap_minutes"],
            "ambiguous": rows["ambiguous"],
            "invalid": rows["invalid"],
            "simulated": pl.Series([days[d].simulated for d in of_day], dtype=pl.Boolean),
        }
    )


def order_frame(days: Sequence[DayOutcome]) -> pl.DataFrame:
    """One row per thing that happened to an order, in the order of time; prices in rupees (Decimal)."""
    rows, of_day = _stack(days, "orders", ORDER_EVENT)
    opens = _opens_ms(days)
    return pl.DataFrame(
        {
            **_contract_columns(days, of_day, rows["contract"]),
            "time": _times(opens, of_day, rows["ms"]),
            "order": rows["number"],
            "role": _reasons(rows["role"], ORDER_ROLES),
            "event": _reasons(rows["event"], ORDER_EVENTS),
            "trigger": ticks_as_rupees(rows["trigger"]),
            "limit": ticks_as_rupees(rows["limit"]),
            "quantity": rows["quantity"],
            "price": ticks_as_rupees(rows["price"]),
        }
    )


def decision_frame(days: Sequence[DayOutcome]) -> pl.DataFrame:
    """One row whenever what is wanted of a slot changed: the verdict, and the order if one is wanted."""
    rows, of_day = _stack(days, "decisions", DECISION)
    opens = _opens_ms(days)
    order = rows["order"]
    columns = _contract_columns(days, of_day, order["contract"])
    wanted = pl.Series(order["contract"] >= 0)

    def known(series: pl.Series) -> pl.Series:
        return pl.select(pl.when(wanted).then(series).otherwise(None)).to_series()

    return pl.DataFrame(
        {
            "date": columns["date"],
            "time": _times(opens, of_day, (rows["minute"].astype(np.int64) + 1) * _MINUTE_MS),
            "option_type": pl.Series(["CE" if kind == 0 else "PE" for kind in rows["kind"]], dtype=pl.String),
            "verdict": _reasons(rows["verdict"], VERDICTS),
            "symbol": columns["symbol"],
            "swing_low": known(ticks_as_rupees(order["swing_low"])),
            "trigger": known(ticks_as_rupees(order["trigger"])),
            "limit": known(ticks_as_rupees(order["limit"])),
            "stop": known(ticks_as_rupees(order["stop"])),
            "lots": known(pl.Series(order["lots"])),
            "candidates": rows["candidates"],
            "qualified": rows["qualified"],
        }
    )


def funnel_frame(days: Sequence[DayOutcome], levels: Sequence[str]) -> pl.DataFrame:
    """
    How many candidates came how far, and how many each rule removed.

    `contract_days` count contracts times days; from `swing_lows` on a row counts swing lows. `removed` is what
    the rule of that row took from the row before; it is null where the unit changes.
    """
    reached = np.sum([day.funnel for day in days], axis=0) if days else np.zeros(len(levels), np.int64)
    removed = [None if k in (0, 2) else int(reached[k - 1] - reached[k]) for k in range(len(levels))]
    return pl.DataFrame({"rule": list(levels), "reached": reached, "removed": removed})


def day_frame(
    days: Sequence[DayOutcome], trades: pl.DataFrame, billed: dict[dt.date, Decimal], r_value: Decimal
) -> pl.DataFrame:
    """
    One row per traded day: trades, P&L, charges as billed, R, and both running.

    `drawdown_r` is R below the best running total so far (zero or negative).
    """
    per_day = trades.group_by("date").agg(pl.len().alias("trades"), pl.col("pnl").sum().alias("gross_pnl"))
    frame = (
        pl.DataFrame({"date": [day.date for day in days], "ambiguous_bars": [d.ambiguous_bars for d in days]})
        .join(per_day, on="date", how="left", maintain_order="left")
        .with_columns(
            pl.col("trades").fill_null(0),
            pl.col("gross_pnl").cast(MONEY).fill_null(Decimal(0)),
            pl.Series("charges", [billed.get(day.date, Decimal(0)) for day in days], dtype=MONEY),
        )
        .with_columns((pl.col("gross_pnl") - pl.col("charges")).cast(MONEY).alias("net_pnl"))
    )
    gross = np.array([float(value / r_value) for value in frame["gross_pnl"]])
    net = np.array([float(value / r_value) for value in frame["net_pnl"]])
    running = np.cumsum(gross)
    return frame.with_columns(
        pl.Series("r", gross),
        pl.Series("net_r", net),
        pl.Series("total_r", running),
        pl.Series("total_net_r", np.cumsum(net)),
        pl.Series("drawdown_r", running - np.maximum.accumulate(np.maximum(running, 0.0))),
        pl.Series("latch", [["", "day_stop", "day_target"][day.latch] for day in days]),
    )
