"""Commands to a running session by way of its database, and its answers."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from engine.cli.live_account import NoSessionError, meant, processes
from engine.cli.show import console, notes, waiting
from engine.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.live.log.reader import Command
    from engine.live.places import Places

ORIGIN = "cli"
ANSWER_S = 15.0
FLATTEN_S = 75.0
POLL_S = 0.05


class NoAnswerError(WorkbenchError):
    """The runner has taken no notice of a command."""


def submit(places: "Places", verb: str, payload: Mapping[str, object] | None = None) -> int:
    """
    Write a command down; its number.

    Raises
    ------
    StoreError
        If it could not be written: use another door.
    """
    from engine.live.log.reader import submit_command

    return submit_command(places.database, ORIGIN, verb, payload)


def await_answer(
    places: "Places", number: int, within_s: float, *, taken_s: float | None = None
) -> "Command":
    """
    Wait for the answer to a command.

    Parameters
    ----------
    taken_s : float, optional
        Seconds in which the runner must have taken it.

    Returns
    -------
    Command
        In state done or refused; "taken" when the time was over first.

    Raises
    ------
    NoAnswerError
        If it was not even taken in time.
    StoreError
        If the database cannot be read.
    """
    from engine.live.log.reader import StoreReader

    began = time.monotonic()
    limit_s = within_s if taken_s is None else taken_s
    with StoreReader(places.database) as reader:
        while True:
            command = reader.command(number)
            assert command is not None, "commands are never deleted"
            if command.state in {"done", "refused"}:
                return command
            waited_s = time.monotonic() - began
            if command.state == "new" and waited_s >= limit_s:
                raise NoAnswerError(f"the runner has not taken {command.verb} within {limit_s:g} s")
            if waited_s >= within_s:
                return command
            time.sleep(POLL_S)


def ask(places: "Places", verb: str, payload: Mapping[str, object], within_s: float) -> "Command":
    """
    A command and its answer.

    Raises
    ------
    NoSessionError
        If no runner lives to answer.
    NoAnswerError, StoreError
        As `await_answer`, `submit`.
    """
    from engine.live.control.processes import RUNNER

    if RUNNER not in processes(places):
        raise NoSessionError(
            f"account {places.account}: no runner lives to answer; look at it: workbench live status"
        )
    return await_answer(places, submit(places, verb, payload), within_s)


def say_answer(command: "Command") -> None:
    """Print an answer; a refused or unanswered command ends with exit code 1."""
    if command.state == "done":
        console.print(f"{command.verb}: {command.answer}", highlight=False)
        return
    if command.state == "refused":
        notes.print(f"{command.verb} was refused: {command.answer}", highlight=False)
    else:
        notes.print(f"{command.verb} is under way; follow it: workbench live tail -f", highlight=False)
    raise typer.Exit(1)


def run_command(
    verb: str, payload: Mapping[str, object], account: str | None, data_folder: Path | None
) -> None:
    """
    `pause`, `resume`, `flatten POSITION`: ask the runner and print what it says.

    Raises
    ------
    NoSessionError, NoAnswerError, StoreError
        If nobody answers.
    """
    places = meant(account, data_folder)
    with waiting(f"{verb}: the runner is asked"):
        command = ask(places, verb, payload, FLATTEN_S if verb == "flatten" else ANSWER_S)
    say_answer(command)
