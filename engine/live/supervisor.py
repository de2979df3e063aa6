"""The supervisor: starts the processes of a session, starts the dead ones again, passes a stop on, trades nothing.

`python -m engine.live.supervisor SPEC`, started detached by `starting.start_session`. The runner is started again at
most `restarts` times in ten minutes; then it is left to the watchdog, which closes everything. The supervisor may
itself be killed: the others go on, and the next one finds them. It ends when the runner has ended by itself, when the
watchdog has closed everything, or when told to stop.

How a runner ended            what follows
----------------------------  ----------------------------------------------------------------------
exit code 0                   the session is over: the others end, exit code 0
gone, exit code not to be     as 0 if its last sign of life says phase "done", else as a crash
  known (not our child)
exit code 3 (lease held)      tried again every 2 s, not counted: the watchdog may hold the account, or an
                              older runner is on its way out
exit code 4 (cannot start)    if none has lived before, the session is over with exit code 4 and nothing is
                              touched; else a crash: what has worked today may work again
anything else                 a crash: started again at once, or left to the watchdog when the budget is used up
crash after SIGTERM           stops stay at the broker (`on_sigterm: leave`), exit code 1; or the watchdog closes
                              (`on_sigterm: flatten`)
"""

import json
import os
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path

from engine.errors import WorkbenchError
from engine.live.control.children import Child, Ended
from engine.live.control.live_gate import check_switch
from engine.live.control.processes import (
    ALERTS,
    CANNOT_START,
    ENDED,
    FEED,
    LEASE_HELD,
    RUNNER,
    SUPERVISOR,
    WATCHDOG,
    Commands,
    Process,
    session_commands,
)
from engine.live.control.pulse import Pulse, own_log
from engine.live.log.heartbeat import Beat
from engine.live.log.lease import FileLock, boot_id
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import LeaseHeldError
from engine.live.spec import SessionSpec

BROKEN = 1
"""Exit code: the session did not end by itself; the watchdog closed it, or a stopped runner crashed."""

WINDOW_S = 600.0  # in which `restarts` are counted
LEASE_WAIT_S = 2.0
POLL_S = 0.05
LEAVE_S = 30.0  # a runner that leaves its stops in place needs no longer to end
MARGIN_S = 30.0  # beyond `flatten_within_seconds`, for one that flattens
OTHERS_S = {ALERTS: 15.0}  # it still sends what has happened
OTHER_S = 5.0


