"""A killed practice exchange comes back as it was."""

import json
import subprocess
import sys

import pytest
import requests
from kiteconnect import KiteConnect

from engine.errors import WorkbenchError
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

CODE = """
import json, pathlib, sys
from engine.cli.practice import run_serve
words = json.loads(sys.argv[1])
for name in ("data_folder", "journal"):
    words[name] = pathlib.Path(words[name])
run_serve(**words)
"""


class Process:
    """A served day in a process of its own."""

    def __init__(self, lake, journal):
        words = {
            "underlying": "NIFTY", "day": "2026-09-01", "source": None, "speed": "manual", "port": 0,
            "start_at": "09:20", "participants": 0, "wait": False, "match": "bars", "bar_path": "worst",
            "slippage": "0.25", "delay_ms": 20_000, "cash": 50_000_000, "faults": ["partial_fill:p=0.5"],
            "seed": 3, "order_limits": True, "redirect_url": None, "postback_url": None, "linger": False, "as_json": True,
            "data_folder": str(lake.root), "journal": str(journal),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, json.dumps(words)], stdout=subprocess.PIPE, text=True
        )
        self.told = json.loads(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def step(self, moments=1):
        url = self.told["rest_url"] + "/practice/step"
        return requests.post(url, data={"moments": moments}, timeout=10).json()["beat"]

    def client(self, token=None):
        kite = KiteConnect(self.told["api_key"], token, root=self.told["rest_url"])
        if token is None:
            landed = requests.get(self.told["login_url"], timeout=5).text
            request_token = landed.split()[-1]
            session = kite.generate_session(request_token, api_secret=self.told["api_secret"])
            kite.set_access_token(session["access_token"])
        return kite


def trade(kite, turn):
    """One request of a script: places, modifies or cancels by the turn's number."""
    symbol = kite.instruments("NFO")[4]["tradingsymbol"]
    last = kite.ltp(f"NFO:{symbol}")[f"NFO:{symbol}"]["last_price"]
    if turn % 3 == 2:
        for line in kite.orders():
            if line["status"] not in {"COMPLETE", "CANCELLED", "REJECTED"}:
                kite.cancel_order("regular", line["order_id"])
        return
    side, way = ("SELL", -1) if turn % 2 else ("BUY", 1)
    kite.place_order("regular", "NFO", symbol, side, 260, "MIS", "SL", tag=f"t{turn}",
                     trigger_price=round(last + 0.5 * way, 2), price=round(last + 3 * way, 2))  # fmt: skip


@pytest.fixture
def launch(lake):
    """Start processes that are killed after the test."""
    begun = []

    def start(journal):
        begun.append(Process(lake, journal))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()


def play(launch, journal, *, kills):
    server = launch(journal)
    kite = server.client()
    for turn in range(8):
        trade(kite, turn)
        if turn in kills:
            before = kite.orders(), kite.trades(), kite.positions()
            server.kill()
            server = launch(journal)
            kite = server.client(kite.access_token)  # the login is good still
            assert (kite.orders(), kite.trades(), kite.positions()) == before
        beat = server.step(4)
    outcome = kite.orders(), kite.trades(), kite.positions(), beat
    server.kill()
    return outcome


def test_a_killed_exchange_goes_on_as_if_nothing_had_been(launch, tmp_path):
    whole = play(launch, tmp_path / "whole.jsonl", kills=())
    assert len(whole[1]) >= 2
    assert play(launch, tmp_path / "killed.jsonl", kills=(1, 3, 6)) == whole


def test_a_half_written_line_is_dropped_and_another_day_is_refused(played_day, tmp_path):
    path = tmp_path / "journal.jsonl"
    settings = ServerSettings(pace=PaceSettings(speed="manual"), journal=path)
    with PracticeServer(played_day, settings) as server:
        server.step(7)
    with path.open("ab") as file:
        file.write(b'{"what": "be')
    with PracticeServer(played_day, settings) as server:
        assert server.step(1).seq == 8
    with pytest.raises(WorkbenchError, match="another path"):
        PracticeServer(played_day, ServerSettings(path="high_first", journal=path))
