"""The supervisor over real processes that stand in for runner, feed and watchdog."""

import os
import signal
import time

import pytest
from live_session_kit import Session, wait_for

from engine.live.control.children import Child
from engine.live.control.processes import KEPT_LOGS, Process, find, last_words, log_files, open_log

UP = ("runner", "feed", "watchdog", "supervisor")


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path)
    yield made
    made.clean()


def restarted(session, name, old):
    return wait_for(lambda: (pid := session.pid(name)) not in {0, old} and pid, why=session.words())


def test_killed_runner_is_started_again_at_once(session):
    session.supervise()
    session.wait_up(*UP)
    old = session.pid("runner")
    began = time.monotonic()
    os.kill(old, signal.SIGKILL)
    restarted(session, "runner", old)
    assert time.monotonic() - began < 10, "as after a lease that was held, or later"
    wait_for(lambda: session.beat("runner").pid not in {0, old})


def test_fourth_death_within_ten_minutes_is_left_to_the_watchdog(session):
    session.supervise()
    session.wait_up(*UP)
    for _ in range(3):
        old = session.pid("runner")
        os.kill(old, signal.SIGKILL)
        restarted(session, "runner", old)
    os.kill(session.pid("runner"), signal.SIGKILL)
    wait_for(lambda: '"state":"given_up"' in session.beat("supervisor").status)
    time.sleep(0.5)
    assert not session.pid("runner")
    assert session.pid("watchdog")
    assert session.pid("feed")


def test_watchdog_that_has_closed_everything_ends_the_session(session):
    supervisor = session.supervise()
    session.wait_up(*UP)
    session.script("watchdog", "exit 0")
    assert supervisor.wait(15) == 1
    assert session.alive() == {}


@pytest.mark.parametrize("name", ["feed", "watchdog"])
def test_killed_neighbour_is_started_again_and_the_runner_does_not_notice(session, name):
    session.supervise()
    session.wait_up(*UP)
    runner, old = session.pid("runner"), session.pid(name)
    os.kill(old, signal.SIGKILL)
    restarted(session, name, old)
    assert session.pid("runner") == runner


def test_neighbour_that_dies_at_once_is_not_started_in_a_hot_loop(tmp_path):
    child = Child("feed", ["/bin/false"], tmp_path)
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        if child.check() is None and child.due:
            child.start()
        time.sleep(0.01)
    assert child.starts == 3, "at once, after half a second, after another second"


def test_neighbour_that_cannot_be_started_is_tried_again_with_patience(tmp_path):
    child = Child("feed", [str(tmp_path / "absent")], tmp_path)
    child.start()
    assert "cannot be started" in child.check().why
    assert child.check() is None, "told once"
    assert not child.due
    wait_for(lambda: child.due, 2)


def test_session_is_over_when_the_runner_ends_by_itself(session):
    supervisor = session.supervise()
    session.wait_up(*UP)
    session.script("runner", "exit 0")
    assert supervisor.wait(15) == 0
    assert session.alive() == {}


def test_runner_that_cannot_start_is_not_tried_again(session):
    session.script("runner", "exit 4")
    supervisor = session.supervise()
    assert supervisor.wait(15) == 4
    assert len(log_files("runner", session.places.logs)) == 1
    assert session.alive() == {}


def test_runner_that_could_start_before_is_tried_again_then_left_to_the_watchdog(session):
    session.supervise()
    session.wait_up(*UP)
    session.script("runner", "exit 4")
    wait_for(lambda: '"state":"given_up"' in session.beat("supervisor").status)
    assert len(log_files("runner", session.places.logs)) == 4
    assert session.pid("watchdog")


def test_lease_held_by_another_is_waited_for_and_not_counted(session):
    session.script("runner", "exit 3")
    session.supervise()
    wait_for(lambda: len(log_files("runner", session.places.logs)) >= 2)
    (session.places.folder / "runner.script").unlink()
    session.wait_up("runner", "supervisor")
    assert '"restarts":0' in session.beat("supervisor").status


def test_sigterm_is_passed_on_and_all_end(session):
    supervisor = session.supervise()
    session.wait_up(*UP)
    supervisor.terminate()
    assert supervisor.wait(15) == 0
    assert session.alive() == {}
    assert '"phase":"done"' in session.beat("runner").status


def test_killed_supervisor_leaves_the_others_and_the_next_one_finds_them(session):
    first = session.supervise()
    session.wait_up(*UP)
    before = {name: session.pid(name) for name in ("runner", "feed", "watchdog")}
    first.kill()
    first.wait()
    second = session.supervise()
    wait_for(lambda: session.beat("supervisor").pid == second.pid)
    assert {name: session.pid(name) for name in before} == before
    old = session.pid("runner")
    os.kill(old, signal.SIGKILL)  # an adopted one is looked after as well
    restarted(session, "runner", old)
    second.terminate()
    assert second.wait(15) == 0
    assert session.alive() == {}


def test_adopted_runner_that_said_done_is_not_started_again(session):
    first = session.supervise()
    session.wait_up(*UP)
    first.kill()
    first.wait()
    second = session.supervise()
    wait_for(lambda: session.beat("supervisor").pid == second.pid)
    os.kill(session.pid("runner"), signal.SIGTERM)
    assert second.wait(15) == 0


def test_two_supervisors_cannot_be(session):
    session.supervise()
    session.wait_up(*UP)
    assert session.supervise().wait(15) == 3
    assert len(session.alive()) == 3


def test_children_are_in_sessions_of_their_own(session):
    session.supervise()
    session.wait_up(*UP)
    for process in session.alive().values():
        assert os.getsid(process.pid) == process.pid


def test_no_signal_reaches_a_reused_number():
    me = Process.of(os.getpid())
    assert me is not None
    assert me.alive
    later = Process(me.pid, me.start + 1)
    assert not later.alive
    assert not later.signal(signal.SIGKILL), "or this test would be dead"


def test_process_is_found_by_its_whole_command_line_only(session):
    session.supervise()
    session.wait_up(*UP)
    command = session.commands["runner"]
    assert find(command).pid == session.pid("runner")
    assert find(command[:-1]) is None
    assert find([*command, "more"]) is None


def test_old_logs_go_and_the_last_words_stay(tmp_path):
    for number in range(KEPT_LOGS + 5):
        handle = open_log("runner", tmp_path)
        os.write(handle, f"start {number}\n\nbye {number}\n".encode())
        os.close(handle)
    os.close(open_log("runner", tmp_path))  # started, has said nothing yet
    assert len(log_files("runner", tmp_path)) == KEPT_LOGS
    assert last_words("runner", tmp_path) == f"start {KEPT_LOGS + 4} / bye {KEPT_LOGS + 4}"
