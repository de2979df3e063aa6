"""Named faults of the practice exchange: what goes wrong, how often or exactly when, from one seed.

Every place where something can go wrong asks `Faults.strike(name)`. Each name draws from its own stream of
random numbers, so switching one fault on does not move another. The names follow the list of faults that a
live session must survive.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.errors import WorkbenchError

FAULTS = {
    "lost_answer": "an order request is accepted, then the connection is dropped",
    "lost_request": "the connection is dropped before the order request is read",
    "timed_out_but_placed": 'HTTP 400 "Order request timed out", yet the order stands (after `seconds`)',
    "stuck_order": "a new order stays PUT ORDER REQ RECEIVED for `seconds`",
    "partial_fill": "a fill takes half the lots; the rest stays open, or is cancelled with rest=cancelled",
    "reject": "a new order is accepted and then REJECTED by the exchange",
    "cancel_raced_by_fill": "a cancel is acknowledged, but the order has filled",
    "too_many_requests": "HTTP 429 although the rate was kept",
    "mute_socket": "a ticker socket stays connected and says nothing",
    "duplicate_ticks": "a frame of ticks is sent twice",
    "late_ticks": "a frame of ticks arrives after the next one",
    "token_expiry": "the access token dies; a new login is needed",
    "outage": "every request is answered 503 and sockets are closed",
}

TAKE_THE_CLOCK = frozenset({"mute_socket", "outage"})
"""They cut the line by which a session that follows at speed max is told what time it is."""


class FaultError(WorkbenchError):
    """A fault was described wrongly."""


@dataclass(frozen=True)
class Fault:
    """
    One fault switched on.

    Attributes
    ----------
    name : str
        A key of `FAULTS`.
    probability : float
        Chance at each occasion.
    nth : tuple of int
        Occasions, counted from 1, at which it surely strikes.
    minutes : (int, int) or None
        Strikes at every occasion in these minutes of the session, the second excluded; with a probability or
        occasions, only those in these minutes.
    seconds : int
        How long it lasts, in exchange time, where the fault has a length.
    rest : str
        "open" or "cancelled": what becomes of the rest of a partial fill.
    """

    name: str
    probability: float = 0.0
    nth: tuple[int, ...] = ()
    minutes: tuple[int, int] | None = None
    seconds: int = 0
    rest: str = "open"

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise FaultError(f"fault {self.name!r} is not known; the faults are {', '.join(FAULTS)}")
        if not 0 <= self.probability <= 1:
            raise FaultError(f"fault {self.name}: probability {self.probability} is not between 0 and 1")
        if self.rest not in {"open", "cancelled"}:
            raise FaultError(f"fault {self.name}: rest {self.rest!r} is neither open nor cancelled")
        if not self.probability and not self.nth and self.minutes is None:
            raise FaultError(f"fault {self.name} says not when; give p=0.1, nth=1 or minutes=30-32")


def parse_fault(text: str) -> Fault:
    """
    A fault of the command line: `name:p=0.1`, `name:nth=1+3,seconds=90`, `name:minutes=30-32`.

    Raises
    ------
    FaultError
        If a part cannot be read.
    """
    name, _, rest = text.partition(":")
    told: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        try:
            if key == "p":
                told["probability"] = float(value)
            elif key == "nth":
                told["nth"] = tuple(int(one) for one in value.split("+"))
            elif key == "minutes":
                begin, _, end = value.partition("-")
                told["minutes"] = (int(begin), int(end))
            elif key == "seconds":
                told["seconds"] = int(value)
            elif key == "rest" and equals:
                told["rest"] = value
            else:
                raise FaultError(
                    f"fault {text!r}: {part!r} is not one of p=, nth=, minutes=, seconds=, rest="
                )
        except ValueError:
            raise FaultError(f"fault {text!r}: {value!r} of {key} cannot be read as a number") from None
    return Fault(name.strip(), **told)  # type: ignore[arg-type]


def refuse_at_max(faults: Iterable[Fault]) -> None:
    """
    Refuse, for a day that waits at each moment for its sessions, what keeps them from hearing of the moment.

    A silence is noticed by the time it lasts; at speed max time stands until the session has answered, so the day
    would neither go on nor show what a silence does.

    Raises
    ------
    FaultError
        If one of TAKE_THE_CLOCK is switched on.
    """
    for fault in faults:
        if fault.name in TAKE_THE_CLOCK:
            raise FaultError(
                f"fault {fault.name} cuts the line that carries the clock of a day at speed max, so every moment would "
                "wait for a session that hears nothing; play it in flowing time, such as --speed 60"
            )


@dataclass
class Faults:
    """
    All faults of an exchange; the same seed and the same occasions give the same faults.

    Attributes
    ----------
    seed : int
    minute : int
        Minute of the session, kept by the exchange.
    occasions, struck : Counter
        How often each fault could have struck, and did.
    """

    seed: int = 0
    rules: tuple[Fault, ...] = ()
    minute: int = -1
    occasions: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    _streams: dict[str, random.Random] = field(default_factory=dict)

    def strike(self, name: str) -> Fault | None:
        """Count an occasion of a fault and tell whether it strikes."""
        self.occasions[name] += 1
        stream = self._streams.setdefault(name, random.Random(f"{self.seed}/{name}"))  # noqa: S311 - a model
        draw = stream.random()
        for rule in self.rules:
            if rule.name == name and self._hits(rule, draw):
                self.struck[name] += 1
                return rule
        return None

    def switch(self, rules: tuple[Fault, ...]) -> None:
        """Replace the rules; occasions go on being counted."""
        self.rules = rules

    def _hits(self, rule: Fault, draw: float) -> bool:
        if rule.minutes is not None and not rule.minutes[0] <= self.minute < rule.minutes[1]:
            return False
        if not rule.nth and not rule.probability:
            return True
        return self.occasions[rule.name] in rule.nth or draw < rule.probability
