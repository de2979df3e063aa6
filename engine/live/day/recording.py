"""What a recording of a live day is on disk, and reading it back.

A folder with a header and numbered Parquet files of ticks and of bars, as `recorder` wrote them.
"""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import DataError
from engine.history.bars import BAR, TICK

Records = npt.NDArray[np.void]
DTYPES: dict[str, np.dtype[np.void]] = {"ticks": TICK, "bars": BAR}
HEADER = "recording.json"
LAYOUT = 1


@dataclass(frozen=True)
class Instrument:
    """
    One instrument of a recording; its place in the list is the `instrument` of its ticks and bars.

    Attributes
    ----------
    option_type : str
        CE, PE, FUT or SPOT.
    strike : int or None
        Rupees; None for futures and spot.
    """

    symbol: str
    option_type: Literal["CE", "PE", "FUT", "SPOT"]
    expiry: dt.date | None
    strike: int | None


@dataclass(frozen=True)
class Recording:
    """What a recording holds: one underlying, one day; `simulated` for prices made by a model or replayed."""

    underlying: str
    date: dt.date
    simulated: bool
    instruments: tuple[Instrument, ...]


def recording_folder(root: str | Path, underlying: str, date: dt.date) -> Path:
    """Where a day's recording lies under a data folder."""
    return Path(root) / "recordings" / date.isoformat() / underlying


def read_recording(folder: str | Path) -> Recording:
    """
    What a recording holds.

    Raises
    ------
    DataError
        If the folder holds none, or one of another layout.
    """
    path = Path(folder) / HEADER
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no recording ({HEADER} is missing)") from error
    if told["layout"] != LAYOUT:
        raise DataError(f"{path} has layout {told['layout']}, this package reads {LAYOUT}; update it")
    return Recording(
        underlying=told["underlying"],
        date=dt.date.fromisoformat(told["date"]),
        simulated=told["simulated"],
        instruments=tuple(
            Instrument(
                **{**each, "expiry": dt.date.fromisoformat(each["expiry"]) if each["expiry"] else None}
            )
            for each in told["instruments"]
        ),
    )


def read_ticks(folder: str | Path) -> Records:
    """Recorded ticks, TICK[n], in the order they were received."""
    return _read(Path(folder), "ticks")


def read_bars(folder: str | Path) -> Records:
    """Recorded bars, BAR[n], by minute, then instrument; of a bar recorded twice the later one."""
    bars = _read(Path(folder), "bars")[::-1]
    _, newest = np.unique(np.stack([bars["minute"], bars["instrument"]]), axis=1, return_index=True)
    return bars[newest]


def parts(folder: Path, name: str) -> list[Path]:
    """Files of ticks or bars, oldest first."""
    return sorted(folder.glob(f"{name}-*.parquet"))


def _read(folder: Path, name: str) -> Records:
    read_recording(folder)
    dtype = DTYPES[name]
    files = parts(folder, name)
    frame = pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame()
    rows = np.zeros(frame.height, dtype)
    for column in (dtype.names or ()) if files else ():
        rows[column] = frame[column].to_numpy()
    return rows
