"""What an import did, for people and for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.history.lake import Landing
from engine.history.manifest import Gaps, LakeDay


@dataclass(frozen=True)
class Rejection:
    """
    Rows left out for one reason.

    Attributes
    ----------
    reason : str
    count : int
        Rows.
    example : str
        The first such row of the file, readable.
    """

    reason: str
    count: int
    example: str

    def __str__(self) -> str:
        return f"{self.count} rows: {self.reason}, e.g. {self.example}"


@dataclass(frozen=True)
class DayLanded:
    """
    One day of an import.

    Attributes
    ----------
    underlying : str
    date : str
        ISO date.
    landing : "written", "unchanged" or "replaced"
    rows, contracts : int
        Bars held now, and their instruments.
    gaps : Gaps or None
        None for end-of-day tables.
    day : LakeDay or None
        The stored day; None for end-of-day tables.
    """

    underlying: str
    date: str
    landing: Landing
    rows: int
    contracts: int
    gaps: Gaps | None
    day: LakeDay | None


@dataclass(frozen=True)
class ImportReport:
    """
    What became of a file.

    Attributes
    ----------
    path : Path
    kind : str
        "minute bars" or "end of day".
    source : str
        Name under which the days are held.
    rows_read, rows_kept : int
    duplicates : int
        Identical repetitions of a row, kept once.
    rejected : tuple of Rejection
        By falling count.
    days : tuple of DayLanded
        In the order landed.
    """

    path: Path
    kind: str
    source: str
    rows_read: int
    rows_kept: int
    duplicates: int
    rejected: tuple[Rejection, ...]
    days: tuple[DayLanded, ...]

    @property
    def rows_rejected(self) -> int:
        """Rows left out for a fault."""
        return sum(rejection.count for rejection in self.rejected)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Sequence[str]:
        """The report as text, a fact a line."""
        by_landing = {
            kind: sum(day.landing == kind for day in self.days)
            for kind in ("written", "replaced", "unchanged")
        }
        told = ", ".join(f"{count} {kind}" for kind, count in by_landing.items() if count)
        lines = [
            f"{self.path.name}: {self.kind} from source {self.source!r}, {len(self.days)} days ({told})",
            (
                f"{self.rows_read} rows read, {self.rows_kept} kept, {self.rows_rejected} left out, "
                f"{self.duplicates} identical repetitions dropped"
            ),
            *(f"left out: {rejection}" for rejection in self.rejected),
        ]
        with_gaps = [day for day in self.days if day.gaps is not None and day.gaps.missing]
        if with_gaps:
            missing = sum(day.gaps.missing for day in with_gaps if day.gaps)
            worst = max(with_gaps, key=lambda day: day.gaps.worst_missing if day.gaps else 0)
            assert worst.gaps is not None
            lines.append(
                f"{missing} contract-minutes without a bar between a contract's first and last; worst "
                f"{worst.gaps.worst_symbol} on {worst.date} with {worst.gaps.worst_missing}"
            )
        return lines
