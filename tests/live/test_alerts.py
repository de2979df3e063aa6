"""The process that tells people what a session does, and alerts of processes without a log."""

import datetime as dt
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from messenger_stand_in import TOKEN, StandIn
from store_facts import DATE, fill, session, short

from engine.live import alerts
from engine.live.alerts import send_alert
from engine.live.log import events as e
from engine.live.log.reader import StoreReader
from engine.live.messages import messengers as m
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store


@pytest.fixture
def stand_in():
    server = StandIn()
    yield server
    server.stop()


def until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_send_alert_reaches_every_messenger_of_the_environment(stand_in, monkeypatch):
    monkeypatch.setenv(m.TELEGRAM_API, stand_in.url)
    monkeypatch.setenv(m.TELEGRAM_TOKEN, TOKEN)
    monkeypatch.setenv(m.TELEGRAM_CHAT, "42")
    monkeypatch.setenv(m.WEBHOOK_URL, f"{stand_in.url}/hook")
    send_alert("the runner is dead", "error", mode="live")
    assert sorted(path for _, path, _ in stand_in.posts) == [f"/bot{TOKEN}/sendMessage", "/hook"]
    assert all(text.startswith("LIVE ") and "ERROR the runner is dead" in text for text in stand_in.texts)


def test_send_alert_comes_back_in_time_and_never_raises(stand_in, monkeypatch, caplog):
    monkeypatch.setenv(m.WEBHOOK_URL, f"{stand_in.url}/hushhush")
    stand_in.answers = ["mute"]
    begun = time.monotonic()
    send_alert("anybody?", "error", within_s=0.5)
    assert time.monotonic() - begun < 8
    assert "alert not sent by webhook" in caplog.text
    assert "hushhush" not in caplog.text


def test_send_alert_without_any_messenger_says_nothing(monkeypatch, caplog):
    for name in (m.TELEGRAM_TOKEN, m.WEBHOOK_URL):
        monkeypatch.delenv(name, raising=False)
    send_alert("nobody listens")
    assert caplog.text == ""


# ---- the process ----


@pytest.fixture
def spec(tmp_path):
    params = load_session_params("practice", alerts=["telegram", "webhook"])
    made = make_spec(params, date=DATE, data_folder=tmp_path)
    made.write()
    return made


@pytest.fixture
def start(spec, stand_in, tmp_path):
    running = []

    def begin():
        environ = {
            **os.environ, m.TELEGRAM_API: stand_in.url, m.TELEGRAM_TOKEN: TOKEN, m.TELEGRAM_CHAT: "42",
            m.WEBHOOK_URL: f"{stand_in.url}/hook",
        }  # fmt: skip
        with (tmp_path / "alerts.log").open("ab") as log:
            command = [sys.executable, "-m", "engine.live.alerts", str(spec.places.spec)]
            running.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=_project()))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def _project():
    return Path(__file__).parents[2]


def hooked(stand_in):
    return [told["seq"] for _, path, told in stand_in.posts if path == "/hook"]


def beat(spec):
    with StoreReader(spec.places.database) as reader:
        return next((beat for beat in reader.beats() if beat.name == "alerts"), None)


