"""Dated facts with their source: how the tables beside this module are read and asked.

Every market fact of this package is a row of a CSV file in `engine/market/tables/`, with the date it holds from, its
source and how certain it is. `calendar`, `contracts` and `charges` ask them through a `Timeline`.
"""

import csv
import datetime as dt
import difflib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Generic, Literal, TypeVar, cast

from engine.errors import MarketFactError

Certainty = Literal["C", "C2", "U"]
T = TypeVar("T")


@dataclass(frozen=True)
class Fact(Generic[T]):
    """
    A value with where it comes from.

    Attributes
    ----------
    value
        The fact itself.
    source : str
        Circular number, publication, or the reason for an assumption.
    certainty : "C", "C2" or "U"
        Read at the source; read at second hand (news, broker, forum); uncertain or assumed.
    """

    value: T
    source: str
    certainty: Certainty


class Timeline(Generic[T]):
    """
    Values of one fact over time: each holds from its date until the next one's.

    Parameters
    ----------
    what : str
        Name of the fact, for error lines.
    changes : iterable of (date, Fact)
        In any order; no date twice.
    """

    def __init__(self, what: str, changes: Iterable[tuple[dt.date, Fact[T]]]) -> None:
        ordered = sorted(changes, key=lambda change: change[0])
        self.what = what
        self.starts = tuple(start for start, _ in ordered)
        self._facts = tuple(fact for _, fact in ordered)

    def at(self, date: dt.date) -> Fact[T]:
        """
        The fact as it stood on a date.

        Raises
        ------
        MarketFactError
            If the date lies before the first row.
        """
        place = bisect_right(self.starts, date)
        if place == 0:
            raise MarketFactError(
                f"{self.what} is not known on {date}; the table begins at {self.starts[0]}, "
                "take a later date or add an earlier row"
            )
        return self._facts[place - 1]

    def latest(self) -> Fact[T]:
        """The fact of the last row."""
        return self._facts[-1]


def table_rows(name: str) -> list[dict[str, str]]:
    """
    Rows of a table as text by column, comment lines left out.

    Parameters
    ----------
    name : str
        File name in `engine/market/tables/`, e.g. "holidays.csv".
    """
    text = (files("engine.market") / "tables" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def fact_of(row: dict[str, str], value: T) -> Fact[T]:
    """A value with the source and the certainty of its table row."""
    certainty = row["certainty"]
    if certainty not in {"C", "C2", "U"} or not row["source"]:
        raise MarketFactError(f"table row {row} needs a source and a certainty of C, C2 or U; mend the table")
    return Fact(value, row["source"], cast("Certainty", certainty))


def plain_date(date: dt.date) -> dt.date:
    """
    The date itself, refused if it is a moment or not a date.

    Raises
    ------
    MarketFactError
        For a datetime, a pandas Timestamp, text: they would silently miss every table of days.
    """
    if type(date) is not dt.date:
        raise MarketFactError(f"{date!r} is no plain day; give a datetime.date such as date(2026, 11, 20)")
    return date


def known_name(kind: str, name: str, known: Iterable[str]) -> str:
    """
    The name, if it is among the known ones.

    Raises
    ------
    MarketFactError
        Naming all known ones and the nearest spelling.
    """
    names = tuple(known)
    if name in names:
        return name
    close = difflib.get_close_matches(str(name).upper(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise MarketFactError(f"{kind} {name!r} is unknown, known are {', '.join(names)}{hint}")
