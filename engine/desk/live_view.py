"""A live session at one moment, as a person sees it: frozen values, no widget, no file, no clock.

`view_of` turns what was read from the store into a `LiveView`; panels draw it. It decides nothing: every number is in
the log, in a heartbeat, or follows from fills by `live_money`. Prices are ticks, money paise, unless a name says
otherwise.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

from engine.desk.live_money import Money, day_money, in_r
from engine.desk.live_words import LogLine, decided_at, decision_words, reason_words
from engine.errors import DataError
from engine.live.log.events import DecisionMade
from engine.live.log.state import Day, Fill, Latch, Order, Position
from engine.market.clock import from_ns
from engine.market.prices import PAISE_PER_TICK, to_ticks

FRESH_S = 3.0  # processes give a sign about every second
STALE_S = 15.0

Condition = Literal["ok", "late", "bad", "off"]
LIGHTS = ("runner", "feed", "broker", "watchdog", "database")


@dataclass(frozen=True)
class Sign:
    """The last sign of a process: how many seconds ago, and its own words."""

    age_s: float
    status: Mapping[str, Any]


@dataclass(frozen=True)
class Flattening:
    """
    The last time the latch went to FLATTENING (a kill), and its proved end.

    Attributes
    ----------
    started_ns, ended_ns : int
        By the session's clock; 0 = not ended.
    """

    reason: str
    who: str
    started_ns: int
    ended_ns: int
    answer: str  # reason of the latch's move to HALTED, which is the proof


@dataclass(frozen=True)
class Facts:
    """
    What was read from the store in one snapshot, unchanged.

    Attributes
    ----------
    mode : str or None
        As the session was started with; None where no session file tells.
    simulated : bool or None
    r_paise : int or None
        Value of one R.
    login : str
        What a person types to log in; "" where no session file tells.
    closed : positions of the day that are flat again
    fills : of the day's positions
    signs : by process name
    decisions : by slot, the newest
    last_event_ns : int
    """

    mode: str | None = None
    simulated: bool | None = None
    r_paise: int | None = None
    login: str = ""
    day: Day | None = None
    latch: Latch | None = None
    orders: tuple[Order, ...] = ()
    positions: tuple[Position, ...] = ()
    closed: tuple[Position, ...] = ()
    fills: tuple[Fill, ...] = ()
    signs: Mapping[str, Sign] = field(default_factory=lambda: MappingProxyType({}))
    decisions: Mapping[str, DecisionMade] = field(default_factory=lambda: MappingProxyType({}))
    flattening: Flattening | None = None
    log: tuple[LogLine, ...] = ()
    seq: int = 0
    error: str = ""  # why the store could not be read now
    error_s: float = 0.0  # for how long


@dataclass(frozen=True)
class Light:
    """One status light; the words tell what the colour means, ages in whole seconds."""

    name: str
    condition: Condition
    words: str


@dataclass(frozen=True)
class SlotLine:
    """What one option type wants: the newest decision and its reason in words."""

    slot: str
    wanted: bool
    since: str  # HH:MM IST
    candidates: int
    qualified: int
    symbol: str
    swing_low: int
    trigger: int
    limit: int
    stop: int
    lots: int
    words: str


@dataclass(frozen=True)
class OrderLine:
    """One order whose end is not proven."""

    tag: str
    position: int
    leg: str
    symbol: str
    side: str
    quantity: int
    filled: int
    trigger: int
    limit: int
    state: str
    doubtful: bool  # whether the broker holds it is not known


@dataclass(frozen=True)
class PositionLine:
    """
    One open position.

    Attributes
    ----------
    units : int
        Short where negative.
    entry_rupees : Decimal
        Average, two decimals.
    last : int or None
        Ticks; None where no price is known.
    stop : int
        Trigger as planned, 0 before.
    protection : str
        "" while its stop stands for all its units, else what is missing.
    """

    position: int
    slot: str
    symbol: str
    units: int
    entry_rupees: Decimal
    last: int | None
    stop: int
    protection: str
    pnl: int | None
    r: Decimal | None
    since: str
    date: str


@dataclass(frozen=True)
class TradeLine:
    """One position that is flat again; prices are averages in rupees, money paise before charges."""

    position: int
    symbol: str
    units: int
    entry_rupees: Decimal
    exit_rupees: Decimal
    opened: str
    closed: str
    reason: str
    pnl: int
    r: Decimal | None


@dataclass(frozen=True)
class LiveView:
    """
    What a person sees.

    Attributes
    ----------
    mode : str or None
        None: no session is known.
    simulated : bool
        True also where nothing says that prices are real.
    phase : str
        As the runner tells it; "ended" after the day's end, "stopped" after a stop before it, "" where it is not known.
    login : str
        What a person types to log in.
    clock : str
        HH:MM:SS IST by the session's clock as last told.
    stale_s : float
        How old numbers and prices are where that is too old, else 0; infinite where the runner never gave a sign.
    runner_before : str
        How the runner before this one ended, in the supervisor's words; "" where there was none.
    prices_doubtful : str
        Why prices may not be those of now, "" where they are.
    """

    mode: str | None
    simulated: bool
    title: str
    phase: str
    login: str
    clock: str
    paced: bool
    stale_s: float
    prices_doubtful: str
    latch: Latch | None
    day_latched: str
    lights: tuple[Light, ...]
    slots: tuple[SlotLine, ...]
    orders: tuple[OrderLine, ...]
    positions: tuple[PositionLine, ...]
    trades: tuple[TradeLine, ...]
    money: Money | None
    flattening: Flattening | None
    runner_before: str
    log: tuple[LogLine, ...]
    footer: str
    now_ns: int


def view_of(facts: Facts) -> LiveView:
    """The view of what was read; pure."""
    day = facts.day
    status = _status(facts)
    ended = bool(day and day.ended_ns)
    stopped = not ended and status.get("phase") == "done"
    age = facts.signs["runner"].age_s if "runner" in facts.signs else float("inf")
    stale = 0.0 if ended else max(age if age > FRESH_S else 0.0, facts.error_s if facts.error else 0.0)
    marks = _marks(status.get("prices"))
    mode = facts.mode or (day.mode if day else None)
    feed = status.get("feed") or {}
    doubtful = ""
    if not ended and stale:
        doubtful = "the database cannot be read" if facts.error else "the runner gives no sign"
        if stopped and not facts.error:
            doubtful = "the session was stopped"
    elif not ended and day and not feed.get("fresh"):
        doubtful = str(feed.get("detail") or "the feed is not fresh")
    now_ns = int(status.get("now_ns") or 0)
    return LiveView(
        mode=mode,
        simulated=_simulated(facts),
        title=f"{day.underlying}  {dt.date.fromisoformat(day.date):%a %d %b %Y}" if day else "",
        phase="ended" if ended else "stopped" if stopped else str(status.get("phase", "")),
        login=facts.login or "workbench login kite",
        clock=f"{from_ns(now_ns):%H:%M:%S}" if now_ns else "",
        paced=bool(status.get("paced")),
        stale_s=stale,
        prices_doubtful=doubtful,
        latch=facts.latch,
        day_latched=day.latched if day else "",
        lights=_lights(facts, status, ended=ended),
        slots=tuple(_slot(facts, name) for name in ("CE", "PE")),
        orders=tuple(_order(order) for order in facts.orders),
        positions=tuple(_position(facts, each, marks) for each in facts.positions),
        trades=tuple(_trade(facts, each) for each in sorted(facts.closed, key=lambda p: p.closed_ns)),
        money=_money(facts, marks),
        flattening=facts.flattening,
        runner_before=_runner_before(facts),
        log=facts.log,
        footer=_footer(facts, status),
        now_ns=now_ns,
    )


def _status(facts: Facts) -> Mapping[str, Any]:
    return facts.signs["runner"].status if "runner" in facts.signs else {}


def _simulated(facts: Facts) -> bool:
    """Real only where all that is known says so."""
    told = [facts.simulated, facts.day.simulated if facts.day else None]
    return any(told) or not any(each is False for each in told)


def _runner_before(facts: Facts) -> str:
    told = facts.signs["supervisor"].status if "supervisor" in facts.signs else {}
    if not told.get("runner_ended") or told.get("state") in {"over", "stopping"}:
        return ""
    return f"the runner before ended {told['runner_ended']}"


def _marks(prices: object) -> dict[str, int]:
    """Prices of the runner's sign in ticks; one that is no price is left out, not guessed."""
    marks = {}
    for symbol, text in prices.items() if isinstance(prices, Mapping) else ():
        try:
            marks[symbol] = to_ticks(text)
        except DataError:
            continue
    return marks


