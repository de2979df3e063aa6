"""Is the lake sound? Every file compared with its manifest, its label and the calendar.

Loading a day only compares what is cheap; this reads everything, and is what `workbench data check` runs.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from engine.errors import DataError, MarketFactError
from engine.history.dayfile import read_footer
from engine.history.manifest import SIMULATED_SOURCE, LakeDay, day_path, decode, manifest_key
from engine.history.writing import PENDING, STAGED, sha256_of
from engine.market.calendar import session_minutes


@dataclass(frozen=True)
class Problem:
    """
    Something wrong with the lake.

    Attributes
    ----------
    path : Path
        File it concerns.
    what : str
        What is wrong.
    remedy : str
        What to do.
    """

    path: Path
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; {self.remedy}"


def check_lake(lake: Path) -> list[Problem]:
    """
    Everything wrong under a lake folder, manifests first, in order of path.

    Parameters
    ----------
    lake : Path
        The folder that holds `manifest/` and the `source=...` folders.
    """
    problems = []
    known = set()
    manifests = lake / "manifest"
    for path in sorted(manifests.iterdir()) if manifests.is_dir() else ():
        key = manifest_key(path.name)
        if path.name.endswith((PENDING, STAGED)):
            problems.append(Problem(path, "an import was cut short here", "import that day again"))
        elif key is not None:
            data = day_path(lake, *key)
            known.add(data)
            problems.extend(_check_day(path, data))
    for data in sorted(lake.glob("source=*/underlying=*/*")):
        if data.name.endswith(STAGED):
            problems.append(Problem(data, "left by an import that was cut short", "import that day again"))
        elif data.suffix == ".parquet" and data not in known:
            problems.append(
                Problem(data, "bars without a manifest", "import that day again, or delete the file")
            )
    return problems


def fault_of(day: LakeDay) -> str | None:
    """What is wrong with a day's bars on disk, in words."""
    if not day.path.exists():
        return "a manifest without its bars"
    if sha256_of(day.path) != day.sha256:
        return "the bars changed since they landed (hash mismatch)"
    return None


def remedy_for(source: str, underlying: str, date: dt.date, importer: str = "") -> str:
    """
    How to get a broken day back: import a real one again, make a simulated one again.

    Parameters
    ----------
    source, underlying, date
        The day.
    importer : str
        As its manifest says, for seed and strikes of a simulated day; default: those of the command.
    """
    if source != SIMULATED_SOURCE:
        return "import the day again"
    made_with = [f" --{setting.replace('=', ' ')}" for setting in importer.split("/") if "=" in setting]
    return f"make it again with `workbench data simulate -u {underlying} --date {date}{''.join(made_with)}`"


def unreadable_manifest(manifest: Path, error: DataError) -> Problem:
    """The problem that `decode` found in a manifest, with the one remedy for that day."""
    key = manifest_key(manifest.name)
    assert key is not None
    what = _without_remedy(error).removeprefix(str(manifest)).lstrip(": ")
    return Problem(manifest, what, remedy_for(*key))


def _without_remedy(error: DataError) -> str:
    """An error's text names a remedy after its last semicolon; a problem has a field for it."""
    text = str(error)
    return text.rpartition("; ")[0] or text


def _check_day(manifest: Path, data: Path) -> list[Problem]:
    try:
        day = decode(manifest.read_bytes(), data, manifest)
    except DataError as error:
        return [unreadable_manifest(manifest, error)]
    again = remedy_for(day.source, day.underlying, day.date, day.importer)
    try:
        fault = fault_of(day)
        if fault is not None:
            return [Problem(data, fault, again)]
        footer = read_footer(pq.ParquetFile(data), data)
    except DataError as error:
        return [Problem(manifest, _without_remedy(error), again)]
    found = []
    if footer.simulated != day.simulated or day.simulated != (day.source == SIMULATED_SOURCE):
        found.append(
            Problem(data, "the simulated label differs between file, manifest and source name", again)
        )
    try:
        minutes = session_minutes(day.date)
    except MarketFactError as error:
        return [*found, Problem(data, str(error), "bring the calendar up to date")]
    if minutes != day.minutes:
        found.append(Problem(data, f"stored with {day.minutes} minutes, the calendar says {minutes}", again))
    return found
