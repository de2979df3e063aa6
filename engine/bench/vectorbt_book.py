"""What the vectorbt callbacks remember of a day: candidates, working orders, stops, and a note on each order.

For the benchmark only. Positions and cash are not here: they are vectorbt's own.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.bench.vectorbt_swings import Job

Context = Any  # whichever context vectorbt passes to a callback
Row = Any  # one record of a structured array
OrderOf = Any  # column and vectorbt order

NOBODY = -1
NEVER = 2**62

PLAN = np.dtype(
    [
        ("column", np.int32),  # NOBODY when no entry order is wanted
        ("confirmed", np.int32),  # minute
        ("base", np.int32),  # minute
        ("trigger", np.int32),  # ticks
        ("limit", np.int32),  # ticks
        ("lots", np.int32),
        ("stop", np.int32),  # ticks
    ],
    align=True,
)

WORKING = np.dtype(
    [("plan", PLAN), ("triggered", np.bool_), ("asked", PLAN), ("asked_ms", np.int64)], align=True
)

CONTRACT = np.dtype(
    [
        ("watched", np.bool_),  # has a candidate
        ("confirmed", np.int32),
        ("base", np.int32),
        ("low", np.int32),  # ticks
        ("highest", np.int32),  # ticks
        ("after", np.int32),
        ("stop", np.int32),  # ticks, as judged last
        ("lots", np.int32),
        ("rank", np.int64),
        ("mark", np.int64),  # ticks; from here on: of its open position
        ("sold_stop", np.int64),  # ticks
        ("triggered", np.bool_),
        ("triggered_ms", np.int64),
        ("exit_reason", np.int32),
    ],
    align=True,
)

CURSOR = np.dtype([("moment", np.int64), ("stage", np.int64), ("place", np.int64), ("latch", np.int64)])
NOTE = np.dtype([("moment", np.int32), ("reason", np.int32), ("stop", np.int32)], align=True)


class Book(NamedTuple):
    """State of the group in progress, and a note on each order."""

    contracts: npt.NDArray  # CONTRACT[widest group]
    working: npt.NDArray  # WORKING[2], CE and PE
    watched: npt.NDArray[np.int64]  # columns with a candidate
    held: npt.NDArray[np.int64]  # columns with a position
    counts: npt.NDArray[np.int64]  # watched, held, notes
    cursor: npt.NDArray  # CURSOR[1]
    notes: npt.NDArray  # NOTE[max orders], by order record


WATCHED, HELD, NOTES = 0, 1, 2


@njit
def same_plan(a: Row, b: Row) -> bool:
    """Whether two plans ask for the same order."""
    if a.column == NOBODY and b.column == NOBODY:
        return True
    return bool(
        a.column == b.column
        and a.confirmed == b.confirmed
        and a.base == b.base
        and a.trigger == b.trigger
        and a.limit == b.limit
        and a.lots == b.lots
        and a.stop == b.stop
    )


@njit
def ask(slot: Row, plan: Row, ms: int) -> None:
    """Send a plan, unless just that stands or is on its way."""
    standing = slot.asked if slot.asked_ms != NEVER else slot.plan
    if not same_plan(plan, standing):
        slot.asked = plan
        slot.asked_ms = ms


@njit
def open_counts(c: Context, job: Job, book: Book) -> Any:
    """Open CE and PE positions."""
    ce = 0
    for k in range(book.counts[HELD]):
        ce += job.is_call[c.from_col + book.held[k]]
    return ce, book.counts[HELD] - ce


@njit
def forget(book: Book, place: int) -> None:
    """End a candidate."""
    book.contracts[place].watched = False
    k = 0
    while book.watched[k] != place:
        k += 1
    book.counts[WATCHED] -= 1
    book.watched[k] = book.watched[book.counts[WATCHED]]
