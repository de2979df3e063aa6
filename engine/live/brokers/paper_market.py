"""What the paper broker knows of prices: the last trade, the quote and the circuit limits of every contract.

Ticks go in as arrays and are kept as arrays; only contracts with an order in the book are looked at one tick at a
time. Prices in ticks, 0 where nothing is known yet.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import WorkbenchError
from engine.execution.resting import Step
from engine.live.brokers.base import Contract, Quote
from engine.market.calendar import session
from engine.market.clock import NS_PER_MINUTE, NS_PER_SECOND, to_ns

Ints = npt.NDArray[np.int64]
BarRange = Callable[[str, int], tuple[int, int] | None]
"""Symbol and minute of the session to the (low, high) its bar will have had, in ticks; None where it has no bar."""

ENDLESS = 2**40  # units, where a quote's quantity is not told
SLOT_NS = 10 * NS_PER_SECOND
SLOTS = 3  # the band's reference is the mean trade of the running slot and two before: 20 to 30 s
_UNBOUNDED = (1, 2**31 - 1)


class PaperMarket:
    """
    Prices of the contracts a session follows.

    Parameters
    ----------
    date : date
        Trading day.
    moments : bool
        Ticks are the four moments of bars (`engine.execution.bar_path`): between those of a minute the price moves
        through every tick. False: every tick is a trade, the price jumps.
    ranges : function, optional
        Ranges of a recorded day's bars, which bound fills as in a backtest.

    Raises
    ------
    WorkbenchError
        If the market is closed on that day.
    """

    def __init__(self, date: dt.date, *, moments: bool, ranges: BarRange | None) -> None:
        hours = session(date)
        if hours is None:
            raise WorkbenchError(f"{date} is no trading day; paper trading needs one")
        self.date = date
        self.open_ns, self.close_ns = to_ns(hours.open), to_ns(hours.close)
        self.moments = moments
        self.ranges = ranges
        self.contracts: tuple[Contract, ...] = ()
        self.places: dict[str, int] = {}
        self.minute = -1  # in play: the latest that any tick told of
        self.last, self.volume, self.tick_ns = _zeros(), _zeros(), _zeros()
        self.bid, self.ask, self.bid_left, self.ask_left = _zeros(), _zeros(), _zeros(), _zeros()
        self.low_limit, self.high_limit = _zeros(), _zeros()
        self._slot = -1
        self._sums = np.zeros((SLOTS, 0), np.int64)
        self._counts = np.zeros((SLOTS, 0), np.int64)

    def follow(self, contracts: Sequence[Contract]) -> None:
        """
        Number the contracts as the ticks do; more may be added behind those followed already.

        Raises
        ------
        WorkbenchError
            If the number of a contract changes.
        """
        if tuple(contracts[: len(self.contracts)]) != self.contracts:
            raise WorkbenchError(
                "the contracts to follow are not those followed so far with more behind; numbers of ticks would lie"
            )
        more = len(contracts) - len(self.contracts)
        self.contracts = tuple(contracts)
        self.places = {one.symbol: place for place, one in enumerate(self.contracts)}
        for name in ("last", "volume", "tick_ns", "bid", "ask", "bid_left", "ask_left", "low_limit", "high_limit"):  # fmt: skip
            setattr(self, name, np.append(getattr(self, name), np.zeros(more, np.int64)))
        self._sums = np.pad(self._sums, ((0, 0), (0, more)))
        self._counts = np.pad(self._counts, ((0, 0), (0, more)))

    def minute_of(self, ns: int) -> int:
        """Minute of the session that holds a moment."""
        return (ns - self.open_ns) // NS_PER_MINUTE

    def take(
        self, ticks: npt.NDArray[np.void], watched: npt.NDArray[np.bool_]
    ) -> Iterator[list[tuple[int, int, Step]]]:
        """
        Take ticks in; those of watched contracts one round at a time, a contract once in a round.

        Parameters
        ----------
        ticks : TICK[n]
            Of followed contracts; a price of 0 or less is passed over.
        watched : bool[C]
            By place. May change between rounds.

        Yields
        ------
        list of (place, moment in ns UTC, Step)
        """
        places = ticks["instrument"]
        prices = ticks["price"].astype(np.int64)
        moments = np.where(ticks["exchange_ns"] > 0, ticks["exchange_ns"], ticks["receive_ns"])
        good = (prices > 0) & (places >= 0) & (places < len(self.contracts))
        if not good.all():
            places, prices, moments = places[good], prices[good], moments[good]
        if not len(places):
            return
        volumes = ticks["volume"][good]
        rounds = self._rounds(places, prices, moments, watched)
        before = {place: (int(self.last[place]), int(self.tick_ns[place])) for one in rounds for place in one}
        self._remember(places, prices, moments)
        # of several ticks of a contract the last one stays
        self.last[places], self.tick_ns[places], self.volume[places] = prices, moments, volumes
        self.minute = max(self.minute, self.minute_of(int(moments.max())))
        for one in rounds:
            steps = []
            for place, (price, ns) in one.items():
                steps.append((place, ns, self._step(place, price, ns, *before[place])))
                before[place] = (price, ns)
                self.last[place] = price
            yield steps

    def step_now(self, place: int) -> Step | None:
        """The present price of a contract that has traded in the minute in play, as a step; else None."""
        ns = int(self.tick_ns[place])
        if ns == 0 or self.minute_of(ns) != self.minute:
            return None
        price = int(self.last[place])
        return Step(price, price, True, *self._range(place, ns))

    def quote_now(self, place: int) -> tuple[tuple[int, int], list[int]]:
        """Bid and ask, and what is left there, in units."""
        return (int(self.bid[place]), int(self.ask[place])), [
            int(self.bid_left[place]),
            int(self.ask_left[place]),
        ]

    def circuits(self, symbol: str) -> tuple[int, int]:
        """The day's lowest and highest price of a contract as far as they were told; 0 = not."""
        place = self.places.get(symbol)
        return (0, 0) if place is None else (int(self.low_limit[place]), int(self.high_limit[place]))

    def reference(self, place: int, ns: int) -> int:
        """The price band's reference: mean trade of the last 20 to 30 s, else the last trade; 0 before any."""
        self._turn(ns)
        trades = int(self._counts[:, place].sum())
        return int(self._sums[:, place].sum()) // trades if trades else int(self.last[place])

    def quote(self, symbol: str) -> Quote | None:
        """What is known of a contract, at the time of its last trade; None before that."""
        place = self.places.get(symbol)
        if place is None or not self.last[place]:
            return None
        told = (self.last, self.bid, self.ask, self.volume, self.tick_ns, self.low_limit, self.high_limit)
        return Quote(symbol, *(int(values[place]) for values in told))

    # --- in detail ----------------------------------------------------------------------------------------------

    def _rounds(
        self, places: Ints, prices: Ints, moments: Ints, watched: npt.NDArray[np.bool_]
    ) -> list[dict[int, tuple[int, int]]]:
        rounds: list[dict[int, tuple[int, int]]] = []
        seen: dict[int, int] = {}
        for i in np.flatnonzero(watched[places]):
            place = int(places[i])
            turn = seen[place] = seen.get(place, -1) + 1
            if turn == len(rounds):
                rounds.append({})
            rounds[turn][place] = (int(prices[i]), int(moments[i]))
        return rounds

    def _step(self, place: int, price: int, ns: int, previous: int, previous_ns: int) -> Step:
        same_bar = self.moments and previous > 0 and self.minute_of(previous_ns) == self.minute_of(ns)
        return Step(previous if same_bar else price, price, not same_bar, *self._range(place, ns))

    def _range(self, place: int, ns: int) -> tuple[int, int]:
        if self.ranges is None:
            return _UNBOUNDED
        return self.ranges(self.contracts[place].symbol, self.minute_of(ns)) or _UNBOUNDED

    def _remember(self, places: Ints, prices: Ints, moments: Ints) -> None:
        self._turn(int(moments.max()))
        row = self._slot % SLOTS
        np.add.at(self._sums[row], places, prices)
        np.add.at(self._counts[row], places, 1)

    def _turn(self, ns: int) -> None:
        """Forget the slots that are over."""
        slot = ns // SLOT_NS
        for over in range(max(self._slot + 1, slot - SLOTS + 1), slot + 1):
            self._sums[over % SLOTS] = 0
            self._counts[over % SLOTS] = 0
        self._slot = max(self._slot, slot)


def _zeros() -> Ints:
    return np.zeros(0, np.int64)
