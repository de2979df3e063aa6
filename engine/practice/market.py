"""Prices of a practice exchange: a day of the lake, played as trades at the four moments of each minute.

Which price is traded at which moment is `engine.execution.bar_path`, the same function the backtest matches
against; all instruments move in step. Bid and ask stand around the last price with the spread the lake knows,
else with a modelled one. No clock runs here: `engine.practice.pace` says when the next moment comes.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import DataError
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS, PATHS, price_at
from engine.execution.resting import Step
from engine.history.day import DayBars
from engine.history.lake import Lake
from engine.market import clock
from engine.market.calendar import session
from engine.market.indices import INDICES, IndexName
from engine.market.prices import PAISE_PER_RUPEE, PAISE_PER_TICK, ticks_from_array

Ints = npt.NDArray[np.int64]

NFO = 2  # segment of a token: its last byte (Kite Connect, WebSocket)
FIRST_EXCHANGE_TOKEN = 40_000

LEVELS = 5
LEVEL_SHARES = np.array([1, 2, 2, 3, 4], np.int64)  # of the quantity at the best price
LEVEL_ORDERS = np.array([1, 3, 2, 4, 6], np.int64)
MODEL_SPREAD_BASIS_POINTS = 20  # median of near-the-money index options, 0.2 % of the price
REFERENCE_MS = 30_000  # the price band's reference is the mean of the trades of so long
_KEPT = 4
NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Instrument:
    """One line of the instruments dump; `place` is its row in the market's arrays, -1 for the index."""

    place: int
    token: int
    symbol: str
    name: str
    exchange: str
    segment: str
    kind: str  # CE, PE, EQ
    strike: int  # rupees
    expiry: dt.date | None
    lot_size: int

    @property
    def key(self) -> str:
        """Name in quotes, e.g. "NFO:NIFTY26SEP24000CE"."""
        return f"{self.exchange}:{self.symbol}"

    @property
    def is_call(self) -> bool:
        """Whether it is a call."""
        return self.kind == "CE"


@dataclass(frozen=True, eq=False)
class PracticeDay:
    """
    What is played.

    Attributes
    ----------
    bars : DayBars
        Options of one expiry.
    spread : int32[C, M], ticks
        Ask - bid of each minute; 0 where it is not known.
    spot : int32[M, 4] or None, paise
        Open, high, low, close of the index; 0 where a minute is missing.
    """

    bars: DayBars
    spread: npt.NDArray[np.int32]
    spot: npt.NDArray[np.int32] | None

    @classmethod
    def of_bars(cls, bars: DayBars) -> "PracticeDay":
        """A day of bars alone: spreads are modelled, the index is silent."""
        return cls(bars, np.zeros(bars.open.shape, np.int32), None)


def load_practice_day(
    lake: Lake,
    underlying: str,
    date: dt.date,
    *,
    source: str | None = None,
    expiry: dt.date | None = None,
) -> PracticeDay:
    """
    A day of the lake ready to be played.

    Parameters
    ----------
    source : str, optional
        Which source's day; left out as in `Lake.select`.
    expiry : date, optional
        Default: the nearest.

    Raises
    ------
    DataError
        If the lake holds no such day, or only its closes: a day is played through its highs and lows.
    """
    entry = lake.select(underlying, date, date, source)[0]
    bars = lake.load(entry, expiry=expiry)
    if bars.quality == "close_only":
        raise DataError(f"{entry} is close-only and cannot be played; use a day with open, high, low, close")
    spot_rows = lake.spot(entry)
    spot = None
    if spot_rows is not None:
        spot = np.zeros((bars.minutes, MOMENTS), np.int32)
        spot[spot_rows["minute"].to_numpy()] = spot_rows.select("open", "high", "low", "close").to_numpy()
    places = pl.DataFrame({"symbol": bars.symbols, "place": range(bars.contracts)})
    rows = (
        lake.frame(entry)
        .drop_nulls(["bid", "ask"])
        .join(places, on="symbol")
        .filter((pl.col("bid") > 0) & (pl.col("ask") > pl.col("bid")))
    )
    spread = np.zeros(bars.open.shape, np.int32)
    bid, bid_known = ticks_from_array(rows["bid"].to_numpy())
    ask, ask_known = ticks_from_array(rows["ask"].to_numpy())
    known = bid_known & ask_known
    spread[rows["place"].to_numpy()[known], rows["minute"].to_numpy()[known]] = (ask - bid)[known]
    return PracticeDay(bars, spread, spot)


