"""A paper account whose process is killed at any moment keeps what it had told."""

import random
import subprocess
import sys
import time
from pathlib import Path

from paper_child import open_account
from paper_rig import done

from engine.live.brokers.base import OrderStatus
from engine.live.brokers.kite_answers import status_of

KILLS = 4


def told_until_killed(book, lines, delay_s):
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("paper_child.py")), str(book)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as child:  # fmt: skip
        heard = [child.stdout.readline() for _ in range(lines)]
        time.sleep(delay_s)
        child.kill()
        heard += child.stdout.readlines()
    return [line.split() for line in heard if line.endswith("\n") and line != "ready\n"]


def spelled(line):
    order_id, tag, *words, filled = line
    return order_id, tag, status_of(" ".join(words)), int(filled)


def test_nothing_that_was_told_is_forgotten_or_doubled(tmp_path):
    book = tmp_path / "paper_book.jsonl"
    chance = random.Random(7)
    told, filled_some = {}, False
    for _ in range(KILLS):
        for line in told_until_killed(book, chance.randrange(5, 60), chance.random() / 50):
            order_id, tag, status, filled = spelled(line)
            told[order_id] = (tag, status, filled)
        broker = open_account(book)
        orders = {one.order_id: one for one in done(broker.orders())}
        trades = done(broker.trades())
        for order_id, (tag, status, filled) in told.items():
            kept = orders[order_id]
            assert kept.tag == tag
            assert kept.filled >= filled
            if status.is_final:
                assert kept.status is status
        for order in orders.values():
            assert order.filled == sum(one.quantity for one in trades if one.order_id == order.order_id)
        assert len({one.trade_id for one in trades}) == len(trades)
        held = sum(one.quantity if one.side == "BUY" else -one.quantity for one in trades)
        assert sum(one.quantity for one in done(broker.positions())) == held
        filled_some = filled_some or any(one.status is OrderStatus.COMPLETE for one in orders.values())
        done(broker.close())
    assert filled_some
    assert len(told) > 30
