"""Options that several commands share, and how their text becomes values."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from engine.errors import DataError, ParamsError

if TYPE_CHECKING:
    from engine.history.lake import Lake
    from engine.params import SwingBreakParams


def parse_address(text: str | None) -> str | None:
    """
    The address of a server, as `practice serve` prints it; None where none is given.

    Raises
    ------
    ParamsError
        If it names no protocol or no server.
    """
    if text is None:
        return None
    told = urlsplit(text)
    if told.scheme not in {"http", "https"} or not told.hostname:
        raise ParamsError(f"{text!r} is no address of a practice exchange; write it as http://127.0.0.1:8100")
    return text.rstrip("/")


DataFolder = Annotated[
    Path | None, typer.Option("--data", help="Data folder of the lake.", show_default="data/")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Underlying = Annotated[str | None, typer.Option("--underlying", "-u", help="NIFTY or BANKNIFTY.")]
Source = Annotated[str | None, typer.Option("--source", help="Use only days from this source.")]
Start = Annotated[str | None, typer.Option("--start", "--from", help="First trading day, YYYY-MM-DD.")]
End = Annotated[str | None, typer.Option("--end", "--to", help="Last trading day, YYYY-MM-DD.")]
Day = Annotated[str | None, typer.Option("--date", "-d", help="One trading day, YYYY-MM-DD.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Change a parameter: --set min_vwap_premium_percent=5")
]
Filters = Annotated[
    list[str] | None, typer.Option("--filter", "-f", help="A saved filter of params/filters/.")
]
ParamsName = Annotated[
    str | None,
    typer.Option("--params", "-p", help="A name in params/ or a YAML file.", show_default="swing_break"),
]
Replace = Annotated[bool, typer.Option("--replace", help="Overwrite days held with other bars.")]
SessionName = Annotated[
    str, typer.Option("--session", help="A name in params/sessions/ or a YAML file: paper, practice.")
]
Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        envvar="KITE_ROOT",
        help="Address of a practice exchange.",
        callback=parse_address,
    ),
]
UserId = Annotated[
    str | None, typer.Option("--account", help="User id, for mode live.", show_default="that of the login")
]
Account = Annotated[
    str | None,
    typer.Option("--account", help="paper, practice or the user id; needed only where several sessions run."),
]
Faults = Annotated[
    list[str] | None, typer.Option("--fault", help="Switch a fault on, e.g. lost_answer:p=0.05.")
]
FaultSeed = Annotated[int, typer.Option("--seed", min=0, help="Of the faults.")]

_PARAMS_OF = {"NIFTY": "swing_break", "BANKNIFTY": "swing_break_banknifty"}


def open_lake(folder: Path | None) -> "Lake":
    """The lake of a data folder, by default the project's own."""
    from engine.history.lake import Lake
    from engine.params import project_folder

    return Lake(folder if folder is not None else project_folder() / "data")


def parse_date(text: str) -> dt.date:
    """A date of the command line."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is not a date; write it as 2026-10-30") from None


def parse_range(
    lake: "Lake", underlying: str, source: str | None, start: str | None, end: str | None, day: str | None
) -> tuple[dt.date, dt.date]:
    """
    First and last trading day that a command means; without any, all that the lake holds.

    Raises
    ------
    DataError
        If --date is given together with --start or --end, a date is unreadable, or the lake holds nothing.
    """
    if day is not None:
        if start is not None or end is not None:
            raise DataError("--date means one day; leave out --start and --end")
        return parse_date(day), parse_date(day)
    held = lake.entries(underlying, source=source) if start is None or end is None else []
    first = parse_date(start) if start else held[0].date if held else dt.date(2021, 1, 1)
    last = parse_date(end) if end else held[-1].date if held else dt.date(2021, 1, 1)
    return first, max(first, last) if end is None else last


def parse_changes(changes: list[str] | None) -> dict[str, Any]:
    """
    What `--set name=value`, given any number of times, changes.

    Raises
    ------
    ParamsError
        If a change is not `name=value`.
    """
    overrides: dict[str, Any] = {}
    for change in changes or ():
        key, equals, value = change.partition("=")
        if not equals:
            raise ParamsError(f"--set {change!r} has no value; write --set name=value")
        overrides[key.strip()] = _value(value.strip())
    return overrides


def read_params(
    name: str | None, underlying: str | None, changes: list[str] | None, filters: list[str] | None
) -> "SwingBreakParams":
    """
    The parameter set a command means, with its changes.

    Raises
    ------
    ParamsError
        If a change is not `name=value`, or as `load_params`.
    """
    from engine.market.contracts import latest_lot_size
    from engine.params import load_params

    if underlying is not None:
        latest_lot_size(underlying)
    params = load_params(
        name or _PARAMS_OF.get(underlying or "NIFTY", "swing_break"), **parse_changes(changes)
    )
    if underlying is not None and underlying != params.underlying:
        raise ParamsError(
            f"{name} is a parameter file for {params.underlying}, not {underlying}; prices, stops and lots differ: "
            f"leave out --params or give a file for {underlying}"
        )
    return params.replace(filters=(*params.filters, *filters)) if filters else params


def _value(text: str) -> Any:
    """A value as YAML reads it, but a time stays a text."""
    import yaml

    if ":" in text:
        return text
    return yaml.safe_load(text)
