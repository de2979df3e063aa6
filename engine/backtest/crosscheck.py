"""A second opinion on the money: the fills of a result, replayed through vectorbt's portfolio.

Beside `result`: it takes the fills out of the order log, gives them to `Portfolio.from_orders` as short sales
and compares what vectorbt books, trade by trade, with the trades of the result. Order log, ledger and a foreign
accounting must agree on every entry price, exit price, quantity and P&L before charges.

vectorbt calculates in floats. It is given prices in whole paise and quantities in whole units, so all its sums
are whole numbers far below 2**53, exact as floats; its answers are rounded to the paisa all the same.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.backtest.frames import MONEY, rupees
from engine.backtest.outcome import DayOutcome
from engine.backtest.result import Result
from engine.execution.orders import ENTRY, FILLED
from engine.market.prices import PAISE_PER_RUPEE, PAISE_PER_TICK

_CASH_PAISE = 1e13
"""Capital of each column: no short sale is refused for want of cash."""

_KEY = ("day", "contract", "round")
_FACTS = ("quantity", "entry_paise", "exit_paise", "pnl_paise")
_FILLS = {"day": pl.Int64, "contract": pl.Int64, "step": pl.Int64, "units": pl.Int64, "paise": pl.Int64}


@dataclass(frozen=True, eq=False)
class CrossCheck:
    """
    How a result compares with vectorbt.

    Attributes
    ----------
    trades : int
        Trades compared.
    invalid : int
        Trades that had no price to close them: not in the totals; vectorbt must hold them open as well.
    ours, vectorbt : Decimal
        P&L before charges in rupees, by either.
    equal : bool
        True when both totals and every single trade agree to the paisa.
    differences : polars frame
        One row per trade that does not: `date, symbol, round` (the n-th trade of that contract and day, 0 = first),
        and in two versions, ours and vectorbt's, `quantity, entry_price, exit_price, pnl`, rupees; null where
        one side has no such trade.
    """

    trades: int
    invalid: int
    ours: Decimal
    vectorbt: Decimal
    equal: bool
    differences: pl.DataFrame

    def __repr__(self) -> str:
        verdict = "equal to the paisa" if self.equal else f"{self.differences.height} trades DIFFER"
        return (
            f"{self.trades} trades ({self.invalid} invalid left out): Rs {self.ours} here, Rs {self.vectorbt} by "
            f"vectorbt; {verdict}"
        )


def crosscheck(result: Result) -> CrossCheck:
    """
    Replay the fills of a result through vectorbt; the first call of a process imports it (about 9 s).

    Parameters
    ----------
    result : Result

    Returns
    -------
    CrossCheck
    """
    ours = _our_trades(result.days)
    theirs = _their_trades(_fills(result.days))
    both = ours.join(theirs, on=_KEY, how="full", coalesce=True, suffix="_vectorbt").sort(_KEY)
    same = pl.all_horizontal(pl.col(f).eq_missing(pl.col(f"{f}_vectorbt")) for f in _FACTS)
    different = both.filter(~same)
    total, their_total = int(ours["pnl_paise"].sum()), int(theirs["pnl_paise"].sum())
    invalid = ours["pnl_paise"].null_count()
    return CrossCheck(
        trades=ours.height - invalid,
        invalid=invalid,
        ours=_decimal(total),
        vectorbt=_decimal(their_total),
        equal=different.is_empty() and total == their_total,
        differences=_for_people(different, result.days),
    )


def _our_trades(days: tuple[DayOutcome, ...]) -> pl.DataFrame:
    """The trades of a result in `_KEY` and `_FACTS`; without exit and P&L where they are invalid."""
    rows = np.concatenate([day.trades for day in days])
    known = pl.Series(~rows["invalid"])
    frame = pl.DataFrame(
        {
            "day": np.repeat(np.arange(len(days)), [len(day.trades) for day in days]),
            "contract": rows["contract"].astype(np.int64),
            "quantity": rows["quantity"].astype(np.int64),
            "entry_paise": rows["entry_price"].astype(np.int64) * PAISE_PER_TICK,
            "exit_paise": rows["exit_price"].astype(np.int64) * PAISE_PER_TICK,
            "pnl_paise": rows["pnl"],
        }
    )
    return frame.with_columns(
        pl.when(known).then("exit_paise"),
        pl.when(known).then("pnl_paise"),
        pl.int_range(pl.len()).over("day", "contract").alias("round"),
    ).select(*_KEY, *_FACTS)


def _fills(days: tuple[DayOutcome, ...]) -> pl.DataFrame:
    """Every fill of the order log: day, contract, its place among that contract's fills, units sold, paise."""
    parts = []
    for number, day in enumerate(days):
        rows = day.orders[day.orders["event"] == FILLED]
        sold = np.where(rows["role"] == ENTRY, rows["quantity"], -rows["quantity"])
        parts.append((np.full(len(rows), number), rows["contract"], sold, rows["price"]))
    day_of, contract, units, ticks = (
        np.concatenate(part).astype(np.int64) for part in zip(*parts, strict=True)
    )
    return (
        pl.DataFrame({"day": day_of, "contract": contract, "units": units, "paise": ticks * PAISE_PER_TICK})
        .with_columns(pl.int_range(pl.len()).over("day", "contract").alias("step"))
        .select(pl.col(name).cast(kind) for name, kind in _FILLS.items())
    )


