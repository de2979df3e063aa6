"""The day's closed bars on disk, one write per minute: what a restarted runner goes on from.

Records of BAR behind a small header; a torn last record is dropped. It is no recording (that is `recorder`) and no
truth: what is missing in it is asked of the vendor's candles.
"""

import datetime as dt
import os
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
    """

    def __init__(self, folder: Path, date: dt.date) -> None:
        self.path = folder / f"bars-{date.isoformat()}.bin"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab+")
        if self._file.tell() == 0:
            self._file.write(_MAGIC)
            self._file.flush()

    def read(self) -> Records:
        """BAR[n]; empty if the file is not one of ours."""
        self._file.seek(0)
        content = self._file.read()
        whole = (len(content) - len(_MAGIC)) // BAR.itemsize * BAR.itemsize + len(_MAGIC)
        if not content.startswith(_MAGIC):
            whole = 0
        if whole != len(content):  # torn, or foreign
            os.truncate(self.path, whole)
            if not whole:
                self._file.write(_MAGIC)
                self._file.flush()
        return np.frombuffer(content[len(_MAGIC) : whole], BAR).copy() if whole else np.zeros(0, BAR)

    def append(self, bars: Records) -> None:
        """Write closed bars down; survives the process, not a power cut."""
        self._file.write(bars.tobytes())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
