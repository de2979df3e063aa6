"""Quotes, trades and volume around the fair values of one simulated day: what an exchange would print.

Fourth stage of the simulated market. Each contract has random numbers of its own, so a contract's bars do
not depend on how many others are made. A minute in which a contract does not trade has no bar.
Spreads and volumes follow the chain snapshots of 2025-08-29 and the full day of 2022-12-30 as told in
docs/simulated_market.md.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.history.simulated.levels import Underlying
from engine.history.simulated.options import FairValues
from engine.history.simulated.spot import STEPS, DayPath, decaying_sum
from engine.market.prices import TICKS_PER_RUPEE

Floats = npt.NDArray[np.float64]
Ticks = npt.NDArray[np.int32]

# Spread in rupees = SPREAD_BASE + SPREAD_SHARE * premium, wider in the money, in fast minutes and by chance.
SPREAD_BASE, SPREAD_SHARE = 0.03, 0.0019
SPREAD_FREE_STRIKES, SPREAD_PER_STRIKE = 4.0, 0.085
SPREAD_NOISE, SPREAD_OF_SHAPE = 0.22, 0.3
# The implied volatility of each contract wobbles by itself around the smile.
OWN_SPREAD, OWN_HALF_LIFE = 0.0018, 2.0
LOTS_PER_TRADE = 7.0
ROUND_STRIKE_BONUS = 0.4
EXPIRY_POWER = 1.5
FEWEST_DAYS, MOST_DAYS = 0.6, 25.0
VOLUME_OF_SHAPE = 1.15
SHARED_SPREAD, SHARED_HALF_LIFE = 0.25, 6.0
OWN_VOLUME_SPREAD = 0.25
OI_PER_ACTIVITY = 6.0
OI_MINUTES = 3
"""Open interest is published every third minute, as in the real files."""
OI_STEP = 0.008


@dataclass(frozen=True, eq=False)
class Bars:
    """
    Bars of C contracts over M minutes, prices in ticks.

    Attributes
    ----------
    open, high, low, close : int32[C, M], ticks
        Meaningless where `traded` is False.
    bid, ask : int32[C, M], ticks
        Best quotes at the end of the minute; the bid is at least one tick.
    volume, oi : int64[C, M], units
    traded : bool[C, M]
    """

    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    bid: Ticks
    ask: Ticks
    volume: npt.NDArray[np.int64]
    oi: npt.NDArray[np.int64]
    traded: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers of C contracts; made one contract at a time."""

    own: Floats  # normal [C, M]
    spread: Floats  # normal [C, M]
    volume: Floats  # normal [C, M]
    interest: Floats  # normal [C, M]
    side: npt.NDArray[np.float32]  # uniform [C, M, S]
    trade: npt.NDArray[np.float32]  # uniform [C, M, S]


def draw(seeds: list[list[int]], minutes: int) -> Draws:
    """
    Random numbers for each contract from its own seed.

    Parameters
    ----------
    seeds : list of list of int, length C
        Entropy of each contract: seed, day, underlying, strike, option type.
    """
    contracts = len(seeds)
    normal = np.empty((contracts, 4, minutes))
    uniform = np.empty((contracts, 2, minutes, STEPS), np.float32)
    for row, seed in enumerate(seeds):
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
        rng.standard_normal(out=normal[row])
        rng.random(out=uniform[row], dtype=np.float32)
    own, spread, volume, interest = (normal[:, kind] for kind in range(4))
    return Draws(own, spread, volume, interest, side=uniform[:, 0], trade=uniform[:, 1])


def shared_activity(path: DayPath, rng: np.random.Generator) -> Floats:
    """Log volume of each minute [M] that all contracts share: busy where the index moves, and in spells."""
    spells = SHARED_SPREAD * decaying_sum(rng.standard_normal(path.shape.size), SHARED_HALF_LIFE)
    return np.asarray(VOLUME_OF_SHAPE * np.log(path.shape) + spells)


def activity(
    index: Underlying,
    strikes: npt.NDArray[np.int64],
    is_call: npt.NDArray[np.bool_],
    spot: Floats,
    step: int,
    days_left: float,
) -> tuple[Floats, Floats]:
    """
    Usual lots a minute of each contract, and how far it is out of the money.

    Parameters
    ----------
    strikes, is_call : [C]
    spot : float64[M], index points
    step : int
        Strike step, rupees.
    days_left : float
        Trading days to expiry, with fractions.

    Returns
    -------
    lots : float64[C, M]
    out_of_money : float64[C, M]
        Strikes out of the money; negative in the money.
    """
    sign = np.where(is_call, 1.0, -1.0)[:, None]
    out = sign * (strikes[:, None] - spot[None, :]) / step
    bounded = min(max(days_left, FEWEST_DAYS), MOST_DAYS)
    # Near expiry interest crowds around the money; far from it, it spreads over the chain.
    reach = np.sqrt(max(bounded, 1.5) / index.reference_days)
    fade = np.where(
        out < 0, index.itm_fade * -out, index.otm_fade * (np.minimum(out, 10) + 0.4 * np.maximum(out - 10, 0))
    )
    is_round = (strikes % (step * 5 if step >= 100 else step * 2) == 0)[:, None]
    log_lots = np.log(index.activity) + EXPIRY_POWER * np.log(index.reference_days / bounded)
    return np.exp(log_lots - fade / reach + ROUND_STRIKE_BONUS * is_round), out


