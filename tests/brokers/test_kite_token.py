"""The daily login, and the file that holds its secrets."""

import asyncio
import datetime as dt
import json
import urllib.parse

import pytest
import requests

from engine.live.brokers.base import BrokerAuth, BrokerUnknown
from engine.live.brokers.kite import KiteBroker
from engine.live.brokers.kite_token import (
    KiteSecrets,
    SecretsError,
    dies_after,
    exchange_request_token,
    login_url,
    read_logins,
    read_secrets,
    write_token,
)
from engine.market.clock import IST
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

NOW = dt.datetime(2026, 9, 1, 8, 30, tzinfo=IST)
DIES = dt.datetime(2026, 9, 2, 6, 0, tzinfo=IST)


@pytest.fixture
def env(tmp_path):
    path = tmp_path / ".env"

    def write(text, mode=0o600):
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def practice(played_day):
    with PracticeServer(played_day, ServerSettings(pace=PaceSettings(speed="manual"))) as server:
        yield server


def request_token(server):
    landed = requests.get(login_url(server.api_key, server.rest_url), timeout=5)
    return urllib.parse.parse_qs(urllib.parse.urlsplit(landed.url).query)["request_token"][0]


def test_the_login_page_is_kites_unless_told():
    assert login_url("abc") == "https://kite.zerodha.com/connect/login?api_key=abc&v=3"
    assert login_url("abc", "http://127.0.0.1:1/").startswith("http://127.0.0.1:1/connect/login?")


def test_a_login_from_page_to_first_request(practice, env):
    path = env("KITE_API_KEY=x\n")
    session = exchange_request_token(
        practice.api_key, practice.api_secret, request_token(practice), now=NOW, root=practice.rest_url
    )
    assert session.dies == DIES
    write_token(path, session)
    token = read_secrets(path, {}, NOW).token(NOW)

    async def connected():
        broker = KiteBroker(practice.api_key, token, root=practice.rest_url)
        try:
            return await broker.connect()
        finally:
            await broker.close()

    assert asyncio.run(connected()) == "PR0001"


def test_a_request_token_is_good_once(practice):
    once = request_token(practice)
    given = {"now": NOW, "root": practice.rest_url}
    exchange_request_token(practice.api_key, practice.api_secret, once, **given)
    with pytest.raises(BrokerAuth):
        exchange_request_token(practice.api_key, practice.api_secret, once, **given)


def test_a_wrong_secret_is_told_without_being_shown(practice):
    with pytest.raises(BrokerAuth) as caught:
        exchange_request_token(
            practice.api_key, "mywrongsecret", request_token(practice), now=NOW, root=practice.rest_url
        )
    assert "mywrongsecret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_answer_with_a_token_that_cannot_be_read_is_not_quoted(script):
    script.answer = (200, "application/json", '{"data": {"access_token": "tellnobody"')
    with pytest.raises(BrokerUnknown) as caught:
        exchange_request_token("key", "secret", "request", now=NOW, root=script.root)
    assert "tellnobody" not in str(caught.value)


def test_the_sample_of_a_session_is_read(script, shared):
    text = (shared / "fixtures/kite/generate_session.json").read_text(encoding="utf-8")
    script.answer = (200, "application/json", text)
    told = exchange_request_token("key", "secret", "request", now=NOW, root=script.root)
    assert told.access_token == json.loads(text)["data"]["access_token"]


@pytest.mark.parametrize(
    ("login", "dies"),
    [
        (dt.datetime(2026, 9, 1, 8, 30, tzinfo=IST), dt.datetime(2026, 9, 2, 6, 0, tzinfo=IST)),
        (dt.datetime(2026, 9, 1, 5, 59, tzinfo=IST), dt.datetime(2026, 9, 1, 6, 0, tzinfo=IST)),
        (dt.datetime(2026, 9, 1, 6, 0, tzinfo=IST), dt.datetime(2026, 9, 2, 6, 0, tzinfo=IST)),
        (dt.datetime(2026, 8, 31, 23, 0, tzinfo=dt.UTC), dt.datetime(2026, 9, 1, 6, 0, tzinfo=IST)),
    ],
)
def test_a_token_dies_at_six_in_the_morning(login, dies):
    assert dies_after(login) == dies


def test_a_token_is_good_until_it_dies():
    told = KiteSecrets("key", access_token="t", dies=DIES)
    assert told.token(DIES - dt.timedelta(seconds=1)) == "t"
    with pytest.raises(BrokerAuth, match="died at 2026-09-02 06:00"):
        told.token(DIES)
    with pytest.raises(BrokerAuth, match="log in"):
        KiteSecrets("key").token(NOW)


def test_secrets_are_not_part_of_their_text():
    told = repr(KiteSecrets("key", "thesecret", "thetoken", DIES))
    assert "thesecret" not in told
    assert "thetoken" not in told


