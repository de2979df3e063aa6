"""A session that only writes what a runner would write: facts, heartbeats, recorded bars, answers to commands."""

import datetime as dt
import threading
import time

import numpy as np

from engine.history.bars import BAR
from engine.live.day.recorder import Recorder
from engine.live.day.recording import Instrument, Recording, recording_folder
from engine.live.log import events as e
from engine.live.log.heartbeat import Heart
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store
from engine.market.clock import minute_start, to_ns

DATE = dt.date(2026, 11, 20)
EXPIRY = dt.date(2026, 11, 24)
CALL, PUT = "NIFTY24NOV2624000CE", "NIFTY24NOV2623900PE"
OPEN_NS = to_ns(minute_start(DATE, 0))


class ScriptedSession:
    """Everything happens at `minute` of the session's own clock, which the test moves."""

    def __init__(self, folder, *, mode="practice", simulated=True, spec=True):
        self.minute = 60.0
        self.mode, self.simulated = mode, simulated
        self.spec = make_spec(
            load_session_params("practice"), date=DATE, data_folder=folder,
            broker_root="http://127.0.0.1:1", feed_options={"ticker_url": "ws://127.0.0.1:1"},
        )  # fmt: skip
        self.places = self.spec.places
        if spec:
            self.spec.write()
        self.store = Store.open(self.places.database, "practice", clock=lambda: self.now_ns)
        self.heart = {name: Heart(self.places.database, name) for name in ("runner", "feed", "watchdog")}
        self.recorder = None
        self.prices = {}
        self.flat_slowly = False
        self._ended = threading.Event()
        self._thread = None

    @property
    def now_ns(self):
        return OPEN_NS + int(self.minute * 60e9)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        if self._thread:
            self._thread.join(10)
        for heart in self.heart.values():
            heart.close()
        if self.recorder:
            self.recorder.close()
        self.store.close()

    def tell(self, *facts):
        self.store.append(*facts)

    def start_day(self, **given):
        told = {
            "date": DATE, "underlying": "NIFTY", "expiry": EXPIRY, "mode": self.mode, "params_hash": "abc", "lot_size": 65,
            "broker": "kite", "feed": "practice", "simulated": self.simulated,
        }  # fmt: skip
        self.tell(
            e.RunnerStarted(pid=77, boot_id="b", version="0.1.0"), e.SessionStarted(**{**told, **given})
        )

    def decide(self, slot, symbol="", **given):
        told = dict.fromkeys(
            ("conf_minute", "swing_index", "swing_minute", "swing_low", "highest_high", "bars_after", "trigger", "limit", "lots", "stop"), 0,
        )  # fmt: skip
        if symbol:
            told |= {
                "conf_minute": 53,
                "highest_high": 3227,
                "swing_low": 3047,
                "trigger": 3046,
                "limit": 2986,
                "lots": 4,
                "stop": 3247,
                "swing_minute": 51,
            }
        verdict = "wanted" if symbol else "none_qualifies"
        self.tell(
            e.DecisionMade(
                **{
                    "minute": int(self.minute) - 1,
                    "slot": slot,
                    "verdict": verdict,
                    "candidates": 7,
                    "qualified": 3 if symbol else 0,
                    "symbol": symbol,
                    **told,
                    **given,
                }
            )
        )

    def order(self, tag, position, leg, symbol, quantity=260, **given):
        side = "SELL" if leg == "entry" else "BUY"
        told = {"order_type": "SL", "trigger": 3046, "limit": 2986, "reason": leg, "slot": symbol[-2:]}
        self.tell(
            e.IntentPrepared(
                tag=tag,
                position=position,
                leg=leg,
                symbol=symbol,
                side=side,
                quantity=quantity,
                **{**told, **given},
            )
        )

    def accept(self, tag):
        self.tell(e.OrderAccepted(tag=tag, order_id=f"o{tag}"))
        order = self.store.state.orders[tag]
        self.tell(
            e.OrderUpdated(
                tag=tag,
                order_id=f"o{tag}",
                status="TRIGGER PENDING",
                filled=0,
                quantity=order.quantity,
                trigger=order.trigger,
                limit=order.limit,
                average_milliticks=0,
                message="",
                time_ns=self.now_ns,
            )
        )

    def fill(self, tag, price, quantity=260, trade="1"):
        side = self.store.state.orders[tag].side
        self.tell(
            e.FillBooked(
                trade_id=f"{tag}{trade}",
                order_id=f"o{tag}",
                tag=tag,
                side=side,
                quantity=quantity,
                price=price,
                time_ns=self.now_ns,
            )
        )

    def short(self, position, symbol, price=3046, quantity=260, stop=3247, protected=True):
        entry, guard = f"E{position}", f"S{position}"
        self.order(entry, position, "entry", symbol, quantity, stop=stop)
        self.accept(entry)
        self.fill(entry, price, quantity)
        self.tell(
            e.StopPlanned(position=position, trigger=stop, limit=stop + 60, quantity=quantity, reason="fill")
        )
        if protected:
            self.order(guard, position, "stop", symbol, quantity, trigger=stop, limit=stop + 60)
            self.accept(guard)

    def buy_back(self, position, price):
        tag = f"S{position}"
        self.fill(tag, price, self.store.state.orders[tag].quantity)

    def record(self, closes):
        """Bars of every minute up to the length of the lists; closes in ticks by symbol."""
        listed = tuple(Instrument(s, s[-2:], EXPIRY, int(s[-7:-2])) for s in closes)
        folder = recording_folder(self.places.folder, "NIFTY", DATE)
        if self.recorder is None:
            self.recorder = Recorder(folder, Recording("NIFTY", DATE, True, listed), chunk_s=0.05)
        rows = np.zeros(sum(len(one) for one in closes.values()), BAR)
        rows["minute"] = [m for one in closes.values() for m in range(len(one))]
        rows["instrument"] = [n for n, one in enumerate(closes.values()) for _ in one]
        for name in ("open", "high", "low", "close"):
            rows[name] = [c for one in closes.values() for c in one]
        rows["volume"] = 65
        self.recorder.bars(rows)
        deadline = time.monotonic() + 10
        while self.recorder.status().bars < len(rows) and time.monotonic() < deadline:
            time.sleep(0.01)

    def beat(self, *names, **given):
        status = {
            "mode": self.mode, "underlying": "NIFTY", "date": DATE.isoformat(), "phase": "trading",
            "minute": int(self.minute), "now_ns": self.now_ns, "paced": False,
            "feed": {"fresh": True, "age_s": 0.3, "detail": ""}, "broker": {"up": True, "age_s": 1.0},
            "prices": {s: f"{p / 20:.2f}" for s, p in self.prices.items()},
            "latency_us": {"p50": 84, "p99": 310}, "rss_mb": 142.0,
        }  # fmt: skip
        for name in names or tuple(self.heart):
            self.heart[name].beat(0, {**status, **given} if name == "runner" else {})

    # ---- a runner's manners ----

    def answer(self):
        """Take and answer what was asked, as a runner would."""
        for command in self.store.take_commands():
            latch = self.store.state.latch.state
            if command.verb == "pause":
                self.store.set_latch("REDUCING", "paused", "widget")
                self.store.answer_command(command.id, "done", "no new entry until resumed")
            elif command.verb == "resume" and latch == "FLATTENING":
                self.store.answer_command(
                    command.id, "refused", "a kill is being carried out; reset it when flat"
                )
            elif command.verb == "resume":
                self.store.set_latch("ACTIVE", "resumed", "widget", reset=True)
                self.store.answer_command(command.id, "done", "entries are allowed again")
            elif command.verb == "kill":
                self._kill(command)
            else:
                self.store.answer_command(command.id, "refused", f"{command.verb} is not known here")

    def _kill(self, command):
        self.store.set_latch("FLATTENING", "KILL in the control room", "widget")
        for position in list(self.store.state.open_positions):
            if self.flat_slowly:
                time.sleep(1.2)
            self.buy_back(position.position, self.prices.get(position.symbol, 3000))
        for order in list(self.store.state.open_orders):
            self.tell(
                e.OrderUpdated(
                    tag=order.tag,
                    order_id=order.order_id,
                    status="CANCELLED",
                    filled=0,
                    quantity=order.quantity,
                    trigger=order.trigger,
                    limit=order.limit,
                    average_milliticks=0,
                    message="",
                    time_ns=self.now_ns,
                )
            )
        self.store.set_latch("HALTED", "proved flat", "runner")
        self.store.answer_command(command.id, "done", "flat: no order, no position at the broker")

    def live(self, move=None, every_s=0.2):
        """Go on by itself in a thread: beats, answers and, if given, `move(session)` at every turn."""

        def run():
            while not self._ended.wait(every_s):
                if move:
                    move(self)
                self.answer()
                self.beat()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        return self
