"""`workbench login kite` against the practice exchange's login page, over real sockets."""

import datetime as dt
import json
import socket
import stat
import subprocess
import time
import urllib.parse

import pytest
import requests
from practice_for_cli import PROJECT, command, environ, played_day, serving, workbench
from simulated_day import DATE

from engine.cli import login
from engine.cli.login import LoginError, _token_in
from engine.live.brokers.kite_token import read_secrets
from engine.live.spec import load_session_params, make_spec
from engine.market.clock import IST


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return played_day(tmp_path_factory.mktemp("login-data"))


@pytest.fixture
def server(day):
    with serving(day) as running:
        yield running


@pytest.fixture
def env_file(tmp_path, server):
    file = tmp_path / ".env"
    file.write_text(f"# mine\nKITE_API_KEY={server.api_key}\nKITE_API_SECRET={server.api_secret}\nOTHER=1\n")
    file.chmod(0o600)
    return file


def landed(server):
    """Address that the login page leads to."""
    answer = requests.get(f"{server.rest_url}/connect/login?api_key={server.api_key}&v=3", timeout=5)
    return answer.url


def token_of(address):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)["request_token"][0]


def log_in(server, env_file, *more, **given):
    return workbench(
        "login",
        "kite",
        "--no-browser",
        "--root",
        server.rest_url,
        "--env-file",
        str(env_file),
        *more,
        **given,
    )


def stored(env_file):
    return dict(line.split("=", 1) for line in env_file.read_text().splitlines() if "=" in line)


def assert_good(server, env_file):
    held = stored(env_file)
    assert server.login.is_good(server.api_key, held["KITE_ACCESS_TOKEN"])
    assert held["KITE_TOKEN_DIES"].endswith("T06:00:00+05:30")
    assert held["OTHER"] == "1"
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600


def test_request_token_becomes_todays_token(server, env_file):
    token = token_of(landed(server))
    done = log_in(server, env_file, "--request-token", token)
    assert done.returncode == 0, done.stderr
    assert_good(server, env_file)
    assert f"logged in as {server.settings.exchange.user_id}; good until" in done.stdout
    assert "06:00 IST" in done.stdout
    for secret in (token, server.api_secret, stored(env_file)["KITE_ACCESS_TOKEN"]):
        assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize("whole", [True, False])
def test_pasted_address_or_token_is_not_shown(server, env_file, whole):
    address = landed(server)
    done = log_in(server, env_file, typed=(address if whole else token_of(address)) + "\n")
    assert done.returncode == 0, done.stderr
    assert_good(server, env_file)
    assert token_of(address) not in done.stdout + done.stderr
    assert "KITE_REDIRECT_URL" in done.stdout  # how not to paste next time


