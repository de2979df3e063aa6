"""`workbench check` as a user runs it."""

import json

import pytest
from practice_for_cli import played_day, serving, workbench


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(played_day(tmp_path_factory.mktemp("check-data"))) as running:
        yield running


def check(server, tmp_path, *more, token=None, session="practice"):
    return workbench(
        "check", "--session", session, "--root", server.rest_url, "--data", str(tmp_path), *more,
        KITE_API_KEY=server.api_key, KITE_ACCESS_TOKEN=token or server.grant_token(),
    )  # fmt: skip


def test_practice_session_is_ready(server, tmp_path):
    done = check(server, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PRACTICE session of 2026-09-01, NIFTY" in done.stdout
    assert "ready to start" in done.stdout
    assert "SIMULATED PRICES" in done.stdout


def test_json_tells_every_check(server, tmp_path):
    done = check(server, tmp_path, "--json")
    told = json.loads(done.stdout)
    assert (told["ok"], told["mode"], told["date"]) == (True, "practice", "2026-09-01")
    assert {each["name"] for each in told["checks"]} == {
        "environment", "clock", "disk", "proxies", "time zone", "mode", "secrets", "calendar", "lot", "square off", "lease",
        "database", "filters", "alerts", "token", "feed", "contracts", "margin",
    }  # fmt: skip
    assert {each["state"] for each in told["checks"]} == {"ok"}


def test_failed_check_is_named_and_ends_with_code_1(server, tmp_path):
    done = check(server, tmp_path, "--set", "alerts=[telegram]", token="nottoday")
    assert done.returncode == 1
    assert "not ready: alerts, token" in done.stdout
    assert "workbench login kite" in done.stdout
    assert "[telegram]" not in done.stderr
    assert "nottoday" not in done.stdout + done.stderr


def test_change_of_the_strategy_is_checked_too(server, tmp_path):
    done = check(server, tmp_path, "--set", "filters=[no_such_filter]")
    assert done.returncode == 1
    assert "not ready: filters" in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [("min_vwap_premium_percnt=5", "did you mean"), ("access_token=abc", "looks like a secret")],
)
def test_wrong_parameter_is_one_line_and_code_2(server, tmp_path, change, words):
    done = check(server, tmp_path, "--set", change)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "abc" not in done.stderr


def test_exchange_that_is_not_there_is_one_line_and_code_2(tmp_path):
    done = workbench(
        "check", "--session", "practice", "--root", "http://127.0.0.1:9", "--data", str(tmp_path)
    )
    assert done.returncode == 2
    assert "start one: workbench practice serve" in done.stderr


def test_paper_session_without_a_login_says_what_is_missing(tmp_path):
    told = json.loads(workbench("check", "--data", str(tmp_path), "--json", HOME=str(tmp_path)).stdout)
    found = {each["name"]: each["state"] for each in told["checks"]}
    assert told["ok"] is False
    assert (found["secrets"], found["token"], found["contracts"]) == ("fail", "skipped", "skipped")
    assert "KITE_API_KEY" in next(each["what"] for each in told["checks"] if each["name"] == "secrets")


def test_live_without_its_switch_is_not_ready(server, tmp_path):
    done = check(server, tmp_path, "--set", "mode=live", "--json", session="paper")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["mode"], told["account"]) == ("live", server.settings.exchange.user_id)
    assert next(each["state"] for each in told["checks"] if each["name"] == "mode") == "fail"
