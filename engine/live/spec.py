"""What a live session is started with: the session's own parameters, and the whole as a file every process reads.

Secrets are no parameters: they come from the environment or `.env`, and a parameter that looks like one is refused.
The file is written once by the start; a restart within the day goes on with exactly the same values.
"""

import datetime as dt
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.errors import ParamsError
from engine.history.writing import write_atomic
from engine.live.log.events import Mode
from engine.live.places import Places
from engine.params import SwingBreakParams, load_params, project_folder, read_values, session_path, validated

PAPER_ACCOUNT, PRACTICE_ACCOUNT = "paper", "practice"
SIMULATED_FEEDS = frozenset({"practice", "replay"})
_SECRET = re.compile(r"token|secret|passw|api_?key|otp|totp", re.IGNORECASE)
_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,32}")

Option = str | float | bool


def refuse_secrets(names: object) -> None:
    """
    Refuse parameters that look like secrets.

    Raises
    ------
    ParamsError
        Naming the parameter, never its value.
    """
    for name in names if isinstance(names, dict) else ():
        if _SECRET.search(str(name)):
            raise ParamsError(
                f"{name} looks like a secret; secrets are never parameters (they end in notebooks and logs): "
                "put it into the environment or .env"
            )


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class SessionParams(BaseModel):
    """Parameters of running a strategy live; the unit is in each name. What is traded stands in its own file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    schema_version: Literal[1]
    mode: Mode = Field(
        default="paper", description="live also needs WORKBENCH_LIVE=1 and a typed confirmation"
    )
    strategy: str = Field(default="swing_break", description="parameter file of what is traded")
    strategy_changes: dict[str, Any] = Field(default_factory=dict)
    feed: Literal["kite", "practice", "replay"] = "kite"
    on_sigterm: Literal["leave", "flatten"] = Field(
        default="leave", description="what a stopped runner does: leave stops at the broker, or flatten first"
    )
    reconcile_seconds: int = Field(default=60, ge=5, le=600)
    stale_ticks_seconds: int = Field(default=5, ge=1, le=120, description="no tick for so long: no entries")
    heartbeat_stale_seconds: int = Field(default=15, ge=3, le=300)
    restarts: int = Field(
        default=3, ge=0, le=20, description="of a dead runner, before the watchdog flattens"
    )
    flatten_within_seconds: int = Field(default=120, ge=10, le=900)
    paper_latency_ms: int = Field(default=50, ge=0, le=30_000)
    alerts: Annotated[tuple[Literal["telegram", "webhook"], ...], BeforeValidator(_tuple)] = ()
    max_order_value_rupees: int = Field(ge=1, le=1_000_000_000, description="of one order that opens risk")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "live" and self.feed in SIMULATED_FEEDS:
            raise ValueError(f"mode live takes no {self.feed} prices; set feed to kite")
        if self.mode == "practice" and self.feed != "practice":
            raise ValueError(
                f"mode practice takes its prices from the practice exchange, not from {self.feed}"
            )
        return self


def load_session_params(name_or_path: str | Path = "paper", **overrides: Any) -> SessionParams:
    """
    Read a session's parameter file: `paper` means `params/sessions/paper.yaml`.

    Raises
    ------
    ParamsError
        As `load_params`; also for a parameter that looks like a secret.
    """
    refuse_secrets(overrides)
    path = session_path(name_or_path)
    return validated(SessionParams, {**read_values(path), **overrides}, path.name)


class SessionSpec(BaseModel):
    """
    Everything a session's processes need to know, but no secret.

    Attributes
    ----------
    account : str
        "paper", "practice" or the user's id at the broker.
    data_folder : Path
        Holds the account's folder and the recordings.
    broker : str
        Entry-point name: paper or kite.
    broker_root : str or None
        Address of the broker's REST API; None = Kite's own.
    feed : str
        Entry-point name.
    feed_options : mapping
        practice: ticker_url, rest_url, speed; replay: folder or source, speed; any: env_file.
    simulated : bool
        Prices are modelled or replayed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode
    account: str
    date: dt.date
    session: SessionParams
    params: SwingBreakParams
    data_folder: Path
    broker: Literal["kite", "paper"]
    broker_root: str | None = None
    feed: Literal["kite", "practice", "replay"]
    feed_options: dict[str, Option] = Field(default_factory=dict)
    simulated: bool

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not _ACCOUNT.fullmatch(self.account):
            raise ValueError(f"account {self.account!r} is not 1 to 32 letters, digits, - and _")
        if self.mode == "live" and (self.simulated or self.feed in SIMULATED_FEEDS):
            raise ValueError(f"a LIVE session refuses simulated or replayed prices (feed {self.feed})")
        if (self.mode == "paper") != (self.broker == "paper"):
            raise ValueError(f"mode {self.mode} does not trade through broker {self.broker}")
        reserved = {"paper": PAPER_ACCOUNT, "practice": PRACTICE_ACCOUNT}.get(self.mode)
        if reserved is not None and self.account != reserved:
            raise ValueError(f"mode {self.mode} keeps its book as account {reserved}, not {self.account}")
        if self.mode == "live" and self.account in {PAPER_ACCOUNT, PRACTICE_ACCOUNT}:
            raise ValueError("mode live needs the user's id at the broker as account")
        return self

    @property
    def places(self) -> Places:
        """Where the account's files lie."""
        return Places(self.data_folder, self.account)

    @property
    def env_file(self) -> Path:
        """Where secrets stand that the environment does not hold; at a practice exchange never the real ones."""
        told = self.feed_options.get("env_file")
        if told:
            return Path(str(told))
        if self.feed == "practice":
            return Places(self.data_folder, PRACTICE_ACCOUNT).folder / ".env"
        return project_folder() / ".env"

    @property
    def login_command(self) -> str:
        """What a person types to log in where the session's prices and orders are: at Kite, or at a practice exchange."""
        words = ["workbench", "login", "kite"]
        root = self.broker_root or self.feed_options.get("rest_url") if self.feed == "practice" else None
        if root:
            words += ["--root", str(root)]
        if told := self.feed_options.get("env_file"):
            words += ["--env-file", str(told)]
        elif root and self.data_folder.resolve() != (project_folder() / "data").resolve():
            words += ["--data", str(self.data_folder)]
        return shlex.join(words)

    def write(self) -> Path:
        """Write the file that the session's processes read; its path."""
        path = self.places.spec
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, self.model_dump_json(indent=1).encode())
        return path

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """
        What a session was started with.

        Raises
        ------
        ParamsError
            If there is no such file, or it is of another version.
        """
        path = Path(path)
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ParamsError(f"{path} does not exist; start a session first: workbench live start") from None
        except (OSError, ValueError) as error:
            raise ParamsError(f"{path} cannot be read ({error}); start the session anew") from error
        try:
            return cls.model_validate_json(json.dumps(plain))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ParamsError(f"{path}: {place}: {first['msg']}; start the session anew") from error


