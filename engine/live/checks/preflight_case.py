"""What a pre-flight check is given, and what it finds."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engine.errors import WorkbenchError
from engine.live.brokers.base import Contract
from engine.live.brokers.kite_token import KiteSecrets, read_logins
from engine.live.spec import SessionSpec

Verdict = Literal["ok", "warn", "fail", "skipped"]
KITE_API = "https://api.kite.trade"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """
    One line of the pre-flight.

    Attributes
    ----------
    state : str
        "ok", "warn" (the session may start), "fail" (it must not) or "skipped" (does not apply, or could not be
        looked at).
    what : str
        What was found.
    remedy : str
        What to do; "" when all is well.
    took_s : float
    """

    name: str
    state: Verdict
    what: str
    remedy: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, as in `CheckResult`."""

    state: Verdict
    what: str
    remedy: str = ""

    @classmethod
    def of(cls, error: WorkbenchError, state: Verdict = "fail") -> "Finding":
        """An error's line, its remedy after the semicolon."""
        what, _, remedy = str(error).rpartition("; ")
        return cls(state, what, remedy) if what else cls(state, remedy)


@dataclass
class Learned:
    """What a check found that a later one stands on."""

    contracts: tuple[Contract, ...] = ()
    login: KiteSecrets | None = None


@dataclass(frozen=True)
class Case:
    """
    The session that is to start.

    Attributes
    ----------
    now : datetime
        Aware, IST.
    """

    spec: SessionSpec
    env_file: Path
    environ: Mapping[str, str] = field(repr=False)
    now: dt.datetime
    learned: Learned

    @property
    def asks_broker(self) -> bool:
        """Whether the session speaks with Kite or with the practice exchange at all."""
        return self.spec.feed != "replay"

    @property
    def own_root(self) -> str | None:
        """Address of a server that stands in for Kite; None = Kite itself."""
        told = self.spec.broker_root or self.spec.feed_options.get("rest_url")
        return str(told).rstrip("/") if told else None

    @property
    def root(self) -> str:
        """Address that requests go to."""
        return self.own_root or KITE_API

    def logins(self) -> tuple[KiteSecrets, ...]:
        """The logins as a process of the session will find them, the best first; errors as `read_logins`."""
        return read_logins(self.env_file, self.environ, self.now)


@dataclass(frozen=True, slots=True)
class Check:
    """
    One check.

    Attributes
    ----------
    limit_s : float
        After so long it has failed.
    needs : tuple of str
        Checks that must have passed before.
    when_hung : str
        Remedy when the time was up.
    """

    name: str
    run: Callable[[Case], Finding]
    limit_s: float = 5.0
    needs: tuple[str, ...] = ()
    when_hung: str = "try again"
