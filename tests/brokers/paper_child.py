"""A process that trades on paper until it is killed, and says what it was told: `python paper_child.py BOOK`."""

import datetime as dt
import sys
from itertools import count
from pathlib import Path

import numpy as np
from paper_rig import MS, PlayedClock, done

from engine.history.bars import TICK
from engine.live.brokers.base import BrokerRefused, Contract, OrderRequest
from engine.live.brokers.paper import PaperBroker, PaperRules
from engine.market.contracts import lot_size

DATE = EXPIRY = dt.date(2026, 9, 1)
OPEN_NS = 1_788_234_300_000_000_000  # 2026-09-01 09:15 IST
CONTRACT = Contract("NIFTY2690125000CE", 1, "NIFTY", EXPIRY, 25000, "CE", lot_size("NIFTY", EXPIRY))


def open_account(path):
    broker = PaperBroker(
        path, DATE, PlayedClock(OPEN_NS), contracts=[CONTRACT], rules=PaperRules(latency_ms=30)
    )
    broker.follow([CONTRACT])
    return broker


def trade_on(path):
    broker = open_account(path)
    broker.on_report.append(
        lambda told: print(told.order_id, told.tag, told.status_text, told.filled, flush=True)
    )
    clock, rng = broker._clock, np.random.default_rng()
    price, waiting = 2000, [one.order_id for one in done(broker.orders()) if not one.status.is_final]
    print("ready", flush=True)
    for number in count():
        clock.ms = number * 20 % 20_000_000
        price = max(price + int(rng.integers(-6, 7)), 1000)
        tick = np.zeros(1, TICK)
        tick["price"], tick["exchange_ns"] = price, OPEN_NS + clock.ms * MS
        broker.on_ticks(tick, clock.wall_ns())
        side, sign = ("SELL", -1) if number % 2 else ("BUY", 1)
        try:
            if number % 3 == 0:
                request = OrderRequest(f"T{number}", CONTRACT.symbol, side, CONTRACT.lot, "SL",
                                       max(price + sign * 5, 1), max(price + sign * 40, 1))  # fmt: skip
                waiting.append(done(broker.place(request)))
            elif waiting and number % 7 == 0:
                done(broker.cancel(waiting.pop(0)))
        except BrokerRefused:
            continue


if __name__ == "__main__":
    trade_on(Path(sys.argv[1]))
