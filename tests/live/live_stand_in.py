"""Stand-ins for the processes of a session: each beats, obeys a script file, and ends as told.

As a program: `live_stand_in.py NAME SPEC`. The file NAME.script in the session's folder holds words: "exit N" ends
with that code, "mute" stops beating, "deaf" ignores SIGTERM, "phase P" is told in the heartbeat, "nobeat" never beats.
A supervisor over stand-ins: `live_stand_in.py supervise SPEC [real]`.
"""

import os
import signal
import sys
import time
from pathlib import Path

from engine.live.control.processes import LEASE_HELD, MODULES, RUNNER, SUPERVISOR, WATCHDOG, session_commands
from engine.live.control.watching import Patience
from engine.live.log.events import RunnerStarted
from engine.live.log.heartbeat import Heart
from engine.live.log.lease import boot_id
from engine.live.log.store_errors import LeaseHeldError, StoreError
from engine.live.spec import SessionSpec
from engine.live.store import Store
from engine.live.supervisor import supervise
from engine.live.watchdog import watch

HERE = str(Path(__file__).resolve())


def commands(spec_path, real=()):
    """Stand-ins for all, but for those named `real`."""
    made = dict(session_commands(spec_path))
    for name in MODULES:
        if name not in real or name == WATCHDOG:
            made[name] = (sys.executable, HERE, name, str(spec_path.resolve()))
    return made


class Script:
    """What a stand-in is told to do; read anew each time."""

    def __init__(self, places, name):
        self.path = places.folder / f"{name}.script"

    def words(self):
        try:
            return self.path.read_text().split()
        except FileNotFoundError:
            return []


def watchdog(spec):
    """The real one; its broker is the practice exchange named in the session's file."""

    def connect():
        from engine.live.brokers.kite import KiteBroker

        return KiteBroker(os.environ["KITE_API_KEY"], os.environ["KITE_ACCESS_TOKEN"], root=spec.broker_root)

    stale = float(spec.session.heartbeat_stale_seconds)
    return watch(spec, connect, commands(spec.places.spec), Patience(stale, 10.0, 1.0, 2.0, 20.0))


def stand_in(name, spec):
    places = spec.places
    script = Script(places, name)
    told = {"stop": False}
    signal.signal(signal.SIGTERM, lambda *_: told.update(stop=True))
    store = heart = None
    if name == RUNNER:
        try:
            store = Store.open(places.database, spec.account)
        except LeaseHeldError:
            return LEASE_HELD
        store.append(RunnerStarted(pid=os.getpid(), boot_id=boot_id(), version="0"))
    while True:
        words = script.words()
        if "exit" in words:
            code = int(words[words.index("exit") + 1])
            if "say" in words:
                print(words[words.index("say") + 1], file=sys.stderr)
            if "once" in words:
                script.path.unlink()
            return code
        if told["stop"] and "deaf" not in words:
            if heart is not None:
                heart.beat(status={"phase": "done"})
            return 0 if name in {RUNNER, "alerts"} else 143
        if "mute" not in words:
            try:
                heart = heart or Heart(places.database, name)
                phase = words[words.index("phase") + 1] if "phase" in words else "trading"
                heart.beat(status={"phase": phase})
            except StoreError:
                pass
        time.sleep(0.05)


def main(name, path, *real):
    spec = SessionSpec.read(path)
    if name == WATCHDOG and spec.broker_root:
        return watchdog(spec)
    if name in {"supervise", SUPERVISOR}:
        return supervise(spec, commands(Path(path), real))
    return stand_in(name, spec)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
