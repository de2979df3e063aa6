"""What an earlier day left open in the log: told and closed there, before a new day begins.

Our orders are day orders and our positions intraday ones: an order is dead after its day, and the broker squares a
position off before that day ends. A log that still shows them (the session was stopped with its stops left standing,
or died) must not make the new day buy back what nobody holds.
"""

import datetime as dt
from collections.abc import Callable

from engine.errors import DataError
from engine.live.brokers.base import Broker
from engine.live.log.events import Fact, FillBooked, OrderNotSent, OrderUpdated, OutsideFill
from engine.live.log.state import Order
from engine.live.store import Store

MILLI = 1000
GONE = "left open by an earlier day: a day order dies with its day"


async def settle_earlier_days(
    store: Store, broker: Broker, date: dt.date, tell: Callable[[str, str], None]
) -> None:
    """
    Close in the log what is older than `date`, once the broker shows that it holds nothing of it.

    Nobody tells any more at which price a position was squared off: it is booked at its stop, and a person is told.

    Parameters
    ----------
    store : Store
    broker : Broker
    date : date
        The day that is about to begin.
    tell : function
        Called with level and text.

    Raises
    ------
    BrokerError
        If the broker could not be asked.
    DataError
        If the broker still holds such a position.
    """
    today = store.state.today
    if today is None or today.date == date.isoformat():
        return
    facts = [fact for order in store.state.orders.values() for fact in _ends(order)]
    if facts:
        store.append_exit(*facts)
    left = store.state.open_positions
    if not left:
        return
    held = {row.symbol for row in await broker.positions() if row.quantity}
    for row in left:
        if row.symbol in held:
            raise DataError(
                f"position {row.position} of {row.date} in {row.symbol} is still held at the broker; close it there, "
                "then start again"
            )
        price = row.stop_trigger or row.planned_stop
        store.append_exit(
            OutsideFill(
                position=row.position, order_id=f"square-off-{row.date}", trade_id=f"position-{row.position}",
                symbol=row.symbol, side="BUY" if row.net < 0 else "SELL", quantity=abs(row.net), price=price,
                time_ns=0,
            )
        )  # fmt: skip
        tell(
            "warning",
            f"position {row.position} of {row.date} in {row.symbol} was left open and is gone at the broker; booked "
            "at its stop, as nobody tells its price: see the contract note",
        )


def _ends(order: Order) -> list[Fact]:
    """What ends an order whose day is over, and books what it told to have filled."""
    facts: list[Fact] = []
    missing = order.filled - order.booked
    if missing > 0:
        facts.append(
            FillBooked(
                trade_id=f"untold-{order.tag}", order_id=order.order_id, tag=order.tag, side=order.side,
                quantity=missing, price=max(order.average_milliticks // MILLI, 1), time_ns=0,
            )
        )  # fmt: skip
    if order.open and not order.order_id:
        facts.append(OrderNotSent(tag=order.tag, reason=GONE))
    elif order.open:
        facts.append(
            OrderUpdated(
                tag=order.tag, order_id=order.order_id, status="CANCELLED", filled=order.filled,
                quantity=order.quantity, trigger=order.trigger, limit=order.limit,
                average_milliticks=order.average_milliticks, message=GONE, time_ns=0,
            )
        )  # fmt: skip
    return facts
