"""What goes wrong in one history, drawn from its seed, and the table of the faults that were met.

Numbers are those of the reference `reliability`. Each history draws which kinds of trouble it has at all and how
often, so that some are calm but for one thing and others have everything at once.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Literal

Disk = Literal["", "locked", "full", "read_only"]

FAULTS: dict[int, str] = {
    1: "accepted, answer lost",
    2: "400 'timed out', the order appears 8 to 90 s later",
    3: "order stuck before the exchange",
    4: "died after PREPARED, before the request left",
    5: "died after the request arrived, before its answer",
    6: "died between an entry's fill and its stop",
    7: "partial fill, the rest cancelled or rejected",
    8: "stop rejected",
    9: "stop triggered, its limit unfilled",
    10: "stop filled while the exit was on its way",
    11: "modification raced by a fill, refused for their number, or acknowledged and then rejected",
    12: "cancel acknowledged, the order filled",
    13: "a slice above the freeze quantity refused or unanswered",
    14: "429 amid an exit or a stop",
    15: "margin refused where a part stands or has filled (a slice: this strategy holds no hedge)",
    16: "a part stands or has filled, the next one unknown (a slice: this strategy holds no hedge)",
    17: "TradingView webhooks (another process: not exercised here)",
    18: "a person trades our instruments, or cancels our order, in the broker's app",
    19: "the broker's own square-off",
    20: "an order of ours left without a position",
    21: "feed mute",
    22: "feed back without one contract",
    23: "repeated, late and zero ticks (crazy ones are the feed's to drop: not exercised here)",
    24: "bars missing after an outage, back-filled",
    25: "another lot size than our facts: refused at the start",
    26: "died at a point of the order path",
    27: "kernel, notebook or browser gone (other processes: not exercised here)",
    28: "a second runner, refused",
    29: "database locked",
    30: "disk full or read-only, the journal too now and then",
    31: "died right after a commit: the intent is there",
    32: "login lost, and found again",
    33: "wall clock set forward or back",
    34: "network gone",
}
ELSEWHERE = frozenset({17, 27})

_PLACE = ("lost", "late", "never", "busy", "refuse", "reject", "stuck")
_MODIFY = ("lost", "never", "busy", "refuse", "fill", "part", "reject")
_CANCEL = ("lost", "never", "busy", "refuse", "fill", "part")
_READ = ("never", "busy", "slow", "short")


@dataclass(slots=True)
class Spell:
    """Trouble of some length; seconds since the start."""

    kind: str
    from_s: float
    until_s: float

    def holds(self, now_s: float) -> bool:
        """Whether it is going on."""
        return self.from_s <= now_s < self.until_s


@dataclass(slots=True)
class Weather:
    """
    The trouble of one history.

    Attributes
    ----------
    met : Counter
        By number of the fault.
    calm : bool
        All faults are over.
    """

    draw: Random
    day_s: float
    met: Counter[int] = field(default_factory=Counter)
    calm: bool = False
    spells: list[Spell] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    latency_s: float = 0.05
    death_share: float = 0.0
    push_lost: float = 0.0
    partial: float = 0.0
    _once: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        draw = self.draw
        wild = draw.choice([0.0, 0.05, 0.15, 0.3])
        for name in ("place", "modify", "cancel", "read"):
            self.shares[name] = wild * draw.choice([0.0, 0.5, 1.0])
        self.shares["read"] /= 2  # a comparison needs five good reads in a row
        self.latency_s = draw.choice([0.005, 0.05, 0.05, 0.4])
        self.death_share = draw.choice([0.0, 0.002, 0.01, 0.03])
        self.push_lost = draw.choice([0.0, 0.1, 1.0])
        self.partial = draw.choice([0.0, 0.2, 0.7])
        for kind, chance, longest in (
            ("network", 0.3, 300.0),
            ("login", 0.15, 400.0),
            ("locked", 0.12, 60.0),
            ("full", 0.12, 120.0),
            ("journal", 0.06, 40.0),
            ("mute", 0.25, 180.0),
            ("one contract", 0.15, 240.0),
            ("bad ticks", 0.3, 600.0),
            ("no candles", 0.15, 240.0),
            ("auto square-off", 0.1, 0.0),
            ("app", 0.15, 0.0),
            ("clock", 0.2, 0.0),
        ):
            if draw.random() < chance:
                start = draw.uniform(60, self.day_s * 0.95)
                self.spells.append(Spell(kind, start, start + draw.uniform(1, max(longest, 1.5))))

    def is_on(self, kind: str, now_s: float) -> bool:
        """Whether trouble of this kind is going on."""
        return not self.calm and any(spell.holds(now_s) for spell in self.spells if spell.kind == kind)

    def first(self, kind: str) -> float | None:
        """When trouble of this kind begins; None if this history has none."""
        return next((spell.from_s for spell in self.spells if spell.kind == kind), None)

    def disk(self, now_s: float) -> Disk:
        """What is wrong with the disk."""
        if self.is_on("locked", now_s):
            return "locked"
        return "full" if self.is_on("full", now_s) or self.is_on("journal", now_s) else ""

    def call(self, what: str) -> str:
        """What happens to one call at the broker; "" = nothing."""
        if self.calm or self.draw.random() >= self.shares[what]:
            return ""
        return self.draw.choice({"place": _PLACE, "modify": _MODIFY, "cancel": _CANCEL, "read": _READ}[what])

    def travel_s(self) -> float:
        """Half a call's time on the line."""
        if not self.calm and self.draw.random() < 0.02:
            return self.draw.uniform(1, 4)
        return self.latency_s * self.draw.uniform(0.2, 1.0)

    def count(self, number: int, key: str | None = None) -> None:
        """A fault was met; what carries a key counts once."""
        if key is None:
            self.met[number] += 1
        elif (number, key) not in self._once:
            self._once.add((number, key))
            self.met[number] += 1

    def count_spell(self, number: int, kind: str, now_s: float) -> None:
        """A fault was met that goes on for a while: once for each spell."""
        for spell in self.spells:
            if spell.kind == kind and spell.holds(now_s):
                self.count(number, f"{kind} {spell.from_s}")
