"""What people ask of a running session, from whichever door: command rows, the flag file, signals.

Every command is answered, with the reason where it is refused. A KILL is never refused and may be asked for again;
its answer comes when the broker has proved that everything is flat. Rule R10 of the reference `reliability`.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from engine.live.reader import Command as Row
from engine.live.session_inputs import Command, Verb
from engine.live.store_errors import EventRefusedError, StoreError

if TYPE_CHECKING:
    from engine.live.live_day import LiveDay

POLL_S = 0.1
FLATTEN_ONE_S = 60.0
_Answer = tuple[Literal["done", "refused"], str]


class Commands:
    """
    The commands of one day.

    Parameters
    ----------
    day : LiveDay
        Begun.
    stop : function
        Ends the runner with an exit code.
    """

    def __init__(self, day: "LiveDay", stop: Callable[[int], None]) -> None:
        self._day = day
        self._stop = stop
        self._killing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flag_seen = False

    async def run(self) -> None:
        """Take commands and look for the flag file, for ever."""
        for row in self._day.store.unanswered_commands():
            self._begin(row)  # taken by a process that has died; asking twice is harmless
        while True:
            with suppress(StoreError):  # the flag file works while the database does not
                for row in self._day.store.take_commands():
                    self._begin(row)
            self._look_for_flag()
            await asyncio.sleep(POLL_S)

    def kill(self, reason: str, who: str) -> None:
        """KILL by a door without a command row."""
        self._spawn(self._kill(reason, who))

    def stop(self, *, flatten: bool, who: str) -> None:
        """Stop by a signal."""
        self._spawn(self._stop_after(flatten=flatten, who=who))

    # ---- inside ----

    def _look_for_flag(self) -> None:
        flag = self._day.spec.places.kill_flag
        if not flag.exists():
            self._flag_seen = False
        elif not self._flag_seen:
            self._flag_seen = True
            text = ""
            with suppress(OSError, UnicodeDecodeError):  # that it is there is enough
                text = flag.read_text().strip()
            self.kill(text or "kill flag", "flag file")

    def _begin(self, row: Row) -> None:
        self._spawn(self._carry_out(row))

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._day.trader.failure = self._day.trader.failure or task.exception()

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
                flat = await self._kill(reason or "kill", row.origin)
                return (
                    ("done", "proved flat") if flat else ("done", "latched FLATTENING, not proved flat yet")
                )
            case "pause" | "resume":
                return self._switch(row.verb, row.origin, reason)
            case "flatten":
                return await self._flatten(given.get("position"), row.origin, reason)
            case "stop":
                flatten = given.get("flatten") is True
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
        trader = self._day.trader
        latch = trader.state.latch
        if verb == "resume" and latch != "REDUCING":
            if latch == "ACTIVE":
                return ("refused", "the session is not paused")
            return ("refused", f"latch is {latch}; reset it with a reason once everything is flat")
        if verb == "resume" and trader.state.day_latch:
            return ("refused", "a day limit was reached: no entries any more today")
        if verb == "pause" and latch != "ACTIVE":
            return ("refused", f"latch is {latch} already: no entries are made")
        trader.command(Command(verb, who, reason or verb))
        return (
            "done",
            "no new entries, stops and exits go on" if verb == "pause" else "entries are made again",
        )

    async def _flatten(self, position: object, who: str, reason: str) -> _Answer:
        trader = self._day.trader
        if not isinstance(position, int) or isinstance(position, bool):
            return ("refused", "say which position: its number stands in the positions table")
        short = trader.state.shorts.get(position)
        if short is None or not short.units:
            return ("refused", f"position {position} is not open")
        trader.command(Command("flatten", who, reason or "flatten", position))
        clock = trader.clock
        until = clock.monotonic_ns() + round(FLATTEN_ONE_S * 1e9)
        while short.units and clock.monotonic_ns() < until:
            await trader.wait_changed(POLL_S)
        return ("done", "flat" if not short.units else f"{short.units} units are left, buying back goes on")

    async def _kill(self, reason: str, who: str) -> bool:
        day = self._day
        day.status.phase = "closing"
        async with self._killing:
            flat = await day.trader.kill(reason, who, day.spec.session.flatten_within_seconds)
            if flat:
                with suppress(StoreError, EventRefusedError):
                    day.store.set_latch("HALTED", f"proved flat after: {reason}", who)
        if not flat:
            day.notice("error", "KILL: not proved flat within the time, buying back goes on")
            self._spawn(self._kill_again(reason, who))
        day.status.phase = "trading"
        return flat

    async def _kill_again(self, reason: str, who: str) -> None:
        await asyncio.sleep(POLL_S)
        await self._kill(reason, who)

    async def _stop_after(self, *, flatten: bool, who: str) -> None:
        if flatten:
            while not await self._kill("stop", who):
                await self._day.trader.wait_changed(POLL_S)
        else:
            self._day.trader.command(Command("pause", who, "stop"))
            await self._day.trader.settle()
        asyncio.get_running_loop().call_later(POLL_S, self._stop, 0)

    async def _reset(self, who: str, reason: str) -> _Answer:
        day = self._day
        if not reason:
            return ("refused", "a reset needs a reason")
        if day.trader.state.latch == "ACTIVE":
            return ("refused", "latch is ACTIVE: nothing to reset")
        if self._killing.locked():
            return ("refused", "a KILL is being carried out; wait until it is proved flat")
        if not await day.trader.proves_flat():
            return ("refused", "the broker does not show flat; flatten first")
        day.spec.places.kill_flag.unlink(missing_ok=True)
        day.store.set_latch("ACTIVE", reason, who, reset=True)
        return ("done", "entries are made again")

    def _answer(self, row: Row, answer: _Answer) -> None:
        try:
            self._day.store.answer_command(row.id, *answer)
        except (StoreError, EventRefusedError) as error:
            self._day.status.log(
                "error", f"command {row.id} was {answer[0]} ({answer[1]}), not told: {error}"
            )
