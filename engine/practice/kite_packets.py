"""The binary packets of Kite's ticker, big-endian, as structured arrays.

A frame is `int16 n`, then n times `int16 length` and a packet. Each dtype here is one packet with its length in
front, so a frame is the bytes of an array. Prices are paise. Source: `brokers_and_market`, section 1.6.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.market.prices import PAISE_PER_TICK
from engine.practice.market import LEVEL_ORDERS, LEVELS, Market

LENGTH = ("length", ">u2")
LTP_FIELDS = [("token", ">u4"), ("last", ">u4")]
QUOTE_FIELDS = [
    *LTP_FIELDS,
    ("last_quantity", ">u4"),
    ("average", ">u4"),
    ("volume", ">u4"),
    ("buy_quantity", ">u4"),
    ("sell_quantity", ">u4"),
    ("open", ">u4"),
    ("high", ">u4"),
    ("low", ">u4"),
    ("close", ">u4"),
]
LEVEL = np.dtype([("quantity", ">u4"), ("price", ">u4"), ("orders", ">u2"), ("pad", ">u2")])
FULL_FIELDS: list[Any] = [
    *QUOTE_FIELDS,
    ("last_trade", ">u4"),
    ("oi", ">u4"),
    ("oi_high", ">u4"),
    ("oi_low", ">u4"),
    ("exchange_time", ">u4"),
    ("buy", LEVEL, (LEVELS,)),
    ("sell", LEVEL, (LEVELS,)),
]
INDEX_QUOTE_FIELDS = [
    *LTP_FIELDS,
    ("high", ">u4"),
    ("low", ">u4"),
    ("open", ">u4"),
    ("close", ">u4"),
    ("change", ">i4"),
]
INDEX_FULL_FIELDS = [*INDEX_QUOTE_FIELDS, ("exchange_time", ">u4")]

LTP = np.dtype([LENGTH, *LTP_FIELDS])
QUOTE = np.dtype([LENGTH, *QUOTE_FIELDS])
FULL = np.dtype([LENGTH, *FULL_FIELDS])
INDEX_QUOTE = np.dtype([LENGTH, *INDEX_QUOTE_FIELDS])
INDEX_FULL = np.dtype([LENGTH, *INDEX_FULL_FIELDS])
OPTION_PACKETS = {"ltp": LTP, "quote": QUOTE, "full": FULL}
INDEX_PACKETS = {"ltp": LTP, "quote": INDEX_QUOTE, "full": INDEX_FULL}

HEARTBEAT = b"\x00"


def frame(parts: list[npt.NDArray[Any]]) -> bytes:
    """One frame of packets; empty when there is none."""
    count = sum(len(part) for part in parts)
    if not count:
        return b""
    return struct.pack(">H", count) + b"".join(part.tobytes() for part in parts)


def option_packets(market: Market, places: npt.NDArray[np.int64], mode: str) -> npt.NDArray[Any]:
    """
    Packets of some contracts as they stand now.

    Parameters
    ----------
    places : int64[n]
        Rows of the market.
    mode : str
        "ltp", "quote" or "full".
    """
    dtype = OPTION_PACKETS[mode]
    made = np.zeros(len(places), dtype)
    made["length"] = dtype.itemsize - 2
    made["token"] = market.tokens[places]
    made["last"] = market.last[places] * PAISE_PER_TICK
    if mode == "ltp":
        return made
    volume = market.volume[places]
    bid, bid_quantity, ask, ask_quantity = market.depth(places)
    made["last_quantity"] = market.last_quantity[places]
    made["average"] = market.turnover[places] * PAISE_PER_TICK // np.maximum(volume, 1)
    made["volume"] = volume
    made["buy_quantity"] = bid_quantity.sum(axis=1)
    made["sell_quantity"] = ask_quantity.sum(axis=1)
    made["open"] = market.day_open[places] * PAISE_PER_TICK
    made["high"] = market.day_high[places] * PAISE_PER_TICK
    made["low"] = market.day_low[places] * PAISE_PER_TICK
    if mode == "full":
        opened = market.open_ns // 1_000_000_000
        made["last_trade"] = opened + market.last_trade_ms[places] // 1000
        made["exchange_time"] = opened + market.ms // 1000
        for side, price, quantity in (("buy", bid, bid_quantity), ("sell", ask, ask_quantity)):
            made[side]["price"] = price * PAISE_PER_TICK
            made[side]["quantity"] = quantity
            made[side]["orders"] = np.where(quantity > 0, LEVEL_ORDERS, 0)
    return made


def index_packet(market: Market, mode: str) -> npt.NDArray[Any]:
    """The packet of the index as it stands now; empty before its first value."""
    opened, high, low, close, last = (int(x) for x in market.index_ohlcl)
    if last == 0:
        return np.zeros(0, INDEX_PACKETS[mode])
    dtype = INDEX_PACKETS[mode]
    made = np.zeros(1, dtype)
    made["length"] = dtype.itemsize - 2
    made["token"] = market.index.token
    made["last"] = last
    if mode == "ltp":
        return made
    made["high"], made["low"], made["open"], made["close"] = high, low, opened, close
    made["change"] = last - close if close else 0
    if mode == "full":
        made["exchange_time"] = market.open_ns // 1_000_000_000 + market.ms // 1000
    return made


def packet_of(tick: Mapping[str, Any]) -> bytes:
    """
    The raw packet, without its length, of a tick as Kite's published samples spell it.

    Parameters
    ----------
    tick : mapping
        `mode, instrument_token, last_price`; quotes also `last_quantity, average_price, volume, buy_quantity,
        sell_quantity, ohlc`; full ones `last_trade_time, oi, oi_day_high, oi_day_low, timestamp` (seconds since
        1970) and `depth`. Prices in rupees.
    """
    made = np.zeros(1, OPTION_PACKETS[tick["mode"]])
    made["token"] = tick["instrument_token"]
    made["last"] = _paise(tick["last_price"])
    if tick["mode"] != "ltp":
        made["last_quantity"] = tick["last_quantity"]
        made["average"] = _paise(tick["average_price"])
        for name in ("volume", "buy_quantity", "sell_quantity"):
            made[name] = tick[name]
        for name in ("open", "high", "low", "close"):
            made[name] = _paise(tick["ohlc"][name])
    if tick["mode"] == "full":
        made["last_trade"] = tick["last_trade_time"]
        made["exchange_time"] = tick["timestamp"]
        made["oi"], made["oi_high"], made["oi_low"] = tick["oi"], tick["oi_day_high"], tick["oi_day_low"]
        for side in ("buy", "sell"):
            for place, level in enumerate(tick["depth"][side]):
                made[side][0, place] = (level["quantity"], _paise(level["price"]), level["orders"], 0)
    return made.tobytes()[2:]


def _paise(rupees: float) -> int:
    return round(rupees * 100)
