"""The bars that a session itself closed, beside those of the backtest: what late, doubled or missing ticks did to the day.

A session decides on the bars that its ticks made. Where those are not the bars of the backtest, the backtest is run
again on the session's own, as its recording kept them: what it then does like the session, the bars brought about.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.backtest.outcome import DayOutcome
from engine.backtest.setup import why_untradable
from engine.desk.parity_evidence import MINUTE_NS
from engine.desk.parity_rows import BacktestDay, TradeRow, backtest_day
from engine.history.day import DayBars
from engine.live.day.recording import read_bars, read_recording
from engine.live.log.events import DecisionMade
from engine.market.clock import minute_label
from engine.market.prices import to_rupees
from engine.params import SwingBreakParams

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True, eq=False)
class SeenDay:
    """
    A day as the session's own bars show it.

    Attributes
    ----------
    seen, played : DayBars
        The session's bars and the backtest's; contracts and minutes alike.
    again : BacktestDay
        What the backtest does on the session's bars.
    """

    seen: DayBars
    played: DayBars
    again: BacktestDay

    def does(
        self, what: str, ours: TradeRow | DecisionMade | None, theirs: TradeRow | DecisionMade | None
    ) -> bool:
        """Whether the backtest of the session's bars does as the session did, in what a difference is about."""
        row = ours or theirs
        if isinstance(row, DecisionMade):
            at = row.minute, row.slot
            return next((d for d in self.again.decisions if (d.minute, d.slot) == at), None) == ours
        assert row is not None
        mine = [each for each in self.again.trades if each.key == row.key]
        return not mine if ours is None else any(_part(what, each) == _part(what, row) for each in mine)

    def apart(self, symbol: str, slot: str, ns: int) -> tuple[int, str] | None:
        """
        The newest bar before a moment that differs: the contract's own, else one of its slot, else any.

        Returns
        -------
        (int, str) or None
            Its minute, and the difference in words.
        """
        differs = self.seen.valid != self.played.valid
        for name in (*_PRICES, "volume"):
            differs = differs | (getattr(self.seen, name) != getattr(self.played, name))
        past = max(0, -(-(ns - self.again.open_ns) // MINUTE_NS))  # the minute in progress included
        for suffix in (symbol or slot, slot, ""):
            rows = np.array([each.endswith(suffix) for each in self.seen.symbols])
            contracts, minutes = np.nonzero(differs[:, :past] & rows[:, None])
            if len(minutes):
                newest = int(np.argmax(minutes))
                return int(minutes[newest]), self._told(int(contracts[newest]), int(minutes[newest]))
        return None

    def _told(self, contract: int, minute: int) -> str:
        date = self.again.outcome.date
        words = f"{self.seen.symbols[contract]} {minute_label(date, minute)}"
        at = contract, minute
        if not (self.seen.valid[at] and self.played.valid[at]):
            side = "the session" if self.played.valid[at] else "the backtest"
            return f"{words}: {side} has no bar"
        for name in _PRICES:
            ours, theirs = int(getattr(self.seen, name)[at]), int(getattr(self.played, name)[at])
            if ours != theirs:
                return f"{words}: {name} {to_rupees(ours)}, the backtest's {to_rupees(theirs)}"
        return f"{words}: volume {self.seen.volume[at]}, the backtest's {self.played.volume[at]}"


def seen_day(
    folder: str | Path,
    played: DayBars,
    params: SwingBreakParams,
    play: Callable[[DayBars], DayOutcome],
    open_ns: int | None = None,
) -> SeenDay | None:
    """
    The day by the session's recording; None where its bars are the backtest's, or no day that can be traded.

    Parameters
    ----------
    folder : path
        Of the recording.
    played : DayBars
        What the backtest ran on.
    params : SwingBreakParams
    play : callable
        Backtests a day of bars as the session's backtest was.
    open_ns : int, optional
        The session's open, ns UTC. Left out: the calendar's.

    Raises
    ------
    DataError
        If the folder holds no recording.
    """
    seen = _recorded(folder, played)
    names = (*_PRICES, "volume", "valid")
    if all(np.array_equal(getattr(seen, name), getattr(played, name)) for name in names):
        return None
    if why_untradable(seen, params):
        return None
    return SeenDay(seen, played, backtest_day(play(seen), open_ns))


def _recorded(folder: str | Path, played: DayBars) -> DayBars:
    """The recorded bars in the places of the played ones; a contract that was never watched keeps the played bars."""
    instruments = read_recording(folder).instruments
    bars = read_bars(folder)
    place = {symbol: number for number, symbol in enumerate(played.symbols)}
    places = np.array([place.get(each.symbol, -1) for each in instruments], np.int64)
    rows = bars[(places[bars["instrument"]] >= 0) & (bars["minute"] >= 0) & (bars["minute"] < played.minutes)]
    at = places[rows["instrument"]], rows["minute"].astype(np.int64)
    watched = places[places >= 0]
    valid = played.valid.copy()
    valid[watched] = False
    valid[at] = True
    grids = {name: getattr(played, name).copy() for name in (*_PRICES, "volume")}
    for name, grid in grids.items():
        grid[watched] = 0
        grid[at] = rows[name]
    return replace(played, valid=valid, **grids)


def _part(what: str, row: TradeRow) -> tuple[object, ...]:
    """What a difference of trades is about."""
    match what:
        case "stop":
            return (row.stop,)
        case "exit":
            return row.exit_ns, row.exit_price, row.reason
    return row.entry_ns, row.entry_value, row.quantity
