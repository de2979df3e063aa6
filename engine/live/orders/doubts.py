"""What the order book shows of requests that were acknowledged and orders that were accepted: did they get there?

A change that the broker acknowledges may be rejected by the exchange, and the old numbers stand; an order that it
accepts may never reach the exchange (fault 3 of the reference `reliability`). Both are read from looks at the book
that began after the answer. Reads no clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.live.brokers.base import OrderReport, OrderStatus
from engine.live.log.events import ModifyPrepared
from engine.live.log.state import Order

_Numbers = tuple[int, int, int]  # quantity, trigger, limit


@dataclass(frozen=True, slots=True)
class _Change:
    before: _Numbers
    asked: _Numbers
    answered_ns: int


class Doubts:
    """Changes and orders of which the book has yet to show that they arrived; by tag."""

    def __init__(self) -> None:
        self._changes: dict[str, _Change] = {}
        self._rejected: dict[str, int] = {}
        self._waiting_since: dict[str, int] = {}
        self._told: set[str] = set()

    def acknowledged(self, order: Order, change: ModifyPrepared, now_ns: int) -> None:
        """The broker has acknowledged a change of an order; `order` as it was before."""
        asked = (change.quantity, change.trigger, change.limit)
        self._changes[order.tag] = _Change((order.quantity, order.trigger, order.limit), asked, now_ns)

    def rejected(self, tag: str) -> int:
        """How many changes of an order were acknowledged and then rejected, one after another."""
        return self._rejected.get(tag, 0)

    def seen(self, reports: Iterable[OrderReport], began_ns: int) -> tuple[str, ...]:
        """
        Take in a book that was asked for at `began_ns`.

        Returns
        -------
        tuple of str
            Tags whose change was rejected, as this book tells.
        """
        bounced = []
        for report in reports:
            tag = report.tag or ""
            change = self._changes.get(tag)
            if change is None or report.status is OrderStatus.PENDING or began_ns < change.answered_ns:
                continue
            del self._changes[tag]
            numbers = (report.quantity, report.trigger_ticks, report.limit_ticks)
            if not report.status.is_final and numbers == change.before != change.asked:
                self._rejected[tag] = self._rejected.get(tag, 0) + 1
                bounced.append(tag)
            else:
                self._rejected.pop(tag, None)
        return tuple(bounced)

    def stuck(self, reports: Iterable[OrderReport], now_ns: int, after_ns: int) -> tuple[OrderReport, ...]:
        """Orders of ours that have stood before the exchange for `after_ns`; each is told once."""
        pending = {one.tag: one for one in reports if one.tag and one.status is OrderStatus.PENDING}
        since = self._waiting_since
        self._waiting_since = {tag: since.get(tag, now_ns) for tag in pending}
        late = [
            one
            for tag, one in pending.items()
            if now_ns - self._waiting_since[tag] >= after_ns and tag not in self._told
        ]
        self._told.update(one.tag or "" for one in late)
        return tuple(late)
