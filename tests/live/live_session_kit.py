"""For tests with real processes: a session's file in a temporary folder, waiting for something, cleaning up."""

import datetime as dt
import subprocess
import sys
import time
from contextlib import suppress

from live_stand_in import HERE, commands

from engine.live.control.processes import SUPERVISOR, find_all
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.spec import load_session_params, make_spec

DATE = dt.date(2026, 11, 20)


def wait_for(what, within_s=15.0, why=""):
    """The first true value; fails when the time is over."""
    deadline = time.monotonic() + within_s
    while not (value := what()):
        assert time.monotonic() < deadline, why or f"not within {within_s} s"
        time.sleep(0.02)
    return value


class Session:
    """One account's session made of stand-ins, and of the real processes named `real`."""

    def __init__(self, folder, real=(), spec=None, **changes):
        self.spec = spec or make_spec(
            load_session_params("practice", **changes), date=DATE, data_folder=folder
        )
        self.path = self.spec.write()
        self.places = self.spec.places
        self.real = real
        self.commands = commands(self.path, real)
        self.children = []

    def script(self, name, words):
        path = self.places.folder / f"{name}.script"
        staged = path.with_suffix(".new")
        staged.write_text(words)
        staged.replace(path)

    def supervise(self):
        command = [sys.executable, HERE, "supervise", str(self.path), *self.real]
        log = (self.places.folder / "supervisor.out").open("ab")
        child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.children.append(child)
        return child

    def alive(self):
        return find_all({name: command for name, command in self.commands.items() if name != SUPERVISOR})

    def pid(self, name):
        process = self.alive().get(name)
        return process.pid if process else 0

    def wait_up(self, *names):
        """Until these beat."""
        wait_for(lambda: all(name in self.beating() for name in names), why=f"{names} not up: {self.words()}")

    def beating(self):
        with suppress(StoreError), StoreReader(self.places.database) as reader:
            return {beat.name for beat in reader.beats() if beat.age_s() < 1.5}
        return set()

    def beat(self, name):
        with StoreReader(self.places.database) as reader:
            return next(beat for beat in reader.beats() if beat.name == name)

    def words(self):
        logs = sorted(self.places.logs.glob("*.log")) if self.places.logs.exists() else []
        files = [self.places.folder / "supervisor.out", *logs]
        return "\n".join(f"{f.name}: {f.read_text(errors='replace')}" for f in files if f.exists())

    def clean(self):
        for child in self.children:
            child.kill()
            child.wait()
        for process in self.alive().values():
            process.signal(9)
            process.wait(5)
