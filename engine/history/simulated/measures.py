"""Statistics by which a simulated market is held against a real one.

Plain measures of index bars, option closes, option bars, quotes and volumes; `compare` applies them to both
sides, the tests hold them to bands.
"""

import numpy as np
import polars as pl

from engine.market.prices import TICKS_PER_RUPEE

FULL_SESSION = 375
AT_THE_MONEY = 2
"""Strikes within this distance of the index count as at the money."""
CLOSES_END = 315
"""Minute (14:30) to which closes are compared day by day: the real file has few later ones, hardly any on expiry."""
PREMIUM_EDGES = (0, 20, 50, 100, 200, 300, 500)

Statistics = dict[str, float]


def index_statistics(bars: pl.DataFrame) -> Statistics:
    """
    Statistics of 5-minute index bars.

    Parameters
    ----------
    bars : polars frame
        `date, slot` (0 = first 5 minutes)`, open, high, low, close` (any one unit), sorted.

    Returns
    -------
    dict of str to float, by the names printed in the table
    """
    back = pl.col("close").shift(1).over("date")
    moves = bars.with_columns(r=(pl.col("close") / back).log()).drop_nulls("r")
    usual = moves.group_by("slot").agg(usual=pl.col("r").abs().mean())
    moves = (
        moves.join(usual, on="slot")
        .sort("date", "slot")
        .with_columns(z=pl.col("r").abs() / pl.col("usual"))
        .with_columns(pl.col("z") / pl.col("z").mean().over("date"))
    )
    lags = moves.with_columns(pl.col("z").shift(lag).over("date").alias(f"z{lag}") for lag in (1, 12))
    days = bars.group_by("date", maintain_order=True).agg(
        first=pl.col("open").first(),
        last=pl.col("close").last(),
        top=pl.col("high").max(),
        low=pl.col("low").min(),
    )
    spread = moves.group_by("date", maintain_order=True).agg(rv=(pl.col("r") ** 2).sum().sqrt())["rv"]
    log_spread = spread.log()
    gap = (days["first"] / days["last"].shift(1)).log().drop_nulls()
    move = (days["last"] / days["last"].shift(1)).log().drop_nulls()
    r = moves["r"]
    return {
        "5-minute return, standard deviation, bp": _number(r.std()) * 1e4,
        "5-minute return, median size, bp": _number(r.abs().median()) * 1e4,
        "5-minute return, excess kurtosis": _number(r.kurtosis()),
        "5-minute return, share of zeros, %": _number((r == 0).mean()) * 100,
        "5-minute return, autocorrelation lag 1": _number(
            moves.select(pl.corr("r", pl.col("r").shift(1).over("date"))).item()
        ),
        "size of 5-minute return within the day, autocorrelation lag 1": _number(
            lags.select(pl.corr("z", "z1")).item()
        ),
        "size of 5-minute return within the day, autocorrelation lag 12": _number(
            lags.select(pl.corr("z", "z12")).item()
        ),
        "size of return, 09:20-09:45 / day": _ratio(usual, 1, 5),
        "size of return, 12:00-13:00 / day": _ratio(usual, 33, 44),
        "size of return, 14:45-15:25 / day": _ratio(usual, 66, 73),
        "bar range / size of bar return": _number((bars["high"] / bars["low"]).log().mean())
        / _number(r.abs().mean()),
        "day range, median, %": _number((days["top"] / days["low"] - 1).median()) * 100,
        "close-to-close return, standard deviation, %": _number(move.std()) * 100,
        "overnight gap, median size, %": _number(gap.abs().median()) * 100,
        "overnight gap, standard deviation, %": _number(gap.std()) * 100,
        "day's volatility, spread of its log": _number(log_spread.std()),
        "day's volatility, autocorrelation 1 day": _autocorrelation(log_spread, 1),
        "day's volatility, autocorrelation 5 days": _autocorrelation(log_spread, 5),
    }


