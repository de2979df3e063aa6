"""`workbench live kill`: everything is closed, by whichever door is open; followed until the broker has proved it.

The doors, one after another: a command row, which the runner answers; the flag file, which needs no database, and which
the watchdog carries out when the runner does not; and where no process of the session lives, this one.
"""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine.cli.live_account import meant, processes
from engine.cli.live_ask import ORIGIN, NoAnswerError, await_answer, submit
from engine.cli.show import console, notes, print_json
from engine.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.live.log.reader import StoreReader
    from engine.live.places import Places

TAKEN_S = 2.0
LOOK_S = 0.2
MARGIN_S = 30.0
RETRY_S = 1.0


def run_kill(
    reason: str, yes: bool, wait: bool, account: str | None, data_folder: Path | None, as_json: bool
) -> None:
    """
    Close everything; exit code 0 only when flat is proved.

    Parameters
    ----------
    reason : str
        Goes into latch and log.
    yes : bool
        Do not ask.
    wait : bool
        Follow until flat is proved.

    Raises
    ------
    WorkbenchError
        If no door is open.
    """
    from engine.live.control.processes import RUNNER, SUPERVISOR, WATCHDOG
    from engine.live.spec import SessionSpec

    places = meant(account, data_folder)
    spec = SessionSpec.read(places.spec)
    if not yes and sys.stdin.isatty():
        money = "REAL MONEY" if spec.mode == "live" else spec.mode
        typer.confirm(f"KILL account {places.account} ({money}): close everything now?", abort=True, err=True)
    began = time.monotonic()
    alive = processes(places)
    if not alive.keys() & {RUNNER, SUPERVISOR, WATCHDOG}:
        told = _close_here(places, reason)
    else:
        number, door = _knock(places, reason, runner=RUNNER in alive)
        if not wait:
            told = {"door": door, "flat": None, "words": "asked; follow it: workbench live tail -f"}
        else:
            patience_s = spec.session.flatten_within_seconds + MARGIN_S
            told = {"door": door, **_follow(places, number, began, patience_s)}
    told["seconds"] = round(time.monotonic() - began, 2)
    if as_json:
        print_json({"account": places.account, **told})
    else:
        _say(told)
    if told["flat"] is False:
        raise typer.Exit(1)


def _knock(places: "Places", reason: str, *, runner: bool) -> tuple[int | None, str]:
    """Command row, and the flag file where that is not taken within two seconds; number and door."""
    number = None
    if runner:
        try:
            number = submit(places, "kill", {"reason": reason})
            await_answer(places, number, TAKEN_S, taken_s=TAKEN_S)
        except NoAnswerError:
            why = f"the runner has not answered within {TAKEN_S:g} s"
        except WorkbenchError as error:
            why = str(error)
        else:
            return number, "command"
    else:
        why = "no runner lives"
    try:
        places.kill_flag.write_text(f"{reason}\n", encoding="utf-8")
    except OSError as error:
        raise WorkbenchError(
            f"{why}, and {places.kill_flag} cannot be written ({error.strerror}); close everything at the broker by hand"
        ) from error
    notes.print(f"{why}: flag file written", highlight=False)
    return number, "flag"


def _follow(places: "Places", number: int | None, began: float, patience_s: float) -> dict[str, Any]:
    """Show what is left until flat is proved or the time is over."""
    from engine.live.log.reader import StoreReader

    words = "the database cannot be read"
    with notes.status("closing") as shown:
        while time.monotonic() - began < patience_s:
            try:
                with StoreReader(places.database) as reader:
                    while time.monotonic() - began < patience_s:
                        proof = _proof(reader, number, began)
                        if proof:
                            return {"flat": True, "words": proof}
                        words = _left(reader)
                        shown.update(f"closing, {time.monotonic() - began:.0f} s: {words}")
                        time.sleep(LOOK_S)
            except WorkbenchError:
                time.sleep(RETRY_S)
    return {"flat": False, "words": f"not proved flat after {patience_s:.0f} s; {words}"}


def _proof(reader: "StoreReader", number: int | None, began: float) -> str:
    """Words of whoever proved flat from the broker's books; "" while nobody has."""
    if number is not None:
        command = reader.command(number)
        if command is not None and command.state == "done" and command.answer.startswith("proved flat"):
            return command.answer
    for beat in reader.beats():
        after = beat.monotonic_ns / 1e9 >= began
        if beat.name == "watchdog" and after and json.loads(beat.status).get("phase") == "closed":
            return "proved flat by the watchdog"
    return ""


def _left(reader: "StoreReader") -> str:
    positions, orders = reader.positions(), reader.orders(only_open=True)
    held = ", ".join(f"{abs(row.net)} {row.symbol}" for row in positions)
    return f"latch {reader.latch().state}; held by the log: {held or 'nothing'}; {len(orders)} orders open"


def _close_here(places: "Places", reason: str) -> dict[str, Any]:
    """Nobody else lives, so this process takes the account, closes, and gives it back; no gate stands before a KILL."""
    from engine.live.brokers.registry import make_broker
    from engine.live.control.dead_man import run_closing
    from engine.live.spec import SessionSpec

    spec = SessionSpec.read(places.spec)
    notes.print(
        f"no process of the session lives; this one closes, for at most {spec.session.flatten_within_seconds} s",
        highlight=False,
    )
    said: set[str] = set()

    def tell(_level: str, text: str) -> None:
        if text not in said:
            said.add(text)
            notes.print(text, highlight=False)

    with notes.status("closing"):
        done = run_closing(spec, lambda: make_broker(spec), reason, tell, ORIGIN)
    open_before = f"{done.closed} positions were open" if done.closed else "nothing was open any more"
    words = f"{open_before}, proved flat" if done.flat else "; ".join(done.left)
    return {"door": "here", "flat": done.flat, "words": words}


def _say(told: dict[str, Any]) -> None:
    style = {True: "bold green", False: "bold white on red", None: "bold"}[told["flat"]]
    head = {True: "FLAT", False: "NOT FLAT", None: "KILL"}[told["flat"]]
    console.print(f"{head}: {told['words']} ({told['seconds']:.1f} s)", style=style, highlight=False)
