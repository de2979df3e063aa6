"""The feed's side of the wire: one reader at a time, the recent past kept for the next one, nobody waited for.

What a source hears goes straight to the reader's connection; a reader that stays too far behind is told and cut off.
Numbers of instruments are the reader's own, so ticks are kept by the feed's numbers ("slots") and renumbered on the
way out: a restarted runner may number anew.
"""

import asyncio
import fcntl
import logging
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from engine.live.feeds.wire import (
    READ_AHEAD,
    ClockTick,
    Done,
    FeedError,
    Hello,
    Index,
    MessageReader,
    Order,
    PastBegins,
    PastEnds,
    Status,
    Subscription,
    Ticks,
    Wanted,
    encode,
)
from engine.market.clock import NS_PER_MINUTE

log = logging.getLogger(__name__)

KEPT_NS = 3 * NS_PER_MINUTE
KEPT_BYTES = 64 << 20
MAX_BEHIND = 32 << 20
LAST_WORDS_S = 10.0
PRIVATE = 0o600
CATCH_UP_FRAMES = 64
_UNWANTED = -1

Records = npt.NDArray[np.void]


class Feed(Protocol):
    """A source of prices, as the feed process runs it; everything happens in one event loop."""

    hello: Hello

    async def run(self, out: "FeedServer") -> None:
        """Feed until cancelled; ends by itself only when nothing more can come."""

    def wanted(self, subscription: Subscription) -> None:
        """Take note of all that is wanted; it only grows."""

    def done(self, seq: int) -> None:
        """The reader is done with a clock."""


class _Kept(NamedTuple):
    """A frame of the past: ticks by slot, or a frame as it was sent."""

    serial: int
    ns: int
    ticks: Records | None
    frame: bytes
    size: int
    seq: int  # of a clock, else 0