def close_statistics(closes: pl.DataFrame) -> Statistics:
    """
    Statistics of 1-minute closes of at-the-money options.

    Parameters
    ----------
    closes : polars frame
        `date, symbol, minute, close` (rupees)`, days_left` (trading days to expiry), sorted.
    """
    moves = _minute_moves(closes)
    middle = moves.filter(pl.col("close").is_between(100, 300))
    result = {
        "1-minute return, standard deviation, %": _number(middle["r"].std()) * 100,
        "1-minute return, median size, %": _number(middle["r"].abs().median()) * 100,
        "1-minute return, share of zeros, %": _number((middle["change"] == 0).mean()) * 100,
        "1-minute return, excess kurtosis": _number(middle["r"].kurtosis()),
    }
    for days_left in (0, 1, 2, 4):
        some = moves.filter(pl.col("days_left") == days_left, pl.col("minute") < CLOSES_END)
        result[f"premium at the money, median, {days_left} trading days left, to 14:30, Rs"] = _number(
            some["close"].median()
        )
        result[f"1-minute return, {days_left} trading days left, to 14:30, %"] = (
            _number(some["r"].std()) * 100
        )
    return result


def bar_statistics(bars: pl.DataFrame, index: pl.DataFrame) -> Statistics:
    """
    Statistics of full 1-minute option bars.

    Parameters
    ----------
    bars : polars frame
        `date, symbol, option_type, strike, minute, distance` (strikes out of the money)`, open, high, low, close`
        (rupees)`, lots`, sorted.
    index : polars frame
        `date, minute, close` of the underlying.
    """
    moves = _minute_moves(bars).with_columns(range=(pl.col("high") - pl.col("low")) * TICKS_PER_RUPEE)
    near = moves.filter(pl.col("distance").abs() <= AT_THE_MONEY)
    middle = moves.filter(pl.col("close").is_between(100, 300))
    days = bars["date"].n_unique()
    spot = index.with_columns(s=(pl.col("close") / pl.col("close").shift(1).over("date")).log())
    opening = (
        bars.filter(pl.col("minute") < 5).group_by("date", "symbol").agg(start=pl.col("distance").first())
    )
    daily = bars.group_by("date", "symbol").agg(top=pl.col("high").max(), low=pl.col("low").min(), n=pl.len())
    daily = daily.join(opening, on=["date", "symbol"])
    result = {
        "index 1-minute return, standard deviation, bp": _number(spot["s"].std()) * 1e4,
        "1-minute return at the money, standard deviation, %": _number(near["r"].std()) * 100,
        "the same / that of the index": _number(near["r"].std()) / _number(spot["s"].std()),
        "1-minute return at the money, excess kurtosis": _number(near["r"].kurtosis()),
        "share of zero changes at the money, %": _number((near["change"] == 0).mean()) * 100,
        "minute range, premium 100-300, median, ticks": _number(middle["range"].median()),
        "minute range / size of change, premium 100-300": _number(middle["range"].mean())
        / (_number(middle["change"].abs().mean()) * TICKS_PER_RUPEE),
        "open or close at an extreme, premium 100-300, %": _number(
            middle.select(
                (
                    pl.any_horizontal(pl.col("open", "close") == pl.col("high"))
                    | pl.any_horizontal(pl.col("open", "close") == pl.col("low"))
                ).mean()
            ).item()
        )
        * 100,
        "correlation of call and put changes, same strike": _call_put_correlation(near),
        "parity of neighbouring strikes apart, spread, % of premium": _parity_noise(near) * 100,
        "day's high / low of a contract at the money, median": _number(
            daily.filter(pl.col("start").abs() <= AT_THE_MONEY)
            .select((pl.col("top") / pl.col("low")).median())
            .item()
        ),
        "spread of log volume of a minute at the money": _number(
            near.select(
                (pl.col("lots").log() - pl.col("lots").log().mean().over("date", "symbol")).std()
            ).item()
        ),
    }
    for name, column in (("volume", "lots"), ("size of return", "r")):
        by_minute = near.group_by(slot="minute").agg(usual=pl.col(column).abs().mean())
        result[f"{name} at the money, first 30 minutes / day"] = _ratio(by_minute, 0, 29)
        result[f"{name} at the money, 12:00-13:00 / day"] = _ratio(by_minute, 165, 225)
        result[f"{name} at the money, last 45 minutes / day"] = _ratio(by_minute, 330, 374)
    for low, high in ((-15, -11), (-10, -8), (-7, -4), (-3, 3), (4, 10), (11, 15)):
        name = f"minutes with trades, {low} to {high} strikes out of the money, %"
        some = daily.filter(pl.col("start").is_between(low, high))
        result[name] = _number(some["n"].mean()) / FULL_SESSION * 100 if some.height else float("nan")
    result["median lots a minute at the money"] = _number(near["lots"].median())
    result["days measured"] = float(days)
    return result