def make_spec(
    session: SessionParams,
    *,
    date: dt.date,
    data_folder: Path,
    account: str | None = None,
    broker_root: str | None = None,
    feed_options: dict[str, Option] | None = None,
) -> SessionSpec:
    """
    The whole of a session from its parameters.

    Parameters
    ----------
    session : SessionParams
    date : date
        Trading day.
    data_folder : Path
    account : str, optional
        The user's id at the broker; needed for mode live.
    broker_root : str, optional
        Address of the practice exchange; a paper session on Kite's prices takes none.
    feed_options : mapping, optional

    Raises
    ------
    ParamsError
        If the parts contradict each other, or the strategy's file is wrong.
    """
    refuse_secrets(feed_options or {})
    refuse_secrets(session.strategy_changes)
    if session.mode == "paper" and session.feed == "kite" and broker_root:
        raise ParamsError(
            f"a paper session with feed kite takes nothing from the practice exchange {broker_root}; name none (--root, "
            "KITE_ROOT, practice_exchange), or set feed to practice"
        )
    params = load_params(session.strategy, **session.strategy_changes)
    own = {"paper": PAPER_ACCOUNT, "practice": PRACTICE_ACCOUNT}.get(session.mode, account or "")
    return validated(
        SessionSpec,
        {
            "mode": session.mode,
            "account": own,
            "date": date,
            "session": session,
            "params": params,
            "data_folder": data_folder,
            "broker": "paper" if session.mode == "paper" else "kite",
            "broker_root": broker_root,
            "feed": session.feed,
            "feed_options": feed_options or {},
            "simulated": session.feed in SIMULATED_FEEDS,
        },
        "session",
    )