class Supervisor:
    """
    The parent of one session's processes.

    Parameters
    ----------
    spec : SessionSpec
    commands : mapping
        Command line of each process by name.
    """

    def __init__(self, spec: SessionSpec, commands: Commands) -> None:
        places = spec.places
        names = [FEED, RUNNER, WATCHDOG, *([ALERTS] if spec.session.alerts else [])]
        self._spec = spec
        self._children = {name: Child(name, commands[name], places.logs) for name in names}
        self._runner = self._children[RUNNER]
        self._others = [child for name, child in self._children.items() if name != RUNNER]
        self._pulse = Pulse(places.database, SUPERVISOR)
        self._log = own_log(SUPERVISOR)
        self._stop = threading.Event()
        self._deadline: float | None = None  # of a stop that was passed on
        self._deaths: deque[float] = deque()
        self._retry_at = 0.0
        self._runner_lived = False
        self._given_up = ""
        self._last_end = ""  # of the runner, in words
        self._outcome: int | None = None
        self._me = Process.of(os.getpid())

    def stop(self) -> None:
        """Pass a stop on to the runner; what a SIGTERM does."""
        self._stop.set()

    def run(self) -> int:
        """
        Look after the session until it is over.

        Returns
        -------
        int
            Exit code: `ENDED`, `LEASE_HELD`, `CANNOT_START` or `BROKEN`.
        """
        for child in self._children.values():
            if child.adopt():
                assert child.process is not None
                self._log.info("%s is running already: process %d", child.name, child.process.pid)
                self._runner_lived |= child is self._runner
        for child in self._children.values():
            if child.process is None:
                self._start(child)
        while self._outcome is None:
            self._tend_runner()
            self._tend_others()
            self._tend_stop()
            self._pulse.beat(self._status())
            time.sleep(POLL_S)
        self._end_others()
        self._log.info("session over, exit code %d", self._outcome)
        self._pulse.beat(self._status(), now=True)
        self._pulse.close()
        return self._outcome

    # ---- the runner ----

    def _tend_runner(self) -> None:
        ended = self._runner.check()
        if ended is not None:
            self._judge(ended)
        elif self._runner.due and self._may_start() and time.monotonic() >= self._retry_at:
            self._start(self._runner)

    def _may_start(self) -> bool:
        return not self._given_up and self._deadline is None and self._outcome is None

    def _judge(self, ended: Ended) -> None:
        """What the end of the runner means; the table of the module's docstring."""
        beats = self._last_beats()
        self._last_end = (
            f"after {ended.lived_s:.1f} s: {ended.why}{_killed_by_watchdog(ended, beats.get(WATCHDOG))}"
        )
        self._log.warning("runner ended %s", self._last_end)
        phase = _phase(beats.get(RUNNER), ended.pid)
        self._runner_lived |= phase not in {None, "starting", "login_needed"}
        if ended.code == ENDED or (ended.code is None and phase == "done"):
            self._outcome = ENDED
        elif ended.code == LEASE_HELD:
            self._retry_at = time.monotonic() + LEASE_WAIT_S
            if self._deadline is not None:
                self._outcome = LEASE_HELD
        elif ended.code == CANNOT_START and not self._runner_lived:
            self._outcome = CANNOT_START
        elif self._deadline is not None:
            if self._spec.session.on_sigterm == "flatten":
                self._give_up("the runner crashed while it was to flatten and stop")
            else:  # one that has hardly started knows no SIGTERM yet: it dies of it, having done nothing
                self._outcome = ENDED if ended.code == -signal.SIGTERM else BROKEN
        else:
            self._count_death()

    def _count_death(self) -> None:
        now = time.monotonic()
        while self._deaths and now - self._deaths[0] > WINDOW_S:
            self._deaths.popleft()
        allowed = self._spec.session.restarts
        if len(self._deaths) >= allowed:
            self._give_up(f"the runner died {len(self._deaths) + 1} times within {WINDOW_S / 60:.0f} minutes")
            return
        self._deaths.append(now)
        self._log.warning("runner is started again, %d of %d", len(self._deaths), allowed)
        self._start(self._runner)

    def _give_up(self, why: str) -> None:
        self._given_up = why
        self._log.error("%s; it is left to the watchdog", why)
        self._pulse.beat(self._status(), now=True)

    def _last_beats(self) -> dict[str, Beat]:
        """The last signs of life of this boot by name; none if they cannot be read."""
        try:
            with StoreReader(self._spec.places.database) as reader:
                return {one.name: one for one in reader.beats() if one.boot_id == boot_id()}
        except WorkbenchError as error:
            self._log.warning("runner's last sign of life cannot be read: %s", error)
            return {}

    # ---- the others ----

    def _tend_others(self) -> None:
        for child in self._others:
            ended = child.check()
            if ended is not None:
                self._log.warning("%s ended after %.1f s: %s", child.name, ended.lived_s, ended.why)
                if child.name == WATCHDOG and ended.code == 0:
                    self._watchdog_is_done()
                    return
            elif child.due:
                self._start(child)

    def _watchdog_is_done(self) -> None:
        """It ends by itself only when it has closed everything in the place of the runner."""
        self._log.error("the watchdog has closed everything; the session is over")
        if self._runner.process is not None:
            self._runner.process.end(OTHER_S)
        self._outcome = BROKEN

    def _start(self, child: Child) -> None:
        child.start()
        if child.process is not None:
            self._log.info("%s started: process %d", child.name, child.process.pid)

    # ---- stopping ----

    def _tend_stop(self) -> None:
        if not self._stop.is_set() or self._given_up or self._outcome is not None:
            return
        runner = self._runner.process
        if self._deadline is None:
            flatten = self._spec.session.on_sigterm == "flatten"
            patience_s = self._spec.session.flatten_within_seconds + MARGIN_S if flatten else LEAVE_S
            self._deadline = time.monotonic() + patience_s
            self._log.info("stopping: the runner has %.0f s (%s)", patience_s, self._spec.session.on_sigterm)
            if runner is None:
                self._outcome = ENDED
            else:
                runner.signal(signal.SIGTERM)
        elif runner is not None and time.monotonic() >= self._deadline:
            self._log.error("the runner did not end in time and is killed; its stops stay at the broker")
            runner.signal(signal.SIGKILL)

    def _end_others(self) -> None:
        lasting = [(child, child.process) for child in self._others if child.process is not None]
        for _, process in lasting:
            process.signal(signal.SIGTERM)
        for child, process in lasting:
            if not process.end(OTHERS_S.get(child.name, OTHER_S)):
                self._log.warning("%s did not end when asked and was killed", child.name)

    # ---- telling ----

    def _status(self) -> dict[str, object]:
        runner = self._runner.process
        state = "over" if self._outcome is not None else "given_up" if self._given_up else "running"
        return {
            "state": "stopping" if state == "running" and self._deadline is not None else state,
            "why": self._given_up,
            "runner_ended": self._last_end,
            "restarts": len(self._deaths),
            "process_start": self._me.start if self._me else 0,
            "runner": {
                "pid": runner.pid if runner else 0,
                "start": runner.start if runner else 0,
                "started_ns": self._runner.started_ns,
            },
            "starts": {name: child.starts for name, child in self._children.items()},
        }


def _phase(beat: Beat | None, pid: int) -> str | None:
    """Phase in the last sign of life of the runner of that number; None if it gave none."""
    return None if beat is None or beat.pid != pid else str(json.loads(beat.status).get("phase", ""))


def _killed_by_watchdog(ended: Ended, beat: Beat | None) -> str:
    """Why the watchdog killed the runner that ended, to be set after "signal 9"; "" if it did not."""
    killed = {} if beat is None else json.loads(beat.status).get("killed", {})
    return f", killed by the watchdog: {killed['why']}" if killed.get("pid") == ended.pid else ""


def supervise(spec: SessionSpec, commands: Commands) -> int:
    """
    Run the supervisor in this process until the session is over; SIGTERM and SIGINT stop it.

    Returns
    -------
    int
        Exit code; `LEASE_HELD` at once if another supervisor of this account lives.
    """
    log = own_log(SUPERVISOR)
    try:
        lock = FileLock.take(spec.places.folder / "supervisor.lock")
    except LeaseHeldError:
        log.error("another supervisor of account %s lives", spec.account)  # noqa: TRY400 - no traceback for this
        return LEASE_HELD
    supervisor = Supervisor(spec, commands)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes means nothing
    try:
        return supervisor.run()
    finally:
        lock.release()


def main(words: list[str]) -> int:
    """Run the supervisor of the session whose file is named; its exit code."""
    log = own_log(SUPERVISOR)
    if len(words) != 1:
        log.error("name the session's file: python -m engine.live.supervisor SPEC")
        return CANNOT_START
    try:
        path = Path(words[0])
        spec = SessionSpec.read(path)
        check_switch(spec, os.environ)
        return supervise(spec, session_commands(path))
    except WorkbenchError as error:
        log.error("%s", error)  # noqa: TRY400 - one line, as everywhere
        return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