def make_bars(
    fair: FairValues,
    path: DayPath,
    lots: Floats,
    out_of_money: Floats,
    shared: Floats,
    draws: Draws,
    lot_size: int,
) -> Bars:
    """
    Bars, quotes, volume and open interest of all contracts.

    Parameters
    ----------
    fair : FairValues
        K strikes; the C = 2 K contracts are all calls, then all puts, each by strike.
    lots, out_of_money : float64[C, M]
        From `activity`.
    shared : float64[M]
        From `shared_activity`.
    draws : Draws
    lot_size : int
        Units per lot.
    """
    strikes, minutes, steps = fair.call.shape
    own = OWN_SPREAD * decaying_sum(draws.own, OWN_HALF_LIFE)
    value = np.concatenate((fair.call, fair.put))
    value.reshape(2, strikes, minutes, steps)[:] += own.reshape(2, strikes, minutes, 1) * fair.vega
    np.maximum(value, 1 / TICKS_PER_RUPEE, out=value)
    value *= TICKS_PER_RUPEE

    calm = np.log(path.shape / np.mean(path.shape))
    width = SPREAD_BASE * TICKS_PER_RUPEE + SPREAD_SHARE * value[:, :, -1]
    width *= np.exp(
        SPREAD_PER_STRIKE * np.maximum(-out_of_money - SPREAD_FREE_STRIKES, 0.0)
        + SPREAD_NOISE * draws.spread
        + SPREAD_OF_SHAPE * calm
    )
    spread = np.maximum(np.rint(width), 1.0).astype(np.int32)[:, :, None]
    half = spread / 2.0
    bid = np.maximum(np.rint(value - half), 1.0).astype(np.int32)
    trade = bid + np.where(draws.side < 0.5, np.int32(0), spread)

    rate = lots * np.exp(shared) / LOTS_PER_TRADE / steps
    chance = -np.expm1(-rate)[:, :, None]
    happened = draws.trade < chance
    # Several trades within a step see the path's extremes, on the side of the book that trades then.
    busy = draws.trade < chance * -np.expm1(-rate / 2)[:, :, None]
    # A bar begins with its first trade, so the first step adds no extreme before it.
    busy[:, :, 0] = False
    rise = (path.seen_high - path.spot) * TICKS_PER_RUPEE
    fall = (path.seen_low - path.spot) * TICKS_PER_RUPEE
    best, worst = np.empty_like(value), np.empty_like(value)
    call_delta, put_delta = fair.call_delta, fair.call_delta - 1.0
    best[:strikes], worst[:strikes] = call_delta * rise, call_delta * fall
    best[strikes:], worst[strikes:] = put_delta * fall, put_delta * rise
    offset = np.where(draws.side < 0.5, -half, half)
    highest = np.where(busy, np.rint(value + best + offset), trade).astype(np.int32)
    lowest = np.where(busy, np.rint(value + worst + offset), trade).astype(np.int32)
    # The bid's floor of one tick can lift a trade of the cheapest contracts above its own extreme.
    np.maximum(highest, trade, out=highest)
    np.clip(lowest, 1, trade, out=lowest)

    first = np.argmax(happened, axis=2)[:, :, None]
    last = steps - 1 - np.argmax(happened[:, :, ::-1], axis=2)[:, :, None]
    none = np.iinfo(np.int32)
    traded = happened.any(axis=2)
    per_minute = lots * np.exp(shared + OWN_VOLUME_SPREAD * draws.volume)
    whole = np.maximum(np.rint(per_minute), 1.0).astype(np.int64)
    return Bars(
        open=np.take_along_axis(trade, first, axis=2)[:, :, 0],
        high=np.where(happened, highest, none.min).max(axis=2),
        low=np.where(happened, lowest, none.max).min(axis=2),
        close=np.take_along_axis(trade, last, axis=2)[:, :, 0],
        bid=bid[:, :, -1],
        ask=bid[:, :, -1] + spread[:, :, 0],
        volume=whole * lot_size,
        oi=_open_interest(lots, draws.interest) * lot_size,
        traded=traded,
    )


def _open_interest(lots: Floats, draws: Floats) -> npt.NDArray[np.int64]:
    """Open interest in lots [C, M]: a slow walk from a level that follows the contract's usual volume."""
    start = np.maximum(OI_PER_ACTIVITY * lots[:, :1], 20.0)
    walk = np.cumsum(OI_STEP * draws, axis=1)
    published = np.arange(draws.shape[1]) // OI_MINUTES * OI_MINUTES
    return np.asarray(np.rint(start * np.exp(walk[:, published])), np.int64)
