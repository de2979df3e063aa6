"""A rehearsal whose every process can be killed: exchange and session, what they say, and an audit of their books."""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import requests
from kiteconnect import KiteConnect
from kiteconnect.exceptions import NetworkException

from engine.cli.rehearsal_processes import log_in
from engine.live.brokers.kite_token import ACCESS_TOKEN, API_KEY, KiteSecrets, dies_after, write_token
from engine.live.control.processes import (
    FEED,
    RUNNER,
    SUPERVISOR,
    WATCHDOG,
    Process,
    find_all,
    last_words,
    session_commands,
)
from engine.live.control.starting import StartError, start_session
from engine.live.log.reader import StoreReader
from engine.live.log.state import ENDED_STATUSES
from engine.live.log.store_errors import StoreError
from engine.live.spec import load_session_params, make_spec
from engine.market.clock import IST

EXCHANGE = "exchange"
SESSION = (SUPERVISOR, RUNNER, FEED, WATCHDOG)
POLL_S = 0.05
UP_S = 120.0
ANSWER_S = 30.0


class StageError(Exception):
    """The stage itself failed: nothing is learnt of the session."""


def wait_for(what, within_s, why):
    """The first true value."""
    deadline = time.monotonic() + within_s
    while not (value := what()):
        if time.monotonic() > deadline:
            raise StageError(f"{why}: not within {within_s:.0f} s")
        time.sleep(POLL_S)
    return value


class Exchange:
    """`practice serve`; killed, it comes back at its port with what its journal holds."""

    def __init__(self, folder, data, words):
        self._log = folder / "exchange.log"
        self._words = [
            *words,
            "--journal",
            str(folder / "exchange.jsonl"),
            "--data",
            str(data),
            "--linger",
            "--json",
        ]
        self._process = None
        self.told = {}

    def start(self):
        port = urlsplit(self.told["rest_url"]).port if self.told else 0
        command = [sys.executable, "-m", "engine.cli", "practice", "serve", "--port", str(port), *self._words]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        line = self._process.stdout.readline()
        if not line:
            raise StageError(f"no exchange: {self._log.read_text().strip().splitlines()[-1:]}")
        self.told = json.loads(line)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def state(self):
        """What it says of its day; None where it does not answer."""
        with suppress(requests.RequestException):
            return requests.get(f"{self.told['rest_url']}/practice/state", timeout=ANSWER_S).json()
        return None

    def at(self):
        """Number of the last moment played, and its minute; (0, -1) before any or without an answer."""
        beat = (self.state() or {}).get("beat")
        return (beat["seq"], beat["minute"]) if beat else (0, -1)

    @contextmanager
    def braked(self, pause_s):
        """Be the second participant of a day at speed "max": every moment lasts at least so long."""
        over = threading.Event()

        def follow():
            while not over.wait(pause_s):
                with suppress(requests.RequestException):
                    form = {"name": "brake", "seq": self.at()[0]}
                    requests.post(f"{self.told['rest_url']}/practice/ack", data=form, timeout=ANSWER_S)

        brake = threading.Thread(target=follow, daemon=True)
        brake.start()
        try:
            yield
        finally:
            over.set()
            brake.join()


