"""The live notebooks by papermill against a practice exchange: they start, find, refuse, return; the session lives on."""

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

from engine.cli.rehearsal import find_day
from engine.cli.rehearsal_processes import log_in, practice_exchange
from engine.desk.live_notebook import LiveSessionNotebook
from engine.desk.notebook import check_parameters
from engine.errors import ParamsError
from engine.history.lake import Lake
from engine.live.control.processes import find_all, session_commands
from engine.live.log.reader import StoreReader
from engine.live.places import Places
from engine.market.clock import IST
from engine.params import load_params

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOKS = PROJECT / "notebooks"
DAY = dt.date(2026, 10, 26)
SPEED = 30

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """A practice exchange that plays a simulated day; its login stands in the environment."""
    home = tmp_path_factory.mktemp("exchange")
    lake, params = Lake(home / "data"), load_params()
    entry = find_day(lake, params.underlying, DAY, None)
    with (
        practice_exchange(lake, entry, params, str(SPEED), 0, (), 0, home) as told,
        pytest.MonkeyPatch.context() as environment,
    ):
        token = log_in(told)
        environment.setenv("KITE_API_KEY", told["api_key"])
        environment.setenv("KITE_ACCESS_TOKEN", token)
        yield {**told, "token": token}


class Account:
    """A data folder of its own, its notebook's parameters, and whatever runs in it."""

    def __init__(self, folder, exchange):
        self.folder = folder
        self.places = Places(folder.resolve() / "data", "practice")
        self.parameters = {
            "data_folder": str(folder / "data"),
            "session": "practice",
            "date": DAY.isoformat(),
            "practice_exchange": exchange["rest_url"],
            "feed_options": {"speed": SPEED},
        }

    def run(self, name="10_live_session", **changes):
        out = self.folder / f"{name}-{time.monotonic_ns()}.ipynb"
        papermill.execute_notebook(
            NOTEBOOKS / f"{name}.ipynb",
            out,
            {**self.parameters, **changes},
            cwd=NOTEBOOKS,
            progress_bar=False,
        )
        return out

    @property
    def alive(self):
        return find_all(session_commands(self.places.spec))

    def beat(self):
        with StoreReader(self.places.database) as reader:
            return next(each for each in reader.beats() if each.name == "runner")

    def goes_on(self):
        """Whether the session's own clock advances."""
        first = json.loads(self.beat().status)["now_ns"]
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if json.loads(self.beat().status)["now_ns"] > first:
                return True
            time.sleep(0.2)
        return False

    def end(self):
        for name in ("supervisor", "runner", "feed", "watchdog", "alerts"):
            process = self.alive.get(name)
            if process is not None:
                process.end(20)


@pytest.fixture
def account(tmp_path, exchange):
    one = Account(tmp_path, exchange)
    yield one
    one.end()


def texts(path):
    return "".join(
        output.get("text", "") + "".join(output.get("data", {}).values() if output.get("data") else ())
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", ())
    )


def test_notebook_starts_a_session_returns_and_the_session_lives_on(account, exchange):
    out = account.run()
    alive = account.alive
    assert {"runner", "feed", "watchdog", "supervisor"} <= set(alive)
    told = texts(out)
    assert "PRACTICE session of account practice: no real money, SIMULATED PRICES" in told
    assert f"started: runner is process {alive['runner'].pid}" in told
    assert account.goes_on()
    assert exchange["token"] not in out.read_text()

    again = texts(account.run())
    assert f"running: runner is process {alive['runner'].pid}" in again
    assert account.alive["runner"] == alive["runner"]

    room = account.folder / "room.ipynb"
    papermill.execute_notebook(
        NOTEBOOKS / "11_control_room.ipynb", room,
        {"data_folder": account.parameters["data_folder"], "account": "practice"}, cwd=NOTEBOOKS, progress_bar=False,
    )  # fmt: skip
    shown = json.dumps(nbformat.read(room, as_version=4).metadata.get("widgets", {}))
    assert "data-mode='practice'" in shown
    assert "SIMULATED PRICES" in shown
    assert account.goes_on()


