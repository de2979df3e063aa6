"""What is done in the place of a runner that is dead: take the account, latch FLATTENING, close everything, prove it.

Used by the watchdog alone. It writes the latch and orders, never SessionEnded: a day that ended this way has no proof of
its own end but this one. Before anything is bought the broker's books are read: what somebody else has bought back
already is adopted, not bought again. Nothing is done because a read failed; it is tried again.

Where the log cannot be written (disk full, read-only), a copy in the system's temporary folder takes its place, so an
exit is still written down before it is sent (R1). The account's own lock is held meanwhile. The next start finds those
orders at the broker as not its own, and says so.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import WorkbenchError
from engine.execution.risk import limits_for
from engine.live.brokers.base import Broker, BrokerAuth
from engine.live.brokers.logins import log_in
from engine.live.brokers.registry import BROKERS, factory
from engine.live.clocks import Clock, SystemClock, seconds
from engine.live.day.old_days import settle_earlier_days
from engine.live.decisions.session_state import Plan, new_state, plan_for
from engine.live.gateway import Gateway
from engine.live.log.events import SessionStarted
from engine.live.log.lease import FileLock
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.orders.prechecks import Rails, exposure
from engine.live.orders.wire import Rules
from engine.live.places import Places
from engine.live.reconcile import Reconciler
from engine.live.spec import SessionSpec
from engine.live.store import Store
from engine.live.trader import Trader
from engine.market.clock import from_ns
from engine.market.contracts import freeze_quantity
from engine.market.prices import PAISE_PER_RUPEE

Tell = Callable[[str, str], None]
"""Called with level (info, warning, error) and text; never raises."""

_UNWRITABLE = frozenset({"full", "read_only", "io"})
_AGAIN_S = 5.0
_ANY_MINUTES = 1


@dataclass(frozen=True, slots=True)
class Closing:
    """
    How it ended.

    Attributes
    ----------
    flat : bool
        Proved by orders, trades and positions of the broker.
    took_s : float
        From the first look at the broker.
    closed : int
        Positions that were open, by the log and what was adopted.
    left : tuple of str
        What is not flat, in words; the reason where even that is not known.
    """

    flat: bool
    took_s: float
    closed: int
    left: tuple[str, ...] = ()


@contextmanager
def taken_over(places: Places, account: str, reason: str, who: str, tell: Tell) -> Iterator[Store]:
    """
    The account's store in the place of its dead runner; a copy of it where the disk takes nothing.

    Raises
    ------
    LeaseHeldError
        If a runner lives after all.
    StoreError
        If the log cannot be read.
    """
    try:
        store = Store.open(places.database, account)
    except StoreError as error:
        if error.failure not in _UNWRITABLE:
            raise
        tell("error", f"the log cannot be written ({error}); a copy takes its place")
    else:
        try:
            if _is_writable(store, reason, who, tell):
                yield store
                return
        finally:
            store.close()
    lock = FileLock.take(places.database.with_name(places.database.name + ".lock"))
    try:
        copy = _copied(places.database)
        tell("error", f"closing is written down in {copy}; keep it: the account's own log lacks these orders")
        with Store.open(copy, account) as store:
            yield store
    finally:
        lock.release()


def _is_writable(store: Store, reason: str, who: str, tell: Tell) -> bool:
    """Whether at least the fallback journal takes an exit; the latch is what is written first."""
    try:
        if store.latch().state != "FLATTENING" or store.failure is not None:
            store.set_latch("FLATTENING", reason, who)
    except StoreError as error:
        tell("error", f"neither log nor fallback journal can be written ({error})")
        return False
    return True


def _copied(database: Path) -> Path:
    """A copy with its write-ahead log, in a private folder that may lie on another disk."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-closing-"))
    for suffix in ("", "-wal", ".journal"):
        source = database.with_name(database.name + suffix)
        with suppress(FileNotFoundError):
            shutil.copy2(source, folder / source.name)
    return folder / database.name


