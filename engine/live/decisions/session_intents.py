"""What a session asks for: frozen values that the runner hands to the gateway, the store and the messengers."""

from dataclasses import dataclass
from typing import Literal

from engine.live.log.events import Fact, Leg


@dataclass(frozen=True, slots=True)
class PlaceEntry:
    """A SELL stop-limit for a new position. Prices in ticks, quantity in units."""

    position: int
    kind: int  # CE or PE
    contract: int
    symbol: str
    quantity: int
    trigger: int
    limit: int
    stop: int  # planned
    conf_minute: int
    swing_index: int


@dataclass(frozen=True, slots=True)
class ModifyEntry:
    """The same order with other numbers (native modification)."""

    position: int
    quantity: int
    trigger: int
    limit: int
    stop: int
    conf_minute: int
    swing_index: int


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """End an order; that it has ended is learnt from an update, never from this request's answer."""

    position: int
    leg: Leg
    reason: str


@dataclass(frozen=True, slots=True)
class PlaceStop:
    """A BUY stop-limit over `quantity` units, all of the position that has filled."""

    position: int
    contract: int
    symbol: str
    quantity: int
    trigger: int
    limit: int


@dataclass(frozen=True, slots=True)
class ReplaceStop:
    """The standing stop shall cover `quantity` units in all."""

    position: int
    contract: int
    symbol: str
    quantity: int
    trigger: int
    limit: int


@dataclass(frozen=True, slots=True)
class ExitPosition:
    """
    Buy back `quantity` units and go on until it is done.

    The stop is the gateway's to turn into the exit or to withdraw together with it: never first.
    """

    position: int
    contract: int
    symbol: str
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """More was bought than was short (stop and exit both filled): sell the surplus at once."""

    position: int


@dataclass(frozen=True, slots=True)
class Record:
    """Write this down."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell a person."""

    level: Literal["info", "warning", "error"]
    text: str


Intent = (
    PlaceEntry | ModifyEntry | CancelOrder | PlaceStop | ReplaceStop | ExitPosition | TakeBack | Record | Alert
)  # fmt: skip
