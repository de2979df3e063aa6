"""The kinds of events a live session writes down: each a frozen dataclass, each defined once, here.

A kind's name in the log is the name of its class. Payloads are canonical JSON (sorted keys, no blanks) and are
decoded strictly: an unknown kind, a missing or surplus field, a wrong type or a number out of range is refused.
A field added later needs a default, so that older logs still decode.

Units, unless a comment says otherwise: prices in ticks of Rs 0.05, quantities in units (not lots), money in paise,
moments in ns UTC, minutes of the session (0 = first). `tag` is our key of an order at the broker (at most 20
letters and digits); `position` is our number of a position, counted up over the whole log and given when its
entry is prepared.
"""

import datetime as dt
import json
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from engine.live.log.store_errors import EventRefusedError

Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, lt=2**62)]
Units = Annotated[int, Field(gt=0, lt=2**31)]
Ticks = Annotated[int, Field(ge=0, lt=2**31)]  # 0 = this order type has no such price
Paise = Annotated[int, Field(gt=-(2**62), lt=2**62)]
Number = Annotated[int, Field(gt=0, lt=2**31)]

Slot = Literal["CE", "PE"]
Leg = Literal["entry", "stop", "exit"]
Side = Literal["BUY", "SELL"]
OrderType = Literal["LIMIT", "SL", "MARKET"]
Mode = Literal["paper", "practice", "live"]
LatchState = Literal["ACTIVE", "REDUCING", "HALTED", "FLATTENING"]
DayLatch = Literal["day_stop", "day_target"]
Request = Literal["modify", "cancel"]
Outcome = Literal["confirmed", "refused", "denied", "unknown"]
Link = Literal["feed", "broker", "clock", "disk"]
Verdict = Literal["none_qualifies", "wanted", "no_room", "outside_hours", "day_over"]


class Fact:
    """Base of every payload."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Event:
    """
    One line of the log.

    Attributes
    ----------
    seq : int
        1, 2, 3, ... without a gap.
    ts_ns : int
        When it was written, ns UTC.
    fact : Fact
    """

    seq: int
    ts_ns: int
    fact: Fact

    @property
    def kind(self) -> str:
        """Name of the payload's class."""
        return type(self.fact).__name__


KINDS: dict[str, type[Fact]] = {}
_F = TypeVar("_F", bound=Fact)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _kind(cls: type[_F]) -> type[_F]:
    """Make a class a kind of event: frozen, keywords only, strictly decoded, registered under its name."""
    cls.__pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[attr-defined]
    made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
    KINDS[made.__name__] = made
    return made


# ---- session ----


@_kind
class RunnerStarted(Fact):
    """A runner process took the lease; also after a crash."""

    pid: Number
    boot_id: Text
    version: Text  # of this package


@_kind
class SessionStarted(Fact):
    """A trading day begins with these parameters; a restart within the day does not repeat it."""

    date: dt.date
    underlying: Text
    expiry: dt.date
    mode: Mode
    params_hash: Text
    lot_size: Units
    broker: Text  # entry-point name
    feed: Text  # entry-point name
    simulated: bool  # prices are modelled or replayed


@_kind
class SessionEnded(Fact):
    """The day is over."""

    date: dt.date
    flat: bool  # proved flat from the broker's own answer
    charges: Paise | None  # None where they are not known
    reason: Text


@_kind
class DayLatched(Fact):
    """A daily limit was reached: no entry any more on that date."""

    date: dt.date
    reason: DayLatch
    day_pnl: Paise  # realised and unrealised at that moment


@_kind
class LatchChanged(Fact):
    """The trading latch moves. Loosening it needs `reset`."""

    state: LatchState
    reason: Text
    who: Text
    reset: bool = False


@_kind
class LinkChanged(Fact):
    """A feed, the broker's line, the clock or the disk changed its condition."""

    link: Link
    name: Text
    status: Literal["up", "stale", "down", "token_expired", "jumped"]
    detail: str


# ---- decision ----


@_kind
class DecisionMade(Fact):
    """What one slot wanted when a minute closed; field for field the backtest's DECISION and DESIRED_ORDER."""

    minute: Count
    slot: Slot
    verdict: Verdict
    candidates: Count
    qualified: Count
    symbol: str  # "" when nothing is wanted, and then every field below is 0
    conf_minute: int
    swing_index: int
    swing_minute: int
    swing_low: Ticks
    highest_high: Ticks
    bars_after: int
    trigger: Ticks
    limit: Ticks
    lots: Count
    stop: Ticks


@_kind
class StopPlanned(Fact):
    """Where the protective stop of a position shall stand, committed before its order is prepared."""

    position: Number
    trigger: Ticks
    limit: Ticks
    quantity: Units
    reason: Text


# ---- orders ----


@_kind
class IntentPrepared(Fact):
    """
    An order is about to be sent (R1: committed before the request leaves).

    From here on its risk is reserved until a proven end (R3).
    """

    tag: Tag
    position: Number
    slot: Slot
    leg: Leg
    reason: Text  # "entry", or why it closes: place in ledger.EXIT_REASONS or a command
    symbol: Text
    side: Side
    quantity: Units
    order_type: OrderType
    trigger: Ticks  # SL only
    limit: Ticks  # LIMIT and SL
    protection_percent: Count = 0  # MARKET only
    slice: Number = 1  # k of `slices`, where the freeze quantity cuts an order
    slices: Number = 1
    conf_minute: int = 0  # with swing_index the swing low behind it
    swing_index: int = 0
    stop: Ticks = 0  # planned stop, entries only


