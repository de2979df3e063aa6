"""`workbench data land`: a day that a session recorded becomes a day of the lake."""

from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.live_account import meant, processes
from engine.cli.options import open_lake, parse_date
from engine.cli.show import console, print_json
from engine.errors import DataError

if TYPE_CHECKING:
    from engine.live.places import Places


def run_land(
    account: str | None,
    day: str | None,
    underlying: str | None,
    source: str,
    replace: bool,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """
    Land one recorded day of one account, by default the last one.

    Raises
    ------
    NoSessionError
        If no session was ever started, or several run and none is named.
    DataError
        If the account recorded no such day or still records it, or as `land_recording`.
    """
    from engine.live.day.landing import land_recording
    from engine.live.day.recording import read_bars

    places = meant(account, data_folder)
    folder = recorded(places, day, underlying)
    _refuse_unfinished(places, folder)
    lake = open_lake(data_folder)
    landed = land_recording(folder, lake, source=source, replace=replace)
    minutes = len(set(read_bars(folder)["minute"].tolist()))
    if as_json:
        print_json(
            {
                "account": places.account,
                "underlying": landed.underlying,
                "date": landed.date,
                "source": landed.source,
                "contracts": landed.contracts,
                "rows": landed.rows,
                "minutes": minutes,
                "session_minutes": landed.minutes,
                "missing": landed.gaps.missing,
            }
        )
        return
    console.print(
        f"{landed}: {landed.contracts} contracts, {landed.rows} bars of {minutes} of the session's {landed.minutes} "
        f"minutes, {landed.gaps.missing} missing between them",
        highlight=False,
        soft_wrap=True,
    )


def recorded(places: "Places", day: str | None, underlying: str | None) -> Path:
    """
    Folder of the recording that is meant: of a date or the last one.

    Raises
    ------
    DataError
        If there is none, or it holds several underlyings and none is named.
    """
    date = parse_date(day).isoformat() if day else "*"
    held = sorted(places.folder.glob(f"recordings/{date}/*/recording.json"))
    days = [path.parent for path in held if underlying in {None, path.parent.name}]
    if not days:
        known = sorted(
            {path.parent.parent.name for path in places.folder.glob("recordings/*/*/recording.json")}
        )
        there = f"; it recorded {', '.join(known)}" if known else ""
        raise DataError(
            f"account {places.account} recorded no {underlying or 'day'}{f' of {day}' if day else ''} under "
            f"{places.folder / 'recordings'}{there or '; a session records by itself, run one'}"
        )
    last = [each for each in days if each.parent == days[-1].parent]
    if len(last) > 1:
        raise DataError(
            f"account {places.account} recorded {', '.join(each.name for each in last)} on {last[0].parent.name}; "
            "say which with --underlying"
        )
    return last[0]


def _refuse_unfinished(places: "Places", folder: Path) -> None:
    from engine.live.spec import SessionSpec

    date = SessionSpec.read(places.spec).date.isoformat()
    if folder.parent.name == date and processes(places):
        raise DataError(
            f"the session of account {places.account} still runs, and {date} is not recorded to its end; land it "
            "afterwards"
        )