def plan_from_log(spec: SessionSpec, started: SessionStarted, symbols: tuple[str, ...]) -> Plan:
    """A plan that names the traded contracts and decides nothing."""
    return plan_for(
        spec.params,
        date=started.date,
        expiry=started.expiry,
        open_ns=0,
        open_minute=0,
        minutes=_ANY_MINUTES,
        lot_size=started.lot_size,
        symbols=symbols,
        strike=np.zeros(len(symbols), np.int32),
        is_call=np.zeros(len(symbols), np.bool_),
    )


async def close_everything(
    spec: SessionSpec,
    store: Store,
    make_broker: Callable[[], Broker],
    reason: str,
    tell: Tell,
    *,
    who: str,
    within_s: float,
    clock: Clock | None = None,
    rules: Rules | None = None,
) -> Closing:
    """
    Latch FLATTENING, cancel entries, buy shorts back, prove flat by orders, trades and positions.

    Parameters
    ----------
    spec : SessionSpec
    store : Store
        Of `taken_over`.
    make_broker : function
        A new connection of our own; called again for every try. The logins are read anew each time.
    reason : str
        Why; goes into latch and orders' log.
    tell : function
    who : str
        As told in the latch.
    within_s : float
        Then it returns, flat or not; the latch stays, so call again.

    Raises
    ------
    StoreError
        If the lease is lost.
    """
    clock = clock or SystemClock()
    began = time.monotonic()
    deadline = clock.monotonic_ns() + seconds(within_s)
    today = store.state.today
    if today is None:
        return Closing(True, 0.0, 0, ("no session was ever started: there is nothing of ours",))
    if store.state.latch.state != "FLATTENING":
        try:
            store.set_latch("FLATTENING", reason, who)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise
            tell("error", f"the latch could not be written: {error}")
    why = "the broker could not be asked"
    while True:
        broker: Broker | None = None
        try:
            broker = make_broker()
            await log_in(broker, spec)
            if await _is_old(spec, store, broker, clock, tell):
                return Closing(
                    True, time.monotonic() - began, 0, ("nothing was traded since an earlier day",)
                )
            trader = _trader(spec, store, broker, clock, tell, rules)
            rest_s = (deadline - clock.monotonic_ns()) / 1e9
            held = await _close(trader, reason, max(rest_s, 1.0))
            return Closing(True, time.monotonic() - began, held)
        except StoreError:
            raise
        except BrokerAuth as error:
            why = f"the broker's login is not good: {error}"
        except WorkbenchError as error:  # not flat yet, no answer, no secrets: told, and tried again
            why = str(error)
        finally:
            if broker is not None:
                await broker.close()
        tell("error", why)
        if clock.monotonic_ns() >= deadline:
            return Closing(False, time.monotonic() - began, 0, (*_left(store), why))
        await clock.sleep_ns(seconds(_AGAIN_S))


async def _is_old(spec: SessionSpec, store: Store, broker: Broker, clock: Clock, tell: Tell) -> bool:
    """
    Whether nothing was traded on the broker's present day; then what the log still shows open is gone, and is closed.

    Buying back what an earlier day left in the log would open a position.

    Raises
    ------
    DataError
        If the broker holds such a position after all.
    """
    day = spec.date if spec.simulated else from_ns(clock.wall_ns()).date()
    await settle_earlier_days(store, broker, day, tell)
    return store.state.today is not None and store.state.today.date != day.isoformat()


def _trader(
    spec: SessionSpec, store: Store, broker: Broker, clock: Clock, tell: Tell, rules: Rules | None
) -> Trader:
    """A trader that never starts its session: it knows the books, and decides nothing."""
    with StoreReader(store.path) as reader:
        started = reader.events(kinds=("SessionStarted",), limit=-1)[-1].fact
    assert isinstance(started, SessionStarted)
    rails = Rails(
        started.date,
        started.lot_size,
        freeze_quantity(started.underlying, started.date),
        limits_for(spec.params),
        spec.session.max_order_value_rupees * PAISE_PER_RUPEE,
    )
    symbols = tuple(sorted({order.symbol for order in store.state.orders.values()}))
    gateway = Gateway(store, broker, clock, rails, lambda _symbol: None, rules)
    return Trader(plan_from_log(spec, started, symbols), store, gateway, clock, alert=tell)


