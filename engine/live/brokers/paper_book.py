"""The paper broker's memory: a file of JSON lines, each synced to disk before anybody is told what it says.

A line holds everything that changed at once: orders as they are now, and new fills. Read in order, the last state of
an order counts, so a broker that was killed comes back with the book it had told of. A last line that a crash cut
short told nobody anything and is dropped; damage before it is an error. One process at a time holds the file.
"""

import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import WorkbenchError
from engine.live.brokers.base import TradeReport
from engine.live.brokers.paper_orders import PaperOrder

VERSION = 1
PRIVATE = 0o600


class PaperBookError(WorkbenchError):
    """The paper broker's file is held by another process, damaged or cannot be written."""


class PaperBook:
    """
    Orders and fills of one day, in a file.

    Parameters
    ----------
    path : Path
        Made if absent. A book of another day is kept beside it, its date in the name; nothing of it is carried over.
    date : date
        Trading day.

    Attributes
    ----------
    orders : dict of str to PaperOrder
        By id, oldest first.
    trades : list of TradeReport

    Raises
    ------
    PaperBookError
        If another process holds the file, or it is damaged before its last line.
    """

    def __init__(self, path: Path, date: dt.date) -> None:
        self.path = path
        self.date = date
        self.orders: dict[str, PaperOrder] = {}
        self.trades: list[TradeReport] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, PRIVATE)
        self._file = -1
        try:
            self._hold()
            size = self._read()
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
            os.ftruncate(self._file, size)
            if size == 0:
                self._write({"paper_book": VERSION, "date": date.isoformat()})
                _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def commit(self, orders: Iterable[PaperOrder], trades: Iterable[TradeReport]) -> None:
        """
        Put changed orders and new trades on disk, all or none; only then may anybody be told.

        Raises
        ------
        PaperBookError
            If the disk takes no more; the file then ends with what was told before.
        """
        self._write({"orders": [one.plain() for one in orders], "trades": [asdict(one) for one in trades]})

    def close(self) -> None:
        """Release the file; a book may be closed twice."""
        for name in ("_file", "_lock"):
            handle = getattr(self, name)
            setattr(self, name, -1)
            if handle >= 0:
                os.close(handle)

    # --- the file -----------------------------------------------------------------------------------------------

    def _hold(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PaperBookError(
                f"{self.path} is held by another process; a paper account has one session: workbench live status"
            ) from None

    def _read(self) -> int:
        """Take over what the file holds of this day; bytes of it that are whole."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        *lines, _ = content.split(b"\n")  # what follows the last newline was never synced as a whole
        whole = 0
        for number, line in enumerate(lines, 1):
            try:
                if number == 1 and not self._is_of_this_day(json.loads(line)):
                    return 0
                if number > 1:
                    self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break
                raise PaperBookError(
                    f"{self.path}, line {number} cannot be read ({type(error).__name__}: {error}); "
                    "restore it from a backup, or move it away to start with an empty book"
                ) from error
            whole += len(line) + 1
        return whole

    def _is_of_this_day(self, told: dict[str, Any]) -> bool:
        """Whether the file goes on; one of another day is moved aside."""
        if told["paper_book"] != VERSION:
            raise PaperBookError(
                f"{self.path} has version {told['paper_book']}, expected {VERSION}; move it away"
            )
        day = dt.date.fromisoformat(told["date"])
        if day != self.date:
            self.path.replace(self.path.with_name(f"{self.path.stem}-{day}{self.path.suffix}"))
        return day == self.date

    def _take(self, told: dict[str, Any]) -> None:
        orders = [PaperOrder.of_plain(one) for one in told["orders"]]
        trades = [TradeReport(**one) for one in told["trades"]]
        self.orders |= {one.order_id: one for one in orders}
        self.trades += trades

    def _write(self, told: dict[str, Any]) -> None:
        line = json.dumps(told, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, size)  # nobody was told of it
            raise PaperBookError(
                f"{self.path} cannot be written ({error.strerror}); free the disk and start the session again"
            ) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