class FeedServer:
    """
    Listens for the runner and passes on what a feed hears.

    Parameters
    ----------
    path : Path
        Of the socket, in a folder readable for nobody else.
    feed : Feed
    max_behind : int
        Bytes that may wait for a reader before it is cut off.

    Attributes
    ----------
    slots : dict of token to slot
        The feed's own numbers, in the order in which tokens were first wanted.
    status : Status
        Told last.
    """

    def __init__(self, path: Path, feed: Feed, *, max_behind: int = MAX_BEHIND) -> None:
        self.path = path
        self.feed = feed
        self.slots: dict[int, int] = {}
        self.status = Status("down", "not connected yet", 0, 0)
        self.ticks_sent = 0
        self._max_behind = max_behind
        self._symbols: dict[int, str] = {}
        self._index: tuple[str, int] | None = None
        self._numbers = np.zeros(0, np.int32)  # slot -> the reader's number
        self._same_numbers = True
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._serial = 0
        self._now_ns = 0
        self._clock: ClockTick | None = None
        self._answered = -1
        self._server: asyncio.Server | None = None
        self._lock = -1
        self._connections: set[asyncio.StreamWriter] = set()
        self._reader: asyncio.StreamWriter | None = None  # who has subscribed
        self._live: asyncio.StreamWriter | None = None  # who has had the past
        self._joining: asyncio.Task[None] | None = None
        self._cut = ""

    @property
    def has_reader(self) -> bool:
        """Whether somebody follows."""
        return self._reader is not None

    async def start(self) -> None:
        """
        Listen.

        Raises
        ------
        FeedError
            If another feed listens there; what a killed one left is replaced.
        """
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, PRIVATE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it when we die
        except BlockingIOError:
            os.close(self._lock)
            self._lock = -1
            raise FeedError(f"another feed listens at {self.path}; stop it first") from None
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path), limit=READ_AHEAD)
        self.path.chmod(PRIVATE)

    async def close(self) -> None:
        """Hang up and leave nothing behind."""
        if self._server is not None:
            self._server.close()
        if self._joining is not None:
            self._joining.cancel()
        for writer in list(self._connections):
            writer.close()
        self._reader = self._live = None
        await asyncio.sleep(0)  # the connections end
        if self._lock >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def send_ticks(self, ticks: Records) -> None:
        """
        Pass on ticks.

        Parameters
        ----------
        ticks : TICK[n]
            `instrument` is the slot; `receive_ns` is set. Not to be changed afterwards.
        """
        if not len(ticks):
            return
        self._keep(int(ticks["receive_ns"].max()), ticks, b"", ticks.nbytes)
        self.ticks_sent += len(ticks)
        if self._live is not None:
            frame = self._renumbered(ticks)
            if frame:
                self._write(self._live, frame)

    def send(self, message: Order | Index | ClockTick) -> None:
        """Pass on anything else that belongs to the stream."""
        frame = encode(message)
        seq = 0
        if isinstance(message, ClockTick):
            self._clock, seq = message, message.seq
        ns = self._now_ns if isinstance(message, Order) else message.ns
        self._keep(ns, None, frame, len(frame), seq)
        if self._live is not None:
            self._write(self._live, frame)

    def tell(self, status: Status) -> None:
        """Say how the link to the vendor is; said again to every new reader."""
        if status != self.status:
            self.status = status
            if self._live is not None:
                self._write(self._live, encode(status))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        writer.write(encode(self.feed.hello))
        messages = MessageReader(reader)
        try:
            while (message := await messages.next()) is not None:
                if isinstance(message, Subscription):
                    self._take(writer, message)
                elif isinstance(message, Done) and writer is self._reader:
                    self._answered = max(self._answered, message.seq)
                    self.feed.done(message.seq)
        except FeedError as error:
            log.error("%s", error)  # noqa: TRY400 - one line says it all
        finally:
            self._connections.discard(writer)
            self._forget(writer)
            writer.close()

    def _take(self, writer: asyncio.StreamWriter, asked: Subscription) -> None:
        """Take a subscription; a reader's first makes it the one reader, and it gets the past."""
        for each in asked.instruments:
            self.slots.setdefault(each.token, len(self.slots))
            self._symbols[each.token] = each.symbol
        self._index = asked.index or self._index
        self._numbers = np.full(len(self.slots), _UNWANTED, np.int32)
        for each in asked.instruments:
            self._numbers[self.slots[each.token]] = each.n
        self._same_numbers = bool((self._numbers == np.arange(len(self._numbers))).all())
        everything = tuple(Wanted(slot, self._symbols[token], token) for token, slot in self.slots.items())
        self.feed.wanted(Subscription(self._index, everything))
        if writer is self._reader:
            return
        old, self._reader, self._live = self._reader, writer, None
        if self._joining is not None:
            self._joining.cancel()
        if old is not None:
            old.close()
        self._joining = asyncio.create_task(self._join(writer))

    async def _join(self, writer: asyncio.StreamWriter) -> None:
        """Repeat the past at the reader's pace, then switch over to live without a gap."""
        writer.write(encode(PastBegins(self._kept[0].ns if self._kept else 0)))
        sent = -1
        with suppress(ConnectionError):
            while len(rest := self._since(sent)) > CATCH_UP_FRAMES:
                for kept in rest:
                    self._repeat(writer, kept)
                    await writer.drain()
                sent = rest[-1].serial
            for kept in rest:
                self._repeat(writer, kept)
            writer.write(encode(PastEnds()))
            status = self.status
            if self._cut:
                status = Status(status.link, self._cut, status.subscribed, status.confirmed)
                self._cut = ""
            writer.write(encode(status))
            if self._clock is not None and self._clock.seq > self._answered:
                writer.write(encode(self._clock))
            self._live = writer

    def _since(self, serial: int) -> list[_Kept]:
        return [kept for kept in self._kept if kept.serial > serial]

    def _repeat(self, writer: asyncio.StreamWriter, kept: _Kept) -> None:
        if kept.seq and self._clock is not None and kept.seq == self._clock.seq > self._answered:
            return  # comes live, after the past
        writer.write(kept.frame if kept.ticks is None else self._renumbered(kept.ticks))

    def _renumbered(self, ticks: Records) -> bytes:
        """A frame of ticks with the reader's numbers; empty if it wants none of them."""
        if not self._same_numbers:
            slots = ticks["instrument"]
            known = slots < len(self._numbers)
            numbers = np.where(known, self._numbers[np.where(known, slots, 0)], _UNWANTED)
            ticks = ticks[numbers != _UNWANTED]
            ticks["instrument"] = numbers[numbers != _UNWANTED]
        return encode(Ticks(ticks)) if len(ticks) else b""

    def _write(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        transport = writer.transport
        if transport.is_closing():
            self._forget(writer)
            return
        behind = transport.get_write_buffer_size()
        if behind + len(frame) <= self._max_behind:
            writer.write(frame)
            return
        self._cut = f"a reader {behind} bytes behind was cut off"
        log.error("%s", self._cut)
        status = self.status
        writer.write(encode(Status(status.link, self._cut, status.subscribed, status.confirmed)))
        self._forget(writer)
        writer.close()  # what waits is still delivered, if it is read soon
        asyncio.get_running_loop().call_later(LAST_WORDS_S, transport.abort)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        if writer is self._reader:
            self._reader = self._live = None
            if self._joining is not None:
                self._joining.cancel()
                self._joining = None

    def _keep(self, ns: int, ticks: Records | None, frame: bytes, size: int, seq: int = 0) -> None:
        self._serial += 1
        self._kept.append(_Kept(self._serial, ns, ticks, frame, size, seq))
        self._kept_bytes += size
        self._now_ns = max(self._now_ns, ns)
        while self._kept[0].ns < self._now_ns - KEPT_NS or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= self._kept.popleft().size
