"""A YAML file that tells how a vendor's columns become ours.

```yaml
columns: {symbol: Ticker, ts: [Date, Time], open: O, high: H, low: L, close: C, volume: Vol, oi: OI,
          underlying: Index, expiry: Exp, strike: K, option_type: Right}
constants: {underlying: NIFTY}       # columns the file lacks
timestamp: "%d-%m-%Y %H:%M:%S"       # strptime; left out = ISO 8601
timezone: Asia/Kolkata               # of the file's times; default IST
labels: start                        # a bar's time is its minute's start or end
expiry_format: "%d%b%Y"              # left out = ISO 8601
prices: rupees                       # rupees, paise or ticks
volume: units                        # units or lots
```
"""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import DataError

Target = Literal[
    "symbol", "underlying", "expiry", "strike", "option_type", "ts",
    "open", "high", "low", "close", "volume", "oi", "bid", "ask",
]  # fmt: skip


class ColumnMap(BaseModel):
    """
    How a vendor's file is read.

    Attributes
    ----------
    columns : mapping of our column to theirs
        `ts` may name two columns, date and time.
    constants : mapping of our column to one value
    timestamp, expiry_format : str or None
        strptime formats; None reads ISO 8601.
    timezone : str
        IANA name of the zone of naive times in the file.
    labels : "start" or "end"
        Whether a bar carries the time of its minute's start or end.
    prices : "rupees", "paise" or "ticks"
    volume : "units" or "lots"
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: Annotated[dict[Target, str | tuple[str, str]], Field(min_length=1)]
    constants: dict[Literal["symbol", "underlying", "expiry", "strike", "option_type"], str | int] = {}
    timestamp: str | None = None
    expiry_format: str | None = None
    timezone: str = "Asia/Kolkata"
    labels: Literal["start", "end"] = "start"
    prices: Literal["rupees", "paise", "ticks"] = "rupees"
    volume: Literal["units", "lots"] = "units"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f"time zone {name!r} is unknown; give an IANA name such as Asia/Kolkata"
            ) from error
        return name


def read_column_map(path: str | Path) -> ColumnMap:
    """
    Read a column map.

    Raises
    ------
    DataError
        If the file is missing, is no YAML mapping, or holds an unknown or wrong entry.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"column map {path} cannot be read ({error.strerror}); check the path") from error
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"column map {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise DataError(f"column map {path} must be a mapping with the key 'columns'")
    try:
        return ColumnMap.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"column map {path}: {place}: {first['msg']}; see the keys in the documentation"
        ) from error
