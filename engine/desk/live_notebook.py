"""What the two live notebooks stand on: their strict parameters, and tables of what was checked and started.

The notebook launches and watches; detached processes trade. So everything here returns at once, and nothing of a
session hangs on the kernel it was started from.
"""

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from engine.desk.live_view import seconds
from engine.desk.notebook import Date
from engine.errors import WorkbenchError
from engine.live.control.processes import find_all, session_commands
from engine.live.feeds.played import NoExchangeError, doors_of, played_options
from engine.live.log.reader import StoreReader
from engine.live.places import Places
from engine.live.preflight import CheckResult
from engine.live.spec import SessionSpec, load_session_params, make_spec
from engine.market.clock import IST
from engine.params import project_folder


class _LiveNotebook(BaseModel):
    """Parameters that both notebooks have: `data_folder`, None for the project's `data/`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    data_folder: str | None

    @property
    def folder(self) -> Path:
        """Where lake, recordings and state lie."""
        return Path(self.data_folder) if self.data_folder else project_folder() / "data"


class LiveSessionNotebook(_LiveNotebook):
    """
    Parameters of 10_live_session.

    Attributes
    ----------
    session : str
        A file of `params/sessions/`, e.g. "paper".
    changes : dict
        Values that replace those of the file, checked as strictly.
    strategy_changes : dict
        The same for the strategy's file.
    date : date or None
        Trading day; None is today in India, or the day that the practice exchange plays.
    account : str or None
        The user's id at the broker, for mode live only.
    confirmation : str or None
        The sentence that mode live asks for; never needed for paper or practice.
    practice_exchange : str or None
        Address of a practice exchange, e.g. "http://127.0.0.1:8100", as `workbench practice serve` tells it.
    feed_options : dict
        Of the feed, beside what the practice exchange tells itself.
    """

    session: str
    changes: dict[str, Any]
    strategy_changes: dict[str, Any]
    date: Date | None
    account: str | None
    confirmation: str | None
    practice_exchange: str | None
    feed_options: dict[str, str | float | bool]

    @property
    def spec(self) -> SessionSpec:
        """
        The session that is asked for.

        Raises
        ------
        ParamsError
            If a name is unknown (with a suggestion), a value out of range, parts contradict each other, or a name
            looks like that of a secret.
        """
        given = dict(self.changes)
        if self.strategy_changes:
            given["strategy_changes"] = {**given.get("strategy_changes", {}), **self.strategy_changes}
        root = self.practice_exchange.rstrip("/") if self.practice_exchange else None
        params = load_session_params(self.session, **given)
        date, served = dt.datetime.now(IST).date(), doors_of(root) if root else {}
        if params.feed == "practice" and root:
            with suppress(NoExchangeError):  # the pre-flight tells it, with all that is missing
                date, served = played_options(root)
        return make_spec(
            params,
            date=self.date or date,
            data_folder=self.folder,
            account=self.account,
            broker_root=root,
            feed_options={**served, **self.feed_options},
        )


class ControlRoomNotebook(_LiveNotebook):
    """Parameters of 11_control_room: `account` is "paper", "practice" or the user's id at the broker."""

    account: str

    @property
    def places(self) -> Places:
        """Where the account's files lie."""
        return Places(self.folder, self.account)


class NotReadyError(WorkbenchError):
    """The pre-flight failed; nothing was started."""


def asked_for(spec: SessionSpec) -> pl.DataFrame:
    """What a session would be, as a table of two columns."""
    params = spec.params
    rows = {
        "mode": f"{spec.mode.upper()}: {'REAL MONEY' if spec.mode == 'live' else 'no real money'}",
        "prices": f"{spec.feed}{', SIMULATED PRICES' if spec.simulated else ''}",
        "account": spec.account,
        "date": f"{spec.date:%a %d %b %Y}",
        "strategy": f"{spec.session.strategy}, {params.underlying}, parameters {params.hash}",
        "one R": f"Rs {params.r_value_rupees}, at most {params.max_lots} lots",
        "positions": f"{_rail(params.max_positions)} (CE {_rail(params.max_ce_positions)}, PE {_rail(params.max_pe_positions)})",
        "day ends at": f"+{_rail(params.daily_target_r)} R or -{_rail(params.daily_stop_r)} R, exit {params.forced_exit_time:%H:%M}",
        "when stopped": {"leave": "stops stay at the broker", "flatten": "everything is closed first"}[
            spec.session.on_sigterm
        ],
    }
    return pl.DataFrame({"what": list(rows), "value": list(rows.values())})


def _rail(value: object) -> str:
    return "no limit" if value is None else str(value)


def checked(results: Sequence[CheckResult]) -> pl.DataFrame:
    """The pre-flight as a table."""
    return pl.DataFrame(
        {
            "check": [each.name for each in results],
            "state": [each.state for each in results],
            "found": [each.what for each in results],
            "do": [each.remedy for each in results],
        }
    )


def refuse_unready(results: Sequence[CheckResult]) -> None:
    """
    Go on only if no check failed.

    Raises
    ------
    NotReadyError
        Naming every check that failed, and the remedy of the first.
    """
    failed = [each for each in results if each.state == "fail"]
    if failed:
        names = ", ".join(each.name for each in failed)
        raise NotReadyError(
            f"pre-flight failed: {names}; nothing was started. {failed[0].name}: {failed[0].what}; {failed[0].remedy}"
        )


def standing(places: Places) -> pl.DataFrame:
    """The processes of a session that run, with the last sign of life of each."""
    alive = find_all(session_commands(places.spec))
    with StoreReader(places.database) as reader:
        ages = {beat.name: beat.age_s() for beat in reader.beats()}
    return pl.DataFrame(
        {
            "process": list(alive),
            "number": [str(process.pid) for process in alive.values()],
            "last sign": [seconds(ages[name]) if name in ages else "starting" for name in alive],
        },
        schema={"process": pl.String, "number": pl.String, "last sign": pl.String},
    )
