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
        ("ahead", np.int64),  # of all: those whose time of the exchange was taken away
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
    latest_ns: int,
) -> None:
    """
    Note the prices of ticks that are news: with a price, not older than the newest of their contract.

    A time of the exchange that cannot be yet is taken away from its tick, so that everybody goes by the time of receipt.

    Parameters
    ----------
    ticks : TICK[n], in the order they came
        Those of instruments other than 0 .. C - 1 are no news; `exchange_ns` may be changed to 0.
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
    latest_ns : int
        A time after this one is none, UTC.
    """
    told = sifted[0]
    told["kept"] = 0
    told["newest_ns"] = 0
    told["ahead"] = 0
    for number in range(ticks.shape[0]):
        tick = ticks[number]
        contract, price = tick["instrument"], tick["price"]
        if tick["exchange_ns"] > latest_ns:
            tick["exchange_ns"] = 0
            told["ahead"] += 1
        ns = tick["exchange_ns"] if tick["exchange_ns"] > 0 else tick["receive_ns"]
        keep[number] = False
        if price <= 0 or not 0 <= contract < latest.shape[0] or ns > latest_ns:
            continue
        its = latest[contract]
        if ns < its["ns"]:
            continue
        keep[number] = True
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
        Those without a price, or of instruments other than 0 .. C - 1, change nothing.
    price, highs : int32[C], ticks
        Changed.
    """
    for number in range(ticks.shape[0]):
        tick = ticks[number]
        contract = tick["instrument"]
        if tick["price"] > 0 and 0 <= contract < price.shape[0]:
            price[contract] = tick["price"]
            highs[contract] = max(highs[contract], tick["price"])
