"""HTTP postbacks of the practice exchange: order updates posted to the app's own address, with a checksum.

They go out on COMPLETE, CANCELLED, REJECTED and UPDATE, in order, from a task of their own: a receiver that is slow
or down holds up nothing, and what it missed is lost, as at Kite. Source: `brokers_and_market`, section 1.5.
"""

import asyncio
import hashlib
import logging
from typing import Any

import httpx

from engine.practice.exchange import Exchange
from engine.practice.kite_ticker import APP_ID
from engine.practice.orders import CANCELLED, COMPLETE, REJECTED, UPDATE, Order

TIMEOUT_S = 5.0
POSTED = frozenset({COMPLETE, CANCELLED, REJECTED, UPDATE})
log = logging.getLogger(__name__)


def checksum(order_id: str, order_timestamp: str, api_secret: str) -> str:
    """What proves that a postback comes from the broker."""
    return hashlib.sha256(f"{order_id}{order_timestamp}{api_secret}".encode()).hexdigest()


class Postbacks:
    """Posts order updates to one address."""

    def __init__(self, exchange: Exchange, url: str, api_secret: str) -> None:
        self.exchange = exchange
        self.url = url
        self.api_secret = api_secret
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        exchange.listeners.append(self._on_order)

    def _on_order(self, order: Order, status: str) -> None:
        if status not in POSTED:
            return
        clock = self.exchange.clock
        mark = checksum(order.order_id, clock.text(order.placed_ms) or "", self.api_secret)
        self._queue.put_nowait(order.postback(clock, status=status, app_id=APP_ID, checksum=mark))

    async def run(self) -> None:
        """Post what there is to post, for ever."""
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            while True:
                body = await self._queue.get()
                try:
                    await client.post(self.url, json=body)
                except httpx.HTTPError as error:
                    log.warning("postback of order %s to %s failed: %s", body["order_id"], self.url, error)
