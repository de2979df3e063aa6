"""Kite's binary frames as arrays: all packets of a frame in a few vectorised steps, no object per tick.

A frame is `int16 n`, then n times `int16 length` and a packet, big-endian; the length tells the kind of packet.
Prices are paise for the segments we read (NFO, indices). Source: reference `brokers_and_market`, 1.6; held in a test
against the official client's own parser.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.history.bars import TICK
from engine.live.feeds.wire import FeedError
from engine.market.clock import NS_PER_SECOND
from engine.market.prices import PAISE_PER_TICK

HEARTBEAT_BYTES = 1
NO_TOTAL = -1
"""Volume of a packet that tells none (mode ltp); `bars` refuses such a tick instead of counting a fall to 0."""

_LENGTH = np.dtype(">u2")
_PRICE = [("length", ">u2"), ("token", ">u4"), ("last", ">u4")]
_QUOTE = [*_PRICE, ("last_quantity", ">u4"), ("average", ">u4"), ("volume", ">u4"), ("rest", "V24")]
_INDEX = [*_PRICE, ("high", ">u4"), ("low", ">u4"), ("open", ">u4"), ("close", ">u4"), ("change", ">u4")]
PACKETS: dict[int, np.dtype[np.void]] = {
    8: np.dtype(_PRICE),
    44: np.dtype(_QUOTE),
    184: np.dtype([*_QUOTE, ("traded", "V16"), ("exchange_time", ">u4"), ("depth", "V120")]),
    28: np.dtype(_INDEX),
    32: np.dtype([*_INDEX, ("exchange_time", ">u4")]),
}
assert all(dtype.itemsize == length + _LENGTH.itemsize for length, dtype in PACKETS.items())

Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class IndexPacket:
    """An index value: paise (an index is not on the tick grid), the day's open (0 = not told), ns UTC (0 = not told)."""

    token: int
    last: int
    open: int
    exchange_ns: int


def runs(frame: bytes) -> list[Records]:
    """
    The packets of a frame, runs of one length as arrays over the frame's own bytes.

    Packets of a length nobody knows are passed over, as the official client does; heartbeats hold none.

    Raises
    ------
    FeedError
        If the frame ends before its packets do.
    """
    size = len(frame)
    if size < 2:
        return []
    left = int.from_bytes(frame[:2], "big")
    found: list[Records] = []
    at = 2
    while left:
        if at + 2 > size:
            raise FeedError(f"a frame of {size} bytes ends before its packets: {left} are missing")
        length = int.from_bytes(frame[at : at + 2], "big")
        step = length + 2
        most = min(left, (size - at) // step)
        if not most:
            raise FeedError(f"a packet of {length} bytes at {at} does not fit into its frame of {size} bytes")
        count = most
        if most > 1:
            lengths: npt.NDArray[Any] = np.ndarray((most,), _LENGTH, frame, at, (step,))
            other = lengths != length
            count = int(other.argmax()) if other.any() else most
        if length in PACKETS:
            found.append(np.ndarray((count,), PACKETS[length], frame, at))
        at += count * step
        left -= count
    return found


def parse(
    frame: bytes,
    tokens: npt.NDArray[np.int64],
    slots: npt.NDArray[np.int32],
    index_token: int,
    receive_ns: int,
) -> tuple[Records, list[IndexPacket]]:
    """
    The ticks of a frame, in its order.

    Parameters
    ----------
    frame : bytes
    tokens : int64[n], ascending
        Of the instruments that are wanted; others are left out.
    slots : int32[n]
        Their `instrument` numbers.
    index_token : int
        Of the index, -1 for none.
    receive_ns : int
        When the frame came; also the exchange time of packets that tell none.

    Returns
    -------
    ticks : TICK[k]
        A price off the tick grid is 0, which `bars` refuses; volume is the day's total so far.
    list of IndexPacket

    Raises
    ------
    FeedError
        As `runs`.
    """
    parts: list[Records] = []
    values: list[IndexPacket] = []
    for run in runs(frame):
        names = run.dtype.names or ()
        heard = run["token"].astype(np.int64)
        if "change" in names or (heard == index_token).any():
            values += [_index(packet, names) for packet in run[heard == index_token]]
        if "change" in names or not len(tokens):
            continue
        place = np.minimum(np.searchsorted(tokens, heard), len(tokens) - 1)
        wanted = tokens[place] == heard
        if not wanted.all():
            run, place = run[wanted], place[wanted]  # noqa: PLW2901 - the rest of the run is of no interest
        ticks = np.zeros(len(run), TICK)
        price, off = np.divmod(run["last"], PAISE_PER_TICK)
        ticks["price"] = np.where(off == 0, price, 0)
        ticks["volume"] = run["volume"] if "volume" in names else NO_TOTAL
        ticks["exchange_ns"] = _exchange_ns(run, names, receive_ns)
        ticks["receive_ns"] = receive_ns
        ticks["instrument"] = slots[place]
        parts.append(ticks)
    if len(parts) == 1:
        return parts[0], values
    return np.concatenate(parts) if parts else np.zeros(0, TICK), values


def _exchange_ns(run: Records, names: tuple[str, ...], receive_ns: int) -> Any:
    if "exchange_time" not in names:
        return receive_ns
    seconds = run["exchange_time"].astype(np.int64)
    return np.where(seconds > 0, seconds * NS_PER_SECOND, receive_ns)


def _index(packet: Any, names: tuple[str, ...]) -> IndexPacket:
    return IndexPacket(
        int(packet["token"]),
        int(packet["last"]),
        int(packet["open"]) if "open" in names else 0,
        int(packet["exchange_time"]) * NS_PER_SECOND if "exchange_time" in names else 0,
    )
