"""The day's closed bars on disk, one write per minute: what a restarted runner goes on from.

Records of BAR behind a small header; a torn last record is dropped. It is no recording (that is `recorder`) and no
truth: what is missing in it is asked of the vendor's candles. So a disk that takes nothing costs the file, never the
day: then `failure` says why, and bars are kept in memory alone.
"""

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.history.bars import BAR

Records = npt.NDArray[np.void]
_MAGIC = b"BARLOG01"


class BarLog:
    """
    Closed bars of one day in the order in which they closed.

    Parameters
    ----------
    folder : Path
    date : date

    Attributes
    ----------
    failure : str
        Why nothing is written any more; "" while all is well.
    """

    def __init__(self, folder: Path, date: dt.date) -> None:
        self.path = folder / f"bars-{date.isoformat()}.bin"
        self.failure = ""

    def read(self) -> Records:
        """BAR[n] without a torn last record; empty if there is no file, or not one of ours."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            self.failure = f"{self.path} cannot be read ({error.strerror})"
            return np.zeros(0, BAR)
        whole = 0
        if content.startswith(_MAGIC):
            whole = (len(content) - len(_MAGIC)) // BAR.itemsize * BAR.itemsize + len(_MAGIC)
        self._write(lambda: self._begin(content, whole))
        return np.frombuffer(content[len(_MAGIC) : whole], BAR).copy() if whole else np.zeros(0, BAR)

    def append(self, bars: Records) -> None:
        """Write closed bars down; survives the process, not a power cut. After a failure it is not tried again."""
        self._write(lambda: self._add(bars.tobytes()))

    def _write(self, work: Callable[[], None]) -> None:
        if self.failure:
            return  # with a hole in it the file would tell a restart that minutes were empty
        try:
            work()
        except OSError as error:
            self.failure = (
                f"{self.path} cannot be written ({error.strerror}): a restart asks for candles instead"
            )

    def _begin(self, content: bytes, whole: int) -> None:
        if not whole:  # new, or foreign
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(_MAGIC)
        elif whole != len(content):
            os.truncate(self.path, whole)

    def _add(self, content: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(content)
