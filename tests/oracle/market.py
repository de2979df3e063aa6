"""A day as plain lists of bars, and small random days that provoke every rule."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from engine.history.day import DayBars


@dataclass(frozen=True)
class Bar:
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True)
class Contract:
    symbol: str
    strike: int
    option_type: str
    bars: tuple  # Bar or None per minute


@dataclass(frozen=True)
class Market:
    contracts: tuple  # CE before PE, then strike, then symbol
    minutes: int
    lot: int = 65


def frame_of(market):
    """Tidy frame of a market, as `DayBars.from_frame` takes it."""
    rows = [
        (c.symbol, c.strike, c.option_type, m, bar.open, bar.high, bar.low, bar.close, bar.volume)
        for c in market.contracts
        for m, bar in enumerate(c.bars)
        if bar is not None
    ]
    names = ("symbol", "strike", "option_type", "minute", "open", "high", "low", "close", "volume")
    return pl.DataFrame(rows, schema=names, orient="row")


def day_bars(market, date=None, expiry=None):
    return DayBars.from_frame(
        frame_of(market), date=date, expiry=expiry, lot_size=market.lot, minutes=market.minutes
    )


def market_of(day):
    """A DayBars as plain lists."""
    contracts = []
    for c in range(day.contracts):
        bars = tuple(
            Bar(*(int(getattr(day, name)[c, m]) for name in ("open", "high", "low", "close", "volume")))
            if day.valid[c, m]
            else None
            for m in range(day.minutes)
        )
        option_type = "CE" if day.is_call[c] else "PE"
        contracts.append(Contract(day.symbols[c], int(day.strike[c]), option_type, bars))
    return Market(tuple(contracts), day.minutes, day.lot_size)


def random_market(
    seed, *, contracts=6, minutes=90, step=25, grid=1, gap_rate=0.05, jump_rate=0.04, jump=120, start=3000
):
    """
    A day of wild little prices: holes, jumps, ties (coarse `grid`), outside bars, flat bars, empty volume.

    Prices in ticks. Contracts alternate CE, PE; some share a strike distance so that ranks tie.
    """
    rng = np.random.default_rng(seed)
    made = []
    for n in range(contracts):
        price = int(start + rng.integers(-400, 400) // grid * grid)
        calm = rng.random() < 0.15
        bars = []
        for _ in range(minutes):
            if rng.random() < jump_rate:
                price += int(rng.integers(-jump, jump + 1)) // grid * grid
            opened = max(price, 10 * grid)
            moves = rng.normal(0, 1 if calm else step, 6).round().astype(int) // grid * grid
            trail = [opened, *(max(opened + int(x), grid) for x in np.cumsum(moves))]
            if rng.random() < 0.08:
                trail = [opened]
            close = trail[-1]
            bar = Bar(opened, max(trail), min(trail), close, int(rng.integers(0, 4)) * 650)
            price = close + (int(rng.integers(-3, 4)) * grid if rng.random() < 0.5 else 0)
            bars.append(None if rng.random() < gap_rate else bar)
        if all(bar is None for bar in bars):
            bars[0] = Bar(price, price, price, price, 65)
        option_type = "CE" if n % 2 == 0 else "PE"
        strike = 24000 + 50 * (n // 2)
        made.append(Contract(f"N{strike}{option_type}", strike, option_type, tuple(bars)))
    made.sort(key=lambda c: (c.option_type, c.strike, c.symbol))
    return Market(tuple(made), minutes)
