"""The contracts of one live day: fixed at the open as in a backtest, kept on disk so that a restart watches the same.

Which strikes is `strategy.universe`; lots, expiry and ticks were checked against our own tables by the broker's
adapter, so a contract that the exchange changed is refused before anything trades.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from engine.errors import DataError
from engine.history.writing import write_atomic
from engine.live.brokers.base import Contract
from engine.live.decisions.session_state import Plan, plan_for
from engine.market.clock import minute_start, to_ns
from engine.market.sessions import open_session, session_minutes
from engine.params import SwingBreakParams
from engine.strategy.predicates import compile_all, load_filter
from engine.strategy.universe import watched_strikes


@dataclass(frozen=True)
class DayContracts:
    """
    What is watched on a day.

    Attributes
    ----------
    opening : Decimal or None
        Price of the underlying at the open, rupees; None where it was not known.
    contracts : tuple of Contract
        CE first, then by strike: the order of a stored day.
    """

    date: dt.date
    underlying: str
    expiry: dt.date
    opening: Decimal | None
    contracts: tuple[Contract, ...]

    @property
    def lot(self) -> int:
        """Units."""
        return self.contracts[0].lot

    @property
    def symbols(self) -> tuple[str, ...]:
        """In order."""
        return tuple(each.symbol for each in self.contracts)

    def write(self, path: Path) -> None:
        """Keep them for a restart."""
        told = {
            "date": self.date.isoformat(),
            "underlying": self.underlying,
            "expiry": self.expiry.isoformat(),
            "opening": None if self.opening is None else str(self.opening),
            "contracts": [[c.symbol, c.token, c.strike, c.kind, c.lot] for c in self.contracts],
        }
        write_atomic(path, json.dumps(told).encode())

    @classmethod
    def read(cls, path: Path, date: dt.date) -> "DayContracts | None":
        """
        Those of that day; None if none are kept.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        try:
            told = json.loads(path.read_text())
            if told["date"] != date.isoformat():
                return None
            expiry = dt.date.fromisoformat(told["expiry"])
            contracts = tuple(
                Contract(symbol, token, told["underlying"], expiry, strike, kind, lot)
                for symbol, token, strike, kind, lot in told["contracts"]
            )
            opening = None if told["opening"] is None else Decimal(told["opening"])
            return cls(date, told["underlying"], expiry, opening, contracts)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} cannot be read ({error}); delete it before the session's next start"
            ) from error


def choose(
    listed: Sequence[Contract], opening: Decimal | None, params: SwingBreakParams, date: dt.date
) -> DayContracts:
    """
    The contracts to watch, of those listed.

    Parameters
    ----------
    listed : sequence of Contract
        Of one expiry.
    opening : Decimal or None
        Of the underlying, rupees; None = all are watched.

    Raises
    ------
    DataError
        If nothing is listed.
    """
    if not listed:
        raise DataError(f"no option of {params.underlying} is listed on {date}; check the broker's contracts")
    strikes = watched_strikes(opening, [each.strike for each in listed], params)
    kept = [each for each in listed if strikes is None or each.strike in strikes]
    kept.sort(key=lambda each: (each.kind, each.strike, each.symbol))
    return DayContracts(date, params.underlying, kept[0].expiry, opening, tuple(kept))


def plan_of(day: DayContracts, params: SwingBreakParams) -> Plan:
    """
    The session's plan for these contracts.

    Raises
    ------
    ParamsError
        If a filter does not load or compile.
    """
    opened = open_session(day.date).open
    return plan_for(
        params,
        date=day.date,
        expiry=day.expiry,
        open_ns=to_ns(minute_start(day.date, 0)),
        open_minute=opened.hour * 60 + opened.minute,
        minutes=session_minutes(day.date),
        lot_size=day.lot,
        symbols=day.symbols,
        strike=np.array([each.strike for each in day.contracts], np.int32),
        is_call=np.array([each.kind == "CE" for each in day.contracts], np.bool_),
        predicates=compile_all([load_filter(name) for name in params.filters]),
    )
