"""How a file lands in the lake: whole or not at all, and one writer at a time.

A day is two files, bars and manifest. Both are written beside their place and synced first; then the bars
are renamed into place, then the manifest, which is the commit point. A crash between the two renames leaves
the synced manifest as `.pending`, and the next writer of that day finishes or discards it.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import DataError

PENDING = ".pending"
STAGED = ".tmp"
LOCK_PATIENCE_S = 30.0
LOCK_RETRY_S = 0.02


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """
    Hold the folder's writer lock; a second writer waits.

    The lock dies with its process, so a crash never blocks the next import.

    Raises
    ------
    DataError
        If another process still writes there after LOCK_PATIENCE_S seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DataError(
                        f"{folder}: another process has been writing for {LOCK_PATIENCE_S:g} s; "
                        "wait for its import to end, then start again"
                    ) from None
                time.sleep(LOCK_RETRY_S)
        yield


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path` such that a reader, or a crash, sees the old file or the new one, never a part."""
    staged = stage(path, content)
    staged.replace(path)
    _sync_folder(path.parent)


def commit_pair(data: Path, content: bytes, manifest: Path, entry: bytes) -> None:
    """
    Land a day: bars first, manifest last. The caller holds the writer lock of the day.

    Parameters
    ----------
    data, manifest : Path
        Where they belong.
    content, entry : bytes
        What they hold; `entry` carries the sha256 of `content`.
    """
    staged = stage(data, content)
    pending = manifest.with_name(manifest.name + PENDING)
    write_atomic(pending, entry)
    staged.replace(data)
    _sync_folder(data.parent)
    pending.replace(manifest)
    _sync_folder(manifest.parent)


def finish_interrupted(data: Path, manifest: Path) -> None:
    """
    Finish or discard a landing that a crash cut short. The caller holds the writer lock of the day.

    The pending manifest is taken over if the bars it describes are in place; otherwise the day is as it was
    before, and the pending manifest goes.
    """
    pending = manifest.with_name(manifest.name + PENDING)
    for begun in (_staged_name(data), _staged_name(pending)):
        begun.unlink(missing_ok=True)
    if not pending.exists():
        return
    expected = json.loads(pending.read_bytes())["sha256"]
    if data.exists() and sha256_of(data) == expected:
        pending.replace(manifest)
    else:
        pending.unlink()
    _sync_folder(manifest.parent)


def stage(path: Path, content: bytes) -> Path:
    """
    Write and sync `content` under a temporary name in the folder of `path`.

    The name is always the same: the writer lock is held, and what a crash left behind is overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = _staged_name(path)
    with staged.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    return staged


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _staged_name(path: Path) -> Path:
    return path.with_name(f".{path.name}{STAGED}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