@_kind
class IntentSent(Fact):
    """The request left; an answer is not known yet. Informative: PREPARED alone already counts as perhaps sent."""

    tag: Tag


@_kind
class OrderDenied(Fact):
    """The gateway refused locally; no tag was given and nothing was sent."""

    position: Number
    slot: Slot
    leg: Leg
    symbol: Text
    quantity: Count
    reason: Text


@_kind
class OrderAccepted(Fact):
    """The broker holds the order: its answer, or found by tag."""

    tag: Tag
    order_id: Text
    found: bool = False  # True when found by tag after an unknown outcome


@_kind
class OrderRefused(Fact):
    """The broker provably refused: there is no such order."""

    tag: Tag
    code: str  # its error type or HTTP status
    reason: Text


@_kind
class OrderUnknown(Fact):
    """Whether the broker holds the order is unknown (R2); never resent blindly."""

    tag: Tag
    reason: Text


@_kind
class OrderNotSent(Fact):
    """Absent from the order book after the whole window: it never reached the broker."""

    tag: Tag
    reason: Text


@_kind
class OrderUpdated(Fact):
    """The broker's view of an order, by push or poll. Late and repeated ones change nothing."""

    tag: Tag
    order_id: Text
    status: Text  # the broker's spelling, e.g. "TRIGGER PENDING"
    filled: Count  # units
    quantity: Units
    trigger: Ticks
    limit: Ticks
    average_milliticks: Count  # average price in 1/1000 tick; 0 without a fill
    message: str
    time_ns: Count  # the exchange's or broker's time; 0 where not told


@_kind
class ModifyPrepared(Fact):
    """A change of a working order is about to be sent."""

    tag: Tag
    quantity: Units
    trigger: Ticks
    limit: Ticks
    order_type: OrderType
    reason: str = ""  # what the order is for once it is changed: a stop that becomes the exit; "" = as before


@_kind
class CancelPrepared(Fact):
    """The cancelling of a working order is about to be sent."""

    tag: Tag
    reason: Text


@_kind
class RequestAnswered(Fact):
    """How a modification or a cancelling ended. A confirmed cancel is no proof of the order's end: a fill wins."""

    tag: Tag
    request: Request
    outcome: Outcome
    reason: str


@_kind
class FillBooked(Fact):
    """One trade of one of our orders; (order id, trade id) is booked once."""

    trade_id: Text  # the broker's
    order_id: Text
    tag: Tag
    side: Side
    quantity: Units
    price: Ticks
    time_ns: Count  # of the exchange


# ---- truth against log ----


@_kind
class OutsideFill(Fact):
    """
    Somebody else took off what we held: the broker's square-off, or a person in the broker's app.

    Only as much of the trade as we held is ours; (order id, trade id) is booked once.
    """

    position: Number
    order_id: Text
    trade_id: Text
    symbol: Text
    side: Side
    quantity: Units
    price: Ticks
    time_ns: Count


@_kind
class ReconcileDone(Fact):
    """Broker and log were compared."""

    orders: Count  # of ours at the broker
    positions: Count  # instruments of ours with a quantity at the broker
    mismatches: Count
    took_ms: Count


@_kind
class Mismatch(Fact):
    """Broker and log disagree about one thing."""

    subject: Literal["position", "order", "fill", "external", "orphan", "stop"]
    key: Text  # symbol, tag or order id
    ours: str
    theirs: str
    detail: str


# ---- commands and housekeeping ----


@_kind
class Noticed(Fact):
    """Something a person should know that no other event tells."""

    level: Literal["info", "warning", "error"]
    text: Text


@_kind
class CommandTaken(Fact):
    """The runner took a row of the commands table."""

    command: Number
    origin: Text
    verb: Text
    payload: str  # JSON object as inserted


@_kind
class CommandAnswered(Fact):
    """What became of a command."""

    command: Number
    state: Literal["done", "refused"]
    answer: Text


@_kind
class JournalMerged(Fact):
    """Events written to the fallback journal while the database could not be written are now in the log."""

    merged: Count
    refused: Count  # lines that contradict the log and were left out
    detail: str


@_kind
class ProjectionsRebuilt(Fact):
    """The tables did not equal the replayed log and were written anew."""

    detail: Text


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[kind])


def encode(fact: Fact) -> tuple[str, str]:
    """
    Kind and canonical JSON of a payload.

    Raises
    ------
    EventRefusedError
        If it would not decode to an equal one.
    """
    kind = type(fact).__name__
    try:
        values = {
            field.name: _plain(getattr(fact, field.name))
            for field in fields(fact)  # type: ignore[arg-type]
        }
        payload = json.dumps(
            values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise EventRefusedError(f"{kind}: {error}; give plain int, str, bool and date") from error
    if decode(kind, payload) != fact:
        raise EventRefusedError(f"{kind}: {payload} does not decode to what was given; give plain values")
    return kind, payload


def decode(kind: str, payload: str) -> Fact:
    """
    The payload of one line of the log.

    Raises
    ------
    EventRefusedError
        If the kind is unknown or the payload is not exactly its fields.
    """
    if kind not in KINDS:
        raise EventRefusedError(f"event kind {kind!r} is unknown; was the log written by a newer version?")
    try:
        return _adapter(kind).validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "payload"
        raise EventRefusedError(f"{kind}.{place}: {first['msg']} (got {first.get('input')!r})") from error


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, dt.date) else value
