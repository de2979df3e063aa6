"""For tests of the store: one fact of every kind, random histories of orders, what the disk holds."""

import datetime as dt
import os
import random
import sqlite3

from engine.live.log import events as e
from engine.live.log.reader import StoreReader

DATE = dt.date(2026, 11, 20)
EXPIRY = dt.date(2026, 11, 24)


def session(date=DATE):
    return e.SessionStarted(
        date=date, underlying="NIFTY", expiry=EXPIRY, mode="practice", params_hash="abc", lot_size=65,
        broker="practice", feed="practice", simulated=True,
    )  # fmt: skip


def intent(tag, position=1, leg="entry", quantity=65, **given):
    side = "SELL" if leg == "entry" else "BUY"
    told = {
        "slot": "CE", "reason": leg, "symbol": "NIFTY24NOV2624000CE", "side": side, "order_type": "SL",
        "trigger": 2000, "limit": 1940, "conf_minute": 10, "swing_index": 7, "stop": 2200,
    }  # fmt: skip
    return e.IntentPrepared(tag=tag, position=position, leg=leg, quantity=quantity, **{**told, **given})


def update(tag, order_id, status, filled=0, quantity=65, **given):
    told = {"trigger": 2000, "limit": 1940, "average_milliticks": 0, "message": "", "time_ns": 1}
    return e.OrderUpdated(tag=tag, order_id=order_id, status=status, filled=filled, quantity=quantity, **{**told, **given})  # fmt: skip


def fill(tag, order_id, trade_id, side, quantity=65, price=2000):
    return e.FillBooked(
        trade_id=trade_id, order_id=order_id, tag=tag, side=side, quantity=quantity, price=price, time_ns=5
    )


def short(position=1, entry=2000, quantity=65):
    """The facts of one short, opened and filled, its stop standing."""
    a, b = f"E{position}", f"S{position}"
    return [
        intent(a, position, quantity=quantity),
        e.OrderAccepted(tag=a, order_id=f"o{a}"),
        fill(a, f"o{a}", f"t{a}", "SELL", quantity, entry),
        e.StopPlanned(position=position, trigger=2200, limit=2260, quantity=quantity, reason="fill"),
        intent(b, position, "stop", quantity, trigger=2200, limit=2260),
        e.OrderAccepted(tag=b, order_id=f"o{b}"),
    ]


ONE_OF_EACH = [
    e.RunnerStarted(pid=7, boot_id="b", version="0.1.0"),
    session(),
    e.LatchChanged(state="HALTED", reason="mismatch", who="reconcile"),
    e.LatchChanged(state="ACTIVE", reason="looked at it", who="trader", reset=True),
    e.LinkChanged(link="feed", name="kite", status="stale", detail="no tick for 30 s"),
    e.DecisionMade(
        minute=11, slot="CE", verdict="none_qualifies", candidates=3, qualified=0, symbol="", conf_minute=0,
        swing_index=0, swing_minute=0, swing_low=0, highest_high=0, bars_after=0, trigger=0, limit=0, lots=0, stop=0,
    ),
    intent("E1"),
    e.IntentSent(tag="E1"),
    e.OrderUnknown(tag="E1", reason="time-out"),
    e.OrderAccepted(tag="E1", order_id="o1", found=True),
    update("E1", "o1", "TRIGGER PENDING"),
    e.ModifyPrepared(tag="E1", quantity=130, trigger=2010, limit=1950, order_type="SL"),
    e.RequestAnswered(tag="E1", request="modify", outcome="confirmed", reason=""),
    e.CancelPrepared(tag="E1", reason="switch"),
    fill("E1", "o1", "t1", "SELL", 130),
    e.RequestAnswered(tag="E1", request="cancel", outcome="refused", reason="completed"),
    e.StopPlanned(position=1, trigger=2200, limit=2260, quantity=130, reason="fill"),
    e.OutsideFill(
        position=1, order_id="b1", trade_id="bt1", symbol="NIFTY24NOV2624000CE", side="BUY", quantity=65, price=1990,
        time_ns=6,
    ),
    e.Noticed(level="warning", text="an order in our contracts that is not ours"),
    intent("X1", 1, "exit", 130),
    e.OrderRefused(tag="X1", code="400", reason="margin"),
    intent("X2", 1, "exit", 130),
    e.OrderNotSent(tag="X2", reason="absent after 120 s"),
    e.OrderDenied(position=2, slot="PE", leg="entry", symbol="P", quantity=65, reason="latch"),
    e.ReconcileDone(orders=1, positions=1, mismatches=1, took_ms=12),
    e.Mismatch(subject="external", key="NIFTY", ours="0", theirs="50", detail=""),
    e.CommandTaken(command=1, origin="cli", verb="kill", payload="{}"),
    e.CommandAnswered(command=1, state="done", answer="flat"),
    e.JournalMerged(merged=1, refused=0, detail=""),
    e.ProjectionsRebuilt(detail="orders"),
    e.DayLatched(date=DATE, reason="day_stop", day_pnl=-3_250_000),
    e.SessionEnded(date=DATE, flat=False, charges=None, reason="killed"),
]  # fmt: skip


