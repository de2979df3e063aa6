"""What a watchdog concludes from what it sees. Pure; every line of the table is a test.

The rule above all: **unknown is not dead.** A process is gone when the kernel says so. A heartbeat is stale only if
the watchdog's own beats have got through for just as long: while the disk is full or the database locked, nobody's
beat arrives, and a silent runner may be hard at work. A read that failed leads to an alert, never to an order.

 #  runner          what else                                         verdict
--  --------------  ------------------------------------------------  ----------------------------------------------
 1  never seen      supervisor lives                                  WAIT: nothing has been traded by this session
 2  never seen      no supervisor, for `start_s`                      END: there is nobody to watch
 3  gone            its last word was "done"                          WAIT: it ended by itself; END if there is no
                                                                      supervisor to end the rest, for `gone_s`
 4  gone            supervisor has given up                           CLOSE at once
 5  gone            no supervisor, or a kill flag, for `gone_s`       CLOSE: nobody else will
 6  gone            supervisor lives                                  WAIT: it starts the runner again; UNSURE if it
                                                                      has not for `start_s`
 7  lives           kill flag for `kill_s`, latch is not FLATTENING   TAKE_OVER: kill -9, then CLOSE
 8  lives           as 7, but latch or own beats cannot be trusted    as 7 only after `kill_blind_s`: a runner that
                                                                      cannot write its latch may be closing already
 9  lives           beat fresh                                        WELL
10  lives           beat stale, own beats good for as long            STUCK: kill -9; the supervisor starts it again
11  lives           no beat yet, started longer than `start_s` ago    STUCK, if own beats were good for as long
12  lives           beat stale or unreadable, own beats not good      UNSURE: alert, no act
13  not to be told  anything                                          UNSURE: alert, no act
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Verdict(StrEnum):
    """What a watchdog does next."""

    WAIT = "wait"
    WELL = "well"
    UNSURE = "unsure"
    STUCK = "stuck"
    TAKE_OVER = "take over"
    CLOSE = "close"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    What is seen at one moment; seconds.

    Attributes
    ----------
    runner : "never", "lives", "gone" or "unknown"
        By the kernel; "unknown" where no record could be read that names the process.
    phase : str
        Last known word of the runner; "" without one.
    gone_s : float
        How long it has been gone, as far as this watchdog saw.
    up_s : float
        How long this runner process has run.
    beat_s : float or None
        Age of its heartbeat; None if it gave none yet, or it could not be read.
    beat_read : bool
        Whether the heartbeats could be read.
    own_good_s : float
        How long the watchdog's own beats have got through.
    supervisor : "lives", "given up" or "gone"
    alone_s : float
        How long it has been gone, as far as this watchdog saw.
    flag_s : float or None
        How long the kill flag has been there to be seen by this runner; None without one.
    latch : str or None
        None if it could not be read.
    """

    runner: Literal["never", "lives", "gone", "unknown"]
    phase: str = ""
    gone_s: float = 0.0
    up_s: float = 0.0
    beat_s: float | None = None
    beat_read: bool = True
    own_good_s: float = 0.0
    supervisor: Literal["lives", "given up", "gone"] = "lives"
    alone_s: float = 0.0
    flag_s: float | None = None
    latch: str | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a watchdog waits; seconds."""

    stale_s: float
    start_s: float
    gone_s: float
    kill_s: float
    kill_blind_s: float


def conclude(seen: Seen, patience: Patience) -> Verdict:
    """The first line of the table that fits."""
    if seen.runner == "unknown":
        return Verdict.UNSURE
    if seen.runner == "never":
        return Verdict.END if seen.alone_s >= patience.start_s else Verdict.WAIT
    if seen.runner == "gone":
        return _gone(seen, patience)
    if seen.flag_s is not None and seen.latch != "FLATTENING":
        trusted = seen.latch is not None and seen.own_good_s >= patience.kill_s
        if seen.flag_s >= (patience.kill_s if trusted else patience.kill_blind_s):
            return Verdict.TAKE_OVER
    if not seen.beat_read:
        return Verdict.UNSURE
    silent_s, limit_s = (
        (seen.up_s, patience.start_s) if seen.beat_s is None else (seen.beat_s, patience.stale_s)
    )
    if silent_s < limit_s:
        return Verdict.WELL
    return Verdict.STUCK if seen.own_good_s >= limit_s else Verdict.UNSURE


def _gone(seen: Seen, patience: Patience) -> Verdict:
    alone = seen.supervisor == "gone" and min(seen.alone_s, seen.gone_s) >= patience.gone_s
    if seen.phase == "done":
        return Verdict.END if alone else Verdict.WAIT
    if seen.supervisor == "given up" or alone:
        return Verdict.CLOSE
    if seen.flag_s is not None and seen.gone_s >= patience.gone_s:
        return Verdict.CLOSE
    return Verdict.UNSURE if seen.gone_s >= patience.start_s else Verdict.WAIT
