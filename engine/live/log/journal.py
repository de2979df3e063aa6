"""The fallback journal: where events of exits go when the database cannot be written.

A file of JSON lines beside the database. Its first mebibyte is reserved on disk when the store opens and its handle
stays open, so a full disk or a file system that turned read-only for new files leaves room to record an exit.
Each line carries an id and a checksum and is synced before `append` returns; the log keeps the ids, so merging
twice adds nothing (`reference: reliability fault 30`).
"""

import errno
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from engine.live.log.store_errors import Failure, StoreError

RESERVE = 1 << 20  # bytes
_END = b"\0"


@dataclass(frozen=True)
class Line:
    """One event as written to the journal."""

    id: str
    ts_ns: int
    kind: str
    payload: str  # canonical JSON


class Journal:
    """
    The journal of one store; opened by its runner only.

    Parameters
    ----------
    path : Path
        Made and reserved if absent.

    Raises
    ------
    StoreError
        If it cannot be opened or reserved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._handle, 0, RESERVE)
            os.fsync(self._handle)
        except OSError as error:
            raise _failed(path, error, "reserved", "free disk space, then start again") from error
        self.lines, self._end = self._read()

    def append(self, lines: list[Line]) -> None:
        """
        Write and sync; all of them or, to a later reader, a prefix.

        Raises
        ------
        StoreError
            If even this file cannot be written.
        """
        block = b"".join(_sealed(line) for line in lines)
        try:
            _write_all(self._handle, block + _END, self._end)
            os.fsync(self._handle)
        except OSError as error:
            raise _failed(self.path, error) from error
        self._end += len(block)
        self.lines += tuple(lines)

    def clear(self) -> None:
        """Forget every line: they are in the log now."""
        try:
            _write_all(self._handle, _END, 0)
            os.fsync(self._handle)
        except OSError as error:
            raise _failed(self.path, error) from error
        self.lines, self._end = (), 0

    def close(self) -> None:
        """Close the file; its lines stay."""
        os.close(self._handle)

    def _read(self) -> tuple[tuple[Line, ...], int]:
        """Lines up to the end mark or the first torn one, which was never acknowledged."""
        content = os.pread(self._handle, os.fstat(self._handle).st_size, 0)
        found: list[Line] = []
        end = 0
        for raw in content.partition(_END)[0].splitlines(keepends=True):
            line = _opened(raw)
            if line is None:
                break
            found.append(line)
            end += len(raw)
        return tuple(found), end


def _sealed(line: Line) -> bytes:
    body = json.dumps([line.id, line.ts_ns, line.kind, line.payload], separators=(",", ":"))
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def _opened(raw: bytes) -> Line | None:
    seal, _, body = raw.removesuffix(b"\n").partition(b" ")
    if not raw.endswith(b"\n") or seal != b"%08x" % zlib.crc32(body):
        return None
    return Line(*json.loads(body))


def _write_all(handle: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(handle, view, at)
        view, at = view[written:], at + written


def _failed(
    path: Path, error: OSError, what: str = "written", remedy: str = "flatten at the broker by hand"
) -> StoreError:
    failure: Failure = "full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "io"
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        failure = "read_only"
    return StoreError(
        f"{path}: the fallback journal cannot be {what} ({error.strerror}); {remedy}",
        failure,
    )