def _their_trades(fills: pl.DataFrame) -> pl.DataFrame:
    """What vectorbt makes of the fills: one column per contract and day, one row per fill, sold short.

    A position that no fill closes stays open: without exit and P&L.
    """
    schema = dict.fromkeys((*_KEY, *_FACTS), pl.Int64)
    if fills.is_empty():
        return pl.DataFrame(schema=schema)
    import vectorbt as vbt
    from vectorbt.portfolio.enums import TradeStatus

    columns = fills.select("day", "contract").unique(maintain_order=True).with_row_index("column")
    at = fills.join(columns, on=["day", "contract"], how="left", maintain_order="left")
    shape = (int(fills["step"].max()) + 1, columns.height)  # type: ignore[arg-type]
    size, price = np.full(shape, np.nan), np.full(shape, np.nan)
    size[at["step"], at["column"]] = at["units"]
    price[at["step"], at["column"]] = at["paise"]
    portfolio = vbt.Portfolio.from_orders(
        close=price,
        size=size,
        price=price,
        direction="shortonly",
        init_cash=_CASH_PAISE,
        fees=0.0,
        slippage=0.0,
        max_orders=shape[0] * shape[1],
    )
    records = portfolio.exit_trades.values
    records = np.sort(records, order=["col", "id"])
    done = records["status"] == TradeStatus.Closed
    closed = pl.Series(done)
    return (
        pl.DataFrame(
            {
                "column": records["col"].astype(np.uint32),
                "quantity": _whole(records["size"]),
                "entry_paise": _whole(records["entry_price"]),
                "exit_paise": _whole(np.where(done, records["exit_price"], 0.0)),
                "pnl_paise": _whole(np.where(done, records["pnl"], 0.0)),
            }
        )
        .with_columns(
            pl.when(closed).then("exit_paise"),
            pl.when(closed).then("pnl_paise"),
            pl.int_range(pl.len()).over("column").alias("round"),
        )
        .join(columns, on="column", how="left", maintain_order="left")
        .select(pl.col(name).cast(kind) for name, kind in schema.items())
    )


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Floats to the nearest whole paisa or unit."""
    return np.rint(values).astype(np.int64)


def _decimal(paise: int) -> Decimal:
    return (Decimal(paise) / PAISE_PER_RUPEE).quantize(Decimal("0.01"))


def _for_people(different: pl.DataFrame, days: tuple[DayOutcome, ...]) -> pl.DataFrame:
    symbols = [
        days[day].symbols[contract] for day, contract in different.select("day", "contract").iter_rows()
    ]
    money = {
        f"{name}{side}": _rupees(different[f"{fact}{side}"])
        for name, fact in (("entry_price", "entry_paise"), ("exit_price", "exit_paise"), ("pnl", "pnl_paise"))
        for side in ("", "_vectorbt")
    }
    return pl.DataFrame(
        {
            "date": pl.Series([days[day].date for day in different["day"]], dtype=pl.Date),
            "symbol": pl.Series(symbols, dtype=pl.String),
            "round": different["round"],
            "quantity": different["quantity"],
            "quantity_vectorbt": different["quantity_vectorbt"],
            **money,
        }
    )


def _rupees(paise: pl.Series) -> pl.Series:
    known = rupees(paise.fill_null(0).to_numpy())
    return pl.select(pl.when(paise.is_not_null()).then(known).otherwise(None).cast(MONEY)).to_series()
