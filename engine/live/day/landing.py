"""A recorded day of live prices as a day of the lake."""

from pathlib import Path

import polars as pl

from engine.errors import DataError
from engine.history.lake import Lake
from engine.history.manifest import LakeDay
from engine.live.day.recording import read_bars, read_recording

RECORDED_SOURCE = "recorded"


def land_recording(
    folder: str | Path, lake: Lake, *, source: str = RECORDED_SOURCE, replace: bool = False
) -> LakeDay:
    """
    Put a finished recording of live prices into the lake as a day.

    Raises
    ------
    DataError
        If its prices were played or made by a model, there is no bar, or the lake holds the day with other bars and
        `replace` is False.
    """
    recording = read_recording(folder)
    if recording.simulated:
        raise DataError(
            f"{folder} was recorded on simulated or replayed prices, which never count as a market's; use the day "
            "it was played from, see workbench data list"
        )
    bars = read_bars(folder)
    if not bars.size:
        raise DataError(f"{folder} holds no bar, so there is no day to land")
    listed = recording.instruments
    frame = pl.DataFrame(
        {
            "symbol": [each.symbol for each in listed],
            "expiry": [each.expiry for each in listed],
            "strike": [each.strike for each in listed],
            "option_type": [each.option_type for each in listed],
        },
        schema={"symbol": pl.String, "expiry": pl.Date, "strike": pl.Int32, "option_type": pl.String},
    )[bars["instrument"].tolist()]
    columns = ("minute", "open", "high", "low", "close", "volume")
    return lake.write_day(
        frame.with_columns(**{name: pl.Series(bars[name]) for name in columns}),
        underlying=recording.underlying,
        date=recording.date,
        source=source,
        simulated=False,
        importer="live recorder",
        replace=replace,
    )