def _random_fact(draw, number):
    tag = f"T{draw.randrange(1, 9)}"
    order_id = f"o{tag}" if draw.random() < 0.9 else "oX"
    quantity = draw.choice([65, 130])
    makers = [
        lambda: session(DATE + dt.timedelta(days=draw.randrange(3))),
        lambda: intent(tag, draw.randrange(1, 4), draw.choice(["entry", "stop", "exit"]), quantity),
        lambda: intent(tag, draw.randrange(1, 4), draw.choice(["entry", "exit"]), quantity),
        lambda: e.IntentSent(tag=tag),
        lambda: e.OrderAccepted(tag=tag, order_id=order_id),
        lambda: e.OrderRefused(tag=tag, code="", reason="no"),
        lambda: e.OrderUnknown(tag=tag, reason="time-out"),
        lambda: e.OrderNotSent(tag=tag, reason="absent"),
        lambda: update(
            tag, order_id, draw.choice(["OPEN", "COMPLETE", "CANCELLED"]), draw.randrange(131), quantity
        ),
        lambda: e.ModifyPrepared(tag=tag, quantity=quantity, trigger=5, limit=4, order_type="LIMIT"),
        lambda: e.RequestAnswered(
            tag=tag,
            request=draw.choice(["modify", "cancel"]),
            outcome=draw.choice(["confirmed", "unknown"]),
            reason="",
        ),
        lambda: e.CancelPrepared(tag=tag, reason="x"),
        lambda: fill(tag, order_id, f"t{draw.randrange(6)}", draw.choice(["BUY", "SELL"]), 65, number + 1),
        lambda: e.LatchChanged(
            state=draw.choice(["ACTIVE", "REDUCING", "HALTED", "FLATTENING"]),
            reason="r",
            who="w",
            reset=draw.random() < 0.5,
        ),
        lambda: e.ReconcileDone(orders=0, positions=0, mismatches=0, took_ms=1),
    ]
    return draw.choice(makers)()


def random_facts(seed, count):
    """Facts as a confused broker and a busy session would make them; many contradict the log, on purpose."""
    draw = random.Random(seed)
    return [_random_fact(draw, number) for number in range(count)]


def seqs(path):
    """The numbers of the events on disk."""
    db = sqlite3.connect(path)
    found = [row[0] for row in db.execute("SELECT seq FROM events ORDER BY seq")]
    db.close()
    return found


def facts_on_disk(path, *kinds):
    with StoreReader(path) as reader:
        return [event.fact for event in reader.events(kinds=kinds)]


def assert_sound(store):
    found = store.verify()
    assert found.problems == ()
    assert found.state_hash == store.state_hash()


def exit_code_of(action):
    """Run in a forked child, which never comes back into the test."""
    pid = os.fork()
    if pid == 0:
        code = 100
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