def quote_statistics(quotes: pl.DataFrame) -> Statistics:
    """
    Statistics of best bids and asks.

    Parameters
    ----------
    quotes : polars frame
        `distance` (strikes out of the money)`, bid, ask` (rupees).
    """
    both = quotes.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2, spread=pl.col("ask") - pl.col("bid"))
    near = both.filter(pl.col("distance").abs() <= 1)
    result = {
        "spread at the money, median, Rs": _number(near["spread"].median()),
        "spread at the money, median, %": _number((near["spread"] / near["mid"]).median()) * 100,
        "spread at the money, 90th percentile, Rs": _number(near["spread"].quantile(0.9)),
    }
    chain = both.filter(pl.col("distance").abs() <= 10)
    for low, high in zip(PREMIUM_EDGES, (*PREMIUM_EDGES[1:], 1000), strict=True):
        some = chain.filter((pl.col("mid") > low) & (pl.col("mid") <= high))
        result[f"spread, premium {low}-{high}, median, Rs"] = _number(some["spread"].median())
    return result


def volume_statistics(volumes: pl.DataFrame) -> Statistics:
    """
    When the day's volume of options near the money trades.

    Parameters
    ----------
    volumes : polars frame
        `date, symbol, minute, total` (volume of the day so far, any unit), contracts near the money.
    """
    result = {}
    for name, first, last in (("09:15-09:45", 0, 29), ("12:00-13:00", 165, 224), ("14:45-15:30", 330, 374)):
        before, until, all_day = (
            volumes.filter(pl.col("minute") <= minute)
            .group_by("date", "symbol")
            .agg(pl.col("total").max().cast(pl.Float64))
            .select(pl.col("total").sum())
            .item()
            for minute in (first - 1, last, FULL_SESSION)
        )
        result[f"share of the day's volume, {name}, %"] = (until - before) / all_day * 100
    return result


def _minute_moves(rows: pl.DataFrame) -> pl.DataFrame:
    """Log return `r` and `change` in rupees from the minute just before; other minutes left out."""
    keys = ["date", "symbol"]
    back = pl.col("close").shift(1).over(keys)
    next_minute = pl.col("minute") - pl.col("minute").shift(1).over(keys) == 1
    return rows.with_columns(
        r=(pl.col("close") / back).log(), change=(pl.col("close") - back).round(2)
    ).filter(next_minute)


def _call_put_correlation(near: pl.DataFrame) -> float:
    call = near.filter(pl.col("option_type") == "CE").select("date", "strike", "minute", c="change")
    put = near.filter(pl.col("option_type") == "PE").select("date", "strike", "minute", p="change")
    return _number(call.join(put, on=["date", "strike", "minute"]).select(pl.corr("c", "p")).item())


def _parity_noise(near: pl.DataFrame) -> float:
    """
    How far call - put + strike of one strike stands off that of the next: the contracts' own noise.

    Everything that moves all options together cancels in it.
    """
    keys = ["date", "minute", "strike"]
    call = near.filter(pl.col("option_type") == "CE").select(*keys, c="close")
    put = near.filter(pl.col("option_type") == "PE").select(*keys, p="close")
    synthetic = (
        call.join(put, on=keys).sort(keys).with_columns(at=pl.col("c") - pl.col("p") + pl.col("strike"))
    )
    apart = synthetic.select((pl.col("at") - pl.col("at").shift(1).over("date", "minute")).drop_nulls())
    return _number(apart["at"].std()) / _number(near["close"].mean())


def _ratio(usual: pl.DataFrame, first: int, last: int) -> float:
    part = usual.filter(pl.col("slot").is_between(first, last))
    return _number(part["usual"].mean()) / _number(usual["usual"].mean())


def _autocorrelation(series: pl.Series, lag: int) -> float:
    values = series.to_numpy()
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def _number(value: object) -> float:
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]