def test_another_session_of_the_account_is_refused(account):
    account.run()
    runner = account.alive["runner"]
    with pytest.raises(papermill.PapermillExecutionError, match="runs another session already"):
        account.run(changes={"on_sigterm": "flatten"})
    assert account.alive["runner"] == runner


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_papermill_and_its_kernel_may_be_killed_once_the_session_is_up(account, number):
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(NOTEBOOKS / "10_live_session.ipynb"),
        str(account.folder / "o.ipynb"),
    ]
    for name, value in account.parameters.items():
        command += ["-y", json.dumps({name: value})]
    told = subprocess.Popen(
        command, cwd=NOTEBOOKS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while "runner" not in account.alive and time.monotonic() < deadline:
            assert told.poll() is None, "papermill ended without a runner"
            time.sleep(0.05)
        runner = account.alive["runner"]
        os.killpg(told.pid, number)  # papermill and its kernel, as a closed terminal would
    finally:
        told.wait(60)
    deadline = time.monotonic() + 60
    while not account.places.database.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    out = account.run()  # waits for the heartbeat where there is none yet
    assert f"running: runner is process {runner.pid}" in texts(out)
    assert account.goes_on()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sesion": "practice"}, r"no parameter 'sesion'; did you mean 'session'\?"),
        ({"access_token": "abc-not-to-be-told"}, "'access_token' looks like a secret"),
        ({"changes": {"kite_api_key": "abc-not-to-be-told"}}, "kite_api_key looks like a secret"),
    ],
)
def test_unknown_parameters_and_secrets_are_refused_before_anything_starts(account, changes, words):
    with pytest.raises(papermill.PapermillExecutionError, match=words) as refused:
        account.run(**changes)
    assert "abc-not-to-be-told" not in str(refused.value.evalue)
    assert not account.places.folder.exists()
    assert account.alive == {}


NONE_GIVEN = {
    "data_folder": None, "session": "practice", "changes": {}, "strategy_changes": {}, "date": None, "account": None,
    "confirmation": None, "practice_exchange": "http://127.0.0.1:9/", "feed_options": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"changes": {"strategy_changes": {"token": "abc-not-to-be-told"}}}, "token looks like a secret"),
        ({"strategy_changes": {"api_secret": "abc-not-to-be-told"}}, "api_secret looks like a secret"),
        ({"feed_options": {"access_token": "abc-not-to-be-told"}}, "access_token looks like a secret"),
        ({"changes": {"on_sigtrm": "leave"}}, "unknown parameter 'on_sigtrm'; did you mean 'on_sigterm'"),
        ({"strategy_changes": {"max_lot": 3}}, "unknown parameter 'max_lot'; did you mean 'max_lots'"),
        ({"changes": {"mode": "live"}}, "mode live"),
        ({"date": "26-10-2026"}, "not a date; write it as '2026-10-30'"),
    ],
)
def test_wrong_values_are_refused_by_name(given, words):
    names = {**NONE_GIVEN, **given}
    with pytest.raises(ParamsError, match=re.escape(words)) as refused:
        _ = check_parameters(LiveSessionNotebook, names).spec
    assert "abc-not-to-be-told" not in str(refused.value)


def test_address_of_the_exchange_gives_both_of_its_doors_and_today_is_the_day():
    spec = check_parameters(LiveSessionNotebook, {**NONE_GIVEN, "feed_options": {"speed": 60}}).spec
    assert spec.broker_root == "http://127.0.0.1:9"
    assert spec.feed_options == {
        "rest_url": "http://127.0.0.1:9",
        "ticker_url": "ws://127.0.0.1:9",
        "speed": 60,
    }
    assert spec.date == dt.datetime.now(IST).date()


def test_failed_check_stops_the_notebook_before_anything_starts(account):
    with pytest.raises(papermill.PapermillExecutionError, match=r"pre-flight failed: .*nothing was started"):
        account.run(practice_exchange="http://127.0.0.1:9")
    assert account.alive == {}
    assert not account.places.spec.exists()


def test_live_is_not_started_by_a_parameter_alone(account, monkeypatch):
    monkeypatch.delenv("WORKBENCH_LIVE", raising=False)
    with pytest.raises(papermill.PapermillExecutionError, match=r"WORKBENCH_LIVE|pre-flight failed"):
        account.run(session="paper", changes={"mode": "live"}, account="AB1234", feed_options={})
    assert find_all(session_commands(Places(account.places.data_folder, "AB1234").spec)) == {}
