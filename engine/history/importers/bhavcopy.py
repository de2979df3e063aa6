"""NSE's end-of-day F&O file (bhavcopy), in the exchange's UDiFF columns or as tidy columns.

Volume counts lots there and open interest units; open, high and low are 0 where nothing was traded. It lands as a
reference table, see `engine.history.eod`.
Source of the column names: NSE circular on UDiFF common bhavcopy for F&O, in force since 2024-07-08.
"""

import polars as pl

from engine.errors import MarketFactError
from engine.history.importers.checks import REASON, Checked
from engine.market import calendar
from engine.market.contracts import UNDERLYINGS
from engine.market.prices import PAISE_PER_RUPEE

UDIFF = {
    "TradDt": "date",
    "FinInstrmTp": "kind",
    "TckrSymb": "underlying",
    "XpryDt": "expiry",
    "StrkPric": "strike",
    "OptnTp": "option_type",
    "FinInstrmNm": "symbol",
    "OpnPric": "open",
    "HghPric": "high",
    "LwPric": "low",
    "ClsPric": "close",
    "SttlmPric": "settle",
    "UndrlygPric": "underlying_close",
    "TtlTradgVol": "volume",
    "OpnIntrst": "oi",
    "ChngInOpnIntrst": "oi_chg",
    "TtlNbOfTxsExctd": "trades",
    "NewBrdLotQty": "lot",
}
TIDY = tuple(name for name in UDIFF.values() if name != "kind")
_INDEX_KINDS = {"IDO": "option", "IDF": "future", "OPTIDX": "option", "FUTIDX": "future"}
_RUPEES = ("open", "high", "low", "close", "settle", "underlying_close")
_COUNTS = ("volume", "oi", "oi_chg", "trades", "lot")


def is_bhavcopy(table: pl.DataFrame) -> bool:
    """Whether a table carries the exchange's columns or our tidy end-of-day ones."""
    return set(UDIFF) <= set(table.columns) or set(TIDY) <= set(table.columns)


def read_bhavcopy(table: pl.DataFrame) -> Checked:
    """
    The rows of a bhavcopy as columns of `engine.history.eod`, split into good and bad.

    Futures get option type FUT; prices become paise, volume units.
    """
    if set(UDIFF) <= set(table.columns):
        rows = table.select(pl.col(theirs).alias(ours) for theirs, ours in UDIFF.items())
        index = pl.col("kind").is_in(list(_INDEX_KINDS))
        future = pl.col("kind").replace_strict(_INDEX_KINDS, default=None) == "future"
        rows = rows.with_columns(
            option_type=pl.when(future).then(pl.lit("FUT")).otherwise(pl.col("option_type")), index=index
        ).drop("kind")
    else:
        rows = table.select(TIDY).with_columns(index=pl.lit(value=True))
    days = [
        pl.col(name).cast(pl.String).str.head(10).str.to_date("%Y-%m-%d", strict=False)
        for name in ("date", "expiry")
    ]
    rows = rows.with_columns(
        *days,
        pl.col("strike", *_RUPEES, *_COUNTS).cast(pl.String).cast(pl.Float64, strict=False),
        pl.col("underlying", "symbol", "option_type").cast(pl.String).str.strip_chars(),
    )
    rows = rows.with_columns(pl.col(_RUPEES) * PAISE_PER_RUPEE)
    rows = rows.join(_closed_days(rows), on="date", how="left", maintain_order="left")
    rows = rows.with_columns(_reason().alias(REASON), ts=pl.col("date"))
    fit = rows.filter(pl.col(REASON).is_null())
    unique = fit.unique(maintain_order=True)
    doubled = pl.len().over("date", "symbol", "expiry", "strike", "option_type") > 1
    unique = unique.with_columns(
        pl.when(doubled).then(pl.lit("two different rows for one contract")).alias(REASON)
    )
    bad = pl.concat([rows.filter(pl.col(REASON).is_not_null()), unique.filter(pl.col(REASON).is_not_null())])
    good = unique.filter(pl.col(REASON).is_null()).with_columns(
        pl.when(pl.col(name) > 0).then(pl.col(name).round()).alias(name) for name in ("open", "high", "low")
    )
    good = good.with_columns(
        pl.col("close", "settle", "underlying_close").round(),
        strike=pl.when(pl.col("option_type") != "FUT").then(pl.col("strike")),
        volume=pl.col("volume") * pl.col("lot"),
        oi_change=pl.col("oi_chg"),
    )
    return Checked(good=good, bad=bad, duplicates=fit.height - unique.height)


def _closed_days(rows: pl.DataFrame) -> pl.DataFrame:
    found = []
    for date in rows["date"].drop_nulls().unique():
        try:
            known = None if calendar.is_trading_day(date) else "not a trading day"
        except MarketFactError as error:
            known = f"not a trading day ({error})"
        found.append((date, known))
    return pl.DataFrame(found, {"date": pl.Date, "no_day": pl.String}, orient="row")


def _reason() -> pl.Expr:
    prices = [pl.col(name) for name in _RUPEES]
    rules = {
        "not an index contract": ~pl.col("index"),
        "unknown underlying": ~pl.col("underlying").is_in(UNDERLYINGS) | pl.col("underlying").is_null(),
        "option type is none of CE, PE, FUT": ~pl.col("option_type").is_in(["CE", "PE", "FUT"])
        | pl.col("option_type").is_null(),
        "no date or expiry": pl.col("date").is_null() | pl.col("expiry").is_null(),
        "not a trading day": pl.col("no_day").is_not_null(),
        "expiry before the trading day": pl.col("expiry") < pl.col("date"),
        "option without a strike in whole rupees": (pl.col("option_type") != "FUT")
        & (pl.col("strike").is_null() | (pl.col("strike") % 1 != 0)),
        "no close or settlement price": pl.any_horizontal(
            pl.col("close", "settle").is_null() | pl.col("close", "settle").is_nan()
        ),
        "negative price": pl.any_horizontal(price < 0 for price in prices),
        "price finer than a paisa": pl.any_horizontal(
            (price - price.round()).abs() > 1e-4 for price in prices
        ),
        "no lot, volume or open interest": pl.any_horizontal(pl.col("lot", "volume", "oi").is_null()),
    }
    reason = pl.lit(None, pl.String)
    for words, rule in reversed(rules.items()):
        reason = pl.when(rule.fill_null(value=False)).then(pl.lit(words)).otherwise(reason)
    return reason
