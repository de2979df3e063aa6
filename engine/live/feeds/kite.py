"""Kite's ticker as a feed: subscribes, reads, watches the link, and mends it without asking anybody.

A link is good when frames come (Kite sends a heartbeat every second) and, in session hours, ticks. A mute one is cut
and made anew; after that every token is asked for again and proved by its first tick. A login that Kite refuses is
told, and a new one is awaited from `.env`. Missed ticks are never repeated by Kite: what was lost in an outage comes
from `engine.live.feeds.candles`. Source: reference `brokers_and_market`, 1.6; `reliability`.
"""

import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import DataError
from engine.live.brokers.base import BrokerAuth
from engine.live.brokers.kite_answers import is_ours, order_report
from engine.live.brokers.kite_token import SecretsError
from engine.live.brokers.logins import Logins
from engine.live.feeds.kite_link import Connection
from engine.live.feeds.packets import HEARTBEAT_BYTES, parse
from engine.live.feeds.server import FeedServer
from engine.live.feeds.wire import (
    ClockTick,
    FeedError,
    Hello,
    Index,
    LinkState,
    Order,
    Speed,
    Status,
    Subscription,
)
from engine.live.spec import SessionSpec
from engine.market.calendar import windows
from engine.market.clock import IST
from engine.market.prices import PAISE_PER_TICK

__all__ = ["KiteFeed", "LinkRules", "open_feed"]

log = logging.getLogger(__name__)

MODE = "full"
"""Of options and index: the only one that tells the exchange's time."""
REFUSED = "(403"


@dataclass(frozen=True)
class LinkRules:
    """
    When a link is bad and what is done; seconds of wall time.

    Attributes
    ----------
    mute_s : float
        Without any frame, heartbeats included: cut and connect again.
    stale_s, dead_s : float
        In session hours without a tick of any instrument: told; cut and connect again.
    silent_s : float
        In session hours without a tick of one instrument: told.
    ask_again_s : float
        In session hours: asks again for tokens without a first tick.
    retry_s, retry_most_s : float
        Wait before the next connection: first, and as it doubles.
    refused_s : float
        Before a login that was refused is tried again while no new one is there.
    watch_s : float
        How often all this is looked at.
    hold_s : float
        How long a clock waits for the present state of the instruments after a (re)connect.
    """

    mute_s: float = 5.0
    stale_s: float = 5.0
    dead_s: float = 15.0
    silent_s: float = 60.0
    ask_again_s: float = 10.0
    retry_s: float = 0.25
    retry_most_s: float = 10.0
    refused_s: float = 30.0
    watch_s: float = 0.5
    hold_s: float = 0.25


