"""The runner: the one process that trades an account. `python -m engine.live.runner SPEC`.

It takes the lease, opens the log, logs in, follows the feed and lets `live_day` work; when something dies it dies as
a whole, and a new process recovers (crash-only). What it prints goes to its own log.

Exit codes: 0 day over or stopped, 3 another process holds the account, 4 cannot start so (configuration), 5 the day
ended but flat was not proved; anything else is a crash.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import structlog

from engine.errors import WorkbenchError
from engine.live.brokers.base import Broker, BrokerAuth, BrokerError
from engine.live.brokers.kite_token import KiteSecrets
from engine.live.brokers.logins import known_logins, log_in
from engine.live.brokers.registry import make_broker
from engine.live.clocks import Clock, PacedClock, SystemClock
from engine.live.control.live_gate import check_switch
from engine.live.control.processes import CANNOT_START, ENDED, LEASE_HELD
from engine.live.day.backfill import Backfill
from engine.live.day.commands import Commands
from engine.live.day.day_status import DayStatus
from engine.live.day.feed_link import FeedLink
from engine.live.day.live_day import DayParts, LiveDay
from engine.live.day.warming import settle_memory
from engine.live.feeds.candles import open_candles
from engine.live.log.events import LinkChanged, RunnerStarted
from engine.live.log.heartbeat import Heart
from engine.live.log.lease import boot_id
from engine.live.log.store_errors import EventRefusedError, LeaseHeldError, StoreError
from engine.live.spec import SIMULATED_FEEDS, SessionSpec
from engine.live.store import Store
from engine.market.clock import minute_start, to_ns
from engine.market.indices import index_of
from engine.market.sessions import session_minutes

NOT_FLAT = 5
KILL_SIGNAL = signal.SIGUSR1
"""SIGTERM stops; this one is a KILL (rule R10)."""

BEAT_S = 1.0
RETRY_S = 1.0

log = structlog.get_logger("runner")


class Outlet:
    """Where this process's own log goes; a full disk costs the line, never the day."""

    def write(self, text: str) -> None:
        """Write."""
        with suppress(OSError):
            sys.stdout.write(text)

    def flush(self) -> None:
        """Write what waits."""
        with suppress(OSError):
            sys.stdout.flush()