def test_the_environment_comes_before_the_file(env):
    path = env("# app\nexport KITE_API_KEY='filekey'\nKITE_API_SECRET = \"s\"\n\nKITE_ACCESS_TOKEN=old\n")
    told = read_secrets(path, {"KITE_API_KEY": "envkey", "KITE_ACCESS_TOKEN": ""}, NOW)
    assert (told.api_key, told.api_secret, told.access_token, told.dies) == ("envkey", "s", "old", None)


FILE = "of the file"
ENVIRONMENT = "of the environment"
LATER = DIES + dt.timedelta(days=1)
DEAD = NOW - dt.timedelta(hours=2)


@pytest.mark.parametrize(
    ("file", "environment", "first"),
    [
        (DIES, None, FILE),  # known to live, before one of which nothing is known
        (DIES, DIES, FILE),  # a running process hears of a new login by the file alone
        (None, None, FILE),
        (DEAD, None, ENVIRONMENT),
        (DEAD, DIES, ENVIRONMENT),
        (None, DIES, ENVIRONMENT),
        (DIES, LATER, ENVIRONMENT),
        (DIES, DEAD, FILE),
        (None, DEAD, FILE),
        (DEAD, DEAD + dt.timedelta(minutes=1), ENVIRONMENT),
    ],
)
def test_the_newest_login_that_is_good_for_today_comes_first(env, file, environment, first):
    told = {"KITE_API_KEY": "k", "KITE_ACCESS_TOKEN": FILE}
    dated = {"KITE_TOKEN_DIES": file.isoformat()} if file else {}
    path = env("".join(f"{name}={value}\n" for name, value in {**told, **dated}.items()))
    environ = {"KITE_ACCESS_TOKEN": ENVIRONMENT}
    if environment:
        environ["KITE_TOKEN_DIES"] = environment.isoformat()
    logins = read_logins(path, environ, NOW)
    assert [one.access_token for one in logins] == (
        [FILE, ENVIRONMENT] if first == FILE else [ENVIRONMENT, FILE]
    )
    assert {one.access_token: one.dies for one in logins} == {FILE: file, ENVIRONMENT: environment}


def test_one_token_in_both_places_is_one_login_with_the_files_date(env):
    path = env(f"KITE_API_KEY=k\nKITE_ACCESS_TOKEN=same\nKITE_TOKEN_DIES={DIES.isoformat()}\n")
    (login,) = read_logins(path, {"KITE_ACCESS_TOKEN": "same"}, NOW)
    assert (login.access_token, login.dies) == ("same", DIES)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700])
def test_a_file_that_others_may_read_is_refused(env, mode):
    path = env("KITE_API_KEY=k\n", mode)
    with pytest.raises(SecretsError, match="chmod 600"):
        read_secrets(path, {}, NOW)
    with pytest.raises(SecretsError, match="chmod 600"):
        write_token(path, KiteSecrets("k", None, "t", DIES))


def test_a_missing_key_says_where_to_put_it(tmp_path):
    with pytest.raises(SecretsError, match="KITE_API_KEY"):
        read_secrets(tmp_path / ".env", {}, NOW)


@pytest.mark.parametrize("line", ["thesecretalone", "9A=x", "A B=x"])
def test_a_line_that_cannot_be_read_is_named_by_its_number_only(env, line):
    with pytest.raises(SecretsError, match="line 2") as caught:
        read_secrets(env(f"KITE_API_KEY=k\n{line}\n"), {}, NOW)
    assert line not in str(caught.value)


@pytest.mark.parametrize("when", ["tomorrow", "2026-09-02 06:00"])
def test_a_date_of_death_needs_a_zone(env, when):
    with pytest.raises(SecretsError, match="zone"):
        read_secrets(env(f"KITE_API_KEY=k\nKITE_TOKEN_DIES={when}\n"), {}, NOW)


def test_a_new_token_replaces_the_old_one_and_nothing_else(env):
    path = env(
        "# mine\nKITE_API_KEY=k\nKITE_ACCESS_TOKEN=old\nKITE_TOKEN_DIES=2026-01-01T06:00:00+05:30\nOTHER=1\n"
    )
    write_token(path, KiteSecrets("k", None, "new", DIES))
    assert path.read_text(encoding="utf-8").splitlines() == [
        "# mine", "KITE_API_KEY=k", "OTHER=1", "KITE_ACCESS_TOKEN=new", f"KITE_TOKEN_DIES={DIES.isoformat()}",
    ]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [".env"]


def test_a_file_is_made_for_ourselves_alone(tmp_path):
    path = tmp_path / ".env"
    write_token(path, KiteSecrets("k", None, "new", DIES))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_without_its_date_is_not_written(env):
    path = env("KITE_API_KEY=k\n")
    with pytest.raises(SecretsError):
        write_token(path, KiteSecrets("k"))
    assert path.read_text(encoding="utf-8") == "KITE_API_KEY=k\n"


def test_white_space_around_a_token_of_the_environment_is_no_part_of_it(tmp_path):
    told = read_secrets(tmp_path / ".env", {"KITE_API_KEY": "key ", "KITE_ACCESS_TOKEN": "token\n"}, NOW)
    assert (told.api_key, told.access_token) == ("key", "token")
