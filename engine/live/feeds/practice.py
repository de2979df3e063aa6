"""The practice exchange as a feed: Kite's ticker at another address, and an answer to every clock.

The practice exchange tells after each moment where its day stands; at speed "max" the next one waits until the
session has said that it is done, which is passed on here.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

import httpx

from engine.errors import ParamsError
from engine.live.feeds.kite import KiteFeed, LinkRules
from engine.live.feeds.server import FeedServer
from engine.live.spec import SessionSpec

if TYPE_CHECKING:
    from engine.live.feeds.wire import Speed

log = logging.getLogger(__name__)

NAME = "session"
TIMEOUT_S = 5.0
RETRY_S = 0.2
RULES = LinkRules(refused_s=2.0)


class PracticeFeed(KiteFeed):
    """
    The feed of a practice exchange.

    Parameters
    ----------
    spec : SessionSpec
        `feed_options`: ticker_url, rest_url, speed; env_file, where a new login's token is found.
    rules : LinkRules, optional
    """

    name = "practice"

    def __init__(self, spec: SessionSpec, rules: LinkRules = RULES) -> None:
        options = spec.feed_options
        missing = {"ticker_url", "rest_url"} - options.keys()
        if missing:
            raise ParamsError(
                f"feed practice lacks {', '.join(sorted(missing))}; start it with: practice serve"
            )
        told = options.get("speed", 1.0)
        speed: Speed = told if told in {"max", "manual"} else float(told)  # type: ignore[assignment]
        super().__init__(
            spec.date,
            root=str(options["ticker_url"]),
            env_file=spec.env_file,
            login_command=spec.login_command,
            rules=rules,
            simulated=True,
            speed=speed,
        )
        self._rest_url = str(options["rest_url"]).rstrip("/")
        self._seq = -1
        self._answer = asyncio.Event()

    def done(self, seq: int) -> None:
        """Tell the exchange."""
        self._seq = max(seq, self._seq)
        self._answer.set()

    def told_again(self, seq: int) -> None:
        """Answer again: an exchange that was killed meanwhile has forgotten who was done."""
        if self._seq >= seq:
            self._answer.set()

    async def run(self, out: FeedServer) -> None:
        """Feed until cancelled."""
        answering = asyncio.create_task(self._acknowledge())
        try:
            await super().run(out)
        finally:
            answering.cancel()

    async def _acknowledge(self) -> None:
        """Post the newest answer; an exchange that is away hears it when it is back."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                await self._answer.wait()
                self._answer.clear()
                form = {"name": NAME, "seq": str(self._seq)}
                try:
                    (await client.post(f"{self._rest_url}/practice/ack", data=form)).raise_for_status()
                except httpx.HTTPError as error:
                    log.warning("moment %d could not be acknowledged: %r", self._seq, error)
                    await asyncio.sleep(RETRY_S)
                    self._answer.set()


def open_feed(spec: SessionSpec) -> PracticeFeed:
    """The feed of a session, by its entry point."""
    return PracticeFeed(spec)
