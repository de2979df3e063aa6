"""What a watchdog sees: who the runner and the supervisor are, whether they live, beat and obey.

Read from the session's log, which may be unreadable at times, and from the machine's list of processes. What follows
from it stands in the table of `watching`.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import WorkbenchError
from engine.live.control.processes import RUNNER, SUPERVISOR, Process
from engine.live.control.pulse import Pulse
from engine.live.control.watching import Seen
from engine.live.log.heartbeat import Beat, read_beats
from engine.live.log.lease import boot_id, read_holder
from engine.live.log.reader import open_read_only
from engine.live.log.store_errors import translated
from engine.live.log.tables import read_latch
from engine.live.spec import SessionSpec

START_S = 60.0  # imports, the broker's books, the day's bars

PROVED = "proved flat"
"""How a runner's word begins with which it moves the latch from FLATTENING to HALTED."""


@dataclass
class _Known:
    """What was learnt last; it stays true while nothing can be read."""

    runner: Process | None = None
    runner_up_ns: int = 0  # monotonic
    phase: str = ""
    supervisor: Process | None = None
    given_up: bool = False
    latch: str | None = None


class Sight:
    """
    Looks at one session and remembers what it has learnt.

    Parameters
    ----------
    spec : SessionSpec
    pulse : Pulse
        The watchdog's own; while its beats do not get through, nobody else's silence means anything.
    unreadable : function
        Called with a line of text when the log cannot be read.
    """

    def __init__(self, spec: SessionSpec, pulse: Pulse, unreadable: Callable[[str], None]) -> None:
        self._spec = spec
        self._places = spec.places
        self._pulse = pulse
        self._unreadable = unreadable
        self._db: sqlite3.Connection | None = None
        self._known = _Known(supervisor=Process.of(os.getppid()) if os.getppid() != 1 else None)
        self._began: dict[str, float] = {}  # what has been so since when, monotonic s
        self._obeyed = False  # the latch has gone to FLATTENING since the kill flag came

    @property
    def runner(self) -> Process | None:
        """The runner as last known."""
        return self._known.runner

    def look(self) -> Seen:
        """What is to be seen now."""
        beats = self._read()
        known, beat = self._known, (beats or {}).get(RUNNER)
        state: Literal["never", "lives", "gone", "unknown"]
        if known.runner is None:
            state = "never" if beats is not None or not self._places.database.exists() else "unknown"
        else:
            state = "lives" if known.runner.alive else "gone"
        supervisor = self.supervisor((beats or {}).get(SUPERVISOR))
        up_s = (time.monotonic_ns() - known.runner_up_ns) / 1e9
        flag_s = self._since("flag", self._places.kill_flag.exists())
        if flag_s is None:
            self._obeyed = False
        elif beats is not None and known.latch in {"FLATTENING", PROVED}:
            self._obeyed = True
        ours = beat is not None and known.runner is not None and beat.pid == known.runner.pid
        return Seen(
            runner=state,
            phase=known.phase,
            gone_s=self._since("gone", state == "gone") or 0.0,
            up_s=up_s,
            beat_s=beat.age_s() if ours and beat is not None else None,
            beat_read=beats is not None,
            own_good_s=self._pulse.good_for_s(),
            supervisor=supervisor,
            alone_s=self._since("alone", supervisor == "gone") or 0.0,
            flag_s=flag_s if flag_s is None or state != "lives" else min(flag_s, up_s),
            latch="FLATTENING" if self._obeyed else known.latch if beats is not None else None,
        )

    def _since(self, what: str, holds: bool) -> float | None:
        """Seconds for which something has been so, as far as this watchdog saw; None if it is not."""
        if not holds:
            self._began.pop(what, None)
            return None
        now = time.monotonic()
        return now - self._began.setdefault(what, now)

    def _read(self) -> dict[str, Beat] | None:
        """Heartbeats of this boot by name; None if they could not be read. Remembers who is who."""
        path = self._places.database
        if not path.exists():
            return None
        try:
            if self._db is None:
                self._db = open_read_only(path)
            with translated(path):
                beats = {beat.name: beat for beat in read_beats(self._db) if beat.boot_id == boot_id()}
                holder = read_holder(self._db, self._spec.account)
            latch = read_latch(self._db)
            proved = latch.state == "HALTED" and latch.reason.startswith(PROVED)
            self._known.latch = PROVED if proved else latch.state
        except (WorkbenchError, OSError) as error:
            self._unreadable(f"the session's log cannot be read: {error}")
            if self._db is not None:
                self._db.close()
                self._db = None
            return None
        same_boot = holder is not None and holder.pid > 0 and holder.boot_id == boot_id()
        self._learn(beats, Process(holder.pid, holder.process_start) if holder and same_boot else None)
        return beats

    def _learn(self, beats: dict[str, Beat], holder: Process | None) -> None:
        """Who is who: by the supervisor's own words while it is the one that lives, and by the lease."""
        known = self._known
        if (beat := beats.get(SUPERVISOR)) is not None:
            status = _status(beat)
            told = Process(beat.pid, int(status.get("process_start", 0)))
            if told.alive or told == known.supervisor:  # not the words of one of an earlier session
                known.supervisor = told
                known.given_up = status.get("state") == "given_up"
                runner: dict[str, int] = status.get("runner", {})
                if runner.get("pid"):
                    self._meet(Process(runner["pid"], runner["start"]), runner["started_ns"])
        if holder is not None and holder.pid != os.getpid():
            self._meet(holder, time.monotonic_ns())
        if (
            (beat := beats.get(RUNNER)) is not None
            and known.runner is not None
            and beat.pid == known.runner.pid
        ):
            known.phase = str(_status(beat).get("phase", ""))

    def _meet(self, runner: Process, up_ns: int) -> None:
        known = self._known
        if known.runner is None or runner.start > known.runner.start:
            known.runner, known.runner_up_ns, known.phase = runner, up_ns, ""

    def supervisor(self, beat: Beat | None = None) -> Literal["lives", "given up", "gone"]:
        """Whether there is somebody to start a runner again; judged by its heartbeat too where that is given."""
        known = self._known
        if known.supervisor is None or not known.supervisor.alive:
            return "gone"
        silent = beat is not None and beat.pid == known.supervisor.pid and beat.age_s() >= START_S
        if silent and self._pulse.good_for_s() >= START_S:
            return "gone"  # it hangs
        return "given up" if known.given_up else "lives"


def _status(beat: Beat) -> dict[str, Any]:
    told = json.loads(beat.status)
    return told if isinstance(told, dict) else {}
