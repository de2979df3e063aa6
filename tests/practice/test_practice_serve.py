"""`workbench practice serve` as its own process."""

import json
import signal
import subprocess
import sys

import pytest
import requests

from engine.cli.practice import run_serve
from engine.errors import WorkbenchError

WORDS = {
    "underlying": "NIFTY", "day": "2026-09-01", "source": None, "speed": "max", "port": 0, "start_at": "15:30",
    "participants": 0, "wait": False, "match": "bars", "bar_path": "worst", "slippage": "0.25", "delay_ms": 0,
    "cash": 10_000_000, "faults": None, "seed": 0, "order_limits": True, "redirect_url": None, "postback_url": None, "journal": None, "linger": False,
    "as_json": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def same_signals_after():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_day_is_served_and_ends(lake, capsys):
    run_serve(**WORDS, data_folder=lake.root)
    told = json.loads(capsys.readouterr().out)
    assert told["simulated"] is True
    assert told["login_url"].startswith(told["rest_url"])


@pytest.mark.parametrize(
    "changes",
    [{"speed": "quick"}, {"match": "luck"}, {"start_at": "nine"}, {"start_at": "08:00"}, {"faults": ["x:p=1"]},
     {"faults": ["outage:minutes=3-5"], "participants": 1}, {"faults": ["mute_socket:p=1"], "participants": 1},
     {"slippage_percent": "much"}, {"slippage_percent": "0.001"}, {"slippage_percent": "-1"}],
)  # fmt: skip
def test_wrong_words_are_one_line_errors(lake, changes):
    with pytest.raises(WorkbenchError) as caught:
        run_serve(**{**WORDS, **changes}, data_folder=lake.root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server(lake, number):
    words = {**WORDS, "speed": "1", "start_at": None, "data_folder": str(lake.root)}
    code = (
        "import json, pathlib, sys; from engine.cli.practice import run_serve\n"
        "words = json.loads(sys.argv[1]); words['data_folder'] = pathlib.Path(words['data_folder'])\n"
        "run_serve(**words)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(words)], stdout=subprocess.PIPE, text=True
    )
    told = json.loads(process.stdout.readline())
    assert requests.get(told["rest_url"] + "/practice/state", timeout=5).json()["speed"] == 1.0
    process.send_signal(number)
    assert process.wait(10) == 0
    process.stdout.close()
