"""The watchdog: the dead man's hand, a process of its own with its own line to the broker.

`python -m engine.live.watchdog SPEC`. It looks at the runner four times a second (`seeing`): does the process live, does
its heart beat, is there a kill flag that it does not obey. What follows from that stands in the table of `watching`;
how everything is closed, in `dead_man`. A stuck process gets kill -9, checked by number and start time together. The
broker's connection is made when it is needed, not before. Ends by itself, with exit code 0, only when it has closed
everything and the broker has proved it; while it closes, SIGTERM is not obeyed. Rules R8 and R10 of the reference
`reliability`.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.errors import WorkbenchError
from engine.live.control.live_gate import check_switch
from engine.live.control.processes import (
    ALERTS,
    CANNOT_START,
    FEED,
    WATCHDOG,
    Commands,
    Process,
    find,
    session_commands,
)
from engine.live.control.pulse import Pulse, own_log
from engine.live.control.seeing import START_S, Sight
from engine.live.control.watching import Patience, Seen, Verdict, conclude
from engine.live.log.store_errors import LeaseHeldError
from engine.live.spec import SessionSpec

if TYPE_CHECKING:
    from engine.live.brokers.base import Broker
    from engine.live.control.dead_man import Closing

LOOK_S = 0.25
GONE_S = 3.0  # a new start brings a new supervisor within this
KILL_S = 6.0  # a runner looks for the flag ten times a second; taking over from a slow one does no harm
AGAIN_S = 300.0  # the same alert
RETRY_S = 5.0
LAST_WORDS_S = 15.0

Send = Callable[[str, str], None]
"""Sends an alert: level and text; returns soon and raises nothing."""


class Watchdog:
    """
    Watches one session.

    Parameters
    ----------
    spec : SessionSpec
    make_broker : function
        A connection of our own to the account's broker.
    send : function
    commands : mapping
        Command line of each process of the session by name.
    patience : Patience
    """

    def __init__(
        self,
        spec: SessionSpec,
        make_broker: Callable[[], "Broker"],
        send: Send,
        commands: Commands,
        patience: Patience | None = None,
    ) -> None:
        stale = float(spec.session.heartbeat_stale_seconds)
        self._spec = spec
        self._places = spec.places
        self._make_broker = make_broker
        self._send = send
        self._commands = commands
        self._patience = patience or Patience(
            stale, START_S, GONE_S, KILL_S, float(spec.session.flatten_within_seconds)
        )
        self._log = own_log(WATCHDOG)
        self._pulse = Pulse(self._places.database, WATCHDOG)
        self._sight = Sight(spec, self._pulse, lambda error: self._tell("reading", "warning", error))
        self._told: dict[str, float] = {}
        self._verdict = Verdict.WAIT
        self._killed: dict[str, object] = {}
        self._asked_to_end = False
        self._phase: Literal["watching", "closing", "closed"] = "watching"

    def end(self) -> None:
        """End at the next look, unless closing; what a SIGTERM does."""
        self._asked_to_end = True

    def run(self) -> int:
        """
        Watch until told to end, or until everything is closed.

        Returns
        -------
        int
            0 = everything closed and proved; 143 = ended when told.
        """
        self._sight.look()
        self._beat(now=True)
        self._load()
        while not self._asked_to_end or self._phase == "closing":
            seen = self._sight.look()
            self._verdict = conclude(seen, self._patience)
            if self._verdict is Verdict.END:
                self._log.warning(
                    "the runner has ended and no supervisor lives; feed and alerts are ended too"
                )
                self._end_orphans()
                break
            if self._act(seen):
                return 0
            self._beat()
            time.sleep(LOOK_S)
        self._pulse.close()
        return 128 + signal.SIGTERM

    def _load(self) -> None:
        """Load what closing needs while there is time; the disk it comes from may be gone when it is needed."""
        from engine.live.control import dead_man

        dead_man.warm(self._spec)

    # ---- acting ----

    def _act(self, seen: Seen) -> bool:
        """Do what the verdict says; True when everything is closed."""
        runner = self._sight.runner
        who = f"runner (process {runner.pid})" if runner else "runner"
        match self._verdict:
            case Verdict.UNSURE:
                self._tell(
                    "unsure",
                    "error",
                    f"whether the {who} is well cannot be told; nothing is done: look at it",
                )
            case Verdict.STUCK:
                silent_s = seen.up_s if seen.beat_s is None else seen.beat_s
                why = f"it gave no sign of life for {silent_s:.0f} s"
                self._told.pop("stuck", None)
                self._tell("stuck", "error", f"{who} is killed: {why}; it is started again")
                self._kill(runner, why)
            case Verdict.TAKE_OVER:
                self._tell("take over", "error", f"{who} does not obey the kill flag and is killed")
                self._kill(runner, "it did not obey the kill flag")
                return self._close(f"kill flag: {self._flag_text()}")
            case Verdict.CLOSE:
                why = "the runner is dead" if seen.flag_s is None else f"kill flag: {self._flag_text()}"
                return self._close(why)
            case _:
                self._told.pop("unsure", None)
        return False

    def _kill(self, runner: Process | None, why: str) -> None:
        """Kill -9; the reason stands in our heartbeat before, so that the supervisor can tell what it saw end."""
        if runner is None:
            return
        self._killed = {"pid": runner.pid, "why": why}
        self._beat(now=True)
        if runner.signal(signal.SIGKILL):
            runner.wait(RETRY_S)

    def _close(self, why: str) -> bool:
        """Close everything; True once proved. False: somebody else has the account, or it is tried again."""
        from engine.live.control.dead_man import run_closing

        self._phase = "closing"
        self._tell("closing", "error", f"{why}: the watchdog takes the account and closes everything")
        try:
            with ThreadPoolExecutor(1, "closing") as worker:
                work = worker.submit(run_closing, self._spec, self._make_broker, why, self._alarm)
                while not work.done():
                    self._beat()
                    wait([work], LOOK_S)
                done = work.result()
        except LeaseHeldError as error:
            self._phase = "watching"
            self._log.warning("not taken over: %s", error)
            return False
        except (WorkbenchError, OSError) as error:
            self._tell(
                "close", "error", f"closing failed and is tried again; close at the broker by hand: {error}"
            )
            time.sleep(RETRY_S)
            return False
        return self._told_of(done, why)

    def _told_of(self, done: "Closing", why: str) -> bool:
        if not done.flat:
            self._tell(
                "not flat",
                "error",
                f"NOT FLAT after {done.took_s:.0f} s: {'; '.join(done.left)}; tried again",
            )
            return False
        self._phase = "closed"
        text = (
            f"{why}: closed, proved flat by the broker in {done.took_s:.1f} s, {done.closed} things were open"
        )
        self._tell("closed", "error", text)
        self._beat(now=True)
        self._pulse.close()
        if self._sight.supervisor() == "gone":
            self._end_orphans()
        return True

    def _end_orphans(self) -> None:
        """Nobody else ends feed and alerts where no supervisor lives; the alerts still send what has happened."""
        for name, patience_s in ((FEED, RETRY_S), (ALERTS, LAST_WORDS_S)):
            process = find(self._commands[name])
            if process is not None:
                process.end(patience_s)

    def _flag_text(self) -> str:
        with suppress(OSError):
            return self._places.kill_flag.read_text("utf-8", "replace").strip()[:200] or "no reason given"
        return "no reason to be read"

    # ---- telling ----

    def _tell(self, key: str, level: str, text: str) -> None:
        """Alert, but not the same again within five minutes."""
        now = time.monotonic()
        if now - self._told.get(key, -AGAIN_S) < AGAIN_S:
            return
        self._told[key] = now
        self._alarm(level, text)

    def _alarm(self, level: str, text: str) -> None:
        self._log.log({"error": 40, "warning": 30}.get(level, 20), "%s", text)
        self._send(level, f"watchdog: {text}")

    def _beat(self, *, now: bool = False) -> None:
        told = {"phase": self._phase, "verdict": str(self._verdict), "killed": self._killed}
        self._pulse.beat(told, now=now)


def _sender(spec: SessionSpec) -> Send:
    """The alerts' own messengers where they are configured; the log holds everything anyway."""
    if not spec.session.alerts:
        return lambda _level, _text: None

    def send(level: str, text: str) -> None:
        from engine.live.alerts import send_alert

        send_alert(text, level, mode=spec.mode)  # type: ignore[arg-type]

    return send


def watch(
    spec: SessionSpec,
    make_broker: Callable[[], "Broker"],
    commands: Commands,
    patience: Patience | None = None,
) -> int:
    """Run a watchdog in this process; its exit code."""
    watchdog = Watchdog(spec, make_broker, _sender(spec), commands, patience)
    signal.signal(signal.SIGTERM, lambda *_: watchdog.end())
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return watchdog.run()


def main(words: list[str]) -> int:
    """Run the watchdog of the session whose file is named; its exit code."""
    log = own_log(WATCHDOG)
    if len(words) != 1:
        log.error("name the session's file: python -m engine.live.watchdog SPEC")
        return CANNOT_START
    try:
        spec = SessionSpec.read(Path(words[0]))
        check_switch(spec, os.environ)
    except WorkbenchError as error:
        log.error("%s", error)  # noqa: TRY400 - one line, as everywhere
        return CANNOT_START

    def connect() -> "Broker":
        from engine.live.brokers.registry import make_broker

        return make_broker(spec)

    return watch(spec, connect, session_commands(Path(words[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