# ---- lights ----


def seconds(age_s: float) -> str:
    """An age for a person: "now", "4 s", "2 min"; "never"."""
    if age_s == float("inf"):
        return "never"
    if age_s < FRESH_S:
        return "now"
    return f"{age_s:.0f} s" if age_s < 120 else f"{age_s / 60:.0f} min"


def _lights(facts: Facts, status: Mapping[str, Any], *, ended: bool) -> tuple[Light, ...]:
    names = (*LIGHTS[:-1], *sorted(set(facts.signs) - set(LIGHTS)))
    lights = [_light(facts, status, name, ended=ended) for name in names]
    if facts.error:
        database = Light("database", "bad", facts.error)
    elif facts.seq:
        database = Light("database", "ok", f"event {facts.seq:,}")
    else:
        database = Light("database", "off", "empty")
    lights.insert(len(LIGHTS) - 1, database)
    return tuple(lights)


def _light(facts: Facts, status: Mapping[str, Any], name: str, *, ended: bool) -> Light:
    silent = "runner" not in facts.signs or facts.signs["runner"].age_s > FRESH_S
    if ended and (name not in facts.signs or facts.signs[name].age_s > FRESH_S):
        return Light(name, "off", "day is over")
    if name in ("feed", "broker") and not silent:
        told = status.get(name) or {}
        fine = bool(told.get("fresh" if name == "feed" else "up"))
        detail = str(told.get("detail") or "")
        age = told.get("age_s")
        words = "no word yet" if age is None else seconds(float(age))
        if name == "broker" and age is not None and float(age) >= FRESH_S:
            words = f"compared {words} ago"
        return Light(name, "ok" if fine else "bad", detail or words if not fine else words)
    if name == "broker":
        return Light(name, "late" if "runner" in facts.signs else "off", "not known, runner silent")
    sign = facts.signs.get(name)
    if sign is None:
        return Light(name, "off", "no sign yet")
    level: Condition = "ok" if sign.age_s <= FRESH_S else "late" if sign.age_s <= STALE_S else "bad"
    return Light(name, level, seconds(sign.age_s) + ("" if level == "ok" else " ago"))


