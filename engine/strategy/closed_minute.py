"""One closed minute of all contracts, taken in as it happens: the live stride of the swing detector.

A backtest reads a contract's whole day at once (`candidates.day_lows`); a live session has one more bar per
contract each minute. Both call the same detector and the same stage 1; this file only keeps, per contract, what
they remember between minutes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import Rows, int64, njit
from engine.history.vwap import add_bar
from engine.strategy.candidates import CONTRACT_DAYS, ContractBars, record_low
from engine.strategy.rules import Rules
from engine.strategy.swing import BLOCK, LOW, NO_EVENT, SwingState, Votes, next_event, start
from engine.strategy.swing_break import Day

MEMORY = np.dtype(
    [
        ("bars", np.int32),  # bars of the contract so far
        ("last", np.int32),  # SwingState
        ("price", np.int32),
        ("base", np.int32),
        ("counted_to", np.int32),
        ("deeper", np.bool_),
        ("origin", np.int32),  # bar whose VWAP is frozen for the present run of updates
        ("weighted", np.int64),  # sums of the session VWAP
        ("traded", np.int64),
    ],
    align=True,
)


class Tape(NamedTuple):
    """What C contracts have shown so far; rows as in `candidates.ContractBars` and `swing.Votes`."""

    memory: Rows  # MEMORY[C]
    high: npt.NDArray[np.int32]  # [C, M], without holes
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    minute: npt.NDArray[np.int32]
    vwap_numerator: npt.NDArray[np.int64]
    vwap_denominator: npt.NDArray[np.int64]
    up_once: npt.NDArray[np.uint8]  # [C, blocks]
    up_twice: npt.NDArray[np.uint8]
    down_once: npt.NDArray[np.uint8]
    down_twice: npt.NDArray[np.uint8]


def new_tape(contracts: int, minutes: int, funnel: npt.NDArray[np.int64]) -> Tape:
    """An empty tape for a day of at most `minutes` minutes; the contracts enter the funnel."""
    memory = np.zeros(contracts, MEMORY)
    first = start()
    for name in SwingState._fields:
        memory[name] = getattr(first, name)
    memory["origin"] = -1
    funnel[CONTRACT_DAYS] += contracts
    shape, blocks = (contracts, minutes), (contracts, minutes // BLOCK + 1)
    high, low, close, minute = (np.zeros(shape, np.int32) for _ in range(4))
    numerator, denominator = (np.zeros(shape, np.int64) for _ in range(2))
    up_once, up_twice, down_once, down_twice = (np.zeros(blocks, np.uint8) for _ in range(4))
    return Tape(
        memory, high, low, close, minute, numerator, denominator, up_once, up_twice, down_once, down_twice
    )


@njit(cache=True)
def take_minute(
    day: Day, minute: int, tape: Tape, rules: Rules, funnel: npt.NDArray[np.int64], out: Rows
) -> int:
    """
    Show the detector the closed bars of one minute.

    Parameters
    ----------
    day : Day
        Column `minute` is read.
    out : LOW_EVENT[C]
        Written: the stage-1 outcomes, contracts ascending.

    Returns
    -------
    Number of events in `out`.
    """
    found = 0
    for contract in range(day.high.shape[0]):
        if not day.valid[contract, minute]:
            continue
        memory = tape.memory[contract]
        n = memory.bars
        bars = ContractBars(
            tape.high[contract], tape.low[contract], tape.close[contract], tape.minute[contract],
            tape.vwap_numerator[contract], tape.vwap_denominator[contract],
        )  # fmt: skip
        votes = Votes(
            tape.up_once[contract],
            tape.up_twice[contract],
            tape.down_once[contract],
            tape.down_twice[contract],
        )
        high, low, close = day.high[contract, minute], day.low[contract, minute], day.close[contract, minute]
        memory.weighted, memory.traded, numerator, denominator = add_bar(
            memory.weighted, memory.traded, high, low, close, day.volume[contract, minute]
        )
        bars.high[n], bars.low[n], bars.close[n], bars.minute[n] = high, low, close, minute
        bars.vwap_numerator[n], bars.vwap_denominator[n] = numerator, denominator
        before = SwingState(
            int64(memory.last), int64(memory.price), int64(memory.base), int64(memory.counted_to),
            bool(memory.deeper),
        )  # fmt: skip
        _, event, state = next_event(bars.high, bars.low, bars.close, n, n + 1, before, votes, rules.swing)
        if event != NO_EVENT and state.last == LOW:
            kept, memory.origin = record_low(
                bars, n, event, state, memory.origin, contract, rules, funnel, out[found]
            )
            found += kept
        memory.last, memory.price, memory.base = state.last, state.price, state.base
        memory.counted_to, memory.deeper = state.counted_to, state.deeper
        memory.bars = n + 1
    return found
