"""What people ask of a session, from whichever door: command rows, the flag file, signals; in every phase of a runner.

Every command is answered, with the reason where it is refused. A KILL is never refused: its latch is written down at
once, whatever the runner waits for; then everything is closed as soon as the broker can be reached, and it goes on
until the broker has proved flat, a restart in between included. Rule R10 of the reference `reliability`.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from engine.live.day.day_status import DayStatus
from engine.live.decisions.session_inputs import Command, FeedStatus, Verb
from engine.live.log.reader import Command as Row
from engine.live.log.store_errors import EventRefusedError, StoreError
from engine.live.orders.prechecks import exposure, may_be_naked
from engine.live.spec import SessionSpec
from engine.live.store import Store

if TYPE_CHECKING:
    from engine.live.day.live_day import LiveDay
    from engine.live.trader import Trader

POLL_S = 0.1
AGAIN_S = 0.5
FLATTEN_ONE_S = 60.0
SETTLE_S = 15.0
STOPPED = 0
_Answer = tuple[Literal["done", "refused"], str]
_NOT_YET: _Answer = ("refused", "the session does not trade yet (see its phase): ask again when it does")


class Commands:
    """
    The commands of one runner.

    Parameters
    ----------
    spec : SessionSpec
    store : Store
    status : DayStatus
    stop : function
        Ends the runner with an exit code.

    Attributes
    ----------
    day : LiveDay or None
        None until the broker knows us.
    failure : BaseException or None
        What carrying out a command died of: the runner must end.
    """

    def __init__(
        self, spec: SessionSpec, store: Store, status: DayStatus, stop: Callable[[int], None]
    ) -> None:
        self.day: LiveDay | None = None
        self.failure: BaseException | None = None
        self._spec = spec
        self._store = store
        self._status = status
        self._stop = stop
        self._killing: asyncio.Task[None] | None = None
        self._killed = False  # by a KILL, not by a stop
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flag_seen = False

    async def run(self) -> None:
        """
        Take commands and look for the flag file, for ever.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        latch = self._store.state.latch
        if latch.state == "FLATTENING":  # an earlier process was at it, or the watchdog: flat is proved anew
            self._until_flat_soon(latch.reason, latch.who)
        recalled = False
        while True:
            try:
                if not recalled:  # taken by a process that has died; asking twice is harmless
                    for row in self._store.unanswered_commands():
                        self._spawn(self._carry_out(row))
                    recalled = True
                for row in self._store.take_commands():
                    self._spawn(self._carry_out(row))
            except StoreError as error:  # the flag file works while the database does not
                if error.failure == "lost_lease":
                    raise
            self._look_for_flag()
            if self.failure is not None:
                raise self.failure
            await asyncio.sleep(POLL_S)

    def stop(self, *, flatten: bool, who: str) -> None:
        """Stop by a signal."""
        self._spawn(self._stop_after(flatten=flatten, who=who))

    def kill(self, who: str) -> None:
        """KILL by a signal."""
        self._until_flat_soon("kill", who)

    async def close(self) -> None:
        """Drop what is on its way; a command without an answer is taken up by the next process."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- doors ----

    def _look_for_flag(self) -> None:
        flag = self._spec.places.kill_flag
        if not flag.exists():
            self._flag_seen = False
        elif not self._flag_seen:
            self._flag_seen = True
            text = ""
            with suppress(OSError, UnicodeDecodeError):  # that it is there is enough
                text = flag.read_text().strip()
            self._until_flat_soon(text or "kill flag", "flag file")

    async def _carry_out(self, row: Row) -> None:
        try:
            given = json.loads(row.payload)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            self._answer(row, ("refused", f"payload {row.payload!r} is no JSON object"))
            return
        self._answer(row, await self._act(row, given))

    async def _act(self, row: Row, given: dict[str, Any]) -> _Answer:
        reason = str(given.get("reason") or "")
        match row.verb:
            case "kill":
                await asyncio.shield(self._until_flat_soon(reason or "kill", row.origin))
                return ("done", "proved flat")
            case "pause" | "resume":
                return self._switch(row.verb, row.origin, reason)
            case "flatten":
                return await self._flatten(given.get("position"), row.origin, reason)
            case "stop":
                flatten = given.get("flatten") is True
                if not flatten and self._is_killing:
                    return ("refused", "everything is being closed; that goes on until flat is proved")
                await self._stop_after(flatten=flatten, who=row.origin)
                return (
                    "done",
                    "stopped, everything closed" if flatten else "stopped, stops stay at the broker",
                )
            case "reset":
                return await self._reset(row.origin, reason)
            case _:
                known = "pause, resume, flatten, kill, stop, reset"
                return ("refused", f"{row.verb} is no command; known are {known}")

    def _switch(self, verb: Verb, who: str, reason: str) -> _Answer:
        latch = self._store.state.latch.state
        trader = self._trader
        if verb == "resume" and latch != "REDUCING":
            if latch == "ACTIVE":
                return ("refused", "the session is not paused")
            return (
                "refused",
                f"latch is {latch}; once everything is flat: workbench live reset --reason ...",
            )
        if verb == "resume" and trader is not None and trader.state.day_latch:
            return ("refused", "a day limit was reached: no entries any more today")
        if verb == "pause" and latch != "ACTIVE":
            return ("refused", f"latch is {latch} already: no entries are made")
        if trader is not None:
            trader.command(Command(verb, who, reason or verb))
        elif verb == "pause":
            self._store.set_latch("REDUCING", reason or verb, who)
        else:
            self._store.set_latch("ACTIVE", reason or verb, who, reset=True)
        if verb == "resume" and self._store.state.latch.state != "ACTIVE":
            return ("refused", "the latch could not be written down; entries stay stopped")
        return (
            "done",
            "no new entries, stops and exits go on" if verb == "pause" else "entries are made again",
        )

    async def _flatten(self, position: object, who: str, reason: str) -> _Answer:
        trader = self._trader
        if trader is None:
            return _NOT_YET
        if not isinstance(position, int) or isinstance(position, bool):
            return ("refused", "say which position: its number stands in the positions table")
        short = trader.state.shorts.get(position)
        if short is None or not short.units:
            return ("refused", f"position {position} is not open")
        trader.command(Command("flatten", who, reason or "flatten", position))
        clock = trader.clock
        until = clock.monotonic_ns() + round(FLATTEN_ONE_S * 1e9)
        while not short.flat and clock.monotonic_ns() < until:  # flat is what is booked, not only told
            await trader.wait_changed(POLL_S)
        return ("done", "flat" if short.flat else f"{short.units} units are left, buying back goes on")

    async def _reset(self, who: str, reason: str) -> _Answer:
        trader = self._trader
        if not reason:
            return ("refused", "a reset needs a reason")
        if self._store.state.latch.state == "ACTIVE":
            return ("refused", "latch is ACTIVE: nothing to reset")
        if self._is_killing:
            return ("refused", "a KILL is being carried out; wait until it is proved flat")
        if trader is None:
            return _NOT_YET
        before = self._store.state.latch
        if not await trader.proves_flat():
            return ("refused", "the broker does not show flat; flatten first")
        unseen = self._spec.places.kill_flag.exists() and not self._flag_seen
        if unseen or self._is_killing or self._store.state.latch != before:
            return ("refused", "a KILL has come meanwhile; wait until it is proved flat, then reset again")
        self._spec.places.kill_flag.unlink(missing_ok=True)
        self._killed = False
        self._store.set_latch("ACTIVE", reason, who, reset=True)
        return ("done", "entries are made again")

    # ---- kill and stop ----

    def _until_flat_soon(self, reason: str, who: str, *, is_kill: bool = True) -> "asyncio.Task[None]":
        """The one closing that is carried out; who asks meanwhile waits for the same."""
        self._killed |= is_kill
        if self._killing is None or self._killing.done():
            self._killing = self._spawn(self._until_flat(reason, who))
        return self._killing

    async def _until_flat(self, reason: str, who: str) -> None:
        self._status.killing = True
        try:
            self._latch_flattening(reason, who)
            told = False
            while not await self._closed(reason, who):
                if self._trader is not None and not told:
                    told = True
                    text = "KILL: not proved flat within the time, buying back goes on"
                    self._trader.alert("error", text)
                await asyncio.sleep(AGAIN_S)
            with suppress(StoreError, EventRefusedError):  # FLATTENING forbids even more
                self._store.set_latch("HALTED", f"proved flat after: {reason}", who)
        finally:
            self._status.killing = False

    def _latch_flattening(self, reason: str, who: str) -> None:
        if self._trader is not None or self._store.state.latch.state == "FLATTENING":
            return  # the session latches itself, before it does anything
        try:
            self._store.set_latch("FLATTENING", reason, who)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise
            self._status.log("error", f"the latch could not be written: {error}")

    async def _closed(self, reason: str, who: str) -> bool:
        """One try; whether flat is proved."""
        trader = self._trader
        if trader is not None:
            return await trader.kill(reason, who, self._spec.session.flatten_within_seconds)
        return self.day is not None and await self.day.close_early(reason, who)

    async def _stop_after(self, *, flatten: bool, who: str) -> None:
        before = self._store.state.latch.state
        if self.day is not None and self._trader is not None:
            self.day.stopping = True
            # no entry stays or comes without prices; the latch is left to people
            self._trader.tell(FeedStatus(False, "the session is being stopped"))
        if flatten and (self._trader is not None or self._holds_anything()):
            await asyncio.shield(self._until_flat_soon("stop", who, is_kill=False))
            if not self._killed and before in {
                "ACTIVE",
                "REDUCING",
            }:  # a stop is no KILL: nothing to be reset
                self._store.set_latch(before, "stopped, everything closed", who, reset=True)
        elif self._trader is not None:
            await self._leave(self._trader)
        asyncio.get_running_loop().call_later(POLL_S, self._stop, STOPPED)

    async def _leave(self, trader: "Trader") -> None:
        """
        Wait for what is on its way, but not for ever.

        A real day is not left while something may be short that no order protects, or an entry may still fill, nor
        while a short is being bought back by an exit in its stop's place, or by its stop: only we widen their prices.
        """
        told = ""
        while True:
            missing = await trader.settled_within(SETTLE_S)
            shorts = [short for short in trader.state.shorts.values() if short.units]
            buying = any(short.exit_reason or short.stop_triggered_ns for short in shorts)
            if self._spec.simulated or not (buying or may_be_naked(self._store.state)):
                break
            if not told:
                told = (
                    missing or "an entry that may fill, a short being bought back or without its whole stop"
                )
                words = "the session goes on until that is over; to close everything: workbench live kill"
                trader.alert("error", f"stop waits for {told}; {words}")
            await asyncio.sleep(AGAIN_S)
        if missing:
            trader.alert("warning", f"stopped without {missing}; the next start takes in what came meanwhile")

    def _holds_anything(self) -> bool:
        """Whether the log holds something that may be open; without an intent nothing was ever sent."""
        state = self._store.state
        return bool(state.open_orders) or any(exposure(state, number) for number in state.positions)

    # ---- inside ----

    @property
    def _is_killing(self) -> bool:
        return self._killing is not None and not self._killing.done()

    @property
    def _trader(self) -> "Trader | None":
        return self.day.trader if self.day is not None and self.day.started else None

    def _spawn(self, work: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = self.failure or task.exception()

    def _answer(self, row: Row, answer: _Answer) -> None:
        try:
            self._store.answer_command(row.id, *answer)
        except (StoreError, EventRefusedError) as error:
            self._status.log("error", f"command {row.id} was {answer[0]} ({answer[1]}), not told: {error}")