def _footer(facts: Facts, status: Mapping[str, Any]) -> str:
    parts = []
    latency = status.get("latency_us") or {}
    if latency.get("p50") is not None:
        parts.append(f"decision latency {latency['p50']:,.0f} / {latency.get('p99', 0):,.0f} us (p50 / p99)")
    if status.get("rss_mb"):
        parts.append(f"runner {float(status['rss_mb']):.0f} MB")
    day = facts.day
    if day:
        parts += [f"{day.orders} orders", f"{day.fills} fills", f"expiry {day.expiry}", f"lot {day.lot_size}"]
        if day.reconciled_ns:
            parts.append(
                f"reconciled {from_ns(day.reconciled_ns):%H:%M:%S}, {day.mismatches} mismatches today"
            )
        if day.starts > 1:
            parts.append(f"started {day.starts} times")
    return "  ·  ".join(parts)


# ---- lines ----


def _slot(facts: Facts, name: str) -> SlotLine:
    made = facts.decisions.get(name)
    if made is None or facts.day is None:
        return SlotLine(name, False, "", 0, 0, "", 0, 0, 0, 0, 0, "no decision yet")
    date = dt.date.fromisoformat(facts.day.date)
    since = decided_at(date, made.minute)
    words = reason_words(date, made) if made.symbol else decision_words(made)
    return SlotLine(
        name, bool(made.symbol), since, made.candidates, made.qualified, made.symbol, made.swing_low, made.trigger,
        made.limit, made.stop, made.lots, words,
    )  # fmt: skip


def _order(order: Order) -> OrderLine:
    doubtful = order.state == "UNKNOWN"
    if doubtful:
        state = "UNKNOWN: being looked for"
    elif order.pending:
        state = "change asked" if order.pending == "modify" else "withdrawal asked"
    else:
        state = order.status.lower() if order.status else {"PREPARED": "being sent"}.get(order.state, "sent")
    return OrderLine(
        order.tag, order.position, order.leg, order.symbol, order.side, order.quantity, order.filled, order.trigger,
        order.limit, state, doubtful,
    )  # fmt: skip


def _average(value: int, units: int) -> Decimal:
    """Sum of ticks times units over units, in rupees to the paisa."""
    return (Decimal(value * PAISE_PER_TICK) / units / 100).quantize(Decimal("0.01")) if units else Decimal(0)


def _position(facts: Facts, held: Position, marks: Mapping[str, int]) -> PositionLine:
    last = marks.get(held.symbol)
    pnl = None if last is None else held.pnl(last)
    return PositionLine(
        position=held.position,
        slot=held.slot,
        symbol=held.symbol,
        units=held.net,
        entry_rupees=_average(held.sold_value, held.sold),
        last=last,
        stop=held.stop_trigger,
        protection=_protection(facts.orders, held),
        pnl=pnl,
        r=in_r(pnl, facts.r_paise),
        since=f"{from_ns(held.opened_ns):%H:%M:%S}",
        date=held.date,
    )


def _protection(orders: tuple[Order, ...], held: Position) -> str:
    """What a short lacks: its stop (or the exit that the stop became) must stand at the broker for all its units."""
    mine = [order for order in orders if order.position == held.position and order.leg in ("stop", "exit")]
    stands = sum(order.reserved for order in mine if order.state == "ACCEPTED")
    if stands >= -held.net:
        return "being bought back" if any(order.leg == "exit" for order in mine) else ""
    if any(order.leg == "exit" for order in mine):
        return "being bought back"
    if mine:
        return "stop not confirmed"
    return "NO STOP"


def _trade(facts: Facts, closed: Position) -> TradeLine:
    return TradeLine(
        closed.position,
        closed.symbol,
        closed.sold,
        _average(closed.sold_value, closed.sold),
        _average(closed.bought_value, closed.bought),
        f"{from_ns(closed.opened_ns):%H:%M}",
        f"{from_ns(closed.closed_ns):%H:%M}",
        closed.exit_reason,
        closed.realised,
        in_r(closed.realised, facts.r_paise),
    )


def _money(facts: Facts, marks: Mapping[str, int]) -> Money | None:
    if facts.day is None:
        return None
    date = dt.date.fromisoformat(facts.day.date)
    today = [*facts.closed, *(each for each in facts.positions if each.date == facts.day.date)]
    return day_money(date, today, facts.fills, marks, facts.r_paise)