def list_instruments(bars: DayBars) -> tuple[Instrument, ...]:
    """The contracts of a day in its order, then the index; tokens depend on that order alone."""
    options = [
        Instrument(
            place=place,
            token=(FIRST_EXCHANGE_TOKEN + place) << 8 | NFO,
            symbol=symbol,
            name=bars.underlying,
            exchange="NFO",
            segment="NFO-OPT",
            kind="CE" if bars.is_call[place] else "PE",
            strike=int(bars.strike[place]),
            expiry=bars.expiry,
            lot_size=bars.lot_size,
        )
        for place, symbol in enumerate(bars.symbols)
    ]
    named = INDICES.get(bars.underlying, IndexName(bars.underlying, FIRST_EXCHANGE_TOKEN << 8 | 9))
    index = Instrument(
        place=-1,
        token=named.token,
        symbol=named.symbol,
        name=named.symbol,
        exchange="NSE",
        segment="INDICES",
        kind="EQ",
        strike=0,
        expiry=None,
        lot_size=0,
    )
    return (*options, index)


class Market:
    """
    The state of all prices at the present moment of a played day.

    Parameters
    ----------
    day : PracticeDay
    path : str
        How a bar becomes moments, a name of `bar_path.PATHS`.
    quote_lots : int
        Lots offered at the best bid and ask.
    """

    def __init__(self, day: PracticeDay, *, path: str = "worst", quote_lots: int = 20) -> None:
        bars = day.bars
        hours = session(bars.date) if bars.date is not None else None
        if bars.date is None or hours is None:
            raise DataError(
                f"{bars.underlying} {bars.date} is no trading day; only a dated day can be played"
            )
        self.day = day
        self.bars = bars
        self.date: dt.date = bars.date
        self.open_ns = clock.to_ns(hours.open)
        self.path = PATHS[path]
        self.instruments = list_instruments(bars)
        self.index = self.instruments[-1]
        self.by_token = {one.token: one for one in self.instruments}
        self.by_key = {one.key: one for one in self.instruments}
        self.tokens = np.array([one.token for one in self.instruments[:-1]], np.int64)
        self.best_quantity = quote_lots * bars.lot_size
        contracts = bars.contracts
        self.minute = -1
        self.moment = 0
        self.ms = 0  # milliseconds after the open, of the last moment played
        self.last = np.zeros(contracts, np.int64)  # ticks, 0 before the first trade
        self.previous = np.zeros(contracts, np.int64)
        self.day_open = np.zeros(contracts, np.int64)
        self.day_high = np.zeros(contracts, np.int64)
        self.day_low = np.zeros(contracts, np.int64)
        self.volume = np.zeros(contracts, np.int64)
        self.last_quantity = np.zeros(contracts, np.int64)
        self.turnover = np.zeros(contracts, np.int64)  # ticks x units
        self.last_trade_ms = np.zeros(contracts, np.int64)
        self.spread = np.ones(contracts, np.int64)
        self.traded = np.zeros(contracts, np.bool_)  # in the present moment
        self.index_ohlcl = np.zeros(5, np.int64)  # paise: day open, high, low, previous close (0), last
        self._tape = np.zeros((contracts, _KEPT), np.int64)
        self._tape_ms = np.full((contracts, _KEPT), -(2**40), np.int64)

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self.ms >= self.bars.minutes * MINUTE_MS

    def play(self, minute: int, moment: int) -> None:
        """Trade every contract that has a bar in this minute at this moment's price."""
        bars = self.bars
        self.minute, self.moment = minute, moment
        self.ms = minute * MINUTE_MS + int(MOMENT_MS[moment])
        self.traded = bars.valid[:, minute].copy()
        for place in np.flatnonzero(self.traded):
            bar = (
                int(bars.open[place, minute]), int(bars.high[place, minute]),
                int(bars.low[place, minute]), int(bars.close[place, minute]),
            )  # fmt: skip
            self.previous[place] = price_at(*bar, max(moment - 1, 0), self.path)
            self.last[place] = price_at(*bar, moment, self.path)
        on = self.traded
        price = self.last[on]
        volume = bars.volume[on, minute].astype(np.int64)
        part = volume * (moment + 1) // MOMENTS - volume * moment // MOMENTS
        first = self.day_open[on] == 0
        self.day_open[on] = np.where(first, price, self.day_open[on])
        self.day_high[on] = np.maximum(self.day_high[on], price)
        self.day_low[on] = np.where(first, price, np.minimum(self.day_low[on], price))
        self.volume[on] += part
        self.turnover[on] += part * price
        self.last_quantity[on] = part
        self.last_trade_ms[on] = self.ms
        known = self.day.spread[on, minute].astype(np.int64)
        model = np.maximum(price * MODEL_SPREAD_BASIS_POINTS // 10_000, 1)
        self.spread[on] = np.where(known > 0, known, model)
        self._tape[on] = np.roll(self._tape[on], 1, axis=1)
        self._tape_ms[on] = np.roll(self._tape_ms[on], 1, axis=1)
        self._tape[on, 0] = price
        self._tape_ms[on, 0] = self.ms
        self._play_index(minute, moment)

    def close_minute(self) -> None:
        """Move to the end of the minute in play: nothing trades, its bars are complete."""
        self.ms = (self.minute + 1) * MINUTE_MS

    def step_of(self, place: int) -> Step | None:
        """The present step of a contract, or None where it has no bar in the minute in play."""
        if self.minute < 0 or not self.traded[place]:
            return None
        return Step(
            int(self.previous[place]),
            int(self.last[place]),
            self.moment == 0,
            int(self.bars.low[place, self.minute]),
            int(self.bars.high[place, self.minute]),
        )

    def quote(self, place: int) -> tuple[int, int]:
        """Best bid and ask in ticks; 0 where that side is empty or nothing has traded yet."""
        price = int(self.last[place])
        if price == 0:
            return 0, 0
        bid = price - int(self.spread[place]) // 2
        return max(bid, 0), max(bid, 0) + int(self.spread[place])

    def depth(self, places: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """
        Five levels each side.

        Returns
        -------
        bid, bid_quantity, ask, ask_quantity : int64[n, 5]
            Ticks and units; both 0 where there is no level.
        """
        price = self.last[places]
        steps = np.arange(LEVELS)
        best_bid = np.maximum(price - self.spread[places] // 2, 0)
        bid = np.maximum(best_bid[:, None] - steps, 0)
        ask = (best_bid + self.spread[places])[:, None] + steps
        quantity = self.best_quantity * LEVEL_SHARES
        quiet = (price == 0)[:, None]
        bid = np.where(quiet, 0, bid)
        ask = np.where(quiet, 0, ask)
        return bid, np.where(bid > 0, quantity, 0), ask, np.where(ask > 0, quantity, 0)

    def reference(self, place: int) -> int:
        """The price band's reference in ticks: mean trade of the last 30 s, else the last; 0 before any."""
        recent = self._tape_ms[place] > self.ms - REFERENCE_MS
        if not recent.any():
            return int(self.last[place])
        return int(self._tape[place][recent].sum() // recent.sum())

    def spot_rupees(self) -> float | None:
        """Last value of the index in rupees, None where the day has none yet."""
        return int(self.index_ohlcl[4]) / PAISE_PER_RUPEE if self.index_ohlcl[4] else None

    def candles(self, instrument: Instrument, first: int, last: int) -> list[tuple[int, Ints]]:
        """
        Minute bars traded so far of minutes first..last: (minute, [open, high, low, close, volume]).

        The bar in progress is told as far as it has been played. Prices in paise.
        """
        rows: list[tuple[int, Ints]] = []
        for minute in range(max(first, 0), min(last, self.minute) + 1):
            bar = self._bar(instrument, minute)
            if bar is None:
                continue
            moments = MOMENTS if minute < self.minute else self.moment + 1
            prices = [price_at(*(int(x) for x in bar[:4]), moment, self.path) for moment in range(moments)]
            volume = int(bar[4]) * moments // MOMENTS
            rows.append(
                (minute, np.array([prices[0], max(prices), min(prices), prices[-1], volume], np.int64))
            )
        return rows

    def _bar(self, instrument: Instrument, minute: int) -> Ints | None:
        if instrument.place < 0:
            if self.day.spot is None or self.day.spot[minute, 0] == 0:
                return None
            return np.append(self.day.spot[minute].astype(np.int64), 0)
        bars, place = self.bars, instrument.place
        if not bars.valid[place, minute]:
            return None
        prices = [int(grid[place, minute]) for grid in (bars.open, bars.high, bars.low, bars.close)]
        return np.array([*(p * PAISE_PER_TICK for p in prices), int(bars.volume[place, minute])], np.int64)

    def _play_index(self, minute: int, moment: int) -> None:
        spot = self.day.spot
        if spot is None or spot[minute, 0] == 0:
            return
        price = price_at(*(int(x) for x in spot[minute]), moment, self.path)
        seen = self.index_ohlcl
        seen[0] = seen[0] or price
        seen[1] = max(seen[1], price)
        seen[2] = min(seen[2] or price, price)
        seen[4] = price
