"""Starting a session: once, detached, and found again by whoever starts it a second time.

`start_session` is what notebooks and the command line call. One account has one session: a second start with the same
parameters returns the running one (a notebook cell may be run again), with others it is refused. The supervisor is
started out of reach of the caller: by systemd's user manager as a scope where that outlives a logout, else as an
orphan in an OS session of its own, so that neither the end of a notebook, of papermill nor of a terminal reaches it
(reference `notebooks`). A scope and not a service, because a scope hands on the environment, in which the secrets are;
a service would need them on a command line.
"""

import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.errors import WorkbenchError
from engine.live.control.live_gate import check_gate
from engine.live.control.processes import (
    RUNNER,
    SUPERVISOR,
    Commands,
    Process,
    find_all,
    last_words,
    log_files,
    open_log,
    session_commands,
)
from engine.live.log.lease import FileLock, boot_id
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import LeaseHeldError, StoreError
from engine.live.spec import SessionSpec

UP_S = 30.0
POLL_S = 0.1
FRESH_S = 3.0  # a heart beats every second
UNSETTLED = frozenset({"", "starting", "login_needed"})
"""A runner's first words, before it has asked the broker."""
SETTLE_S = 5.0
CLOCK_STEP_S = 1.0  # a file's time is behind the clock's by up to a step of the file system
ROOM_BYTES = 16 << 20
"""For log, write-ahead log, fallback journal and the processes' own logs of a day's first hours."""
LINGER = Path("/var/lib/systemd/linger")

_ORPHAN = (
    "import subprocess, sys; "
    "subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True, close_fds=True)"
)
"""Starts the words given and ends at once, so that the first process of the system becomes the parent."""


class StartError(WorkbenchError):
    """A session could not be started, or another one runs."""


@dataclass(frozen=True, slots=True)
class Started:
    """
    A session that runs.

    Attributes
    ----------
    spec : SessionSpec
        What it was started with.
    spec_path : Path
    what : str
        "started"; "running" = it ran already; "supervised" = it ran without a supervisor and has one again.
    runner : int
        Process number.
    phase : str
        As the runner last said, e.g. "waiting" or "login_needed".
    """

    spec: SessionSpec
    spec_path: Path
    what: Literal["started", "running", "supervised"]
    runner: int
    phase: str

    @property
    def mode_line(self) -> str:
        """What is traded with, unmistakably."""
        kind = "REAL MONEY" if self.spec.mode == "live" else "no real money"
        prices = ", SIMULATED PRICES" if self.spec.simulated else ""
        return f"{self.spec.mode.upper()} session of account {self.spec.account}: {kind}{prices}"


def start_session(
    spec: SessionSpec,
    *,
    wait_s: float = UP_S,
    confirmation: str | None = None,
    commands: Commands | None = None,
) -> Started:
    """
    Start a session, or find it running; returns when the runner's heart beats.

    Parameters
    ----------
    spec : SessionSpec
    wait_s : float
        Seconds until the heartbeat must be there.
    confirmation : str, optional
        What a person typed; a LIVE session needs `LIVE ACCOUNT`.
    commands : mapping, optional
        Command line of each process; by default the session's own.

    Raises
    ------
    LiveGateError
        If a LIVE session lacks something.
    StartError
        If the account runs another session, the disk has no room, or the runner did not come up; then with its
        last words.
    """
    spec = spec.model_copy(update={"data_folder": spec.data_folder.resolve()})
    check_gate(spec, confirmation, os.environ)
    deadline = time.monotonic() + wait_s
    places = spec.places
    try:
        places.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"{places.folder} cannot be made ({error.strerror}); choose another data folder"
        ) from error
    lock = _turn(places.folder / "start.lock", deadline)
    try:
        known = commands or session_commands(places.spec)
        alive = find_all(known)
        if RUNNER in alive or SUPERVISOR in alive:
            _same_or_refuse(spec, alive)
            if SUPERVISOR in alive:
                return replace(_await_beat(spec, deadline, known, since=0.0), what="running")
            _detach(known[SUPERVISOR], places.logs)
            return replace(_await_beat(spec, deadline, known, since=0.0), what="supervised")
        _refuse_other_holder(spec)
        if places.kill_flag.exists():
            raise StartError(
                f"{places.kill_flag} is still there from a kill; look at the account, then `workbench live reset --reason ...`"
            )
        _refuse_full_disk(places.folder)
        spec.write()
        began = time.monotonic()
        _detach(known[SUPERVISOR], places.logs)
        return _await_beat(spec, deadline, known, since=began)
    finally:
        lock.release()


def _turn(path: Path, deadline: float) -> FileLock:
    """Two starts at one moment: the second waits and then finds the first."""
    while True:
        try:
            return FileLock.take(path)
        except LeaseHeldError:
            if time.monotonic() >= deadline:
                raise StartError(
                    f"{path}: another start is under way; look at it: workbench live status"
                ) from None
            time.sleep(POLL_S)


