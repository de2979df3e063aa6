"""Reads a live session's store for one viewer, read-only, again and again, and never fails: an error is shown instead.

Each reading is one short snapshot, so many viewers never make the writer wait. The log is read once and then only
what is new.
"""

import json
import time
from collections import deque
from dataclasses import replace
from types import MappingProxyType
from typing import Self

from engine.desk.live_view import Facts, Flattening, LiveView, Sign, view_of
from engine.desk.live_words import LogLine, LogWords
from engine.errors import ParamsError, WorkbenchError
from engine.live.log.events import (
    DecisionMade,
    Event,
    LatchChanged,
    SessionStarted,
)
from engine.live.log.heartbeat import Beat
from engine.live.log.reader import Command, StoreReader
from engine.live.log.state import Day
from engine.live.places import Places
from engine.live.spec import SessionSpec
from engine.market.prices import PAISE_PER_RUPEE

LINES_KEPT = 400
_BATCH = 2_000


class LiveReading:
    """
    One viewer's reading of an account.

    Parameters
    ----------
    places : Places
        Of the account; the database need not exist yet.

    Attributes
    ----------
    facts : Facts
        As last read.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.facts = Facts()
        self._reader: StoreReader | None = None
        self._file = 0  # which database was opened, by its inode
        self._failing_since: float | None = None
        self._spec: tuple[float, SessionSpec | None] = (0.0, None)
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next reading would open it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def view(self) -> LiveView:
        """The session now; where the store cannot be read, what was read last, and why."""
        try:
            self.facts = self._read()
            self._failing_since = None
        except WorkbenchError as error:
            self.close()
            now = time.monotonic()
            self._failing_since = now if self._failing_since is None else self._failing_since
            words = "no session yet" if not self.places.database.exists() else str(error)
            held = {name: getattr(self.facts, name) for name in Facts.__dataclass_fields__}
            self.facts = Facts(**{**held, "error": words, "error_s": max(now - self._failing_since, 0.1)})
        return view_of(self.facts)

    def command(self, number: int) -> Command | None:
        """
        A command and its answer.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        return self._open().command(number)

    @property
    def spec(self) -> SessionSpec | None:
        """What the session was started with; None where there is no readable file."""
        try:
            written = self.places.spec.stat().st_mtime
        except OSError:
            return None
        if written != self._spec[0]:
            try:
                self._spec = (written, SessionSpec.read(self.places.spec))
            except ParamsError:
                self._spec = (written, None)
        return self._spec[1]

    # ---- inside ----

    def _forget(self) -> None:
        self._seq = 0
        self._words = LogWords()
        self._lines: deque[LogLine] = deque(maxlen=LINES_KEPT)
        self._decisions: dict[str, DecisionMade] = {}
        self._flattening: Flattening | None = None

    def _open(self) -> StoreReader:
        path = self.places.database
        file = path.stat().st_ino if path.exists() else 0
        if self._reader is not None and file != self._file:  # a new store at the same place
            self.close()
        if self._reader is None:
            self._reader = StoreReader(path)
            if file != self._file:
                self._forget()
            self._file = file
        return self._reader

    def _read(self) -> Facts:
        reader = self._open()
        spec = self.spec
        with reader.snapshot():
            while new := reader.events(self._seq, _BATCH):
                for event in new:
                    self._note(event)
            day = self._today(reader.days())
            open_positions = reader.positions()
            closed = reader.trades(day.date) if day else ()
            orders = reader.orders(only_open=True)
            latch = reader.latch()
            fills = reader.fills()
            beats = reader.beats()
        numbers = {each.position for each in (*open_positions, *closed) if day and each.date == day.date}
        return Facts(
            mode=day.mode if day else spec.mode if spec else None,
            simulated=spec.simulated if spec else None,
            r_paise=int(spec.params.r_value_rupees * PAISE_PER_RUPEE) if spec else None,
            login=spec.login_command if spec else "",
            day=day,
            latch=latch,
            orders=orders,
            positions=open_positions,
            closed=closed,
            fills=tuple(fill for fill in fills if fill.position in numbers),
            signs=MappingProxyType({beat.name: _sign(beat) for beat in beats}),
            decisions=MappingProxyType(dict(self._decisions if day else {})),
            flattening=self._flattening,
            log=tuple(self._lines),
            seq=self._seq,
        )

    def _today(self, days: tuple[Day, ...]) -> Day | None:
        """The day to show: the one started last, unless a session of a later day has been asked for."""
        day = max(days, key=lambda each: each.start_seq, default=None)
        spec = self.spec
        return None if day and spec and spec.date.isoformat() > day.date else day

    def _note(self, event: Event) -> None:
        """Take one more event of the log."""
        self._seq = event.seq
        fact = event.fact
        if isinstance(fact, SessionStarted):
            self._decisions.clear()
        elif isinstance(fact, DecisionMade):
            self._decisions[fact.slot] = fact
        elif isinstance(fact, LatchChanged):
            self._note_latch(event.ts_ns, fact)
        line = self._words(event)
        if line is not None:
            self._lines.append(line)

    def _note_latch(self, ts_ns: int, fact: LatchChanged) -> None:
        if fact.state == "FLATTENING":
            self._flattening = Flattening(fact.reason, fact.who, ts_ns, 0, "")
        elif fact.state == "ACTIVE":
            self._flattening = None
        elif self._flattening is not None and not self._flattening.ended_ns:  # HALTED is the proved end
            self._flattening = replace(self._flattening, ended_ns=ts_ns, answer=fact.reason)


def _sign(beat: Beat) -> Sign:
    try:
        status = json.loads(beat.status)
    except ValueError:
        status = {}
    return Sign(beat.age_s(), status if isinstance(status, dict) else {})
