"""The opening of a live day: its opening price, the contracts watched because of it, the broker's first answer.

The feed and the broker are waited for as long as it takes; nothing is traded before.
"""

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from engine.errors import WorkbenchError
from engine.live.brokers.base import BrokerAuth, BrokerError
from engine.live.brokers.logins import with_command
from engine.live.day.day_contracts import DayContracts, choose
from engine.market.prices import TICKS_PER_RUPEE

if TYPE_CHECKING:
    from engine.live.day.live_day import LiveDay
    from engine.live.gateway import Gateway

BEFORE_NS = 300_000_000_000
"""The index's value from so long before the open is the opening price: the pre-open session has settled it."""
RETRY_S = 1.0


async def contracts_at_open(day: "LiveDay") -> DayContracts:
    """
    What the day watches, kept on disk for a restart.

    Raises
    ------
    WorkbenchError
        If what the broker lists does not fit our own tables.
    """
    opening = await opening_price(day)
    while True:
        try:
            listed = await day.broker.instruments(day.spec.params.underlying)
            break
        except BrokerAuth:
            with suppress(WorkbenchError):
                await day.renew_login()
        except BrokerError as error:
            day.status.log("warning", str(error))
        await asyncio.sleep(RETRY_S)
    made = choose(listed, opening, day.spec.params, day.spec.date)
    made.write(day.spec.places.contracts)
    return made


async def opening_price(day: "LiveDay") -> Decimal | None:
    """The index at the open, rupees; None where a played day has none."""
    while True:
        index = day.link.index
        if index is not None and index.ns >= day.open_ns - BEFORE_NS:
            begun = index.ns >= day.open_ns and index.open > 0
            price = index.open if begun else index.last
            if price > 0:
                return Decimal(price) / TICKS_PER_RUPEE
        if day.paced and day.first_clock.is_set() and index is None:
            day.notice("warning", "the played day has no index: every listed strike is watched")
            return None
        await day.link.wait_news()


async def broker_answers(day: "LiveDay", gateway: "Gateway") -> None:
    """Wait until the broker's books can be read: unknown is not flat, and a new start would know no more."""
    told = ""
    while True:
        try:
            await gateway.wire.look()
        except BrokerError as error:
            auth = with_command(error, day.spec) if isinstance(error, BrokerAuth) else None
            if str(auth or error) != told:
                told = str(auth or error)
                day.tell_link("broker", day.spec.broker, "token_expired" if auth else "down", told)
            with suppress(WorkbenchError):
                await day.renew_login()
            await asyncio.sleep(RETRY_S)
        else:
            if told:
                day.tell_link("broker", day.spec.broker, "up", "answers again")
            return
