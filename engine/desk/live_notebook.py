"""What the two live notebooks stand on: their strict parameters, and tables of what was checked and started.

The notebook launches and watches; detached processes trade. So everything here returns at once, and nothing of a
session hangs on the kernel it was started from.
"""

import datetime as dt
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from engine.desk.notebook import Date
from engine.live.places import Places
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
        Trading day; None is today in India.
    account : str or None
        The user's id at the broker, for mode live only.
    confirmation : str or None
        The sentence that mode live asks for; never needed for paper or practice.
    broker_root : str or None
        Address of a practice exchange.
    feed_options : dict
        Of the feed, e.g. where the practice exchange's ticker is.
    """

    session: str
    changes: dict[str, Any]
    strategy_changes: dict[str, Any]
    date: Date | None
    account: str | None
    confirmation: str | None
    broker_root: str | None
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
        return make_spec(
            load_session_params(self.session, **given),
            date=self.date or dt.datetime.now(IST).date(),
            data_folder=self.folder,
            account=self.account,
            broker_root=self.broker_root,
            feed_options=self.feed_options,
        )


class ControlRoomNotebook(_LiveNotebook):
    """Parameters of 11_control_room: `account` is "paper", "practice" or the user's id at the broker."""

    account: str

    @property
    def places(self) -> Places:
        """Where the account's files lie."""
        return Places(self.folder, self.account)
