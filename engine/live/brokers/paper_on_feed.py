"""A paper broker for a process that hears no prices, such as the watchdog that closes what a dead runner left.

Once it is asked for orders or quotes and something is held or open, it listens to the session's feed for just those
contracts. The feed serves one reader, so the runner must be dead; the account's file, which one process holds, proves
that.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.live.brokers.base import OrderReport, Quote
from engine.live.brokers.paper import PaperBroker
from engine.live.clocks import Clock
from engine.live.feeds.wire import (
    ClockTick,
    FeedClient,
    FeedError,
    Hello,
    Index,
    Message,
    PastBegins,
    PastEnds,
    Ticks,
)

log = logging.getLogger(__name__)

PATIENCE_S = 3.0
"""How long the first request waits for prices."""
PACE_S = 0.25
"""Between moments of a day played as fast as its reader is: an exit takes real time."""


class HeardClock:
    """The clock of a paced feed once it has told its time, else another one; waits are always real."""

    def __init__(self, own: Clock) -> None:
        self._own = own
        self.heard_ns = 0

    def monotonic_ns(self) -> int:
        """Of the own clock."""
        return self._own.monotonic_ns()

    def wall_ns(self) -> int:
        """UTC."""
        return self.heard_ns or self._own.wall_ns()

    async def sleep_ns(self, duration: int) -> None:
        """Wait."""
        await self._own.sleep_ns(duration)


class PaperOnFeed(PaperBroker):
    """
    A paper account that listens by itself; parameters as `PaperBroker`.

    Attributes
    ----------
    socket : Path or None
        Where the feed listens; None = it hears nothing.
    """

    socket: Path | None = None

    def __init__(self, path: Path, date: dt.date, clock: Clock, **more: Any) -> None:
        self._heard = HeardClock(clock)
        super().__init__(path, date, self._heard, **more)
        self._listening: asyncio.Task[None] | None = None
        self._prices = asyncio.Event()
        self._past = self._paced = False

    async def orders(self) -> list[OrderReport]:
        """All orders of the day; listens from now on if there is something to close."""
        await self._listen()
        return await super().orders()

    async def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """What was last heard of each."""
        await self._listen()
        return await super().quotes(symbols)

    async def close(self) -> None:
        """Hang up and release the account."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await super().close()

    async def _listen(self) -> None:
        if self.socket is None or not self.open_contracts():
            return
        if self._listening is None or self._listening.done():
            self._prices.clear()
            self._listening = asyncio.create_task(self._hear(self.socket))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._prices.wait(), PATIENCE_S)

    async def _hear(self, socket: Path) -> None:
        followed = self._market.contracts
        contracts = [*followed, *(one for one in self.open_contracts() if one not in followed)]
        try:
            client = await FeedClient.connect(socket, patience_s=PATIENCE_S)
        except FeedError as error:
            log.warning("paper account without prices: %s", error)
            return
        try:
            self.follow(contracts)
            await client.subscribe([(n, one.symbol, one.token) for n, one in enumerate(contracts)])
            async for message in client:
                self._take(message)
                if isinstance(message, ClockTick):
                    await asyncio.sleep(PACE_S)
                    await client.done(message.seq)
        except FeedError as error:
            log.warning("paper account without prices: %s", error)
        finally:
            await client.close()

    def _take(self, message: Message) -> None:
        match message:
            case Hello(paced=True):
                self._paced = True
            case PastBegins() | PastEnds():
                self._past = isinstance(message, PastBegins)
            case Ticks(ticks=ticks):
                self.on_ticks(ticks, 0 if self._paced else self._heard.wall_ns(), past=self._past)
                self._prices.set()
            case Index(last=last):
                self.on_index(last)
            case ClockTick(ns=ns):
                self._heard.heard_ns = ns
                self.on_time(ns)
            case _:
                pass
