"""A practice exchange for tests of commands, and a clean environment to run them in."""

import datetime as dt
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.practice.market import load_practice_day
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

DATE = dt.date(2026, 9, 1)
PROJECT = Path(__file__).parents[2]
_OURS = ("KITE_", "WORKBENCH_")


def played_day(folder):
    lake = Lake(folder)
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=12)
    return load_practice_day(lake, "NIFTY", DATE)


@contextmanager
def serving(played, **settings):
    server = PracticeServer(played, ServerSettings(pace=PaceSettings(speed="manual"), **settings))
    server.start()
    server.step(50)
    try:
        yield server
    finally:
        server.stop()


def environ(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, **more}


def command(*arguments):
    return [sys.executable, "-m", "engine.cli", *arguments]


def workbench(*arguments, typed=None, **more):
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), env=environ(**more), input=typed, capture_output=True, text=True, cwd=PROJECT,
        timeout=60, check=False,
    )  # fmt: skip
