"""What a session is started with: strict, free of secrets, the same after a restart."""

import datetime as dt

import pytest

from engine.errors import ParamsError
from engine.live.spec import SessionSpec, load_session_params, make_spec
from engine.params import project_folder

DATE = dt.date(2026, 9, 1)


def practice(tmp_path, **changes):
    session = load_session_params(mode="practice", feed="practice", **changes)
    return make_spec(session, date=DATE, data_folder=tmp_path, broker_root="http://127.0.0.1:1",
                     feed_options={"speed": "max"})  # fmt: skip


def test_a_spec_reads_back_as_it_was_written(tmp_path):
    spec = practice(tmp_path, strategy_changes={"latency_ms": 250})
    spec.write()
    again = SessionSpec.read(spec.places.spec)
    assert again == spec
    assert again.params.hash == spec.params.hash
    assert again.params.latency_ms == 250


def test_paper_is_the_default(tmp_path):
    spec = make_spec(load_session_params(), date=DATE, data_folder=tmp_path)
    assert (spec.mode, spec.account, spec.broker, spec.feed, spec.simulated) == (
        "paper", "paper", "paper", "kite", False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["access_token", "KITE_API_KEY", "password", "api_secret"])
def test_a_secret_is_no_parameter_and_is_not_repeated(tmp_path, name):
    with pytest.raises(ParamsError, match="looks like a secret") as told:
        load_session_params(**{name: "s3cr3t"})
    assert "s3cr3t" not in str(told.value)
    with pytest.raises(ParamsError, match="looks like a secret"):
        make_spec(load_session_params(), date=DATE, data_folder=tmp_path, feed_options={name: "s3cr3t"})
    with pytest.raises(ParamsError, match="looks like a secret"):
        practice(tmp_path, strategy_changes={name: "s3cr3t"})


@pytest.mark.parametrize("feed", ["practice", "replay"])
def test_live_refuses_prices_that_are_not_the_markets(feed):
    with pytest.raises(ParamsError, match=f"mode live takes no {feed} prices"):
        load_session_params(mode="live", feed=feed)


def test_live_needs_the_account_of_a_person(tmp_path):
    session = load_session_params(mode="live")
    for account in (None, "paper"):
        with pytest.raises(ParamsError):
            make_spec(session, date=DATE, data_folder=tmp_path, account=account)
    assert make_spec(session, date=DATE, data_folder=tmp_path, account="AB1234").account == "AB1234"


def test_a_misspelt_name_is_told_with_the_right_one():
    with pytest.raises(ParamsError, match="did you mean 'restarts'"):
        load_session_params(restart=2)


def test_a_missing_or_damaged_spec_says_what_to_do(tmp_path):
    with pytest.raises(ParamsError, match="workbench live start"):
        SessionSpec.read(tmp_path / "session.json")
    path = practice(tmp_path).write()
    path.write_text(
        path.read_text()
        .replace('"mode":"practice"', '"mode":"real"')
        .replace('"mode": "practice"', '"mode": "real"')
    )
    with pytest.raises(ParamsError, match="mode"):
        SessionSpec.read(path)


def test_two_accounts_have_sockets_of_their_own_and_short_names(tmp_path):
    one, other = practice(tmp_path / "a"), practice(tmp_path / ("b" * 100))
    assert one.places.feed_socket != other.places.feed_socket
    assert len(str(other.places.feed_socket)) < 108
    assert other.places.feed_socket.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("root", "options", "words"),
    [
        (None, {}, "workbench login kite"),
        (
            "http://127.0.0.1:8100",
            {},
            "workbench login kite --root http://127.0.0.1:8100 --data '{}/my data'",
        ),
        (
            None,
            {"rest_url": "http://127.0.0.1:8100"},
            "workbench login kite --root http://127.0.0.1:8100 --data '{}/my data'",
        ),
        (
            "http://127.0.0.1:8100",
            {"env_file": "own.env"},
            "workbench login kite --root http://127.0.0.1:8100 --env-file own.env",
        ),
    ],
)
def test_a_login_is_asked_for_where_the_session_trades_and_reads_it(tmp_path, root, options, words):
    spec = make_spec(
        load_session_params("practice"),
        date=DATE, data_folder=tmp_path / "my data", broker_root=root, feed_options=options,
    )  # fmt: skip
    assert spec.login_command == words.format(tmp_path)


def test_a_session_on_kite_s_prices_logs_in_at_kite_and_takes_nothing_from_a_practice_exchange(tmp_path):
    session = load_session_params()
    assert make_spec(session, date=DATE, data_folder=tmp_path).login_command == "workbench login kite"
    with pytest.raises(ParamsError, match="KITE_ROOT"):
        make_spec(session, date=DATE, data_folder=tmp_path, broker_root="http://127.0.0.1:8100")


def test_the_project_s_own_data_folder_need_not_be_named():
    spec = make_spec(
        load_session_params("practice"),
        date=DATE, data_folder=project_folder() / "data", broker_root="http://127.0.0.1:8100",
    )  # fmt: skip
    assert spec.login_command == "workbench login kite --root http://127.0.0.1:8100"
