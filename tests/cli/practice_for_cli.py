"""A practice exchange for tests of commands, and a clean environment to run them in."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from simulated_day import day_to_play, simulated_lake

from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

PROJECT = Path(__file__).parents[2]
_OURS = ("KITE_", "WORKBENCH_")


def played_day(folder):
    return day_to_play(simulated_lake(folder, strikes_each_side=12))


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
