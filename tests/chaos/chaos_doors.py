"""KILL by every door, on positions that are held at the market's own speed: how long until flat is proved.

Two times are taken: until the exchange's own books show neither a position nor a live order, and until somebody of the
session has proved it and said so. Afterwards the session is started again: it must not trade before a reset.
"""

import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

from chaos_stage import POLL_S, Stage, wait_for

from engine.errors import WorkbenchError
from engine.live.control.processes import RUNNER, SUPERVISOR, WATCHDOG
from engine.live.control.seeing import PROVED
from engine.live.control.starting import StartError
from engine.live.log.reader import submit_command
from engine.live.runner import KILL_SIGNAL

DOORS = (
    "cli",
    "flag file",
    "panel",
    "kill signal",
    "stop signal",
    "dead runner",
    "fourth death",
    "nobody left",
)
WATCHDOGS = DOORS[5:]
SESSION_OF = {"stop signal": {"on_sigterm": "flatten"}, "dead runner": {"restarts": 0}}
FLAT_S = 150.0
MOMENT_S = 0.02


@dataclass
class Closed:
    """How one door closed: seconds to flat at the exchange, and to the proof of it."""

    door: str
    positions: int
    orders: int
    flat_s: float
    proved_s: float
    latch: str
    again: str
    wrong: list[str] = field(default_factory=list)


def knock(stage, door):
    """What a person, a program or fate does."""
    places = stage.places
    match door:
        case "cli":
            words = ["live", "kill", "--yes", "--reason", "measured", "--account", places.account]
            command = [sys.executable, "-m", "engine.cli", *words, "--data", str(stage.folder), "--json"]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        case "flag file":
            places.kill_flag.write_text("measured\n")
        case "panel":  # what the second click does
            return submit_command(places.database, "widget", "kill", {"reason": "measured"})
        case "kill signal":
            stage.alive()[RUNNER].signal(KILL_SIGNAL)
        case "stop signal":
            stage.alive()[RUNNER].signal(signal.SIGTERM)
        case "dead runner":
            stage.kill(RUNNER)
        case "nobody left":
            stage.kill(SUPERVISOR)
            stage.kill(RUNNER)
        case "fourth death":
            for _ in range(4):
                wait_for(lambda: stage.alive().get(RUNNER), 30, "runner")
                stage.kill(RUNNER)
    return None


def is_proved(stage, door, asked):
    """Whether somebody has proved flat, by the words that a person would see."""
    if door == "cli":
        if asked.poll() is None:
            return False
        return json.loads(asked.stdout.read())["flat"]
    if door == "panel":
        with stage.reader() as reader:
            return reader.command(asked).state == "done"
    if door == "stop signal":  # a stop: the runner ends when all is closed and proved
        return RUNNER not in stage.alive()
    if door in WATCHDOGS:
        beat = stage.beats().get(WATCHDOG)
        return beat is not None and json.loads(beat.status).get("phase") == "closed"
    with stage.reader() as reader:
        return reader.latch().reason.startswith(PROVED)


def start_again(stage, minutes, flow):
    """A new start after the kill: what it says, and what it sends within so many played minutes."""
    stage.stop()
    before = len(stage.books()[0])
    try:
        started = stage.start(tries=1)
    except StartError as error:
        return f"refused: {str(error).split(';')[0].rpartition('/')[2]}"
    began = stage.exchange.at()[1]
    with flow():
        wait_for(lambda: stage.exchange.at()[1] >= began + minutes, 600, f"{minutes} minutes more")
    sent = len(stage.books()[0]) - before
    return f"{started.what}, {sent} orders in {minutes} min"


def reset_trades_again(stage):
    """After the reset by a person the session may place orders again."""
    words = ["live", "reset", "--reason", "looked at it", "--account", stage.places.account]
    command = [sys.executable, "-m", "engine.cli", *words, "--data", str(stage.folder)]
    subprocess.run(command, check=True, capture_output=True)
    with stage.reader() as reader:
        return reader.latch().state == "ACTIVE"


def close_by(lake, entry, params, folder, door, *, speed=1, words=(), positions=2, minutes=2):
    """
    Play a day from a time on, wait until so many positions are held, and close by one door.

    Parameters
    ----------
    speed : number or "max"
        At "max" the day stands still from the moment at which the positions are held.
    words : sequence of str
        More of `practice serve`: where the day starts and how it is matched.
    minutes : int
        Played minutes for which the session that was started again is watched.
    """
    if speed == "max":
        words = [*words, "--participants", "2", "--no-order-limits"]
    changes = SESSION_OF.get(door, {})
    with Stage(lake, entry, params, folder, speed=speed, words=words, **changes) as stage:

        def flow():
            return stage.exchange.braked(MOMENT_S) if speed == "max" else nullcontext()

        stage.start()
        with flow():
            wait_for(lambda: stage.held() >= positions, 1200, f"{positions} positions by {door}")
        held = stage.held()
        live = sum(order["status"] in {"OPEN", "TRIGGER PENDING"} for order in stage.books()[0])
        began = time.monotonic()
        asked = knock(stage, door)
        flat_s = proved_s = 0.0
        while not (flat_s and proved_s):
            now = time.monotonic() - began
            if now > FLAT_S:
                raise WorkbenchError(f"{door}: not flat after {now:.0f} s; last words {stage.words()}")
            if not flat_s and (stage.exchange.state() or {}).get("flat"):
                flat_s = time.monotonic() - began
            if not proved_s and is_proved(stage, door, asked):
                proved_s = time.monotonic() - began
            time.sleep(POLL_S / 2)
        flat_s = min(flat_s, proved_s)  # proved first: it was flat between two looks of ours
        wrong = stage.audit()
        with stage.reader() as reader:
            latch = reader.latch().state
        again = start_again(stage, minutes, flow)
        wrong += stage.audit(flat=door != "stop signal")
        if door != "stop signal" and not reset_trades_again(stage):
            wrong.append("a reset does not set the latch back")
        return Closed(door, held, live, flat_s, proved_s, latch, again, wrong)
