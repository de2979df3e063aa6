"""The process that tells people what a session does: `python -m engine.live.alerts SPEC`.

A projection of committed events, read like a panel reads them: it is never on the order path, and dead, slow or muted
messengers hold up nobody (`reference: reliability R9`). Its heartbeat row remembers how far each messenger has got, so
a restart goes on there; on a new day it begins at that day's SessionStarted and never sends old history. A crash
between a delivery and its note repeats that one message: told twice is better than not told.
"""

import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from engine.errors import WorkbenchError
from engine.live.control.processes import ALERTS, CANNOT_START
from engine.live.control.pulse import BEAT_S, own_log
from engine.live.log.events import Event, Mode, RunnerStarted, SessionEnded, SessionStarted
from engine.live.log.heartbeat import Heart
from engine.live.log.projections import STATE_KINDS, replay
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.messages.alert_texts import Level, Message, Teller, headed
from engine.live.messages.messengers import (
    Messenger,
    configured,
    deliver_now,
    keep_addresses_quiet,
    messengers_of,
)
from engine.live.messages.outbox import Outbox
from engine.live.spec import SessionSpec
from engine.market.prices import PAISE_PER_RUPEE

LOOK_S = 0.2
LAST_WORDS_S = 12.0  # for what still waits when the process is told to end; a supervisor kills after 15
AFTER_THE_END_S = 120.0  # for the summary of the day
QUIET_S = 10.0  # something may follow a SessionEnded
_PAGE = 1000


def send_alert(
    text: str, level: Level = "warning", *, mode: Mode | None = None, within_s: float = 10.0
) -> None:
    """
    Tell people something now, by every messenger the environment configures; for processes without the log.

    Never raises and never takes longer than `within_s`; what failed is logged.

    Parameters
    ----------
    text : str
    level : "info", "warning" or "error"
    mode : "paper", "practice" or "live", optional
        Of the session it concerns.
    within_s : float
        Seconds after which the caller goes on.
    """
    log = logging.getLogger(__name__)
    now = time.time_ns()
    known = mode or ""
    messengers, unusable = messengers_of(configured(os.environ), os.environ)
    message = Message(headed(text, level, now, known), level, 0, "Alert", known, now)
    for name, why in {**unusable, **deliver_now(messengers, message, within_s)}.items():
        log.warning("alert not sent by %s: %s", name, why)