class _Clock:
    """The clock that is in force, for the store, which is opened before the feed is heard."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()

    def wall_ns(self) -> int:
        return self.clock.wall_ns()


class Runner:
    """
    One process's life.

    Parameters
    ----------
    spec : SessionSpec
    """

    def __init__(self, spec: SessionSpec) -> None:
        self.spec = spec
        self._clock = _Clock()
        self._login: KiteSecrets | None = None
        self.has_begun = False
        self._ended: asyncio.Future[int]
        self._commands: Commands | None = None
        self._day: LiveDay | None = None

    async def run(self) -> int:
        """
        Run the day; the exit code.

        Raises
        ------
        LeaseHeldError
            If another process trades the account.
        """
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(KILL_SIGNAL, self._on_kill)
        spec = self.spec
        with Store.open(spec.places.database, spec.account, clock=self._clock.wall_ns) as store:
            if _is_over(store, spec):
                log.info("the day is over already")
                return ENDED
            self._clock.clock = clock = self._clock_for(store)
            store.append_exit(
                RunnerStarted(pid=os.getpid(), boot_id=boot_id(), version=version("index-option-workbench"))
            )
            with Heart(spec.places.database, "runner") as heart:
                return await self._live(store, clock, heart)

    async def _live(self, store: Store, clock: Clock, heart: Heart) -> int:
        """From the first heartbeat to the last; people are obeyed in between, whatever is waited for."""
        status = DayStatus()
        status.phase = "login_needed"
        commands = self._commands = Commands(self.spec, store, status, self._end)
        tasks = [self._task(self._beat(status, heart)), self._task(commands.run())]
        try:
            broker = await self._logged_in(store, clock)
            if broker is None:
                return self._ended.result()
            try:
                return await self._trade(store, clock, broker, status)
            finally:
                with suppress(BrokerError):
                    await broker.close()
        finally:
            if self._ended.done() and not self._ended.exception() and self._ended.result() == ENDED:
                status.phase = "done"
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            status.beat(heart, self._day)

    async def _trade(self, store: Store, clock: Clock, broker: Broker, status: DayStatus) -> int:
        spec = self.spec
        status.phase = "waiting"
        link = FeedLink(spec.places.feed_socket, index_of(spec.params.underlying))
        backfill = Backfill(self._candles, spec.date)
        day = self._day = LiveDay(
            DayParts(spec, store, broker, clock, link, status, backfill, lambda: self._renew(broker))
        )
        day.prepare()
        assert self._commands is not None
        self._commands.day = day
        tasks: list[asyncio.Future[Any]] = [self._task(day.follow())]
        try:
            began = self._task(day.begin())
            tasks.append(began)
            await _first(began, self._ended)
            if self._ended.done():
                return self._ended.result()
            settle_memory()
            self.has_begun = True
            status.phase = "trading"
            watch = day.watch
            duties = (
                watch.watch(), watch.close_minutes(), watch.read_books(), watch.reconcile(), watch.guard_disk(),
            )  # fmt: skip
            tasks += [self._task(duty) for duty in duties]
            over = asyncio.create_task(day.over.wait())
            tasks.append(over)
            await _first(over, self._ended)
            if self._ended.done():
                return self._ended.result()
            status.phase = "closing"
            flat = await day.end()
            await self._back_up(store, day)
            self._end(ENDED if flat else NOT_FLAT)
            return self._ended.result()
        finally:
            await self._commands.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await day.close()
            await backfill.close()

    async def _back_up(self, store: Store, day: LiveDay) -> None:
        folder = self.spec.places.folder / "backups"
        try:
            await asyncio.to_thread(store.backup, folder, self.spec.date.isoformat())
        except StoreError as error:  # the day is over all the same
            day.notice("error", str(error))

    def _clock_for(self, store: Store) -> Clock:
        """A played day has its own time; it stands where the log ends until the feed tells more."""
        if self.spec.feed not in SIMULATED_FEEDS:
            return SystemClock()
        date = self.spec.date
        start_ns, end_ns = (to_ns(minute_start(date, minute)) for minute in (0, session_minutes(date)))
        last = [event.ts_ns for event in store.events(store.state.seq - 1)]
        inside = [ns for ns in last if start_ns <= ns <= end_ns]  # a watchdog writes by the wall clock
        return PacedClock(max([start_ns, *inside]))

    def _candles(self) -> Any:
        if self.spec.feed == "replay":
            return open_candles(self.spec)
        secrets = self._login or known_logins(self.spec)[0]
        return open_candles(self.spec, secrets.api_key, secrets.access_token or "")

    # ---- login ----

    async def _logged_in(self, store: Store, clock: Clock) -> Broker | None:
        """
        Wait until the broker knows us; protective orders of an earlier process stay where they are.

        Returns
        -------
        Broker or None
            None if told to stop meanwhile.
        """
        told = ""
        while not self._ended.done():
            made = await self._try_login(clock)
            if not isinstance(made, LinkChanged):
                return made
            if made.detail != told:
                told = made.detail
                log.warning("no login yet", detail=told)
                with suppress(StoreError):  # it stands in the log of this process
                    store.append_exit(made)
            await asyncio.wait([self._ended], timeout=RETRY_S)
        return None

    async def _try_login(self, clock: Clock) -> Broker | LinkChanged:
        name = self.spec.broker
        try:
            broker = make_broker(self.spec, clock, fed=True)
        except BrokerAuth as error:
            return LinkChanged(link="broker", name=name, status="token_expired", detail=str(error))
        try:
            await self._renew(broker)
        except BrokerError as error:
            await broker.close()
            status: Literal["token_expired", "down"] = (
                "token_expired" if isinstance(error, BrokerAuth) else "down"
            )
            return LinkChanged(link="broker", name=name, status=status, detail=str(error))
        return broker

    async def _renew(self, broker: Broker) -> None:
        self._login = await log_in(broker, self.spec)

    # ---- life ----

    def _task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        task.add_done_callback(self._watched)
        return task

    def _watched(self, task: "asyncio.Task[None]") -> None:
        """What a task dies of ends the process."""
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)

    async def _beat(self, status: DayStatus, heart: Heart) -> None:
        while True:
            status.beat(heart, self._day)
            await asyncio.sleep(BEAT_S)

    def _on_signal(self) -> None:
        if self._commands is not None:
            self._commands.stop(flatten=self.spec.session.on_sigterm == "flatten", who="signal")
        else:
            self._end(ENDED)

    def _on_kill(self) -> None:
        """KILL by a signal; the latch stays where it is until a person resets it."""
        if self._commands is not None:
            self._commands.kill("signal")
        else:  # the store is just being opened
            self.spec.places.kill_flag.write_text("signal\n", encoding="utf-8")

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)


async def _first(*futures: "asyncio.Future[Any]") -> None:
    """Return when one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _is_over(store: Store, spec: SessionSpec) -> bool:
    today = store.state.today
    return today is not None and today.date == spec.date.isoformat() and today.ended_ns > 0 and today.flat


def main(arguments: list[str] | None = None) -> int:
    """Run one session's runner; the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(Outlet()),  # type: ignore[arg-type]
    )
    if len(given) != 1:
        log.error("usage: python -m engine.live.runner SPEC")
        return CANNOT_START
    try:
        spec = SessionSpec.read(Path(given[0]))
        check_switch(spec, os.environ)
        runner = Runner(spec)
    except WorkbenchError as error:
        log.error("cannot start", detail=str(error))  # noqa: TRY400 - one line says it
        return CANNOT_START
    try:
        return asyncio.run(runner.run())
    except LeaseHeldError as error:
        log.error("the account is held", detail=str(error))  # noqa: TRY400 - one line says it
        return LEASE_HELD
    except WorkbenchError as error:
        if runner.has_begun or isinstance(error, BrokerError | StoreError | EventRefusedError):
            raise  # another try may succeed
        log.error("cannot start", detail=str(error))  # noqa: TRY400
        return CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
