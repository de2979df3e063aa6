"""The runner's line to its feed: connected again whenever it breaks, and what is known of its health.

Statuses, the index and the marks around the repeated past are kept here; ticks, orders and clocks are passed on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from engine.live.feeds.wire import (
    FeedClient,
    FeedError,
    Hello,
    Index,
    Message,
    PastBegins,
    PastEnds,
    Status,
    Ticks,
)
from engine.market.indices import IndexName

RETRY_S = 0.1

Condition = Literal["up", "stale", "down", "token_expired"]


class FeedLink:
    """
    One feed of a session.

    Parameters
    ----------
    path : Path
        Its socket.
    index : IndexName

    Attributes
    ----------
    hello : Hello or None
    index : Index or None
        Told last.
    in_past : bool
        What is told now was told before, to an earlier process.
    past_from_ns : int or None
        From when on the repeated past reaches; None if nothing was repeated yet.
    arrived_ns : int
        `time.perf_counter_ns` at which the present message was read.
    last_message : float
        `time.monotonic` of the same; 0 before the first.
    """

    def __init__(self, path: Path, index: IndexName) -> None:
        self._path = path
        self._index_name = index
        self._client: FeedClient | None = None
        self._wanted: Sequence[tuple[int, str, int]] = ()
        self._news = asyncio.Event()
        self._last_tick = 0.0
        self.last_message = 0.0
        self.hello: Hello | None = None
        self.status = Status("down", "not connected to the feed yet", 0, 0)
        self.index: Index | None = None
        self.in_past = False
        self.past_from_ns: int | None = None
        self.arrived_ns = 0

    def want(self, instruments: Sequence[tuple[int, str, int]]) -> None:
        """Ask for these (n, symbol, token) whenever connected."""
        self._wanted = instruments

    async def subscribe(self, instruments: Sequence[tuple[int, str, int]]) -> None:
        """As `want`, and ask now."""
        self.want(instruments)
        if self._client is not None:
            await self._ask(self._client)

    async def messages(self) -> AsyncIterator[Message]:
        """Ticks, orders, index values and clocks, for ever."""
        while True:
            try:
                client = await FeedClient.connect(self._path)
                await self._ask(client)
            except FeedError as error:
                self._down(str(error))
                await asyncio.sleep(RETRY_S)
                continue
            self._client = client
            try:
                async for message in client:
                    self.arrived_ns = time.perf_counter_ns()
                    self.last_message = time.monotonic()
                    if not self._kept(message):
                        yield message
                    self._news.set()
                self._down("the feed has gone")
            except FeedError as error:
                self._down(str(error))
            finally:
                self._client = None
                self._down(self.status.detail)
                await client.close()
            await asyncio.sleep(RETRY_S)  # a feed that takes nobody is not asked without a pause

    async def done(self, seq: int) -> None:
        """Answer a clock; a feed that has gone asks again."""
        if self._client is not None:
            with suppress(FeedError):
                await self._client.done(seq)

    async def wait_news(self) -> None:
        """Return after the next message."""
        self._news.clear()
        await self._news.wait()

    async def confirmed(self, instruments: int) -> None:
        """Return when the vendor has told something of every instrument."""
        while not (self.status.subscribed >= instruments and self.status.confirmed >= self.status.subscribed):
            await self.wait_news()

    def condition(self, stale_s: float | None) -> tuple[Condition, str]:
        """
        How the line is.

        Parameters
        ----------
        stale_s : float or None
            Ticks older than this are stale; None outside hours, and where a played day stands still.
        """
        if self._client is None:
            return "down", self.status.detail
        if self.status.link != "up":
            return self.status.link, self.status.detail
        age = self.tick_age_s
        if stale_s is not None and age > stale_s:
            return "stale", f"no tick for {age:.0f} s"
        return "up", self.status.detail

    @property
    def silent_s(self) -> float:
        """Seconds since the last message of any kind; infinite before the first."""
        return time.monotonic() - self.last_message if self.last_message else float("inf")

    @property
    def tick_age_s(self) -> float:
        """Seconds since the last tick; infinite before the first."""
        return time.monotonic() - self._last_tick if self._last_tick else float("inf")

    async def _ask(self, client: FeedClient) -> None:
        await client.subscribe(self._wanted, index=(self._index_name.symbol, self._index_name.token))

    def _kept(self, message: Message) -> bool:
        match message:
            case Hello():
                self.hello = message
            case Status():
                self.status = message
            case PastBegins():
                self.in_past = True
                self.past_from_ns = message.from_ns
            case PastEnds():
                self.in_past = False
            case Index():
                self.index = message
                return False
            case Ticks():
                if not self.in_past:
                    self._last_tick = time.monotonic()
                return False
            case _:
                return False
        return True

    def _down(self, detail: str) -> None:
        self.in_past = False
        self.status = Status("down", detail, 0, 0)
        self._news.set()
