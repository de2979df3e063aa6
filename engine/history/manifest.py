"""The manifest: one small JSON beside each day of the lake, telling what the Parquet file holds.

Listing a year of days reads only these. Writing the manifest is the last act of landing a day, so a day
without one does not exist yet.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from engine.errors import DataError
from engine.history.day import Quality

SCHEMA_VERSION = 1
SIMULATED_SOURCE = "simulated"


@dataclass(frozen=True)
class Gaps:
    """
    Minutes without a bar between the first and the last bar of each contract of a day.

    Attributes
    ----------
    missing : int
        Sum over contracts, in contract-minutes.
    worst_symbol : str or None
        Contract with the most missing minutes; None when nothing is missing.
    worst_missing : int
        Its missing minutes.
    """

    missing: int
    worst_symbol: str | None
    worst_missing: int


@dataclass(frozen=True)
class LakeDay:
    """
    What the lake knows of one stored day without opening its Parquet file.

    Attributes
    ----------
    source, underlying : str
    date : date
        Trading day.
    path : Path
        Parquet file of the day.
    schema : int
        Version of the file's layout.
    sha256 : str
        Hash of the file, verified by `Lake.check`.
    content : str
        Hash of the bars themselves, the same whichever library version wrote the file.
    rows, contracts : int
        Bars, and instruments they belong to (options, futures and spot).
    minutes : int
        Minutes of that day's session.
    expiries : tuple of date
        Expiries of the stored options, ascending.
    simulated : bool
        True for prices made by a model.
    quality : "ohlcv" or "close_only"
    gaps : Gaps
    importer : str
        What wrote the day.
    imported_at : str
        ISO time, IST.
    rejected : mapping of str to int
        Rows left out by the importer, counted by reason.
    """

    source: str
    underlying: str
    date: dt.date
    path: Path
    schema: int
    sha256: str
    content: str
    rows: int
    contracts: int
    minutes: int
    expiries: tuple[dt.date, ...]
    simulated: bool
    quality: Quality
    gaps: Gaps
    importer: str
    imported_at: str
    rejected: Mapping[str, int]

    def __str__(self) -> str:
        kind = "simulated" if self.simulated else "real"
        return f"{self.underlying} {self.date} from {self.source} ({kind}, {self.quality})"


def manifest_name(source: str, underlying: str, date: dt.date) -> str:
    """File name of a day's manifest."""
    return f"{source}-{underlying}-{date.isoformat()}.json"


def day_path(lake: Path, source: str, underlying: str, date: dt.date) -> Path:
    """Where a day's Parquet file lies under the lake folder."""
    return lake / f"source={source}" / f"underlying={underlying}" / f"date={date.isoformat()}.parquet"


def manifest_key(name: str) -> tuple[str, str, dt.date] | None:
    """Source, underlying and date told by a manifest's file name; None for other files."""
    parts = name.removesuffix(".json").split("-", 2)
    if not name.endswith(".json") or len(parts) != 3:
        return None
    try:
        return parts[0], parts[1], dt.date.fromisoformat(parts[2])
    except ValueError:
        return None


def encode(day: LakeDay) -> bytes:
    """The manifest of a day as JSON, without the path, which follows from the other fields."""
    fields = asdict(day)
    del fields["path"]
    fields["date"] = day.date.isoformat()
    fields["expiries"] = [expiry.isoformat() for expiry in day.expiries]
    fields["rejected"] = dict(sorted(day.rejected.items()))
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def decode(text: bytes, path: Path, where: Path) -> LakeDay:
    """
    A day from its manifest.

    Parameters
    ----------
    text : bytes
        Content of the manifest.
    path : Path
        Parquet file it belongs to.
    where : Path
        The manifest file, for the error's text.

    Raises
    ------
    DataError
        If the manifest is not one, or was written with another layout.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        if fields["schema"] != SCHEMA_VERSION:
            raise DataError(
                f"{where}: layout version {fields['schema']}, this version reads {SCHEMA_VERSION}; "
                "import the day again"
            )
        if fields["quality"] not in get_args(Quality) or not isinstance(fields["simulated"], bool):
            raise DataError(f"{where}: quality or simulated flag is unreadable; import the day again")
        fields["date"] = dt.date.fromisoformat(fields["date"])
        fields["expiries"] = tuple(dt.date.fromisoformat(expiry) for expiry in fields["expiries"])
        fields["gaps"] = Gaps(**fields["gaps"])
        return LakeDay(path=path, **fields)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where} is not a day's manifest ({error}); import the day again") from error
