"""Market data in the shape of Kite's REST answers: instruments, quotes, candles."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.market.contracts import price_band
from engine.market.prices import PAISE_PER_RUPEE, TICK_RUPEES
from engine.practice.checks import refuse
from engine.practice.market import LEVEL_ORDERS, Instrument, Market
from engine.practice.orders import Clock, rupees

COLUMNS = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size",
    "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip
INTERVALS = {
    "minute": 1, "3minute": 3, "5minute": 5, "10minute": 10, "15minute": 15, "30minute": 30, "60minute": 60,
    "day": 10_000,
}  # fmt: skip


def instruments_csv(market: Market, exchange: str | None) -> str:
    """The day's dump, of all exchanges or one."""
    lines = [",".join(COLUMNS)]
    for one in market.instruments:
        if exchange is not None and one.exchange != exchange:
            continue
        expiry = one.expiry.isoformat() if one.expiry else ""
        tick = f"{TICK_RUPEES}"
        cells = (
            one.token, one.token >> 8, one.symbol, one.name, "0.0", expiry, f"{one.strike:.1f}", tick,
            one.lot_size, one.kind, one.segment, one.exchange,
        )  # fmt: skip
        lines.append(",".join(str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def quotes(market: Market, clock: Clock, keys: Iterable[str], kind: str) -> dict[str, Any]:
    """
    GET /quote, /quote/ohlc or /quote/ltp; instruments that are not known are left out, as Kite does.

    Parameters
    ----------
    keys : iterable of str
        "EXCHANGE:SYMBOL" or an instrument token.
    kind : str
        "quote", "ohlc" or "ltp".
    """
    data: dict[str, Any] = {}
    for key in keys:
        one = market.by_token.get(int(key)) if key.isdigit() else market.by_key.get(key)
        if one is None:
            continue
        line: dict[str, Any] = {"instrument_token": one.token}
        if kind == "quote":
            line["timestamp"] = clock.text(market.ms)
            line |= _index_quote(market) if one.place < 0 else _option_quote(market, clock, one)
        else:
            line["last_price"] = last_price(market, one)
            if kind == "ohlc":
                line["ohlc"] = _ohlc(market, one)
        data[key] = line
    return data


def last_price(market: Market, one: Instrument) -> float:
    """Last price in rupees, 0 before the first trade."""
    if one.place < 0:
        return int(market.index_ohlcl[4]) / PAISE_PER_RUPEE
    return rupees(int(market.last[one.place]))


def candles(
    market: Market, clock: Clock, one: Instrument, interval: str, begin: dt.datetime, end: dt.datetime, *, oi: bool
) -> list[list[Any]]:  # fmt: skip
    """
    GET /instruments/historical: bars that have been traded so far, the one in progress included.

    Parameters
    ----------
    begin, end : datetime
        Naive IST, both included.
    """
    if interval not in INTERVALS:
        raise refuse("Invalid `interval`.")
    width = INTERVALS[interval]
    groups: dict[int, list[Any]] = {}
    for minute, bar in market.candles(one, 0, market.bars.minutes):
        groups.setdefault(minute // width, []).append(bar)
    rows: list[list[Any]] = []
    for group, bars in groups.items():
        at = clock.moment(group * width * 60_000)
        if not begin <= at.replace(tzinfo=None) <= end:
            continue
        stack = np.array(bars)
        prices = (stack[0, 0], stack[:, 1].max(), stack[:, 2].min(), stack[-1, 3])
        row: list[Any] = [f"{at:%Y-%m-%dT%H:%M:%S%z}", *(int(p) / PAISE_PER_RUPEE for p in prices)]
        row.append(int(stack[:, 4].sum()))
        rows.append([*row, 0] if oi else row)
    return rows


def _ohlc(market: Market, one: Instrument) -> dict[str, float]:
    if one.place < 0:
        opened, high, low, close = (int(x) / PAISE_PER_RUPEE for x in market.index_ohlcl[:4])
        return {"open": opened, "high": high, "low": low, "close": close}
    place = one.place
    return {
        "open": rupees(int(market.day_open[place])),
        "high": rupees(int(market.day_high[place])),
        "low": rupees(int(market.day_low[place])),
        "close": 0,
    }


def _index_quote(market: Market) -> dict[str, Any]:
    return {
        "last_price": last_price(market, market.index),
        "net_change": 0,
        "ohlc": _ohlc(market, market.index),
    }


def _option_quote(market: Market, clock: Clock, one: Instrument) -> dict[str, Any]:
    place = one.place
    bid, bid_quantity, ask, ask_quantity = market.depth(np.array([place]))
    reference = market.reference(place)
    low, high = price_band(reference, market.date) if reference else (0, 0)
    volume = int(market.volume[place])

    def side(prices: Any, quantities: Any) -> list[dict[str, Any]]:
        return [
            {"price": rupees(int(p)), "quantity": int(q), "orders": int(o) if q else 0}
            for p, q, o in zip(prices[0], quantities[0], LEVEL_ORDERS, strict=True)
        ]

    return {
        "last_trade_time": clock.text(int(market.last_trade_ms[place])) if market.last[place] else None,
        "last_price": last_price(market, one),
        "last_quantity": int(market.last_quantity[place]),
        "buy_quantity": int(bid_quantity.sum()),
        "sell_quantity": int(ask_quantity.sum()),
        "volume": volume,
        "average_price": rupees(int(market.turnover[place]) // volume) if volume else 0,
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "net_change": 0,
        "lower_circuit_limit": rupees(low),
        "upper_circuit_limit": rupees(high),
        "ohlc": _ohlc(market, one),
        "depth": {"buy": side(bid, bid_quantity), "sell": side(ask, ask_quantity)},
    }
