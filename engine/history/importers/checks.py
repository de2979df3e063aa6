"""Every row of a file against the market's facts: what cannot be true is left out, with its reason.

Works on the canonical frame of `tidy`. A row gets the first reason that fits; whether it is kept never depends on
the order of the rows.
"""

import datetime as dt
from dataclasses import dataclass

import polars as pl

from engine.errors import DataError, MarketFactError
from engine.history.importers.report import Rejection
from engine.market import calendar, clock
from engine.market.contracts import UNDERLYINGS
from engine.market.prices import PAISE_PER_TICK

REASON = "reason"
PRICES = ("open", "high", "low", "close")
_OPTION = pl.col("option_type").is_in(["CE", "PE"])
_LARGEST = 2**31 - 1
_OUTSIDE = "bar outside the session"
"""Vendors' files go on for minutes after the close; such rows are no sign of a misread file."""
TOLERATED_FAULTS = 0.2
"""Share of a file's option rows that may be refused; with more, the file is misread or broken."""


@dataclass(frozen=True)
class Checked:
    """
    Rows of a file after the checks.

    Attributes
    ----------
    good : polars frame
        Canonical columns plus `date` and `minute`; prices integer paise, whole rows only.
    bad : polars frame
        The rest, with `reason` and `date` (null where unknown).
    duplicates : int
        Identical repetitions dropped.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    duplicates: int

    def rejections(self) -> tuple[Rejection, ...]:
        """Refused rows by reason, most frequent first, with the first one of each as example."""
        grouped = self.bad.group_by(REASON, maintain_order=True).agg(
            pl.len().alias("count"), pl.all().first()
        )
        ranked = grouped.sort("count", REASON, descending=[True, False])
        return tuple(
            Rejection(row[REASON], row["count"], _describe(row)) for row in ranked.iter_rows(named=True)
        )

    def counts(self, underlying: str, date: dt.date) -> dict[str, int]:
        """Refused rows of one day by reason, for its manifest."""
        day = self.bad.filter(pl.col("underlying") == underlying, pl.col("date") == date)
        return dict(day.group_by(REASON).len().sort(REASON).iter_rows())


def check_rows(rows: pl.DataFrame) -> Checked:
    """
    Split the rows of a file into good and bad.

    Parameters
    ----------
    rows : polars frame
        `symbol, underlying, expiry, strike` (rupees, float)`, option_type, ts` (naive IST, start of the minute)`,
        open, high, low, close` (paise, float)`, volume, oi` (float)`, bid, ask` (paise, float); `unreadable` holds
        the name of a column whose text was no value, else null.
    """
    frame = rows.with_columns(date=pl.col("ts").dt.date())
    frame = frame.join(_days(frame), on="date", how="left").join(
        _expiries(frame), on=["underlying", "expiry"], how="left"
    )
    frame = frame.with_columns(
        minute=((pl.col("ts") - pl.col("opens")).dt.total_seconds() // 60).cast(pl.Int32),
        on_paise=pl.all_horizontal(
            (pl.col(name) - pl.col(name).round()).abs().fill_null(0) < 1e-4 for name in PRICES
        ),
        close_only=pl.all_horizontal(pl.col("open", "high", "low", "volume").is_null())
        .filter(_OPTION)
        .all()
        .over("underlying", "date")
        & _OPTION.any().over("underlying", "date"),
    )
    frame = frame.with_columns(_first_reason().alias(REASON))
    held_back = frame.filter(pl.col(REASON).is_not_null())
    fit = frame.filter(pl.col(REASON).is_null())
    values = [name for name in rows.columns if name != "unreadable"]
    unique = fit.unique(values, keep="first", maintain_order=True)
    unique = unique.with_columns(_wrong_name().alias(REASON))
    unique = unique.with_columns(pl.coalesce(REASON, _doubled()).alias(REASON))
    bad = pl.concat([held_back, unique.filter(pl.col(REASON).is_not_null())])
    return Checked(
        good=_integers(unique.filter(pl.col(REASON).is_null())),
        bad=bad,
        duplicates=fit.height - unique.height,
    )


def _days(frame: pl.DataFrame) -> pl.DataFrame:
    """Opening and closing moments (naive IST) of the dates of a file; `no_day` says why there are none."""
    found = []
    for date in frame["date"].drop_nulls().unique().sort():
        row: dict[str, object] = {
            "date": date,
            "opens": None,
            "closes": None,
            "pauses": None,
            "resumes": None,
        }
        try:
            windows = calendar.windows(date)
            if windows:
                naive = [(w.open.replace(tzinfo=None), w.close.replace(tzinfo=None)) for w in windows]
                row |= {"opens": naive[0][0], "closes": naive[-1][1], "no_day": None}
                row |= {"pauses": naive[0][1], "resumes": naive[-1][0]}
            else:
                clock.minute_start(date, 0)
        except MarketFactError as error:
            row["no_day"] = f"not a trading day ({error})"
        found.append(row)
    moments = dict.fromkeys(("opens", "closes", "pauses", "resumes"), pl.Datetime("us"))
    return pl.DataFrame(found, schema={"date": pl.Date, **moments, "no_day": pl.String})


def _expiries(frame: pl.DataFrame) -> pl.DataFrame:
    """For each underlying and expiry of a file, `no_expiry`: why it is none, or null."""
    found = []
    pairs = frame.select("underlying", "expiry").filter(pl.col("expiry").is_not_null()).unique()
    for underlying, expiry in pairs.iter_rows():
        fault = None
        if underlying in UNDERLYINGS:
            try:
                calendar.expiry_kind(underlying, expiry)
            except MarketFactError as error:
                fault = str(error)
        found.append((underlying, expiry, fault))
    schema = {"underlying": pl.String, "expiry": pl.Date, "no_expiry": pl.String}
    return pl.DataFrame(found, schema=schema, orient="row")


def _first_reason() -> pl.Expr:
    price_list = [pl.col(name) for name in PRICES]
    untimely = (pl.col("ts") < pl.col("opens")) | (pl.col("ts") >= pl.col("closes"))
    in_break = (pl.col("ts") >= pl.col("pauses")) & (pl.col("ts") < pl.col("resumes"))
    partly = pl.any_horizontal(pl.col("open", "high", "low").is_null())
    rules: list[tuple[pl.Expr, pl.Expr | str]] = [
        (pl.col("unreadable").is_not_null(), pl.format("unreadable {}", "unreadable")),
        (pl.col("underlying").is_null() | ~pl.col("underlying").is_in(UNDERLYINGS), "unknown underlying"),
        (
            pl.col("option_type").is_null() | ~pl.col("option_type").is_in(["CE", "PE", "FUT", "SPOT"]),
            "option type is none of CE, PE, FUT, SPOT",
        ),
        (pl.col("symbol").is_null(), "no symbol"),
        (_of_another_underlying(), "symbol of another underlying"),
        (pl.col("ts").is_null(), "no time"),
        (pl.col("no_day").is_not_null(), pl.col("no_day")),
        (untimely | in_break, _OUTSIDE),
        (pl.col("ts") != pl.col("ts").dt.truncate("1m"), "time is not a whole minute"),
        (_OPTION & pl.col("strike").is_null(), "option without strike"),
        (pl.col("strike").is_not_null() & ((pl.col("strike") % 1 != 0) | (pl.col("strike") <= 0)), "strike is not whole rupees"),
        (_OPTION & pl.col("expiry").is_null(), "option without expiry"),
        (pl.col("expiry") < pl.col("date"), "expiry before the trading day"),
        (pl.col("no_expiry").is_not_null(), pl.col("no_expiry")),
        (pl.col("close").is_null() | pl.col("close").is_nan(), "no close"),
        (partly & ~pl.col("close_only"), "no open, high or low"),
        (pl.col("volume").is_null() & ~pl.col("close_only") & (pl.col("option_type") != "SPOT"), "no volume"),
        (pl.any_horizontal(price.is_nan() | (price <= 0) for price in price_list), "price not positive"),
        (pl.any_horizontal(price > _LARGEST for price in price_list), "price beyond any option"),
        (
            ~pl.col("on_paise")
            | ((pl.col("option_type") != "SPOT") & pl.any_horizontal(price.round() % PAISE_PER_TICK != 0 for price in price_list)),
            "price off the tick",
        ),
        (
            (pl.col("low") > pl.min_horizontal("open", "close")) | (pl.col("high") < pl.max_horizontal("open", "close")),
            "open, high, low and close contradict each other",
        ),
        (
            (pl.col("volume") < 0) | (pl.col("volume") % 1 != 0) | (pl.col("volume") > _LARGEST),
            "volume is negative or not whole units",
        ),
    ]  # fmt: skip
    reason = pl.lit(None, pl.String)
    for rule, words in reversed(rules):
        told = pl.lit(words) if isinstance(words, str) else words
        reason = pl.when(rule.fill_null(value=False)).then(told).otherwise(reason)
    return reason


def _of_another_underlying() -> pl.Expr:
    """
    Rows whose symbol starts with another known underlying than they are filed under.

    The name of the spot is only compared whole: brokers call BANKNIFTY's "NIFTY BANK".
    """
    symbol = pl.col("symbol").str.to_uppercase()
    named = pl.lit(None, pl.String)
    for underlying in sorted(UNDERLYINGS, key=len):  # of two that fit, the longer one is meant: it comes last
        named = pl.when(symbol.str.starts_with(underlying)).then(pl.lit(underlying)).otherwise(named)
    other = named != pl.col("underlying")
    return other & ((pl.col("option_type") != "SPOT") | (symbol == named))


def _wrong_name() -> pl.Expr:
    """
    Rows whose symbol and contract do not belong together: one symbol is one contract.

    The pairing with the most rows that day is believed; where two have equally many, neither is.
    """
    day = ("underlying", "date")
    contract = ("expiry", "strike", "option_type")
    rows = pl.len().over(*day, "symbol", *contract)
    reason = pl.lit(None, pl.String)
    for key, only, words in (
        ((*day, *contract), _OPTION, "two symbols for one contract"),
        ((*day, "symbol"), pl.lit(value=True), "one symbol for two contracts"),
    ):
        most = rows.max().over(*key)
        believed = (rows == most) & ((rows == most).sum().over(*key) == most)
        reason = pl.when(only & ~believed).then(pl.lit(words)).otherwise(reason)
    return reason


def _doubled() -> pl.Expr:
    """Rows that tell different bars for one minute: which is true cannot be known, so none is kept."""
    sound = pl.col(REASON).is_null()
    return pl.when(sound & (sound.sum().over("symbol", "ts") > 1)).then(
        pl.lit("two different bars for one minute")
    )


def _integers(good: pl.DataFrame) -> pl.DataFrame:
    whole = [*PRICES, "volume", "oi", "bid", "ask", "strike"]
    spot = pl.col("option_type") == "SPOT"
    return good.with_columns(pl.col(whole).fill_nan(None).round().cast(pl.Int64)).with_columns(
        volume=pl.when(spot & ~pl.col("close_only"))
        .then(pl.col("volume").fill_null(0))
        .otherwise(pl.col("volume"))
    )


def _describe(row: dict[str, object]) -> str:
    shown = ("symbol", "expiry", "ts", *PRICES, "volume")
    prices = {name: f"{value / 100:.2f}" for name in PRICES if isinstance(value := row[name], float)}
    return " ".join(f"{name}={prices.get(name, row[name])}" for name in shown if row[name] is not None)


def refuse_if_strict(path: str, rejections: tuple[Rejection, ...], *, strict: bool) -> None:
    """
    Stop before anything is written if a strict import met a bad row.

    Raises
    ------
    DataError
    """
    if strict and rejections:
        total = sum(rejection.count for rejection in rejections)
        raise DataError(
            f"{path}: {total} bad rows in a strict import, nothing was written ({rejections[0]}); "
            "mend the file or import without strict=True / --strict"
        )


def refuse_if_mostly_bad(path: str, checked: Checked, *, force: bool) -> None:
    """
    Stop before anything is written if the checks refused so much that the file must have been misread.

    That is: more than `TOLERATED_FAULTS` of the option rows inside the session, or all option rows of one
    trading day of a known underlying. Rows outside the session and identical repetitions are no faults here.

    Parameters
    ----------
    path : str
        For the error's text.
    checked : Checked
    force : bool
        Accept what is left.

    Raises
    ------
    DataError
        Naming the most frequent reason, its count and an example.
    """
    if force:
        return
    option = ~pl.col("option_type").is_in(["FUT", "SPOT"]).fill_null(value=False)
    good, bad = checked.good.filter(option), checked.bad.filter(option)
    faults = bad.filter(pl.col(REASON) != _OUTSIDE)
    judged = good.height + faults.height
    if faults.height > TOLERATED_FAULTS * judged:
        raise _misread(
            path, f"{faults.height} of {judged} option rows ({faults.height / judged:.0%})", faults
        )
    day = ["underlying", "date"]
    on_a_day = bad.filter(pl.col("underlying").is_in(UNDERLYINGS), pl.col("minute").is_not_null())
    lost = on_a_day.join(good, on=day, how="anti").sort("date", "underlying", maintain_order=True)
    if not lost.is_empty():
        underlying, date = lost.select(day).row(0)
        of_it = lost.filter(pl.col("underlying") == underlying, pl.col("date") == date)
        raise _misread(path, f"all {of_it.height} option rows of {underlying} {date}", of_it)


def _misread(path: str, what: str, bad: pl.DataFrame) -> DataError:
    worst = Checked(bad.clear(), bad, duplicates=0).rejections()[0]
    return DataError(
        f"{path}: {what} are refused, nothing was written; most often: {worst}. Fix the column map "
        "(column_map=... / --map) or the file, or import what is left (force=True / --force)"
    )
