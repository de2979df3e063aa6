"""What a day is run with, and what it leaves behind: set-up, record, log lines, snapshot."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import Row, Rows, inner
from engine.execution.orders import (
    PROTECTIVE_STOP,
)
from engine.execution.risk import Limits
from engine.strategy.rules import Rules


class Setup(NamedTuple):
    """What a day is run with, beside its bars."""

    rules: Rules
    limits: Limits
    path: int  # see bar_path.PATHS
    slip_ticks: int
    slip_basis_points: int
    latency_ms: int
    stop_unfilled_ms: int
    entry_from: int  # first minute in which an entry order may stand
    entry_until: int  # first minute in which none may
    exit_minute: int  # minute at whose first moment every position is bought back


class Record(NamedTuple):
    """Where a day's outcome is written."""

    trades: Rows  # TRADE[...]
    orders: Rows  # ORDER_EVENT[...]
    decisions: Rows  # DECISION[...]
    counts: npt.NDArray[np.int64]  # [COUNTS], see below
    funnel: npt.NDArray[np.int64]  # [levels]


# places in Record.counts
TRADES = 0
ORDERS = 1
DECISIONS = 2
ORDER_NUMBERS = 3  # the last number given to an order; entries, stops and exits share the count
AMBIGUOUS = 4  # bars in which the assumed path decided a trade or the day latch
LATCH = 5  # place in fills.LATCHES
REALISED = 6  # paise
COUNTS = 7


class Snapshot(NamedTuple):
    """What stood at the close of one minute, for the question "why this strike"."""

    minute: int  # -1 = not asked
    slots: Rows  # SLOT[C]
    blocked: npt.NDArray[np.bool_]  # [C]


@inner(cache=True)
def log_order(
    record: Record, minute: int, ms: int, number: int, role: int, event: int, order: Row, quantity: int,
    price: int,
) -> None:  # fmt: skip
    """Write what happened to an entry order."""
    line = record.orders[record.counts[ORDERS]]
    record.counts[ORDERS] += 1
    line.minute = minute
    line.ms = ms
    line.number = number
    line.role = role
    line.event = event
    line.contract = order.contract
    line.conf_minute = order.conf_minute
    line.swing_index = order.swing_index
    line.trigger = order.trigger
    line.limit = order.limit
    line.quantity = quantity
    line.price = price


@inner(cache=True)
def log_exit(
    record: Record, minute: int, ms: int, number: int, position: Row, role: int, event: int, price: int
) -> None:
    """Write what happened to a position's stop or exit order."""
    trade = record.trades[position.trade]
    line = record.orders[record.counts[ORDERS]]
    record.counts[ORDERS] += 1
    line.minute = minute
    line.ms = ms
    line.number = number
    line.role = role
    line.event = event
    line.contract = trade.contract
    line.conf_minute = trade.conf_minute
    line.swing_index = trade.swing_index
    line.trigger = position.stop if role == PROTECTIVE_STOP else 0
    line.limit = position.stop_limit if role == PROTECTIVE_STOP else 0
    line.quantity = position.quantity
    line.price = price
