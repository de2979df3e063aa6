"""The market calendar: trading days, session hours and expiries of NSE F&O by date.

The one door to `sessions` (days and hours) and `expiries` (weekday rules). Dates are `datetime.date`, moments are
aware IST.
"""

from engine.market.expiries import Series, expiries, expiry_kind, nearest_expiry
from engine.market.sessions import (
    Session,
    is_trading_day,
    next_trading_day,
    previous_trading_day,
    session,
    session_fact,
    session_minutes,
    trading_days,
    unknown_sessions,
    windows,
)

__all__ = [
    "Series",
    "Session",
    "expiries",
    "expiry_kind",
    "is_trading_day",
    "nearest_expiry",
    "next_trading_day",
    "previous_trading_day",
    "session",
    "session_fact",
    "session_minutes",
    "trading_days",
    "unknown_sessions",
    "windows",
]
