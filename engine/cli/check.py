"""`workbench check`: everything a live session needs, looked at before it starts, as a table of pass and fail."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from engine.cli.options import parse_changes, parse_date
from engine.cli.show import console, print_json, progress, warn_played
from engine.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.live.preflight import CheckResult
    from engine.live.spec import SessionParams, SessionSpec

UNKNOWN = "unknown"
_STYLES = {"ok": "green", "warn": "bold yellow", "fail": "bold white on red", "skipped": "dim"}


def run_check(
    session: str,
    changes: list[str] | None,
    root: str | None,
    account: str | None,
    day: str | None,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """
    Check a session that is to start; exit code 0 only if nothing fails.

    Parameters
    ----------
    session : str
        A name in params/sessions/ or a YAML file.
    changes : list of str, optional
        `name=value`, of the session's parameters or of the strategy's.
    root : str, optional
        Address of a practice exchange.
    account : str, optional
        The user's id, for mode live; by default that of the login.
    day : str, optional
        Default: today, or the day the practice exchange plays.

    Raises
    ------
    ParamsError, DataError, WorkbenchError
        If parameters or date are wrong, or the practice exchange does not answer.
    """
    from engine.live.preflight import all_well, preflight

    spec = session_spec(session, changes, root, account, day, data_folder)
    with progress("check", quiet=as_json) as step:
        results = preflight(spec, progress=step)
    well = all_well(results)
    if as_json:
        print_json(_told(spec, results, well))
    else:
        _show(spec, results, well)
    if not well:
        raise typer.Exit(1)


def session_params(name: str, changes: list[str] | None) -> "SessionParams":
    """
    A session's parameters; what `--set` names and is none of them belongs to the strategy.

    Raises
    ------
    ParamsError
        If a name is known to neither, or a value is out of range.
    """
    from engine.live.spec import SessionParams, load_session_params, refuse_secrets

    given = parse_changes(changes)
    refuse_secrets(given)
    own = {key: value for key, value in given.items() if key in SessionParams.model_fields}
    others = {key: value for key, value in given.items() if key not in own}
    params = load_session_params(name, **own)
    return params.model_copy(update={"strategy_changes": {**params.strategy_changes, **others}})


def session_spec(
    session: str,
    changes: list[str] | None,
    root: str | None,
    account: str | None,
    day: str | None,
    data_folder: Path | None,
) -> "SessionSpec":
    """
    The session that a command line means; parameters and errors as `run_check`.

    Without a day it is today's, or the one that the practice exchange at `root` plays.
    """
    from engine.live.feeds.played import played_options
    from engine.live.spec import make_spec
    from engine.market.clock import IST
    from engine.params import project_folder

    params = session_params(session, changes)
    date = parse_date(day) if day else dt.datetime.now(IST).date()
    options: dict[str, str | float | bool] = {}
    if params.feed == "practice" and root:
        root = root.rstrip("/")
        played, options = played_options(root)
        date = date if day else played
    if params.mode == "live" and account is None:
        account = _account_of_login(root)
    return make_spec(
        params,
        date=date,
        data_folder=data_folder or project_folder() / "data",
        account=account,
        broker_root=root,
        feed_options=options,
    )


def _account_of_login(root: str | None) -> str:
    """The user who is logged in; where that is not known the token's own check tells why."""
    import asyncio
    import os

    from engine.live.brokers.kite import KiteBroker
    from engine.live.brokers.kite_token import read_logins
    from engine.live.brokers.logins import find_login
    from engine.market.clock import IST
    from engine.params import project_folder

    async def asked() -> str:
        logins = read_logins(project_folder() / ".env", os.environ, dt.datetime.now(IST))
        broker = KiteBroker(logins[0].api_key, "", root=root, timeout_s=4.0)
        try:
            return (await find_login(broker, logins, None))[1]
        finally:
            await broker.close()

    try:
        return asyncio.run(asked())
    except WorkbenchError:
        return UNKNOWN


def _told(spec: "SessionSpec", results: list["CheckResult"], well: bool) -> dict[str, Any]:
    return {
        "ok": well,
        "mode": spec.mode,
        "account": spec.account,
        "date": spec.date,
        "simulated": spec.simulated,
        "checks": [
            {
                "name": result.name,
                "state": result.state,
                "what": result.what,
                "remedy": result.remedy,
                "seconds": round(result.took_s, 3),
            }
            for result in results
        ],
    }


def _show(spec: "SessionSpec", results: list["CheckResult"], well: bool) -> None:
    title = f"{spec.mode.upper()} session of {spec.date}, {spec.params.underlying}, account {spec.account}"
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in ("check", "state", "what was found"):
        shown.add_column(column, overflow="fold")
    for result in results:
        shown.add_row(
            Text(result.name), Text(result.state, style=_STYLES[result.state]), Text(_words(result))
        )
    console.print(shown)
    warn_played(spec.simulated)
    failed = [result.name for result in results if result.state == "fail"]
    console.print(
        Text("ready to start", style="bold green")
        if well
        else Text(f"not ready: {', '.join(failed)}", style="bold red")
    )


def _words(result: "CheckResult") -> str:
    return f"{result.what}; {result.remedy}" if result.remedy else result.what
