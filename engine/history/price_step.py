"""The compiled step from ticks to last prices: which ticks tell something new, and what they change.

The way of every tick of a live day; a frame of them costs one call here instead of two dozen of NumPy's.
"""

import numpy as np
import numpy.typing as npt

from engine.compiled import njit
from engine.history.bar_step import Records
from engine.market.clock import NS_PER_MINUTE

BUCKET_NS = 10_000_000_000
BUCKETS = 3
"""A reference price is the mean of the prices traded in the last 30 s, kept in buckets of 10 s."""

LATEST = np.dtype(
    [
        ("ns", np.int64),  # of the newest tick, UTC; 0 before the first
        ("price", np.int32),  # last traded, ticks; 0 before the first
    ]
)

BUCKET = np.dtype([("number", np.int64), ("sum", np.int64), ("count", np.int64)])  # number: 10 s since 1970

SIFTED = np.dtype(
    [
        ("kept", np.int64),  # ticks that are news
        ("newest_ns", np.int64),  # of these
        ("first_minute", np.int64),  # of the session, of these
        ("last_minute", np.int64),
    ]
)


@njit(cache=True)
def sift_ticks(
    ticks: Records,
    latest: Records,
    buckets: Records,
    keep: npt.NDArray[np.bool_],
    sifted: Records,
    open_ns: int,
    last_sane_ns: int,
) -> None:
    """
    Note the prices of ticks that are news: with a price, not older than the newest of their contract, of a sane time.

    Parameters
    ----------
    ticks : TICK[n], in the order they came
        Of instruments 0 .. C - 1.
    latest : LATEST[C]
        Changed.
    buckets : BUCKET[BUCKETS, C]
        Prices of the last 30 s; changed.
    keep : bool[n] or longer
        Takes which ticks are news.
    sifted : SIFTED[1]
        Takes what they are in sum.
    open_ns : int
        Of the session, UTC.
    last_sane_ns : int
        A time from here on is none.
    """
    told = sifted[0]
    told["kept"] = 0
    told["newest_ns"] = 0
    for number in range(ticks.shape[0]):
        tick = ticks[number]
        contract, price = tick["instrument"], tick["price"]
        ns = tick["exchange_ns"] if tick["exchange_ns"] > 0 else tick["receive_ns"]
        its = latest[contract]
        keep[number] = price > 0 and its["ns"] <= ns < last_sane_ns
        if not keep[number]:
            continue
        its["ns"] = ns
        its["price"] = price
        minute = (ns - open_ns) // NS_PER_MINUTE
        told["first_minute"] = minute if told["kept"] == 0 else min(told["first_minute"], minute)
        told["last_minute"] = minute if told["kept"] == 0 else max(told["last_minute"], minute)
        told["newest_ns"] = max(told["newest_ns"], ns)
        told["kept"] += 1
        number_of = ns // BUCKET_NS
        bucket = buckets[number_of % BUCKETS][contract]
        if bucket["number"] != number_of:
            bucket["number"] = number_of
            bucket["sum"] = 0
            bucket["count"] = 0
        bucket["sum"] += price
        bucket["count"] += 1


@njit(cache=True)
def take_prices(ticks: Records, price: npt.NDArray[np.int32], highs: npt.NDArray[np.int32]) -> None:
    """
    Last prices and the highest since a minute began.

    Parameters
    ----------
    ticks : TICK[n], in the order they came
        Those without a price change nothing.
    price, highs : int32[C], ticks
        Changed.
    """
    for number in range(ticks.shape[0]):
        tick = ticks[number]
        if tick["price"] > 0:
            price[tick["instrument"]] = tick["price"]
            highs[tick["instrument"]] = max(highs[tick["instrument"]], tick["price"])
