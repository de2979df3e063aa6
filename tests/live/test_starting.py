"""Starting: once, detached, found again; real money only through every gate."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from live_session_kit import DATE, Session, wait_for
from small_disk import told_on_small_disk

from engine.errors import ParamsError
from engine.live.brokers.making import make_kite
from engine.live.clocks import SystemClock
from engine.live.control import starting
from engine.live.control.live_gate import LiveGateError, check_gate
from engine.live.control.processes import SUPERVISOR, Process, find
from engine.live.control.starting import StartError, start_session
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store

LIVE = {"mode": "live", "feed": "kite"}


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path)
    made.path.unlink()  # the start writes it
    yield made
    process = find(made.commands[SUPERVISOR])
    if process is not None:
        process.signal(signal.SIGKILL)
    made.clean()


def start(session, **more):
    return start_session(session.spec, commands=session.commands, wait_s=20, **more)


def test_started_session_is_up_when_the_call_returns(session):
    started = start(session)
    assert started.what == "started"
    assert started.phase == "trading"
    assert started.runner == session.pid("runner")
    assert session.places.spec.exists()
    assert started.mode_line == "PRACTICE session of account practice: no real money, SIMULATED PRICES"


def test_second_start_finds_the_first(session):
    first = start(session)
    second = start(session)
    assert second.what == "running"
    assert second.runner == first.runner


def test_two_starts_at_one_moment_give_one_session(session):
    found = []
    threads = [threading.Thread(target=lambda: found.append(start(session))) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(one.what for one in found) == ["running", "started"]
    assert found[0].runner == found[1].runner


def test_start_with_other_parameters_is_refused_and_says_what_differs(session, tmp_path):
    start(session)
    other = make_spec(load_session_params("practice", reconcile_seconds=30), date=DATE, data_folder=tmp_path)
    with pytest.raises(StartError, match=r"session\.reconcile_seconds: stop it first"):
        start_session(other, commands=session.commands)


def test_start_after_the_supervisor_was_killed_starts_only_the_supervisor(session):
    first = start(session)
    before = {name: session.pid(name) for name in ("runner", "feed", "watchdog")}
    find(session.commands[SUPERVISOR]).signal(signal.SIGKILL)
    wait_for(lambda: find(session.commands[SUPERVISOR]) is None)
    again = start(session)
    assert again.what == "supervised"
    assert again.runner == first.runner
    assert {name: session.pid(name) for name in before} == before
    assert find(session.commands[SUPERVISOR]) is not None


def test_runner_that_cannot_start_is_told_with_its_last_words(session):
    session.script("runner", "exit 4 say expiry-of-today-is-unknown")
    with pytest.raises(StartError, match=r"ended at once; last words: .*expiry-of-today-is-unknown"):
        start(session)


def test_runner_without_a_sign_of_life_is_told_and_goes_on(session):
    session.script("runner", "mute")
    session.places.logs.mkdir()
    yesterday = session.places.logs / "runner-20260101T000000-000000000.log"
    yesterday.write_text("words of yesterday")
    os.utime(yesterday, (1e9, 1e9))
    with pytest.raises(StartError, match=r"no sign of life yet.*last words: (?!words of yesterday)"):
        start_session(session.spec, commands=session.commands, wait_s=3)
    assert session.pid("runner")


def test_account_held_by_somebody_else_is_refused(session):
    with (
        Store.open(session.places.database, session.spec.account),
        pytest.raises(StartError, match="is held by"),
    ):
        start(session)


def test_flag_of_an_earlier_kill_must_be_reset_first(session):
    session.places.kill_flag.write_text("test")
    with pytest.raises(StartError, match="live reset"):
        start(session)


def test_session_is_out_of_reach_of_the_process_that_started_it(session, tmp_path):
    """The caller's whole process group is killed, as when a notebook's kernel dies; nobody notices."""
    program = tmp_path / "notebook.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from live_session_kit import Session\n"
        "from engine.live.control.starting import start_session\n"
        f"made = Session(Path({str(tmp_path)!r}))\n"
        "start_session(made.spec, commands=made.commands, wait_s=20)\n"
        "print('up', flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, start_new_session=True
    ) as caller:
        assert caller.stdout.readline() == b"up\n"
        supervisor = find(session.commands[SUPERVISOR])
        assert os.getsid(supervisor.pid) == supervisor.pid != os.getsid(caller.pid)
        os.killpg(caller.pid, signal.SIGINT)
        time.sleep(0.1)
        os.killpg(caller.pid, signal.SIGKILL)
    time.sleep(0.5)
    assert supervisor.alive
    assert set(session.alive()) == {"runner", "feed", "watchdog"}


def test_environment_is_handed_on_and_stands_on_no_command_line(session, monkeypatch):
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "sEcReT123")
    start(session)
    for process in [*session.alive().values(), find(session.commands[SUPERVISOR])]:
        folder = Path(f"/proc/{process.pid}")
        assert b"sEcReT123" in (folder / "environ").read_bytes()
        assert b"sEcReT123" not in (folder / "cmdline").read_bytes()
    for path in session.places.folder.rglob("*"):
        assert not path.is_file() or b"sEcReT123" not in path.read_bytes()
    for log in session.places.logs.iterdir():
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_systemd_is_used_where_it_works_and_outlives_a_logout(session, tmp_path, monkeypatch):
    called = tmp_path / "called"
    fake = tmp_path / "bin" / "systemd-run"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {called}\nwhile [ "${{1#--}}" != "$1" ]; do shift; done\nexec "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    linger = tmp_path / "linger"
    linger.mkdir()
    monkeypatch.setattr(starting, "LINGER", linger)
    assert starting._scope() == [], "no lingering: the scope would end at logout"
    (linger / starting.getpass.getuser()).touch()
    start(session)
    assert "--user --scope --quiet --collect" in called.read_text().splitlines()[-1]
    assert Process.of(find(session.commands[SUPERVISOR]).pid).alive


def live_spec(folder, **changes):
    session = load_session_params("paper", **{**LIVE, **changes})
    return make_spec(session, date=DATE, data_folder=folder, account="AB1234")


@pytest.mark.parametrize(
    ("switch", "typed", "missing"),
    [
        (None, None, "WORKBENCH_LIVE=1"),
        ("0", "LIVE AB1234", "WORKBENCH_LIVE=1"),
        ("true", "LIVE AB1234", "WORKBENCH_LIVE=1"),
        ("1", None, "LIVE AB1234"),
        ("1", "yes", "LIVE AB1234"),
        ("1", "LIVE", "LIVE AB1234"),
        ("1", "live ab1234", "LIVE AB1234"),
        ("1", "LIVE AB1234 ", "LIVE AB1234"),
        ("1", "LIVE ZZ9999", "LIVE AB1234"),
    ],
)
def test_real_money_needs_every_gate(tmp_path, monkeypatch, switch, typed, missing):
    monkeypatch.delenv("WORKBENCH_LIVE", raising=False)
    if switch is not None:
        monkeypatch.setenv("WORKBENCH_LIVE", switch)
    with pytest.raises(LiveGateError, match=missing):
        start_session(live_spec(tmp_path), confirmation=typed)
    assert list(tmp_path.iterdir()) == [], "nothing was written, nothing started"


def test_every_gate_open_lets_a_live_session_pass(tmp_path):
    check_gate(live_spec(tmp_path), "LIVE AB1234", {"WORKBENCH_LIVE": "1"})


@pytest.mark.parametrize("mode", ["paper", "practice"])
def test_paper_and_practice_pass_with_or_without_switch(tmp_path, mode):
    spec = make_spec(load_session_params(mode), date=DATE, data_folder=tmp_path)
    check_gate(spec, None, {})
    check_gate(spec, "LIVE AB1234", {"WORKBENCH_LIVE": "1"})


@pytest.mark.parametrize("feed", ["practice", "replay"])
def test_live_refuses_prices_that_no_market_made(tmp_path, feed):
    with pytest.raises(ParamsError):
        live_spec(tmp_path, feed=feed)
    forged = live_spec(tmp_path).model_copy(update={"feed": feed})
    with pytest.raises(LiveGateError, match="simulated or replayed"):
        check_gate(forged, "LIVE AB1234", {"WORKBENCH_LIVE": "1"})


@pytest.mark.parametrize("change", [{"mode": "paper"}, {"simulated": True}, {"broker": "paper"}])
def test_live_in_one_place_only_is_refused(tmp_path, change):
    forged = live_spec(tmp_path).model_copy(update=change)
    with pytest.raises(LiveGateError):
        check_gate(forged, "LIVE AB1234", {"WORKBENCH_LIVE": "1"})


def test_live_refuses_the_address_of_a_practice_exchange(tmp_path):
    spec = live_spec(tmp_path).model_copy(update={"broker_root": "http://127.0.0.1:8100"})
    with pytest.raises(
        LiveGateError, match=r"trades at Kite itself, not at http://127.0.0.1:8100; .* KITE_ROOT"
    ):
        check_gate(spec, "LIVE AB1234", {"WORKBENCH_LIVE": "1"})


def test_live_refuses_exits_that_come_after_the_brokers_own_square_off(tmp_path):
    def told(exit_time, within_s=120):
        changes = {"entry_end_time": "15:00", "forced_exit_time": exit_time}
        spec = live_spec(tmp_path, strategy_changes=changes, flatten_within_seconds=within_s)
        try:
            check_gate(spec, "LIVE AB1234", {"WORKBENCH_LIVE": "1"})
        except LiveGateError as error:
            return str(error)
        return ""

    assert told("15:23") == ""
    late = told("15:24")
    assert "forced_exit_time 15:24 too late: the broker closes MIS positions at 15:25" in late
    assert "set forced_exit_time to 15:23 or earlier" in late
    assert told("15:20", within_s=330) != told("15:19", within_s=330) == ""


@pytest.mark.parametrize("root", [None, "https://api.kite.trade", "https://API.Kite.trade/"])
def test_a_practice_session_never_reaches_kite_itself(tmp_path, monkeypatch, root):
    monkeypatch.setenv("KITE_API_KEY", "real")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "real")
    spec = make_spec(load_session_params("practice"), date=DATE, data_folder=tmp_path, broker_root=root)
    with pytest.raises(LiveGateError, match="Kite itself"):
        make_kite(spec, SystemClock())


def test_a_start_on_a_full_disk_is_refused_in_one_line_and_breaks_nothing(tmp_path):
    for (kind, text), untouched in told_on_small_disk(tmp_path, "starting"):
        assert kind == "StartError"
        assert "has no room of 16 MiB" in text
        assert "free space" in text
        assert "workbench live kill" in text
        assert "\n" not in text
        assert untouched


def test_process_started_by_hand_meets_the_switch_as_well(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_LIVE", raising=False)
    path = live_spec(tmp_path).write()
    for module in ("engine.live.supervisor", "engine.live.watchdog", "engine.live.runner"):
        done = subprocess.run(
            [sys.executable, "-m", module, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 4
        assert "WORKBENCH_LIVE=1" in done.stdout + done.stderr
