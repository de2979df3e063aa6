"""Swing detection on closed bars: the compiled core that backtest and live session share.

A bar j after the last swing collects an up-vote from a later bar with a higher high *and* a higher close, a
down-vote from one with a lower low and a lower close. Two up-votes on one bar confirm a swing low, two
down-votes a swing high: the extreme since the last swing. Swings alternate; a further extreme of the same
kind updates the last one. Source: swing-break rules 3.1, with its consequences in 3.2.

How it is made fast, without changing one event. While the last swing is a low, down-votes can only do one
thing: confirm a high. They need one bit per bar and no order, so eight bars are compared at once. Up-votes
can only move the low, and only once price has gone below it, which is rare; they are counted when that
happens ("deeper"), for the bars since `counted_to`. Only then, and before the first swing, runs the literal
rule bar by bar (`_vote_in_order`). The mirror image holds while the last swing is a high.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import Rows, inner, int64, njit
from engine.errors import DataError
from engine.strategy.lanes import both_above

HIGH = 1
LOW = -1
NONE = 0

NO_EVENT = 0
NEW = 1
UPDATE = 2

BLOCK = 8  # bars whose votes share a byte
DOWN = 0  # flips no comparison: an earlier bar above this one gets a down-vote
UP = -1  # flips them: an earlier bar below this one gets an up-vote

SWING = np.dtype(
    [
        ("conf", np.int32),  # index of the bar whose close decided it; act from here on, never earlier
        ("kind", np.int32),  # +1 swing high, -1 swing low
        ("index", np.int32),  # index of the extreme bar
        ("price", np.int32),  # ticks, high or low of the extreme bar
        ("update", np.bool_),  # True: replaces the swing before it, which was of the same kind
    ],
    align=True,
)


class SwingRule(NamedTuple):
    """Which public variant of the rule holds."""

    exact_second_vote: (
        bool  # eq2: an update needs exactly the second vote; ge2: the second or any further one
    )
    alternation_first: bool  # a new swing wins over an update due on the same bar, whatever their order


class SwingState(NamedTuple):
    """All that the detector remembers between bars, beside its votes."""

    last: int  # kind of the last swing: HIGH, LOW or NONE
    price: int  # ticks, its extreme
    base: int  # index of its extreme bar, -1 before the first
    counted_to: int  # votes that cannot alternate are counted for bars before this one only
    deeper: bool  # price has gone beyond the last swing, so these votes matter


class Votes(NamedTuple):
    """Votes of a day, one bit per bar in blocks of eight (`new_votes`); zero at the start of the day."""

    up_once: npt.NDArray[np.uint8]
    up_twice: npt.NDArray[np.uint8]
    down_once: npt.NDArray[np.uint8]
    down_twice: npt.NDArray[np.uint8]


@njit(cache=True, forceinline=True)
def start() -> SwingState:
    """State before the first bar of a day."""
    return SwingState(NONE, 0, -1, 0, False)


@njit(cache=True)
def new_votes(bars: int) -> Votes:
    """Empty votes for a day of at most `bars` bars."""
    blocks = bars // BLOCK + 1
    return Votes(
        np.zeros(blocks, np.uint8),
        np.zeros(blocks, np.uint8),
        np.zeros(blocks, np.uint8),
        np.zeros(blocks, np.uint8),
    )


@inner(cache=True, forceinline=True)
def _lowest(values: npt.NDArray[np.int32], first: int, last: int) -> int:
    """Index of the lowest value over first..last, the earliest on ties."""
    best = first
    for k in range(first + 1, last + 1):
        if values[k] < values[best]:
            best = k
    return best


@inner(cache=True, forceinline=True)
def _highest(values: npt.NDArray[np.int32], first: int, last: int) -> int:
    """Index of the highest value over first..last, the earliest on ties."""
    best = first
    for k in range(first + 1, last + 1):
        if values[k] > values[best]:
            best = k
    return best


@inner(cache=True, forceinline=True)
def _new_swing(
    high: npt.NDArray[np.int32], low: npt.NDArray[np.int32], i: int, kind: int, base: int, votes: Votes
) -> SwingState:
    if kind == HIGH:
        k = _highest(high, base + 1, i)
        price = int64(high[k])
    else:
        k = _lowest(low, base + 1, i)
        price = int64(low[k])
    for block in range((k + 1) // BLOCK, i // BLOCK + 1):
        votes.up_once[block] = 0
        votes.up_twice[block] = 0
        votes.down_once[block] = 0
        votes.down_twice[block] = 0
    return SwingState(kind, price, k, i + 1, False)


@inner(cache=True, forceinline=True)
def _vote(once: npt.NDArray[np.uint8], twice: npt.NDArray[np.uint8], j: int, exact_second: bool) -> bool:
    """Count one vote on bar j and tell whether it confirms."""
    block = j // BLOCK
    bit = np.uint8(1 << (j % BLOCK))
    if not once[block] & bit:
        once[block] |= bit
        return False
    second = not twice[block] & bit
    twice[block] |= bit
    return second or not exact_second


@inner(cache=True)
def _count_skipped(
    extreme: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    kind: int,
    base: int,
    counted_to: int,
    i: int,
    once: npt.NDArray[np.uint8],
    twice: npt.NDArray[np.uint8],
) -> None:
    """Count the votes of bars counted_to..i-1 that were left out because they could not matter yet."""
    for t in range(max(counted_to, base + 2), i):
        for j in range(base + 1, t):
            if (extreme[t] - extreme[j]) * kind > 0 and (close[t] - close[j]) * kind > 0:
                _vote(once, twice, j, True)


@inner(cache=True, forceinline=True)
def _window(at: int, first: int, i: int) -> int:
    """Bits of the block starting at bar `at` that lie in first..i-1: nothing of bar i or later is used."""
    return (0xFF << max(first - at, 0)) & (0xFF >> max(at + BLOCK - i, 0))


@inner(cache=True, forceinline=True)
def _second_vote(
    extreme: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    base: int,
    i: int,
    once: npt.NDArray[np.uint8],
    flip: int,
) -> bool:
    """
    Give bar i's votes of one kind and tell whether a bar now has its second, which confirms a swing.

    Down-votes compare lows (`flip` = DOWN), up-votes highs (`flip` = UP); see `lanes.both_above`.
    """
    first = base + 1
    block = first // BLOCK
    at = block * BLOCK
    edge, last = int64(extreme[i]), int64(close[i])
    if i <= at + 2 * BLOCK <= len(extreme):  # nearly always: two blocks, no branch
        near = both_above(extreme, close, at, edge, last, flip) & _window(at, first, i)
        far = both_above(extreme, close, at + BLOCK, edge, last, flip) & _window(at + BLOCK, first, i)
        due = (near & once[block]) | (far & once[block + 1])
        once[block] |= np.uint8(near)
        once[block + 1] |= np.uint8(far)
        return due != 0
    due = 0
    for each in range(block, (i - 1) // BLOCK + 1):
        at = each * BLOCK
        if at + BLOCK <= len(extreme):
            beaten = both_above(extreme, close, at, edge, last, flip)
        else:
            beaten = 0
            for k in range(len(extreme) - at):
                above = extreme[at + k] ^ flip > edge ^ flip and close[at + k] ^ flip > last ^ flip
                beaten |= int64(above) << k
        beaten &= _window(at, first, i)
        due |= beaten & once[each]
        once[each] |= np.uint8(beaten)
    return due != 0


@inner(cache=True)
def _alternation_waits(
    high: npt.NDArray[np.int32],
    low: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    i: int,
    state: SwingState,
    votes: Votes,
) -> bool:
    """Tell whether bar i would confirm a swing of the other kind, without giving its votes."""
    for j in range(state.base + 1, i):
        bit = 1 << (j % BLOCK)
        if state.last == LOW:
            if low[i] < low[j] and close[i] < close[j] and votes.down_once[j // BLOCK] & bit:
                return True
        elif high[i] > high[j] and close[i] > close[j] and votes.up_once[j // BLOCK] & bit:
            return True
    return False


@inner(cache=True)
def _vote_in_order(
    high: npt.NDArray[np.int32],
    low: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    i: int,
    state: SwingState,
    votes: Votes,
    rule: SwingRule,
) -> tuple[int, SwingState]:
    """The literal rule 3.1 for bar i: bars in ascending order, the first event ends the voting."""
    last, price, base = state.last, state.price, state.base
    if rule.alternation_first and last != NONE and _alternation_waits(high, low, close, i, state, votes):
        return NEW, _new_swing(high, low, i, -last, base, votes)
    for j in range(base + 1, i):
        if high[i] > high[j] and close[i] > close[j]:
            if _vote(votes.up_once, votes.up_twice, j, rule.exact_second_vote):
                if last != LOW:
                    return NEW, _new_swing(high, low, i, LOW, base, votes)
                k = _lowest(low, base + 1, i)
                if low[k] < price:
                    return UPDATE, SwingState(LOW, int64(low[k]), k, i + 1, False)
        elif (
            low[i] < low[j]
            and close[i] < close[j]
            and _vote(votes.down_once, votes.down_twice, j, rule.exact_second_vote)
        ):
            if last != HIGH:
                return NEW, _new_swing(high, low, i, HIGH, base, votes)
            k = _highest(high, base + 1, i)
            if high[k] > price:
                return UPDATE, SwingState(HIGH, int64(high[k]), k, i + 1, False)
    return NO_EVENT, SwingState(last, price, base, i + 1, state.deeper)


@njit(cache=True, forceinline=True)
def next_event(
    high: npt.NDArray[np.int32],
    low: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    i: int,
    stop: int,
    state: SwingState,
    votes: Votes,
    rule: SwingRule,
) -> tuple[int, int, SwingState]:
    """
    Take in closed bars of one contract from bar i on, up to the first event or to bar `stop`.

    History is read in long strides (`stop` = bars of the day); a live session, which has one more closed bar
    each minute, calls with `stop` = i + 1. The answer does not depend on the stride.

    Parameters
    ----------
    high, low, close : int32[>= stop], ticks, C-contiguous
        Bars of the day, in order, without holes (index = count of this contract's bars). What lies at `stop`
        or later never has an effect.
    i : int
        The first bar not yet taken in; bars 0..i-1 were given before, in order.
    stop : int
        Bar before which to stop at the latest.
    state : SwingState
        As returned for the bars before, or `start()`.
    votes : Votes
        Of this contract and day, from `new_votes`.
    rule : SwingRule

    Returns
    -------
    i : int
        The first bar not yet taken in; the event, if any, was decided by bar i - 1.
    event : NO_EVENT, NEW or UPDATE
        The swing itself is the new state's (last, base, price).
    state : SwingState
    """
    last, price, base, counted_to, deeper = state
    while i < stop:
        if last == LOW and not deeper:
            while i < stop and low[i] >= price:
                if _second_vote(low, close, base, i, votes.down_once, DOWN):
                    return i + 1, NEW, _new_swing(high, low, i, HIGH, base, votes)
                i += 1
            if i == stop:
                break
            _count_skipped(high, close, HIGH, base, counted_to, i, votes.up_once, votes.up_twice)
        elif last == HIGH and not deeper:
            while i < stop and high[i] <= price:
                if _second_vote(high, close, base, i, votes.up_once, UP):
                    return i + 1, NEW, _new_swing(high, low, i, LOW, base, votes)
                i += 1
            if i == stop:
                break
            _count_skipped(low, close, LOW, base, counted_to, i, votes.down_once, votes.down_twice)
        event, now = _vote_in_order(high, low, close, i, SwingState(last, price, base, i, True), votes, rule)
        i += 1
        if event != NO_EVENT:
            return i, event, now
        counted_to = i
        deeper = last != NONE
    return i, NO_EVENT, SwingState(last, price, base, counted_to, deeper)


@njit(cache=True, nogil=True)
def _detect(
    high: npt.NDArray[np.int32],
    low: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    rule: SwingRule,
    out: Rows,
) -> int:
    n = len(high)
    votes = new_votes(n)
    state = start()
    found = 0
    i = 0
    while i < n:
        i, event, state = next_event(high, low, close, i, n, state, votes, rule)
        if event != NO_EVENT:
            out[found].conf = i - 1
            out[found].kind = state.last
            out[found].index = state.base
            out[found].price = state.price
            out[found].update = event == UPDATE
            found += 1
    return found


def detect(
    high: npt.ArrayLike,
    low: npt.ArrayLike,
    close: npt.ArrayLike,
    *,
    variant: Literal["ge2", "eq2"] = "ge2",
    same_bar_rule: Literal["first_vote", "alternation_first"] = "first_vote",
) -> npt.NDArray:
    """
    All swing events of one contract's day, in the order they were decided.

    Parameters
    ----------
    high, low, close : int32[n], ticks
        Closed bars in order; a minute without a bar is simply absent.
    variant : "ge2" or "eq2"
        Votes an update needs: two or more, or exactly the second. New swings do not differ.
    same_bar_rule : "first_vote" or "alternation_first"
        When an update and a new swing fall on one bar: the smaller bar index wins, or the new swing.

    Returns
    -------
    SWING[k]
        At most one event per bar. Fold them for the swing list: an update overwrites its predecessor.

    Warnings
    --------
    The extreme lies before `conf`, often by several bars. Acting before `conf` is look-ahead.

    Raises
    ------
    DataError
        If the arrays differ in length, are not integers, or a low is above its high.
    """
    if variant not in ("ge2", "eq2"):
        raise DataError(f"swing variant {variant!r} is unknown; use 'ge2' or 'eq2'")
    if same_bar_rule not in ("first_vote", "alternation_first"):
        raise DataError(
            f"same_bar_rule {same_bar_rule!r} is unknown; use 'first_vote' or 'alternation_first'"
        )
    arrays = []
    for name, values in (("high", high), ("low", low), ("close", close)):
        array = np.asarray(values)
        if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
            raise DataError(f"{name} must be a one-dimensional array of integer ticks, not {array.dtype}")
        arrays.append(np.ascontiguousarray(array, dtype=np.int32))
    h, lo, c = arrays
    if not h.size == lo.size == c.size:
        raise DataError(f"high, low, close have {h.size}, {lo.size}, {c.size} bars; they must agree")
    if (lo > h).any():
        raise DataError(f"bar {int(np.argmax(lo > h))} has its low above its high")
    out = np.zeros(h.size, SWING)
    rule = SwingRule(variant == "eq2", same_bar_rule == "alternation_first")
    return out[: _detect(h, lo, c, rule, out)]
