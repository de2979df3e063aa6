"""A disk of a few MiB for tests that fill it: a tmpfs in a mount namespace of its own. Run as a child, with a story's name."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve()
DATE = dt.date(2026, 9, 1)
UNSHARE = ("unshare", "--mount", "--map-root-user")
MIB = 1 << 20


def told_on_small_disk(folder, story, *words, mib=6):
    """What a story prints, as JSON; skips where no disk can be mounted."""
    place = folder / "small"
    place.mkdir()
    mount = f"mount -t tmpfs -o size={mib}m tmpfs {place}"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*UNSHARE, "sh", "-c", mount], check=False).returncode
    ):
        pytest.skip("no disk can be mounted here")
    command = f'{mount} && exec "$0" "$@"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", command, sys.executable, str(HERE), story, str(place), *words],
        capture_output=True, text=True, check=False, timeout=240, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def fill(folder, left=0):
    """Fill the disk but for `left` bytes; the file that does it."""
    ballast = folder / "ballast"
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(handle, bytes(4096))
    except OSError:
        os.ftruncate(handle, os.fstat(handle).st_size - left)
    finally:
        os.close(handle)
    return ballast


def story_of_opening(folder):
    """A new store on disks with more and more room: what it says, and whether it opens once there is space."""
    from engine.live.log.store_errors import StoreError
    from engine.live.store import Store

    told = []
    for left in (0, 8 << 10, 64 << 10, 128 << 10, 512 << 10, MIB, 3 * MIB // 2):
        data = folder / str(left)
        data.mkdir()
        ballast = fill(folder, left)
        said = None
        try:
            Store.open(data / "live.sqlite", "A").close()
        except StoreError as error:
            said = (error.failure, str(error))
        ballast.unlink()
        with Store.open(data / "live.sqlite", "A") as store:
            told.append((left, said, store.latch().state, store.verify().problems))
        shutil.rmtree(data)
    return told


def story_of_starting(folder):
    """A start of a new account, and of one that has a log: what it says and what it leaves."""
    from engine.errors import WorkbenchError
    from engine.live.control.starting import start_session
    from engine.live.spec import load_session_params, make_spec
    from engine.live.store import Store

    def files():
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    told = []
    for left, known in ((0, False), (64 << 10, False), (0, True), (64 << 10, True)):
        spec = make_spec(load_session_params("practice"), date=DATE, data_folder=folder)
        spec.places.folder.mkdir(parents=True)
        if known:
            Store.open(spec.places.database, spec.account).close()
            spec.write()
        (spec.places.folder / "start.lock").touch()
        ballast = fill(folder, left)
        before = files()
        try:
            said = ("started", str(start_session(spec)))
        except WorkbenchError as error:
            said = (type(error).__name__, str(error))
        told.append((said, files() == before))
        ballast.unlink()
        shutil.rmtree(folder / "state")
    return told


def story_of_closing(folder, spec_path):
    """Close what a session has open, its log on a disk without a byte left; what was told."""
    from engine.live.brokers.registry import make_broker
    from engine.live.control.dead_man import run_closing
    from engine.live.spec import SessionSpec

    spec = SessionSpec.read(spec_path)
    shutil.copytree(spec.data_folder / "state", folder / "state")
    spec = spec.model_copy(update={"data_folder": folder})
    fill(folder)
    told = []
    done = run_closing(spec, lambda: make_broker(spec), "test", lambda _, text: told.append(text))
    return {"flat": done.flat, "told": told}


if __name__ == "__main__":
    stories = {"opening": story_of_opening, "starting": story_of_starting, "closing": story_of_closing}
    print(json.dumps(stories[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])))
