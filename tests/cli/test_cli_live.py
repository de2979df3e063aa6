"""`workbench live` with a session's own processes against the practice exchange: found, asked, killed by every door."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from rich.console import Console
from simulated_day import day_to_play, simulated_lake

from engine.cli import show
from engine.cli.live_status import judge
from engine.desk.live_reading import LiveReading
from engine.live.control.processes import RUNNER, SUPERVISOR, Process, find_all, session_commands
from engine.live.log.reader import StoreReader
from engine.live.log.state import Latch
from engine.live.places import Places
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

UP_S = 60
LOGIN = "workbench login kite --root http://127.0.0.1:1"


def live(*words, data, check=None):
    command = [sys.executable, "-m", "engine.cli", "live", *words, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    if check is not None:
        assert done.returncode == check, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def told(*words, data, check=0):
    return json.loads(live(*words, "--json", data=data, check=check).stdout)


def wait_for(what, within_s, why):
    deadline = time.monotonic() + within_s
    while not (value := what()):
        assert time.monotonic() < deadline, f"{why}: not within {within_s} s"
        time.sleep(0.2)
    return value


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return day_to_play(simulated_lake(tmp_path_factory.mktemp("live-cli")))


@pytest.fixture
def exchange(day, monkeypatch):
    with PracticeServer(day, ServerSettings(pace=PaceSettings(speed=60.0, start_minute=120))) as server:
        monkeypatch.setenv("KITE_ROOT", server.rest_url)
        monkeypatch.setenv("KITE_API_KEY", server.api_key)
        monkeypatch.setenv("KITE_ACCESS_TOKEN", server.grant_token())
        yield server


@pytest.fixture
def data(exchange, tmp_path):
    """A running session; whatever is left of it is ended."""
    started = told("start", "--session", "practice", "--wait", str(UP_S), data=tmp_path)
    assert started["what"] == "started"
    yield tmp_path
    for _ in range(2):  # what a supervisor starts between two looks
        for process in alive(tmp_path).values():
            process.signal(signal.SIGKILL)
            process.wait(5)


def alive(data):
    return find_all(session_commands(Places(data, "practice").spec))


def at_work(data):
    """Positions or orders are open, by the log."""
    with StoreReader(Places(data, "practice").database) as reader:
        return bool(reader.positions() or reader.orders(only_open=True))


def test_life_of_a_session(data, exchange):
    again = told("start", "--session", "practice", data=data)
    assert again["what"] == "running"
    other = live("start", "--session", "practice", "-s", "reconcile_seconds=30", data=data, check=2)
    assert "session.reconcile_seconds" in other.stderr
    assert other.stderr.count("\n") == 1

    wait_for(lambda: live("status", data=data).returncode == 0, UP_S, "status well")
    status = told("status", data=data)
    assert (status["state"], status["mode"], status["simulated"]) == ("well", "practice", True)
    assert status["processes"].keys() == {"supervisor", "runner", "feed", "watchdog"}

    assert "no new entries" in live("pause", data=data, check=0).stdout
    refused = live("pause", data=data, check=1)
    assert "refused" in refused.stderr
    paused = told("status", data=data, check=2)
    assert any("REDUCING" in word for word in paused["why"])
    live("resume", data=data, check=0)
    assert "position 77 is not open" in live("flatten", "77", data=data, check=1).stderr
    assert "nothing to reset" in live("reset", "--reason", "test", data=data, check=1).stderr

    wait_for(lambda: at_work(data), UP_S, "orders at work")
    killed = told("kill", "--yes", "--reason", "test", data=data)
    assert killed["flat"] is True
    assert killed["door"] == "command"
    assert killed["seconds"] < 30
    print(f"kill by command -> proved flat: {killed['seconds']} s")
    assert not at_work(data)
    assert told("status", data=data, check=2)["latch"]["state"] != "ACTIVE"
    live("reset", "--reason", "looked at it", data=data, check=0)

    lines = [line["text"] for line in told("tail", "-n", "40", data=data)["lines"]]
    assert any("KILL" in line for line in lines)
    assert "KILL" in live("tail", data=data, check=0).stdout

    assert "stops stay at the broker" in live("stop", data=data, check=0).stdout
    assert alive(data) == {}
    assert told("status", data=data, check=1)["state"] == "not running"
    assert "no session runs" in live("stop", data=data, check=1).stdout
    assert live("pause", data=data, check=2).stderr.count("\n") == 1


def test_kill_of_a_frozen_runner_goes_by_the_flag_and_the_watchdog(data, exchange):
    wait_for(lambda: at_work(data), UP_S, "orders at work")
    alive(data)[RUNNER].signal(signal.SIGSTOP)
    killed = told("kill", "--yes", "--reason", "frozen", data=data)
    assert killed["flat"] is True
    assert killed["door"] == "flag"
    print(f"kill of a frozen runner -> proved flat: {killed['seconds']} s")
    wait_for(lambda: not alive(data), 30, "all ended")
    assert not at_work(data)
    flag = Places(data, "practice").kill_flag
    assert flag.read_text() == "frozen\n"
    refused = live("start", "--session", "practice", data=data, check=2)
    assert "live reset" in refused.stderr
    live("reset", "--reason", "looked at it", data=data, check=0)  # without a runner
    assert not flag.exists()
    assert told("status", data=data, check=1)["latch"]["state"] == "ACTIVE"


def test_kill_where_nobody_lives_is_done_by_the_command_itself(data, exchange):
    wait_for(lambda: at_work(data), UP_S, "orders at work")
    for name in (SUPERVISOR, RUNNER, "watchdog", "feed"):
        process = alive(data).get(name)
        process.signal(signal.SIGKILL)
        process.wait(5)
    assert alive(data) == {}
    killed = told("kill", "--yes", data=data)
    assert killed["flat"] is True
    assert killed["door"] == "here"
    print(f"kill with nobody alive -> proved flat: {killed['seconds']} s")


def test_dead_runner_without_restarts_left_is_closed_by_the_watchdog(exchange, tmp_path):
    told("start", "--session", "practice", "-s", "restarts=0", "--wait", str(UP_S), data=tmp_path)
    try:
        wait_for(lambda: at_work(tmp_path), UP_S, "orders at work")
        began = time.monotonic()
        alive(tmp_path)[RUNNER].signal(signal.SIGKILL)
        wait_for(lambda: not at_work(tmp_path), 30, "closed")
        print(f"death of the last runner -> proved flat: {time.monotonic() - began:.2f} s")
        wait_for(lambda: not alive(tmp_path), 30, "all ended")
    finally:
        for process in alive(tmp_path).values():
            process.signal(signal.SIGKILL)
    status = told("status", data=tmp_path, check=1)
    assert status["latch"] == {"state": "FLATTENING", "reason": "the runner is dead", "who": "watchdog"}
    assert exchange.call(lambda: all(order.ended for order in exchange.exchange.orders.values()))


def test_stop_without_an_answer_goes_by_signal(data, exchange):
    alive(data)[RUNNER].signal(signal.SIGSTOP)
    refused = live("stop", "--flatten", data=data, check=2)
    assert "workbench live kill" in refused.stderr
    alive(data)[RUNNER].signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 1),
        (["stop"], 2),
        (["kill", "--yes"], 2),
        (["tail"], 2),
        (["pause"], 2),
        (["flatten", "1"], 2),
    ],
)
def test_commands_without_any_session_say_so_in_one_line(tmp_path, words, code):
    done = live(*words, data=tmp_path, check=code)
    assert "workbench live start" in done.stderr + done.stdout
    assert (done.stderr + done.stdout).count("\n") == 1


def test_live_is_refused_without_its_gates(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_LIVE", raising=False)
    words = ["start", "--mode", "live", "--account", "AB1234"]
    assert "WORKBENCH_LIVE=1" in live(*words, "--confirm", "LIVE AB1234", data=tmp_path, check=2).stderr
    monkeypatch.setenv("WORKBENCH_LIVE", "1")
    assert "'LIVE AB1234'" in live(*words, "--confirm", "LIVE", data=tmp_path, check=2).stderr
    assert "'LIVE AB1234'" in live(*words, data=tmp_path, check=2).stderr
    assert not (tmp_path / "state").exists()


def test_a_day_without_a_session_is_refused_before_anything_starts(tmp_path):
    refused = live("start", "--date", "2026-10-03", data=tmp_path, check=2).stderr
    assert "does not trade on 2026-10-03 (Saturday)" in refused
    assert "2026-10-05" in refused
    refused = live("start", "--date", "2026-10-05", data=tmp_path, check=2).stderr
    assert "start it on its own day" in refused
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("terminal", "quiet", "seen"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_person_at_a_terminal_sees_a_sign_of_life_and_a_script_nothing(monkeypatch, terminal, quiet, seen):
    written = io.StringIO()
    monkeypatch.setattr(show, "notes", Console(file=written, force_terminal=terminal))
    with show.waiting("stopping the session", quiet=quiet):
        pass
    assert ("stopping the session" in written.getvalue()) is seen


def test_secret_as_a_parameter_is_refused(tmp_path):
    refused = live("start", "-s", "access_token=abc123", data=tmp_path, check=2)
    assert "secret" in refused.stderr
    assert "abc123" not in refused.stderr


class TestJudge:
    """What makes a session unwell."""

    @pytest.fixture
    def view(self, tmp_path):
        empty = LiveReading(Places(tmp_path, "practice")).view()
        lights = tuple(replace(light, condition="ok") for light in empty.lights)
        return replace(empty, lights=lights, latch=Latch("ACTIVE", "", "", 0), prices_doubtful="")

    @pytest.fixture
    def all_alive(self):
        me = Process.of(os.getpid())
        return dict.fromkeys(["runner", "supervisor", "watchdog", "feed"], me)

    def test_well(self, view, all_alive):
        assert judge(view, all_alive, flagged=False) == ("well", [])

    @pytest.mark.parametrize("missing", ["runner", "supervisor", "watchdog", "feed"])
    def test_missing_process(self, view, all_alive, missing):
        del all_alive[missing]
        state, why = judge(view, all_alive, flagged=False)
        assert state == "unwell"
        assert f"{missing} does not run" in why

    @pytest.mark.parametrize("name", ["runner", "feed", "broker", "watchdog", "database"])
    def test_light_that_is_not_green(self, view, all_alive, name):
        lights = tuple(replace(each, condition="bad") if each.name == name else each for each in view.lights)
        assert judge(replace(view, lights=lights), all_alive, flagged=False)[0] == "unwell"

    @pytest.mark.parametrize("latch", ["REDUCING", "HALTED", "FLATTENING"])
    def test_latch(self, view, all_alive, latch):
        tight = replace(view, latch=Latch(latch, "mismatch", "reconcile", 0))
        state, why = judge(tight, all_alive, flagged=False)
        assert state == "unwell"
        assert why == [f"latch {latch}: mismatch (by reconcile)"]

    def test_kill_flag(self, view, all_alive):
        assert judge(view, all_alive, flagged=True)[0] == "unwell"

    def test_login_needed(self, view, all_alive):
        state, why = judge(replace(view, phase="login_needed", login=LOGIN), all_alive, flagged=False)
        assert state == "unwell"
        assert LOGIN in why[0]

    def test_nobody_lives(self, view):
        assert judge(view, {}, flagged=False) == ("not running", ["no process lives"])

    def test_why_the_runner_is_gone(self, view, all_alive):
        del all_alive["runner"]
        words = "the runner before ended after 9.0 s: signal 9"
        assert words in judge(replace(view, runner_before=words), all_alive, flagged=False)[1]
        all_alive["runner"] = all_alive["feed"]
        assert judge(replace(view, runner_before=words), all_alive, flagged=False) == ("well", [])

    def test_a_stop_is_told(self, view):
        stopped = replace(view, phase="stopped")
        assert judge(stopped, {}, flagged=False) == ("not running", ["it was stopped", "no process lives"])
