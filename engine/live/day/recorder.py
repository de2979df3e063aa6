"""Ticks and bars to Parquet beside the database, on a path of their own that never makes trading wait.

The order path hands over an array and goes on; a thread writes numbered part files, each synced and renamed into
place, so a crash costs at most the open chunk and a full disk costs only the recording. What could not be kept is
counted. `recording` reads it back, `landing` makes a day of the lake of it.
"""

import datetime as dt
import io
import json
import queue
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from engine.errors import DataError
from engine.history.writing import write_atomic
from engine.live.day.recording import DTYPES, HEADER, LAYOUT, Recording, Records, parts, read_recording


@dataclass(frozen=True)
class RecorderStatus:
    """
    How a recording goes; all but `waiting` count rows.

    Attributes
    ----------
    ticks, bars : int
        On disk.
    dropped : int
        Refused because the queue was full.
    lost : int
        Taken, but the disk refused them.
    waiting : int
        Arrays not yet taken from the queue.
    error : str
        The last refusal of the disk; "" if none.
    """

    ticks: int
    bars: int
    dropped: int
    lost: int
    waiting: int
    error: str


class Recorder:
    """
    Writes one day's recording; goes on with it after a restart.

    Parameters
    ----------
    folder : path
        Of this recording.
    recording : Recording
        After a restart its instruments must begin with those recorded before.
    chunk_rows : int
        Rows of a part file.
    chunk_s : float
        Seconds after which a smaller part is written: what a crash can cost.
    room : int
        Arrays that may wait before new ones are dropped.

    Raises
    ------
    DataError
        If the folder holds a recording of something else.
    """

    def __init__(
        self,
        folder: str | Path,
        recording: Recording,
        *,
        chunk_rows: int = 65_536,
        chunk_s: float = 5.0,
        room: int = 8_192,
    ) -> None:
        self.folder = Path(folder)
        self._chunk_rows = chunk_rows
        self._chunk_s = chunk_s
        self._queue: queue.Queue[tuple[str, Records] | None] = queue.Queue(room)
        self._count = {"ticks": 0, "bars": 0, "dropped": 0, "lost": 0}
        self._error = ""
        self._closed = False
        self._turn = threading.Lock()  # of the drop counter, raised by many threads
        self._next = {name: _last_part(self.folder, name) + 1 for name in DTYPES}
        _begin(self.folder, recording)
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ticks(self, ticks: Records) -> bool:
        """Hand over TICK[n] in the order received, for good: nobody writes into it again; False if dropped. Never waits."""
        return self._take("ticks", ticks)

    def bars(self, bars: Records) -> bool:
        """Hand over closed BAR[n], for good; False if they were dropped. Never waits."""
        return self._take("bars", bars)

    def status(self) -> RecorderStatus:
        """How it goes."""
        return RecorderStatus(**self._count, waiting=self._queue.qsize(), error=self._error)

    def close(self, patience_s: float = 30.0) -> RecorderStatus:
        """Write what waits and end; rows that the thread does not write within the time are not on disk."""
        if not self._closed:
            self._closed = True
            self._queue.put(None, timeout=patience_s)
            self._thread.join(patience_s)
        return self.status()

    def _take(self, name: str, rows: Records) -> bool:
        if rows.dtype != DTYPES[name]:
            raise DataError(f"{name} have dtype {rows.dtype}; give engine.history.bars.{name[:-1].upper()}")
        kept = not self._closed
        if kept:
            try:
                self._queue.put_nowait((name, rows))
            except queue.Full:
                kept = False
        if not kept:
            with self._turn:
                self._count["dropped"] += rows.shape[0]
        return kept

    def _write(self) -> None:
        held: dict[str, list[Records]] = {name: [] for name in DTYPES}
        rows = dict.fromkeys(held, 0)
        due = time.monotonic() + self._chunk_s
        ended = False
        while not ended:
            try:
                given = self._queue.get(timeout=max(due - time.monotonic(), 0.0))
                ended = given is None
                if given is not None:
                    held[given[0]].append(given[1])
                    rows[given[0]] += given[1].shape[0]
            except queue.Empty:
                pass  # the chunk is due
            late = time.monotonic() >= due
            for name, arrays in held.items():
                if rows[name] and (late or ended or rows[name] >= self._chunk_rows):
                    self._part(name, np.concatenate(arrays))
                    arrays.clear()
                    rows[name] = 0
            if late:
                due = time.monotonic() + self._chunk_s

    def _part(self, name: str, rows: Records) -> None:
        path = self.folder / f"{name}-{self._next[name]:06d}.parquet"
        frame = pl.DataFrame({column: rows[column] for column in rows.dtype.names or ()})
        try:
            write_atomic(path, _encoded(frame))
        except OSError as error:  # a full disk must cost the recording only
            self._count["lost"] += rows.shape[0]
            self._error = f"{path}: {error}"
            return
        self._next[name] += 1
        self._count[name] += rows.shape[0]


def _begin(folder: Path, recording: Recording) -> None:
    """Write the header; a restart may add instruments at the end, so that numbers keep their meaning."""
    if (folder / HEADER).exists():
        held = read_recording(folder)
        fits = recording.instruments[: len(held.instruments)] == held.instruments
        told = (held.underlying, held.date, held.simulated)
        if not fits or told != (recording.underlying, recording.date, recording.simulated):
            raise DataError(
                f"{folder} holds a recording of {told[0]} {told[1]} with {len(held.instruments)} instruments that "
                "this one does not continue; record into another folder"
            )
    text = json.dumps({"layout": LAYOUT, **asdict(recording)}, default=dt.date.isoformat, indent=1)
    write_atomic(folder / HEADER, text.encode())


def _last_part(folder: Path, name: str) -> int:
    files = parts(folder, name)
    return int(files[-1].stem.rpartition("-")[2]) if files else 0


def _encoded(frame: pl.DataFrame) -> bytes:
    room = io.BytesIO()
    frame.write_parquet(room, compression="zstd", compression_level=3)
    return room.getvalue()