def _same_or_refuse(spec: SessionSpec, alive: dict[str, Process]) -> None:
    """
    Take the running session for the one asked for only if it is.

    Raises
    ------
    StartError
        Naming what differs.
    """
    running = SessionSpec.read(spec.places.spec)
    if running == spec:
        return
    one, other = running.model_dump(), spec.model_dump()
    differs = [name for name in one if one[name] != other[name]]
    inner = [
        f"{name}.{key}"
        for name in differs
        if isinstance(one[name], dict)
        for key in sorted(one[name].keys() | other[name].keys())
        if one[name].get(key) != other[name].get(key)
    ]
    number = (alive.get(RUNNER) or alive[SUPERVISOR]).pid
    raise StartError(
        f"account {spec.account} runs another session already (process {number}); it differs in "
        f"{', '.join(inner or differs)}: stop it first with `workbench live stop`, or start with the same parameters"
    )


def _refuse_other_holder(spec: SessionSpec) -> None:
    """
    Refuse an account that a process outside this session's own holds, e.g. a watchdog that closes.

    Raises
    ------
    StartError
        Naming the process.
    """
    if not spec.places.database.exists():
        return
    try:
        lock = FileLock.take(spec.places.database.with_name(spec.places.database.name + ".lock"))
    except LeaseHeldError as error:
        raise StartError(
            f"account {spec.account} is held by another process: {error}; wait for its end, or stop it"
        ) from error
    lock.release()


def _refuse_full_disk(folder: Path) -> None:
    """
    Refuse to start where the log could not be kept; nothing is left behind.

    Raises
    ------
    StartError
        Naming the folder, and what still works there.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
    except OSError as error:
        raise StartError(
            f"{folder} has no room of {ROOM_BYTES >> 20} MiB for the log ({error.strerror}); free space, then start again "
            "(what is open can be closed without it: workbench live kill)"
        ) from error


# ---- out of reach ----


def _detach(command: Sequence[str], logs: Path) -> None:
    """Start the supervisor where no end of ours reaches it; secrets pass by the environment only."""
    try:
        log = open_log(SUPERVISOR, logs)
    except OSError as error:
        raise StartError(
            f"{logs} takes no log ({error.strerror}); free space or choose another data folder"
        ) from error
    try:
        subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-S", "-c", _ORPHAN, *_scope(), *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(f"the supervisor could not be started: {error}") from error
    finally:
        os.close(log)


def _scope() -> list[str]:
    """
    Words that put a command into a scope of the user's systemd; [] where that is of no use.

    Without lingering the user manager, and with it the scope, ends at the last logout: then an orphan lives longer.
    """
    run = shutil.which("systemd-run")
    if run is None or not (LINGER / getpass.getuser()).exists():
        return []
    words = [run, "--user", "--scope", "--quiet", "--collect"]
    try:
        works = subprocess.run([*words, "true"], capture_output=True, check=False, timeout=5)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return words if works.returncode == 0 else []


# ---- waiting ----


def _await_beat(spec: SessionSpec, deadline: float, commands: Commands, *, since: float) -> Started:
    """
    Wait until the runner's heart beats.

    Raises
    ------
    StartError
        If the session ended first, or the time is over; with the last words of whoever spoke.
    """
    places = spec.places
    seen_at: float | None = None
    said_at: float | None = None
    settled = False
    while True:
        alive = find_all({name: commands[name] for name in (RUNNER, SUPERVISOR)})
        phase = _phase(spec, alive.get(RUNNER), since)
        if phase is not None:
            said_at = said_at or time.monotonic()
            settled = phase not in UNSETTLED or time.monotonic() - said_at >= SETTLE_S
        if phase is not None and (settled or time.monotonic() >= deadline):
            return Started(spec, places.spec, "started", alive[RUNNER].pid, phase)
        seen_at = seen_at or (time.monotonic() if SUPERVISOR in alive else None)
        ended = SUPERVISOR not in alive and (seen_at is not None or _has_said(places.logs, since))
        if ended or time.monotonic() >= deadline:
            began = time.time() - (time.monotonic() - since) - CLOCK_STEP_S if since else 0.0
            said = (last_words(name, places.logs, since=began) for name in (RUNNER, SUPERVISOR))
            words = next(filter(None, said), "none")
            what = (
                "ended at once"
                if ended
                else "gave no sign of life yet (it goes on; see `workbench live status`)"
            )
            raise StartError(
                f"the session of account {spec.account} {what}; last words: {words} (logs: {places.logs})"
            )
        time.sleep(POLL_S)


def _has_said(logs: Path, since: float) -> bool:
    """Whether a supervisor of this start has already spoken: it may have ended between two looks."""
    newest = max((path.stat().st_size for path in log_files(SUPERVISOR, logs)[-1:]), default=0)
    return newest > 0 and time.monotonic() - since > 1.0


def _phase(spec: SessionSpec, runner: Process | None, since: float) -> str | None:
    """The runner's word in a fresh heartbeat of that very process, given after `since`; None without one."""
    if runner is None or not spec.places.database.exists():
        return None
    try:
        with StoreReader(spec.places.database) as reader:
            beat = next((one for one in reader.beats() if one.name == RUNNER), None)
    except StoreError:
        return None  # an older file is brought up to date right now
    if beat is None or beat.pid != runner.pid or beat.boot_id != boot_id() or beat.monotonic_ns / 1e9 < since:
        return None
    return str(json.loads(beat.status).get("phase", "")) if beat.age_s() < FRESH_S else None