class Stage:
    """
    One rehearsal in a folder of its own.

    Parameters
    ----------
    entry : LakeDay
    words : sequence of str
        More of `practice serve`: speed, start and the like.
    session : parameters of the session
    """

    def __init__(self, lake, entry, params, folder, *, speed, words=(), **session):
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._day = (entry, params, speed, session)
        self.exchange = Exchange(self.folder, lake.root.resolve(), [
            "--underlying", params.underlying, "--date", entry.date.isoformat(), "--source", entry.source,
            "--speed", str(speed), "--bar-path", params.bar_path, "--slippage", str(params.slippage_rupees),
            "--slippage-percent", str(params.slippage_percent), *words,
        ])  # fmt: skip
        self.spec = None
        self.token = ""

    def __enter__(self):
        self.exchange.start()
        entry, params, speed, session = self._day
        told = self.exchange.told
        self.token = log_in(told)
        self.spec = make_spec(
            load_session_params("practice", **session), date=entry.date, data_folder=self.folder,
            broker_root=told["rest_url"],
            feed_options={"ticker_url": told["ticker_url"], "rest_url": told["rest_url"], "speed": speed},
        ).model_copy(update={"params": params})  # fmt: skip
        self.spec.write()
        self.commands = session_commands(self.places.spec)
        os.environ[API_KEY] = told["api_key"]
        os.environ.pop(ACCESS_TOKEN, None)  # the session's own file has it
        secrets = KiteSecrets(told["api_key"], None, self.token, dies_after(dt.datetime.now(IST)))
        write_token(self.spec.env_file, secrets)
        return self

    def __exit__(self, *_):
        for _ in range(2):  # what a supervisor starts between two looks
            for process in self.alive().values():
                process.signal(signal.SIGKILL)
                process.wait(5)
        self.exchange.kill()

    @property
    def places(self):
        return self.spec.places

    # ---- the session ----

    def start(self, tries=3):
        """As a notebook or `workbench live start` would."""
        for attempt in range(tries):
            try:
                return start_session(self.spec, wait_s=UP_S)
            except StartError:
                if attempt == tries - 1:
                    raise
                time.sleep(1)
        return None

    def alive(self):
        return find_all(self.commands)

    def stop(self):
        """End the session's processes as `live stop` does, by the supervisor."""
        supervisor = self.alive().get(SUPERVISOR)
        if supervisor is not None:
            supervisor.signal(signal.SIGTERM)
        wait_for(lambda: not self.alive(), UP_S, "session ended")

    def kill(self, name, within_s=10.0):
        """`kill -9` of one process; False if there is none to kill for that long."""
        if name == EXCHANGE:
            self.exchange.kill()
            return True
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            process = self.alive().get(name)
            if process is not None and process.signal(signal.SIGKILL):
                return True
            time.sleep(POLL_S)
        return False

    def reader(self):
        return StoreReader(self.places.database)

    def last_seq(self):
        with self.reader() as reader:
            return reader.last_seq()

    def beats(self):
        """Newest sign of life of every process that gave one."""
        try:
            with self.reader() as reader:
                return {beat.name: beat for beat in reader.beats()}
        except StoreError:
            return {}

    def trades_again(self, since, after_seq, moment):
        """Whether all processes live, the runner trades on fresh prices, has reconciled, and a day that waits goes on."""
        beats = self.beats()
        for name in SESSION:
            beat = beats.get(name)
            if beat is None or beat.monotonic_ns / 1e9 < since or Process.of(beat.pid) is None:
                return False
        told = json.loads(beats[RUNNER].status)
        if told["phase"] in {"closing", "done"}:
            return True
        if told["phase"] != "trading" or not told["feed"]["fresh"] or not told["broker"]["up"]:
            return False
        if after_seq is not None:
            with self.reader() as reader:
                if not reader.events(after_seq, 1, ("ReconcileDone",)):
                    return False
        return self.spec.feed_options["speed"] != "max" or self.exchange.at()[0] > moment

    def is_over(self):
        """Whether the session's day has ended and nobody of it lives."""
        with self.reader() as reader:
            return bool(reader.events(kinds=("SessionEnded",))) and not self.alive()

    def words(self):
        """Last words of every process, for a failure."""
        return {name: last_words(name, self.places.logs, 3) for name in SESSION}

    # ---- the books ----

    def held(self):
        with self.reader() as reader:
            return len(reader.positions())

    def books(self):
        """Orders, trades and net positions by the exchange's own account."""
        kite = KiteConnect(self.exchange.told["api_key"], self.token, root=self.exchange.told["rest_url"])
        for _ in range(5):
            with suppress(NetworkException):  # the session's own reads count for the same limit
                return kite.orders(), kite.trades(), kite.positions()["net"]
            time.sleep(1)
        raise StageError("the exchange's books cannot be read")

    def audit(self, *, flat=True):
        """What is wrong between the exchange's books and the log; empty when all is well."""
        orders, trades, positions = self.books()
        with self.reader() as reader:
            known = {order.tag: order for order in reader.orders()}
            fills = reader.fills()
            seqs = [event.seq for event in reader.events(limit=10**9)]
        wrong = []
        for tag, count in Counter(order["tag"] for order in orders).items():
            if tag not in known:
                wrong.append(f"{count} orders of tag {tag} that the log does not know")
            elif count > 1:
                wrong.append(f"intent {tag} is {count} orders at the broker")
        booked = Counter((fill.trade_id, fill.order_id, fill.quantity, fill.side) for fill in fills)
        theirs = Counter(
            (line["trade_id"], line["order_id"], line["quantity"], line["transaction_type"])
            for line in trades
        )
        if booked != theirs:
            wrong.append(
                f"fills: not in the log {theirs - booked}, only or twice in the log {booked - theirs}"
            )
        if seqs != list(range(1, len(seqs) + 1)):
            wrong.append("seq of the log has gaps")
        if flat:
            held = {line["tradingsymbol"]: line["quantity"] for line in positions if line["quantity"]}
            live = [order["order_id"] for order in orders if order["status"] not in ENDED_STATUSES]
            unproven = [order.tag for order in known.values() if order.open]
            wrong += [f"broker holds {held}"] if held else []
            wrong += [f"orders that live at the broker: {live}"] if live else []
            wrong += [f"orders that the log holds open: {unproven}"] if unproven else []
        return wrong
