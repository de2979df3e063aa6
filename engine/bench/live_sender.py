"""A feed that sends made-up ticks at a steady rate: the other end of the live benchmark, a process of its own.

`python -m engine.bench.live_sender SOCKET FRAMES_PER_SECOND SECONDS`: every frame holds one tick of each instrument
wanted, stamped with the moment at which it was sent. Says how many ticks left, as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np

from engine.history.bars import TICK
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import Hello, Status, Subscription

DRAIN_S = 1.0
FIRST_PRICE = 2000
"""Ticks; every frame moves each price by one."""


class SteadyFeed:
    """
    Sends frames at a rate once something is wanted.

    Parameters
    ----------
    rate : float
        Frames a second.
    seconds : float
    """

    hello = Hello("bench", 1, paced=False, simulated=True)

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate = rate
        self._frames = round(rate * seconds)
        self._wanted = asyncio.Event()
        self._instruments = 0

    def wanted(self, subscription: Subscription) -> None:
        """Begin."""
        self._instruments = len(subscription.instruments)
        if self._instruments:
            self._wanted.set()

    def done(self, seq: int) -> None:
        """Nothing waits."""

    async def run(self, out: FeedServer) -> None:
        """Send all frames."""
        await self._wanted.wait()
        out.tell(Status("up", "", self._instruments, self._instruments))
        await asyncio.sleep(0.2)  # the reader has joined
        begin = time.monotonic()
        for number in range(self._frames):
            rest = begin + number / self._rate - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            ticks = np.zeros(self._instruments, TICK)
            ticks["instrument"] = np.arange(self._instruments)
            ticks["price"] = FIRST_PRICE + number % 2
            ticks["volume"] = number + 1
            ticks["exchange_ns"] = ticks["receive_ns"] = time.time_ns()
            out.send_ticks(ticks)


async def send(path: Path, rate: float, seconds: float) -> int:
    """Serve one reader; ticks sent."""
    feed = SteadyFeed(rate, seconds)
    server = FeedServer(path, feed)
    await server.start()
    await feed.run(server)
    await asyncio.sleep(DRAIN_S)
    await server.close()
    return server.ticks_sent


if __name__ == "__main__":
    told = asyncio.run(send(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps({"sent": told}))