def test_browser_that_comes_back_needs_no_pasting(day, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    back = f"http://127.0.0.1:{port}/kite"
    with serving(day, redirect_url=back) as server:
        file = tmp_path / ".env"
        file.write_text(f"KITE_API_KEY={server.api_key}\nKITE_API_SECRET={server.api_secret}\nOTHER=1\n")
        file.chmod(0o600)
        arguments = [
            "login",
            "kite",
            "--no-browser",
            "--root",
            server.rest_url,
            "--env-file",
            str(file),
            "--json",
        ]
        with subprocess.Popen(
            command(*arguments), env=environ(KITE_REDIRECT_URL=back), cwd=PROJECT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            page = process.stderr.readline().removeprefix("log in at ").strip()
            assert "waiting" in process.stderr.readline()
            assert requests.get(f"http://127.0.0.1:{port}/favicon.ico", timeout=5).status_code == 404
            answer = requests.get(page, timeout=5)
            assert "You may close this page" in answer.text
            told = json.loads(process.stdout.read())
            rest = process.stderr.read()
        assert process.returncode == 0
        assert told["user_id"] == server.settings.exchange.user_id
        assert token_of(answer.url) not in rest
        assert_good(server, file)


def test_listener_takes_one_token_only():
    with login._Listener(0) as listener:
        here = f"http://127.0.0.1:{listener._server.server_port}/?request_token="
        assert requests.get(f"{here}first", timeout=5).status_code == 200
        assert requests.get(f"{here}second", timeout=5).status_code == 404
        assert listener.wait(5) == "first"


def test_login_that_was_cancelled_in_the_browser_is_told():
    with login._Listener(0) as listener:
        answer = requests.get(f"http://127.0.0.1:{listener._server.server_port}/?status=cancelled", timeout=5)
        assert "Look into the terminal" in answer.text
        with pytest.raises(LoginError, match="cancelled"):
            listener.wait(5)


def test_listener_gives_up_in_time(server, env_file):
    begun = time.monotonic()
    done = log_in(server, env_file, "--redirect-url", "http://127.0.0.1:0/", "--wait", "1")
    assert done.returncode == 2
    assert time.monotonic() - begun < 100
    assert "nobody came back within 1 s" in done.stderr


def test_used_request_token_is_refused_and_the_file_stays(server, env_file):
    token = token_of(landed(server))
    assert log_in(server, env_file, "--request-token", token).returncode == 0
    before = env_file.read_text()
    done = log_in(server, env_file, "--request-token", token)
    assert done.returncode == 2
    assert done.stderr.startswith("error: Kite, login: ")
    assert token not in done.stderr
    assert env_file.read_text() == before


def test_env_file_that_others_may_read_is_refused(server, env_file):
    env_file.chmod(0o644)
    done = log_in(server, env_file, "--request-token", "x")
    assert done.returncode == 2
    assert "chmod 600" in done.stderr


def test_secret_that_is_missing_is_named(server, env_file):
    env_file.write_text(f"KITE_API_KEY={server.api_key}\n")
    done = log_in(server, env_file, "--request-token", "x")
    assert done.returncode == 2
    assert "KITE_API_SECRET" in done.stderr


def test_token_of_the_environment_does_not_hide_the_new_one(server, env_file):
    done = log_in(server, env_file, "--request-token", token_of(landed(server)), KITE_ACCESS_TOKEN="old")
    assert done.returncode == 0
    assert "hides" not in done.stdout
    environ = {"KITE_ACCESS_TOKEN": "old"}
    assert server.login.is_good(
        server.api_key, read_secrets(env_file, environ, dt.datetime.now(IST)).access_token
    )


def test_practice_login_does_not_touch_the_real_file(tmp_path, monkeypatch):
    monkeypatch.setattr(login, "project_folder", lambda: tmp_path)
    assert login._usual_file(None) == tmp_path / ".env"
    practice = login._usual_file("http://127.0.0.1:1")
    spec = make_spec(load_session_params("practice"), date=DATE, data_folder=tmp_path / "data")
    assert practice == spec.env_file != login._usual_file(None)
    paper = make_spec(load_session_params("paper", feed="practice"), date=DATE, data_folder=tmp_path / "data")
    assert paper.env_file == practice  # paper trades at its prices and logs in there too


def test_practice_exchange_lets_everybody_in(server, tmp_path):
    done = workbench("login", "kite", "--root", server.rest_url, "--data", str(tmp_path))
    assert done.returncode == 0, done.stderr
    file = tmp_path / "state" / "practice" / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = stored(file)
    assert server.login.is_good(held["KITE_API_KEY"], held["KITE_ACCESS_TOKEN"])
    assert held["KITE_ACCESS_TOKEN"] not in done.stdout + done.stderr


def test_nobody_at_the_practice_exchange_is_told(tmp_path):
    done = workbench("login", "kite", "--root", "http://127.0.0.1:1", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "start one: workbench practice serve" in done.stderr


@pytest.mark.parametrize(
    "told",
    [
        "http://127.0.0.1/?status=cancelled&request_token=a",
        "http://127.0.0.1/?status=success",
        "http://127.0.0.1/?request_token=a&request_token=b",
        "http://127.0.0.1/?request_token=a%20b",
        "http://127.0.0.1/",
    ],
)
def test_address_without_one_good_token_is_refused(told):
    with pytest.raises(LoginError):
        _token_in(told)


@pytest.mark.parametrize("address", ["127.0.0.1:8100", "localhost", "http://", "ftp://127.0.0.1"])
def test_what_is_no_address_is_refused_with_one_that_is(address):
    for words in (["login", "kite"], ["live", "start"], ["check"]):
        refused = workbench(*words, "--root", address)
        assert refused.returncode == 2
        assert "write it as http://127.0.0.1:8100" in refused.stderr
        assert refused.stderr.count("\n") == 1
