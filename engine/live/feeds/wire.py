"""What a feed and the runner say to each other: frames on a Unix socket, and the runner's side of it.

A frame is kind (1 byte), length (uint32, little-endian) and payload: TICK records for ticks, JSON for all else. Feed
to runner: T ticks, O order, I index, C clock, S status, H hello, P and E around the repeated past; runner to feed:
W wanted, D done. The order is: hello on connecting; after the first `subscribe` the past (P, frames, E), the status,
then live. Within a moment of a paced feed: ticks, orders, clock.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from engine.errors import WorkbenchError
from engine.history.bars import TICK
from engine.live.brokers.base import OrderReport, OrderStatus

HEADER = struct.Struct("<cI")
MAX_PAYLOAD = 1 << 24
READ_AHEAD = 1 << 22
TICKS, ORDER, INDEX, CLOCK, STATUS, HELLO, PAST, PAST_END = b"T", b"O", b"I", b"C", b"S", b"H", b"P", b"E"
WANTED, DONE = b"W", b"D"

LinkState = Literal["up", "stale", "down", "token_expired"]
Speed = float | Literal["max", "manual"]


class FeedError(WorkbenchError):
    """The feed is not there, has gone, or says what nobody understands."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticks:
    """
    Ticks in the order they came.

    Attributes
    ----------
    ticks : TICK[n]
        `instrument` is the number given in the subscription; writable.
    """

    ticks: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the vendor pushed it; a hint that may come late, twice or never."""

    report: OrderReport


@dataclass(frozen=True, slots=True)
class Index:
    """Value of the index: last and the day's open in ticks, rounded to the nearest (0 = unknown), time in ns UTC."""

    symbol: str
    last: int
    open: int
    ns: int


@dataclass(frozen=True, slots=True)
class ClockTick:
    """
    A paced feed's time: everything up to `ns` has been sent.

    Attributes
    ----------
    seq : int
        To be answered with `done(seq)`; at speed "max" the next moment waits for it.
    minute, moment : int
        Minute of the session; moments of a minute count from 0.
    ns : int
        UTC.
    closes : bool
        The minute's end: its bars are complete.
    """

    seq: int
    minute: int
    moment: int
    ns: int
    closes: bool
    speed: Speed


@dataclass(frozen=True, slots=True)
class Status:
    """How the link to the vendor is: instruments subscribed, and those heard of since the last (re)connect."""

    link: LinkState
    detail: str
    subscribed: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class Hello:
    """Who feeds: `paced` if it sends clocks that are to be lived by, `simulated` if prices are modelled or replayed."""

    feed: str
    pid: int
    paced: bool
    simulated: bool


@dataclass(frozen=True, slots=True)
class PastBegins:
    """What follows until `PastEnds` is the kept past; 0 = nothing is kept."""

    from_ns: int