class KiteFeed:
    """
    The feed of a Kite account.

    Parameters
    ----------
    date : date
        Trading day; its hours tell when ticks are due.
    root : str, optional
        Address of the ticker; None = Kite's own.
    env_file : Path
        Where a new login's token is found.
    login_command : str
        What a person types to log in.
    rules : LinkRules
    simulated : bool
        A stand-in for Kite plays a day: the exchange's time is taken for that of receipt, and ticks may be any
        time apart.
    speed : float, "max" or "manual"
        Of a played day.
    """

    name = "kite"

    def __init__(
        self,
        date: dt.date,
        *,
        root: str | None = None,
        env_file: Path,
        login_command: str,
        rules: LinkRules | None = None,
        simulated: bool = False,
        speed: Speed = 1.0,
    ) -> None:
        self.hello = Hello(self.name, os.getpid(), paced=simulated, simulated=simulated)
        self.rules = rules or LinkRules()
        self.unreadable = 0
        self.reconnects = -1
        self._root = root
        self._logins = Logins(env_file)
        self._login_command = login_command
        self._simulated = simulated
        self._speed = speed
        self._windows = windows(date)
        self._out: FeedServer | None = None
        self._connection: Connection | None = None
        self._over: asyncio.Future[str] | None = None
        self._index: tuple[str, int] | None = None
        self._tokens = np.zeros(0, np.int64)  # ascending
        self._slots = np.zeros(0, np.int32)
        self._asked = asyncio.Event()
        self._is_open = False
        self._opened_at = 0.0
        self._asked_at = 0.0
        self._last_frame = 0.0
        self._last_tick = np.zeros(0)  # by slot, monotonic seconds; 0 = none since the last connect
        self._index_tick = 0.0
        self._trouble = ""
        self._exchange_ns = 0  # newest time heard
        self._held: list[ClockTick] | None = None
        self._holding: asyncio.TimerHandle | None = None
        self._clock: tuple[int, int] = (-1, 0)

    def wanted(self, subscription: Subscription) -> None:
        """Take note of all that is wanted, and ask for what is new."""
        known = {int(token) for token in self._tokens}
        new = [each.token for each in subscription.instruments if each.token not in known]
        if subscription.index is not None and subscription.index != self._index:
            self._index = subscription.index
            new.append(self._index[1])
        pairs = sorted((each.token, each.n) for each in subscription.instruments)
        self._tokens = np.array([token for token, _ in pairs], np.int64)
        self._slots = np.array([slot for _, slot in pairs], np.int32)
        ages = np.zeros(len(pairs))
        ages[: len(self._last_tick)] = self._last_tick
        self._last_tick = ages
        if new:
            self._asked.set()
            if self._is_open:
                self._ask(new)

    def done(self, seq: int) -> None:
        """Kite's own clock waits for nobody."""

    def told_again(self, seq: int) -> None:
        """A clock that was passed on already has come again after a reconnect; Kite's own never does."""

    async def run(self, out: FeedServer) -> None:
        """Feed until cancelled."""
        self._out = out
        await self._asked.wait()  # a connection without instruments would only look alive
        delay = self.rules.retry_s
        try:
            while True:
                began = time.monotonic()
                try:
                    secrets = self._logins.best()
                    token = secrets.token(dt.datetime.now(IST))
                except BrokerAuth as error:
                    self._tell("token_expired", f"{error}: {self._login_command}")
                    await asyncio.sleep(self.rules.watch_s)
                    continue
                except SecretsError as error:
                    self._tell("token_expired", str(error))
                    await asyncio.sleep(self.rules.watch_s)
                    continue
                reason = await self._connected(secrets.api_key, token)
                if REFUSED in reason:
                    await self._await_login(token)
                    continue
                self._tell("down", reason)
                if time.monotonic() - began > self.rules.retry_most_s:
                    delay = self.rules.retry_s
                await asyncio.sleep(delay)
                delay = min(2 * delay, self.rules.retry_most_s)
        finally:
            if self._connection is not None:
                self._connection.cut("the feed ends")

    def opened(self) -> None:
        """Ask for everything; nothing is proved yet."""
        self._is_open = True
        self.reconnects += 1
        self._opened_at = self._last_frame = time.monotonic()
        self._last_tick[:] = 0
        self._index_tick = 0
        self._trouble = ""
        self._held = []
        self._ask([*self._tokens.tolist(), *([self._index[1]] if self._index else [])])
        self._holding = asyncio.get_running_loop().call_later(self.rules.hold_s, self._release)
        self._tell("stale", "connected; waiting for the first tick")

    def over(self, reason: str) -> None:
        """Let `run` go on."""
        self._is_open = False
        self._release()
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    def heard(self, payload: bytes, *, binary: bool, receive_ns: int) -> None:
        """Read a frame and pass it on."""
        self._last_frame = time.monotonic()
        if binary and len(payload) <= HEARTBEAT_BYTES:
            return
        try:
            if binary:
                self._ticks(payload, receive_ns)
            else:
                self._text(json.loads(payload))
        except (FeedError, DataError, ValueError, KeyError, TypeError, ArithmeticError) as error:
            self.unreadable += 1
            self._trouble = f"{self.unreadable} frames could not be read; the last: {error}"
            log.error("a frame of %d bytes cannot be read: %r", len(payload), error)  # noqa: TRY400

    @property
    def confirmed(self) -> int:
        """Tokens heard of since the last connect, the index included."""
        return int(np.count_nonzero(self._last_tick)) + bool(self._index_tick)

    @property
    def subscribed(self) -> int:
        """Tokens asked for, the index included."""
        return len(self._tokens) + (self._index is not None)

    def health(self) -> dict[str, object]:
        """For the heartbeat."""
        return {
            "reconnects": max(self.reconnects, 0),
            "unreadable": self.unreadable,
            "frame_age_s": round(time.monotonic() - self._last_frame, 1) if self._last_frame else None,
        }

    async def _connected(self, api_key: str, token: str) -> str:
        """One connection from its beginning to its end; why it ended."""
        self._over = asyncio.get_running_loop().create_future()
        self._connection = Connection(self, self._root)
        self._last_frame = time.monotonic()
        self._connection.open(api_key, token)
        watching = asyncio.create_task(self._watch(self._connection))
        try:
            return await self._over
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _await_login(self, refused: str) -> None:
        """Return when there is another token, or after a while: an outage looks like a refused login."""
        self._logins.refuse(refused)
        until = time.monotonic() + self.rules.refused_s
        while time.monotonic() < until:
            self._tell("token_expired", f"the login was refused; log in: {self._login_command}")
            await asyncio.sleep(self.rules.watch_s)
            try:
                if self._logins.has_another():
                    return
            except SecretsError as error:
                self._tell("token_expired", str(error))
        self._logins.forgive()

    async def _watch(self, connection: Connection) -> None:
        rules = self.rules
        while True:
            await asyncio.sleep(rules.watch_s)
            now = time.monotonic()
            limit = rules.mute_s if self._is_open else 2 * rules.mute_s + rules.retry_most_s
            if now - self._last_frame > limit:
                connection.cut(f"no sign of life for {now - self._last_frame:.1f} s")
                await asyncio.sleep(rules.mute_s)
                continue
            if not self._is_open:
                continue
            newest = max(float(self._last_tick.max(initial=0)), self._index_tick)
            age = now - (newest or self._opened_at)
            due = not self._simulated and self._in_session()
            if due and age > rules.dead_s:
                connection.cut(f"no tick for {age:.1f} s")
            elif due and self.confirmed < self.subscribed and now - self._asked_at > rules.ask_again_s:
                self._ask(self._tokens[self._last_tick == 0].tolist())
            elif due and age > rules.stale_s:
                self._tell("stale", f"no tick for {age:.0f} s")
            elif newest:
                silent = int(np.count_nonzero(now - self._last_tick[self._last_tick > 0] > rules.silent_s))
                self._tell(
                    "up",
                    self._trouble
                    or (f"{silent} instruments silent for {rules.silent_s:.0f} s" if due and silent else ""),
                )

    def _in_session(self) -> bool:
        now = dt.datetime.now(IST)
        return any(each.open <= now < each.close for each in self._windows)

    def _ask(self, tokens: list[int]) -> None:
        assert self._connection is not None
        self._asked_at = time.monotonic()
        self._connection.ask({MODE: tokens})

    def _ticks(self, payload: bytes, receive_ns: int) -> None:
        assert self._out is not None
        index_token = self._index[1] if self._index else -1
        at = self._exchange_ns if self._simulated else receive_ns
        ticks, values = parse(payload, self._tokens, self._slots, index_token, at)
        if self._simulated:
            heard = [int(ticks["exchange_ns"].max(initial=0)), *(each.exchange_ns for each in values)]
            at = self._exchange_ns = max(at, *heard)
            ticks["receive_ns"] = at
        before = self.confirmed
        self._last_tick[ticks["instrument"]] = self._last_frame
        self._out.send_ticks(ticks)
        for value in values:
            self._index_tick = self._last_frame
            assert self._index is not None
            last, opened = (round(paise / PAISE_PER_TICK) for paise in (value.last, value.open))
            self._out.send(Index(self._index[0], last, opened, value.exchange_ns or at))
        now = self.confirmed
        if now > before and (before == 0 or now == self.subscribed):
            self._tell("up", self._trouble)  # at once: a played day runs on meanwhile
        if now == self.subscribed:
            self._release()

    def _text(self, told: Mapping[str, Any]) -> None:
        assert self._out is not None
        kind, data = told["type"], told["data"]
        if kind == "order":
            if is_ours(data):
                self._out.send(Order(order_report(data)))
        elif kind == "clock":
            clock = ClockTick(
                data["seq"], data["minute"], data["moment"], data["ns"], data["closes"], self._speed
            )
            if self._clock == (clock.seq, clock.ns):
                self.told_again(clock.seq)
                return
            self._clock = (clock.seq, clock.ns)
            self._exchange_ns = max(self._exchange_ns, clock.ns)
            if self._held is None:
                self._out.send(clock)
            else:
                self._held.append(clock)  # the present state of the instruments comes first
        elif kind == "error":
            self._trouble = f"the ticker says: {data}"
            log.error("%s", self._trouble)

    def _release(self) -> None:
        if self._held is None:
            return
        held, self._held = self._held, None
        if self._holding is not None:
            self._holding.cancel()
        for clock in held:
            assert self._out is not None
            self._out.send(clock)

    def _tell(self, link: LinkState, detail: str) -> None:
        assert self._out is not None
        self._out.tell(Status(link, detail, self.subscribed, self.confirmed if self._is_open else 0))


def open_feed(spec: SessionSpec) -> KiteFeed:
    """The feed of a session, by its entry point."""
    stale = float(spec.session.stale_ticks_seconds)
    rules = LinkRules(stale_s=stale, dead_s=max(3 * stale, LinkRules.dead_s))
    return KiteFeed(spec.date, env_file=spec.env_file, login_command=spec.login_command, rules=rules)