def test_process_begins_at_todays_start_goes_on_after_a_kill_and_tells_the_end(
    spec, start, stand_in, tmp_path
):
    first = start()  # before there is a database
    with Store.open(spec.places.database, "practice") as store:
        yesterday = DATE - dt.timedelta(days=1)
        closed = [*short(1), fill("S1", "oS1", "x1", "BUY", 65, 1801)]
        old = store.append(
            session(yesterday),
            *closed,
            e.SessionEnded(date=yesterday, flat=True, charges=1, reason="day over"),
        )
        first.kill()
        first.wait()
        stand_in.posts.clear()
        forget_heartbeats(spec)
        (begun,) = store.append(session())
        second = start()
        stand_in.wait_for(lambda: begun.seq in hooked(stand_in))
        news = store.append(*short(2))
        stand_in.wait_for(lambda: news[2].seq in hooked(stand_in))
        assert min(hooked(stand_in)) == begun.seq > old[-1].seq
        until(lambda: beat(spec).seq == news[-1].seq)
        second.send_signal(signal.SIGKILL)
        second.wait()
        before = len(hooked(stand_in))
        later = store.append(fill("S2", "oS2", "x2", "BUY", 65, 1801))
        third = start()
        stand_in.wait_for(lambda: later[0].seq in hooked(stand_in))
        assert hooked(stand_in)[before:] == [later[0].seq]
        store.append(e.SessionEnded(date=DATE, flat=True, charges=100, reason="day over"))
        third.terminate()
        assert third.wait(15) == 0
    assert any("Gross Rs +646.75" in text for text in stand_in.texts)
    words = (tmp_path / "alerts.log").read_text()
    assert TOKEN not in words
    assert "/hook" not in words
    assert "Session of 2026-11-20 ended" in words
    assert words.count("Session of 2026-11-20 started") == 1


def forget_heartbeats(spec):
    """As on a new day after a reboot: nobody remembers how far alerts had got."""
    db = sqlite3.connect(spec.places.database)
    db.execute("DELETE FROM heartbeat")
    db.commit()
    db.close()


@pytest.fixture
def run_here(spec, monkeypatch):
    """Run the process's work in a thread of this one; gives the event that ends it and its exit codes."""
    ending, codes = threading.Event(), []
    threads = []

    def begin():
        log = logging.getLogger("test-alerts")
        threads.append(threading.Thread(target=lambda: codes.append(alerts.run(spec, ending, log))))
        threads[0].start()
        return codes

    yield begin
    ending.set()
    threads[0].join(20)


def test_dead_telegram_stops_neither_webhook_nor_heartbeat_nor_end(spec, run_here, stand_in, monkeypatch):
    monkeypatch.setattr(alerts, "AFTER_THE_END_S", 0.3)
    monkeypatch.setattr(alerts, "LAST_WORDS_S", 0.3)
    monkeypatch.setenv(m.TELEGRAM_API, "http://127.0.0.1:9")
    monkeypatch.setenv(m.TELEGRAM_TOKEN, TOKEN)
    monkeypatch.setenv(m.TELEGRAM_CHAT, "42")
    monkeypatch.setenv(m.WEBHOOK_URL, f"{stand_in.url}/hook")
    with Store.open(spec.places.database, "practice") as store:
        store.append(session())
        codes = run_here()
        until(lambda: beat(spec) is not None)
        news = store.append(*short())
        stand_in.wait_for(lambda: news[2].seq in hooked(stand_in))
        until(lambda: "no answer (ConnectError)" in beat(spec).status)
        assert beat(spec).seq < news[0].seq
        store.append(e.SessionEnded(date=DATE, flat=True, charges=100, reason="day over"))
        until(lambda: codes)
    assert codes == [1]


def test_process_nobody_ends_ends_by_itself_after_the_day(spec, run_here, stand_in, monkeypatch):
    monkeypatch.setattr(alerts, "QUIET_S", 0.3)
    monkeypatch.setenv(m.WEBHOOK_URL, f"{stand_in.url}/hook")
    with Store.open(spec.places.database, "practice") as store:
        store.append(session())
        codes = run_here()
        stand_in.wait_for(lambda: stand_in.posts)
        until(lambda: beat(spec) is not None)
        assert m.TELEGRAM_TOKEN in beat(spec).status  # asked for, but not to be had here
        (ended,) = store.append(e.SessionEnded(date=DATE, flat=True, charges=100, reason="day over"))
        until(lambda: codes)
    assert codes == [0]
    assert hooked(stand_in)[-1] == ended.seq


def test_spec_that_does_not_exist_ends_the_process_for_good(tmp_path):
    command = [sys.executable, "-m", "engine.live.alerts", str(tmp_path / "no.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_project())
    assert done.returncode == 4
    assert "start a session first" in done.stderr
