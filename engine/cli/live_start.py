"""`workbench live start`, `stop`, `reset`: the beginning and the end of a session."""

import datetime as dt
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from engine.cli.live_account import meant, processes
from engine.cli.live_ask import ask, await_answer, say_answer, submit
from engine.cli.show import console, print_json, waiting, warn_played
from engine.errors import WorkbenchError
from engine.market.clock import IST

if TYPE_CHECKING:
    from engine.live.control.processes import Process
    from engine.live.places import Places
    from engine.live.spec import SessionSpec

STOP_S = 45.0
TAKEN_S = 5.0
END_S = 10.0
POLL_S = 0.1


class NotNamedError(WorkbenchError):
    """A session was asked for without saying where or as whom."""


class WrongDayError(WorkbenchError):
    """A session was asked for on a day on which it could not trade any more, or at all."""


def run_start(
    session: str,
    mode: str | None,
    changes: list[str] | None,
    root: str | None,
    account: str | None,
    day: str | None,
    confirmation: str | None,
    wait_s: float,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """
    Start a session, or find it running.

    Parameters
    ----------
    session : str
        A name in params/sessions/ or a YAML file.
    mode : str, optional
        paper, practice or live; changes that parameter.
    changes : list of str, optional
        `name=value`, of the session's parameters or of the strategy's.
    root : str, optional
        Address of a practice exchange.
    account : str, optional
        The user's id, for mode live.
    day : str, optional
        Default: today, or the day the practice exchange plays.
    confirmation : str, optional
        For mode live: "LIVE ACCOUNT"; asked for at a terminal.

    Raises
    ------
    LiveGateError, NotNamedError, WrongDayError, StartError, ParamsError
        If it may not start, another session runs, or parameters are wrong.
    """
    from engine.cli.check import UNKNOWN, session_spec
    from engine.live.control.live_gate import check_gate, check_switch, sentence
    from engine.live.control.starting import start_session

    asked = [*(changes or []), *([f"mode={mode}"] if mode else [])]
    with waiting("asking for the login, and for the day that is played", quiet=as_json):
        spec = session_spec(session, asked, root, account, day, data_folder)
    if spec.feed == "practice" and not spec.feed_options:
        raise NotNamedError(
            "no practice exchange is named; give --root with the rest url that `workbench practice serve` prints"
        )
    if spec.mode == "live":
        check_switch(spec, os.environ)
        if spec.account == UNKNOWN:
            raise NotNamedError(
                "nobody is logged in to Kite today, so the account is not known; log in first: workbench login kite"
            )
    if spec.mode == "live" and confirmation is None and sys.stdin.isatty():
        confirmation = typer.prompt(f"REAL MONEY. Type {sentence(spec.account)!r} to start", err=True)
    check_gate(spec, confirmation, os.environ)
    _refuse_day(spec)
    with waiting("starting the session's processes", quiet=as_json):
        started = start_session(spec, wait_s=wait_s, confirmation=confirmation)
    if as_json:
        print_json(
            {
                "what": started.what,
                "mode": spec.mode,
                "account": spec.account,
                "date": spec.date,
                "simulated": spec.simulated,
                "runner": started.runner,
                "phase": started.phase,
                "spec": str(started.spec_path),
                "database": str(started.spec.places.database),
                "logs": str(started.spec.places.logs),
            }
        )
        return
    words = {
        "started": "started",
        "running": "running already, nothing was started",
        "supervised": "running already; its supervisor was missing and is there again",
    }[started.what]
    console.print(started.mode_line, highlight=False, style="bold red" if spec.mode == "live" else "bold")
    warn_played(spec.simulated)
    console.print(
        f"{words}: {spec.params.underlying} of {spec.date}, runner process {started.runner}, {started.phase}",
        highlight=False,
    )
    if started.phase == "login_needed":
        console.print(
            f"it waits for a login, and goes on by itself after: {started.spec.login_command}",
            style="bold yellow",
            highlight=False,
            soft_wrap=True,
        )
    _say_latch(started.spec.places)
    console.print("look: workbench live status    end: workbench live stop    KILL: workbench live kill")


def _refuse_day(spec: "SessionSpec") -> None:
    """Nothing is started for a day that has no session (any more); what runs already is found as ever."""
    from engine.live.checks.preflight_case import Case, Learned
    from engine.live.checks.preflight_session import calendar

    case = Case(spec, spec.env_file, os.environ, dt.datetime.now(IST), Learned())
    finding = calendar(case)
    if finding.state == "fail" and not processes(spec.places):
        raise WrongDayError(f"{finding.what}; {finding.remedy}")


def _say_latch(places: "Places") -> None:
    """A start does not undo a pause or a KILL: say so where it matters."""
    from engine.live.log.reader import StoreReader

    with StoreReader(places.database) as reader:
        latch = reader.latch()
    if latch.state != "ACTIVE":
        remedy = "resume" if latch.state == "REDUCING" else "reset --reason ..."
        console.print(
            f"no entries: latch is {latch.state}, {latch.reason} (by {latch.who}); workbench live {remedy}",
            style="bold yellow",
            highlight=False,
        )


def run_stop(flatten: bool, account: str | None, data_folder: Path | None) -> None:
    """
    End a session: leave stops at the broker, or close everything first. Exit code 1 if it was not running.

    Raises
    ------
    WorkbenchError
        If it did not end.
    """
    from engine.live.spec import SessionSpec

    places = meant(account, data_folder)
    alive = processes(places)
    if not alive:
        console.print(f"account {places.account}: no session runs", highlight=False)
        raise typer.Exit(1)
    patience_s = STOP_S + (SessionSpec.read(places.spec).session.flatten_within_seconds if flatten else 0)
    with waiting("stopping the session"):
        answer = _end_session(places, alive, flatten, patience_s)
    console.print(f"account {places.account}: {answer or 'ended by signal'}", highlight=False)


def _end_session(places: "Places", alive: "dict[str, Process]", flatten: bool, patience_s: float) -> str:
    """Ask it, or signal it where nothing answers; the runner's answer."""
    from engine.live.control.processes import RUNNER, SUPERVISOR

    answer = _asked_to_stop(places, flatten, patience_s) if RUNNER in alive else ""
    if not answer:
        if flatten:
            raise WorkbenchError(
                "the runner does not answer, so nothing is closed by a stop; close everything with: workbench live kill"
            )
        (alive.get(SUPERVISOR) or next(iter(alive.values()))).signal(signal.SIGTERM)
    _await_end(places, patience_s)
    return answer


def _asked_to_stop(places: "Places", flatten: bool, patience_s: float) -> str:
    """
    The runner's answer; "" if it took no notice.

    Raises
    ------
    WorkbenchError
        If it was refused, or is not over on a real market: by a signal the runner would be killed with a short naked.
    """
    from engine.live.spec import SessionSpec

    try:
        number = submit(places, "stop", {"flatten": flatten})
        command = await_answer(places, number, patience_s, taken_s=TAKEN_S)
    except WorkbenchError as error:
        console.print(f"no answer by the database ({error}); stopping by signal", highlight=False)
        return ""
    if command.state == "refused":
        raise WorkbenchError(f"stop was refused: {command.answer}")
    if command.state == "taken" and not flatten and not SessionSpec.read(places.spec).simulated:
        raise WorkbenchError(
            f"not stopped after {patience_s:.0f} s: the session goes on while something is short without its whole stop, is "
            "being bought back or may still fill (workbench live status); to close everything: workbench live kill"
        )
    return command.answer if command.state == "done" else ""


def _await_end(places: "Places", patience_s: float) -> None:
    from engine.live.control.processes import SUPERVISOR

    deadline = time.monotonic() + patience_s
    while SUPERVISOR in (alive := processes(places)):
        if time.monotonic() >= deadline:
            names = ", ".join(f"{name} {process.pid}" for name, process in alive.items())
            raise WorkbenchError(f"still running after {patience_s:.0f} s: {names}; see {places.logs}")
        time.sleep(POLL_S)
    for process in alive.values():  # a supervisor that was killed left them
        process.end(END_S)


def run_reset(reason: str, account: str | None, data_folder: Path | None) -> None:
    """
    Set the latch back to ACTIVE and take the kill flag away, once the broker shows flat; with or without a runner.

    Raises
    ------
    WorkbenchError
        If it was refused, and why.
    """
    from engine.live.brokers.registry import make_broker
    from engine.live.control.dead_man import reset_latch
    from engine.live.control.processes import RUNNER
    from engine.live.spec import SessionSpec

    places = meant(account, data_folder)
    if RUNNER in processes(places):
        say_answer(ask(places, "reset", {"reason": reason}, STOP_S))
        return
    spec = SessionSpec.read(places.spec)
    reset_latch(spec, lambda: make_broker(spec), reason, "cli")
    console.print(f"account {places.account}: latch is ACTIVE, the next start trades again", highlight=False)
