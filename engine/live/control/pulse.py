"""What the small processes around the runner share: a heartbeat that never raises, and words for their own log.

A supervisor or watchdog must outlive a full disk and a locked database. It beats when it can, and remembers since when
its beats have got through: only then may it believe that another one's silence is that one's own.
"""

import datetime as dt
import logging
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from engine.errors import WorkbenchError
from engine.live.log.heartbeat import Heart
from engine.market.clock import IST

BEAT_S = 1.0
GAP_S = 2.5
"""Own beats further apart than this: we have slept ourselves, and so perhaps has everybody."""


class Pulse:
    """
    A heartbeat row that is made as soon as there is a database, and made again when it breaks.

    Attributes
    ----------
    failure : str
        Why the last beat did not get through; "" when it did, or before the first.
    """

    def __init__(self, database: Path, name: str) -> None:
        self.failure = ""
        self._database = database
        self._name = name
        self._heart: Heart | None = None
        self._good_since: float | None = None  # monotonic s
        self._last_good = 0.0
        self._next = 0.0

    def beat(self, status: Mapping[str, object], *, now: bool = False) -> None:
        """Give a sign if one is due (every second), or at once with `now`."""
        moment = time.monotonic()
        if not now and moment < self._next:
            return
        self._next = moment + BEAT_S
        try:
            if self._heart is None:
                if not self._database.exists():
                    self._good_since = None
                    return  # the runner makes it
                self._heart = Heart(self._database, self._name)
            self._heart.beat(status=status)
        except (WorkbenchError, OSError, sqlite3.Error) as error:
            self.failure, self._good_since = str(error), None
            self.close()
        else:
            self.failure = ""
            if self._good_since is None or moment - self._last_good > GAP_S:
                self._good_since = moment
            self._last_good = moment

    def good_for_s(self) -> float:
        """Seconds for which every beat has got through in time; 0 if the last one did not, or is not fresh."""
        now = time.monotonic()
        if self._good_since is None or now - self._last_good > GAP_S:
            return 0.0
        return now - self._good_since

    def close(self) -> None:
        """Close the connection; the next beat opens another."""
        if self._heart is not None:
            self._heart.close()
            self._heart = None


class _InIst(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        moment = dt.datetime.fromtimestamp(record.created, IST)
        return moment.isoformat(sep=" ", timespec="milliseconds").partition("+")[0]


def own_log(name: str) -> logging.Logger:
    """Words of this process on standard error, which is its log file; lines begin with the time, IST."""
    handler = logging.StreamHandler()
    handler.setFormatter(_InIst("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger(f"engine.live.{name}")
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.raiseExceptions = False  # a full disk must not end the process through its log
    return log