class NotFlatError(WorkbenchError):
    """The broker does not prove flat."""


async def _close(trader: Trader, reason: str, within_s: float) -> int:
    """Positions that were closed; returns only once flat is proved."""
    clock, gateway = trader.clock, trader.gateway
    deadline = clock.monotonic_ns() + seconds(within_s)
    reconciler = Reconciler(trader)
    await gateway.recover(within_s)
    flat = await reconciler.proves_flat()  # and adopts what others have bought back
    held = len(_left(trader.store))
    while not flat:
        rest_s = (deadline - clock.monotonic_ns()) / 1e9
        closed = await gateway.flatten(reason, max(rest_s, 1.0))
        flat = await reconciler.proves_flat()
        if flat:
            break
        if clock.monotonic_ns() >= deadline:
            reasons = [f"position {one.position}: {one.reason}" for one in closed if not one.flat]
            raise NotFlatError(
                "; ".join(reasons) or "orders, trades and positions of the broker do not agree yet"
            )
        await clock.sleep_ns(seconds(gateway.rules.poll_s))
    return held


def _left(store: Store) -> tuple[str, ...]:
    """What the log holds as open, in words."""
    state = store.state
    held = [
        f"position {number} {row.symbol}: {units} units"
        for number, row in state.positions.items()
        if (units := exposure(state, number))
    ]
    return (*held, *(f"order {order.tag} {order.symbol}: {order.state}" for order in state.open_orders))


def warm(spec: SessionSpec) -> None:
    """Load and compile what closing needs, so that a dead man's hand does not begin with seconds of imports."""
    today = SessionStarted(
        date=spec.date, underlying=spec.params.underlying, expiry=spec.date, mode=spec.mode, params_hash="-",
        lot_size=1, broker=spec.broker, feed=spec.feed, simulated=spec.simulated,
    )  # fmt: skip
    new_state(plan_from_log(spec, today, ("-",)))
    with suppress(WorkbenchError):  # told when it is needed
        factory(BROKERS, spec.broker)


def run_closing(
    spec: SessionSpec, make_broker: Callable[[], Broker], reason: str, tell: Tell, who: str = "watchdog"
) -> Closing:
    """
    `close_everything` from start to end, in an event loop of its own; `who` stands in the latch.

    Raises
    ------
    LeaseHeldError
        If a runner lives after all.
    StoreError
        If the log cannot be read, or its lease is lost.
    """
    with taken_over(spec.places, spec.account, reason, who, tell) as store:
        return asyncio.run(
            close_everything(
                spec, store, make_broker, reason, tell, who=who, within_s=spec.session.flatten_within_seconds
            )
        )


def reset_latch(spec: SessionSpec, make_broker: Callable[[], Broker], reason: str, who: str) -> None:
    """
    Without a runner: set the latch back to ACTIVE and take the kill flag away, if the broker shows flat.

    Raises
    ------
    NotFlatError
        If it does not show that.
    LeaseHeldError, StoreError, BrokerError
        If the account is in use, the log cannot be written, or the broker does not answer.
    """
    with Store.open(spec.places.database, spec.account) as store:
        if store.state.today is not None and not asyncio.run(_shows_flat(spec, store, make_broker)):
            raise NotFlatError(
                "the broker does not show flat, so nothing was reset; close everything first: workbench live kill"
            )
        spec.places.kill_flag.unlink(missing_ok=True)
        if store.state.latch.state != "ACTIVE":
            store.set_latch("ACTIVE", reason, who, reset=True)


async def _shows_flat(spec: SessionSpec, store: Store, make_broker: Callable[[], Broker]) -> bool:
    broker = make_broker()
    try:
        await log_in(broker, spec)
        if await _is_old(spec, store, broker, SystemClock(), lambda _level, _text: None):
            return True
        trader = _trader(spec, store, broker, SystemClock(), lambda _level, _text: None, None)
        await trader.gateway.recover(_AGAIN_S)
        return await Reconciler(trader).proves_flat()
    finally:
        await broker.close()
