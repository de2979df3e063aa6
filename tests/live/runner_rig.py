"""For tests of the runner as a process: a practice exchange that plays as far as it is let, feed and runner beside it."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from live_session_kit import wait_for

from engine.backtest.run import load_day, play_day
from engine.execution.matching import BUY
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.control.processes import FEED, RUNNER
from engine.live.log.reader import StoreReader, submit_command
from engine.live.log.store_errors import StoreError
from engine.live.spec import load_session_params, make_spec
from engine.market.prices import to_ticks
from engine.params import load_params
from engine.practice.market import load_practice_day
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings
from engine.practice.settings import ExchangeSettings

DATE = dt.date(2026, 9, 1)
CHANGES = {"latency_ms": 0, "min_vwap_premium_percent": -10}
BEATS = 5  # of a minute
FOR_EVER = 10_000_000
TEST = "test"


class Days:
    """The lake of the tests, its played days, and their backtests."""

    def __init__(self, folder):
        self.lake = Lake(folder)
        self._loaded = {}

    def day(self, date):
        if date not in self._loaded:
            ensure_simulated(self.lake, "NIFTY", date, date)
            self._loaded[date] = load_practice_day(self.lake, "NIFTY", date)
        return self._loaded[date]

    def backtest(self, date, **changes):
        """Decisions and trades of a backtest, trades as `trades_of`."""
        self.day(date)
        params = load_params("swing_break", **{**CHANGES, **changes})
        out = play_day(load_day(self.lake, self.lake.select("NIFTY", date, date)[0], params), params)
        trades = [
            (out.symbols[t["contract"]], int(t["conf_minute"]), int(t["quantity"]), int(t["entry_price"]),
             int(t["exit_price"]))
            for t in out.trades
        ]  # fmt: skip
        return sorted(trades), len(out.decisions)


class Rig:
    """One account's feed and runner at one exchange."""

    def __init__(
        self, folder, days, date=DATE, *, speed="max", end_minute=None, held=True, env=None, **session
    ):
        self.folder = folder
        pace = PaceSettings(
            speed=speed, participants=2 if held else 1, await_reader=True, absent_s=600, end_minute=end_minute
        )
        params = load_params("swing_break", **CHANGES)
        self.server = PracticeServer(
            days.day(date),
            ServerSettings(
                pace=pace,
                exchange=ExchangeSettings(slip_ticks=to_ticks(params.slippage_rupees), cash_rupees=10**8),
                order_limits=False,
            ),
        )
        self.server.start()
        self.env = {"KITE_API_KEY": self.server.api_key, "KITE_ACCESS_TOKEN": self.server.grant_token()}
        self.env |= env or {}
        self.spec = make_spec(
            load_session_params("practice", strategy="swing_break", strategy_changes=CHANGES, **session),
            date=date,
            data_folder=Path(folder),
            broker_root=self.server.rest_url,
            feed_options={
                "ticker_url": self.server.ticker_url, "rest_url": self.server.rest_url, "speed": speed,
            },
        )  # fmt: skip
        self.path = self.spec.write()
        self.places = self.spec.places
        self.running = {}

    def keep_token_in_file(self, token):
        secrets = self.spec.env_file
        secrets.write_text(f"KITE_ACCESS_TOKEN={token}\n")
        secrets.chmod(0o600)

    def expire_tokens(self):
        self.server.call(self.server.rest.expire_tokens)

    # ---- processes ----

    def start(self, *names):
        for name in names or (FEED, RUNNER):
            module = {FEED: "engine.live.feeds", RUNNER: "engine.live.runner"}[name]
            log = (Path(self.folder) / f"{name}.log").open("ab")
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, str(self.path)],
                env={**os.environ, **self.env}, stdout=log, stderr=log,
            )  # fmt: skip
            log.close()
        return self

    @property
    def runner(self):
        return self.running[RUNNER]

    def tell(self, number=signal.SIGTERM, name=RUNNER):
        self.running[name].send_signal(number)

    def end(self, name, number=signal.SIGKILL):
        self.tell(number, name)
        return self.running[name].wait(20)

    def wait_exit(self, within_s=40):
        try:
            return self.runner.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the runner goes on: {self.words()}") from None

    def close(self):
        for process in self.running.values():
            process.kill()
            process.wait()
        self.server.stop()

    def words(self, name=RUNNER):
        return (Path(self.folder) / f"{name}.log").read_text()[-3000:]

    # ---- the market ----

    def play_to(self, minute):
        """Let the exchange play all minutes before this one; returns when the session has dealt with them."""
        seq = minute * BEATS
        self.server.call(lambda: self.server.pacer.acknowledge(TEST, seq))
        self.wait(lambda: self.server.pacer._acks.get("session", -1) >= seq, 60, f"minute {minute}")

    def play_all(self):
        self.server.call(lambda: self.server.pacer.acknowledge(TEST, FOR_EVER))

    # ---- what is to be seen ----

    def wait(self, what, within_s=30, why=""):
        def looked():
            with suppress(StoreError):
                return what()
            return None

        try:
            return wait_for(looked, within_s)
        except AssertionError:
            raise AssertionError(f"not {why or what} within {within_s} s: {self.words()}") from None

    def wait_phase(self, phase, within_s=40):
        self.wait(lambda: self.beat().get("phase") == phase, within_s, f"phase {phase}")

    def beat(self):
        """The present runner's last words; {} before any."""
        if not self.places.database.exists():
            return {}
        with StoreReader(self.places.database) as reader:
            beats = [b for b in reader.beats() if b.name == RUNNER and b.pid == self.runner.pid]
        return json.loads(beats[0].status) if beats else {}

    def read(self, what):
        with StoreReader(self.places.database) as reader:
            return what(reader)

    def facts(self, *kinds):
        return [event.fact for event in self.read(lambda r: r.events(limit=100_000, kinds=kinds))]

    def latch(self):
        return self.read(lambda r: r.latch()).state

    def trades(self, date=None):
        found = self.read(lambda r: r.trades(date and date.isoformat()))
        return sorted(
            (t.symbol, t.conf_minute, t.sold, t.sold_value // t.sold, t.bought_value // t.bought)
            for t in found
        )

    def open_positions(self):
        return [row for row in self.read(lambda r: r.positions()) if row.net]

    def ask(self, verb, **payload):
        return submit_command(self.places.database, "test", verb, payload)

    def answer(self, number, within_s=30):
        """State and words of the answer to a command."""
        self.wait(
            lambda: self.read(lambda r: r.command(number)).state in {"done", "refused"}, within_s, "answer"
        )
        told = self.read(lambda r: r.command(number))
        return told.state, told.answer

    def broker_net(self):
        """Units at the exchange, by symbol, where not zero."""
        exchange = self.server.exchange

        def summed():
            net = {}
            for trade in exchange.trades:
                symbol = trade.order.instrument.symbol
                net[symbol] = net.get(symbol, 0) + trade.quantity * (1 if trade.order.side == BUY else -1)
            return {symbol: units for symbol, units in net.items() if units}

        return self.server.call(summed)