@dataclass(frozen=True, slots=True)
class PastEnds:
    """From here on it is live. A clock that nobody has answered yet comes again after this."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An instrument of the subscription: the runner's number, the vendor's symbol and token."""

    n: int
    symbol: str
    token: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """Everything the runner wants: the index (symbol, token) and the instruments."""

    index: tuple[str, int] | None
    instruments: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The runner is done with a clock."""

    seq: int


Message = Ticks | Order | Index | ClockTick | Status | Hello | PastBegins | PastEnds
Request = Subscription | Done
_PLAIN: dict[bytes, type[Any]] = {
    INDEX: Index,
    CLOCK: ClockTick,
    STATUS: Status,
    HELLO: Hello,
    PAST: PastBegins,
    PAST_END: PastEnds,
    DONE: Done,
}
_KINDS = {made: kind for kind, made in _PLAIN.items()}


def encode(message: Message | Request) -> bytes:
    """A message as a frame."""
    if isinstance(message, Ticks):
        return frame(TICKS, message.ticks.tobytes())
    if isinstance(message, Order):
        report = message.report
        told = asdict(report) | {
            "average": None if report.average is None else str(report.average),
            "status": report.status.name,
        }
        return frame(ORDER, json.dumps(told).encode())
    if isinstance(message, Subscription):
        index = None if message.index is None else {"symbol": message.index[0], "token": message.index[1]}
        told = {"index": index, "instruments": [asdict(each) for each in message.instruments]}
        return frame(WANTED, json.dumps(told).encode())
    return frame(_KINDS[type(message)], json.dumps(asdict(message)).encode())


def frame(kind: bytes, payload: bytes) -> bytes:
    """Kind, length, payload."""
    return HEADER.pack(kind, len(payload)) + payload


def decode(kind: bytes, payload: bytes) -> Message | Request:
    """
    The message of a frame.

    Raises
    ------
    FeedError
        If it is no message of this wire.
    """
    try:
        if kind == TICKS:
            return Ticks(np.frombuffer(bytearray(payload), TICK))  # may be written to
        told = json.loads(payload)
        if kind == ORDER:
            average = told["average"]
            told |= {
                "average": None if average is None else Decimal(average),
                "status": OrderStatus[told["status"]],
            }
            return Order(OrderReport(**told))
        if kind == WANTED:
            index = told["index"]
            return Subscription(
                None if index is None else (index["symbol"], int(index["token"])),
                tuple(Wanted(**each) for each in told["instruments"]),
            )
        made: Message | Request = _PLAIN[kind](**told)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise FeedError(
            f"a frame {kind!r} of {len(payload)} bytes between feed and runner cannot be read "
            f"({type(error).__name__}); both must be of one version: restart the session"
        ) from error
    return made


class MessageReader:
    """Messages of a connection, one after the other; a wait for one may be cancelled without losing it."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._head: tuple[bytes, int] | None = None

    async def next(self) -> Message | Request | None:
        """
        The next message; None at the end of the stream.

        Raises
        ------
        FeedError
            If it cannot be read.
        """
        try:
            if self._head is None:
                self._head = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            kind, length = self._head
            if length > MAX_PAYLOAD:
                raise FeedError(f"a frame of {length} bytes between feed and runner is above {MAX_PAYLOAD}")
            payload = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        self._head = None
        return decode(kind, payload)


class FeedClient:
    """
    The runner's side: one connection to the feed; iterate over it for its messages.

    The iteration ends when the feed has gone or has taken another reader; then make a new one.

    Attributes
    ----------
    subscription : Subscription
        What was asked for so far.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._messages = MessageReader(reader)
        self._writer = writer
        self.subscription = Subscription(None, ())

    @classmethod
    async def connect(cls, path: str | Path, *, patience_s: float = 0.0) -> Self:
        """
        Connect to the feed.

        Parameters
        ----------
        path : path
            `spec.places.feed_socket`.
        patience_s : float
            How long to wait for a feed that is not there yet.

        Raises
        ------
        FeedError
            If there is none.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while True:
            try:
                return cls(*await asyncio.open_unix_connection(str(path), limit=READ_AHEAD))
            except OSError as error:
                if loop.time() >= until:
                    raise FeedError(f"no feed listens at {path} ({error.strerror}); start it") from error
            await asyncio.sleep(0.05)

    async def subscribe(
        self, instruments: Iterable[tuple[int, str, int]], *, index: tuple[str, int] | None = None
    ) -> None:
        """
        Ask for instruments, in addition to those asked for before.

        Parameters
        ----------
        instruments : iterable of (n, symbol, token)
            `n` is the number their ticks will carry.
        index : (symbol, token), optional
        """
        asked = {each.token: each for each in self.subscription.instruments}
        asked |= {token: Wanted(n, symbol, token) for n, symbol, token in instruments}
        self.subscription = replace(
            self.subscription, index=index or self.subscription.index, instruments=tuple(asked.values())
        )
        self._writer.write(encode(self.subscription))
        await self._drain()

    async def done(self, seq: int) -> None:
        """Tell that everything about a clock has been done."""
        self._writer.write(encode(Done(seq)))
        await self._drain()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self._messages.next()) is not None:
            if isinstance(message, Subscription | Done):
                raise FeedError(f"the feed sent {message}, which only a runner says; restart the session")
            yield message

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(ConnectionError):  # the feed was first
            await self._writer.wait_closed()

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise FeedError("the feed has gone; connect again") from error
