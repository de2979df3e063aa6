"""`workbench live stop` where the runner has taken the command and does not end."""

import signal
from types import SimpleNamespace

import pytest

from engine.cli import live_start
from engine.errors import WorkbenchError
from engine.live.control.processes import RUNNER, SUPERVISOR
from engine.live.spec import SessionSpec


@pytest.fixture
def stop(monkeypatch):
    """Ask a runner of these prices that answers in this state; the signals that were sent."""

    def ask(*, simulated, state):
        sent = []
        monkeypatch.setattr(live_start, "submit", lambda *_: 1)
        monkeypatch.setattr(
            live_start, "await_answer", lambda *_, **__: SimpleNamespace(state=state, answer="stopped")
        )
        monkeypatch.setattr(live_start, "_await_end", lambda *_: None)
        monkeypatch.setattr(SessionSpec, "read", lambda _: SimpleNamespace(simulated=simulated))
        alive = {name: SimpleNamespace(signal=sent.append) for name in (RUNNER, SUPERVISOR)}
        return sent, lambda: live_start._end_session(SimpleNamespace(spec=""), alive, False, 45)

    return ask


def test_a_runner_that_may_hold_a_naked_short_is_not_signalled(stop):
    """The supervisor kills a runner that does not end within its time after a signal."""
    sent, end = stop(simulated=False, state="taken")
    with pytest.raises(WorkbenchError, match=r"not stopped after 45 s: .*workbench live kill"):
        end()
    assert sent == []


def test_one_of_a_played_day_is(stop):
    sent, end = stop(simulated=True, state="taken")
    assert end() == ""
    assert sent == [signal.SIGTERM]


def test_one_that_has_answered_needs_no_signal(stop):
    sent, end = stop(simulated=False, state="done")
    assert (end(), sent) == ("stopped", [])