class Alerts:
    """
    The log of one session on its way to the messengers.

    Parameters
    ----------
    spec : SessionSpec
    messengers : list of Messenger
    unusable : mapping
        Messengers asked for that cannot be used, and why.
    log : Logger
        Holds every text too.

    Raises
    ------
    StoreError
        If there is no readable database yet.
    """

    def __init__(
        self, spec: SessionSpec, messengers: list[Messenger], unusable: Mapping[str, str], log: logging.Logger
    ) -> None:
        self._log = log
        self._unusable = dict(unusable)
        self._next_beat = 0.0
        self.ended_at: float | None = None  # monotonic s at which a SessionEnded was heard
        with ExitStack() as opened:
            self._reader = opened.enter_context(StoreReader(spec.places.database))
            self._heart = opened.enter_context(Heart(spec.places.database, ALERTS))
            with self._reader.snapshot():
                day = next((day for day in self._reader.days() if day.date == spec.date.isoformat()), None)
                begin = day.start_seq - 1 if day else self._reader.last_seq()
                beat = next((beat for beat in self._reader.beats() if beat.name == ALERTS), None)
                events = self._reader.events(limit=-1, kinds=STATE_KINDS)
            opened.pop_all()  # all is well: they stay open
        self._resume = max(beat.seq if beat else 0, begin)
        told = _told(beat.status) if beat else {}
        self._from = {each.name: max(told.get(each.name, self._resume), begin) for each in messengers}
        r_paise = int(spec.params.r_value_rupees * PAISE_PER_RUPEE)
        before = replay(event for event in events if event.seq <= begin)
        self._teller = Teller(spec.mode, spec.params.underlying, r_paise, before)
        self._heard = begin
        self._outboxes = {each.name: Outbox(each, log) for each in messengers}

    def look(self) -> None:
        """
        Take what was committed since the last look, and give a sign when one is due.

        Raises
        ------
        StoreError
            If the log could not be read; nothing is lost, look again.
        EventRefusedError
            If the log contradicts itself.
        """
        while events := self._reader.events(self._heard, _PAGE):
            for event in events:
                self._hear(event)
        if time.monotonic() >= self._next_beat:
            self.beat()

    def beat(self) -> None:
        """Note how far each messenger has got; a database that is locked or full keeps nobody from sending."""
        self._next_beat = time.monotonic() + BEAT_S
        reached = {
            name: max(outbox.done_until(self._heard), min(self._from[name], self._heard))
            for name, outbox in self._outboxes.items()
        }
        status = {
            "messengers": {
                name: {
                    "seq": reached[name],
                    "waiting": outbox.waiting,
                    "left_out": outbox.left_out,
                    "problem": outbox.problem,
                }
                for name, outbox in self._outboxes.items()
            },
            "unusable": self._unusable,
        }
        try:
            self._heart.beat(min(reached.values(), default=self._heard), status)
        except (WorkbenchError, sqlite3.Error) as error:
            self._log.warning("no heartbeat: %s", error)

    @property
    def over(self) -> bool:
        """Whether the session ended and everybody was told, or too long ago to wait any longer."""
        if self.ended_at is None:
            return False
        since = time.monotonic() - self.ended_at
        told = not any(outbox.waiting for outbox in self._outboxes.values())
        return since >= (QUIET_S if told else AFTER_THE_END_S)

    def close(self, within_s: float) -> bool:
        """Send what still waits, at most so long; False if something stayed undelivered."""
        deadline = time.monotonic() + within_s
        told = [outbox.drain(max(deadline - time.monotonic(), 0)) for outbox in self._outboxes.values()]
        self.beat()
        for outbox in self._outboxes.values():
            outbox.close()
        self._heart.close()
        self._reader.close()
        return all(told)

    def _hear(self, event: Event) -> None:
        message = self._teller.hear(event)
        self._heard = event.seq
        if event.seq > self._resume:
            if isinstance(event.fact, SessionEnded):
                self.ended_at = time.monotonic()
            elif isinstance(event.fact, SessionStarted | RunnerStarted):
                self.ended_at = None
        if message is None:
            return
        if event.seq > self._resume:
            self._log.info("%s", message.text)
        for name, outbox in self._outboxes.items():
            if event.seq > self._from[name]:
                outbox.put(message)


def _told(status: str) -> dict[str, int]:
    """How far each messenger had got, as the last heartbeat of this process tells."""
    try:
        told = json.loads(status)["messengers"]
        return {str(name): int(each["seq"]) for name, each in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # another version's words; then the row's own seq counts


def run(spec: SessionSpec, ending: threading.Event, log: logging.Logger) -> int:
    """
    Tell people until the session is over or `ending` is set; outlives every failure of database and messenger.

    Returns
    -------
    int
        Exit code: 0, or 1 if something stayed undelivered.
    """
    messengers, unusable = messengers_of(spec.session.alerts, os.environ)
    for name, why in unusable.items():
        log.error("%s: %s", name, why)
    alerts = None
    failure = ""
    while True:
        last = ending.is_set()  # what was committed before is still told
        try:
            if alerts is None and spec.places.database.exists():
                alerts = Alerts(spec, messengers, unusable, log)
            if alerts is not None:
                alerts.look()
                if alerts.over:
                    break
            failure = ""
        except (StoreError, sqlite3.Error, OSError) as error:
            if failure != str(error):
                failure = str(error)
                log.warning("%s", error)
        if last:
            break
        ending.wait(LOOK_S)
    return 0 if alerts is None or alerts.close(LAST_WORDS_S) else 1


def main(arguments: list[str]) -> int:
    """Run the process; its words go to standard error."""
    log = own_log(ALERTS)
    keep_addresses_quiet()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        (path,) = arguments
    except ValueError:
        log.error("usage: python -m engine.live.alerts SPEC")  # noqa: TRY400 - no trace for a person
        return CANNOT_START
    try:
        return run(SessionSpec.read(Path(path)), ending, log)
    except WorkbenchError as error:
        log.error("%s", error)  # noqa: TRY400
        return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
