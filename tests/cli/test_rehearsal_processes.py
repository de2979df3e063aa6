"""The session's processes of a rehearsal."""

import datetime as dt
import sys

from engine.cli import rehearsal_processes
from engine.live.control.processes import SUPERVISOR
from engine.live.spec import load_session_params, make_spec


def test_a_date_of_death_left_in_the_environment_says_nothing_of_the_rehearsal_s_login(tmp_path, monkeypatch):
    spec = make_spec(load_session_params("practice"), date=dt.date(2026, 9, 1), data_folder=tmp_path)
    program = "import os; print(sorted(name for name in os.environ if name.startswith('KITE_')))"
    words = {SUPERVISOR: (sys.executable, "-c", program)}
    monkeypatch.setattr(rehearsal_processes, "session_commands", lambda _: words)
    monkeypatch.setenv("KITE_TOKEN_DIES", "2026-11-19T06:00:00+05:30")
    with rehearsal_processes.running_session(spec, "fresh") as supervisor:
        assert supervisor.wait(30) == 0
    told = (spec.places.logs / "supervisor.log").read_text()
    assert "KITE_ACCESS_TOKEN" in told
    assert "KITE_TOKEN_DIES" not in told
