"""Pre-flight against a practice exchange over real sockets, with one thing wrong at a time."""

import datetime as dt
import os
import socket
import sqlite3
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from messenger_stand_in import TOKEN, StandIn
from store_facts import session, short

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live import preflight as pre
from engine.live.brokers.base import Contract, ContractMismatchError, MarginReport, Quote
from engine.live.checks import preflight_broker, preflight_machine, preflight_session
from engine.live.checks.preflight_case import Case, Check, Finding, Learned
from engine.live.log.reader import StoreReader
from engine.live.messages import messengers as m
from engine.live.preflight import CHECKS, all_well, preflight
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store
from engine.market.clock import IST
from engine.practice.market import load_practice_day
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings
from engine.practice.settings import ExchangeSettings

DATE = dt.date(2026, 9, 1)
RECENT = dt.date(2026, 11, 20)
NAMES = [check.name for check in pre.CHECKS]


@pytest.fixture(scope="module")
def played_day(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("preflight-data"))
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=12)
    return load_practice_day(lake, "NIFTY", DATE)


@pytest.fixture
def serve(played_day):
    running = []

    def start(**settings):
        server = PracticeServer(played_day, ServerSettings(pace=PaceSettings(speed="manual"), **settings))
        server.start()
        server.step(50)
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(serve):
    return serve()


def practice_spec(server, folder, **changes):
    options = {"ticker_url": server.ticker_url, "rest_url": server.rest_url}
    params = load_session_params("practice", **changes)
    return make_spec(params, date=DATE, data_folder=folder, broker_root=server.rest_url, feed_options=options)


def secrets_of(server):
    return {"KITE_API_KEY": server.api_key, "KITE_ACCESS_TOKEN": server.grant_token()}


def paper_spec(folder, date=RECENT, feed="kite", **changes):
    return make_spec(load_session_params("paper", feed=feed, **changes), date=date, data_folder=folder)


def case_of(spec, tmp_path, environ=None, now=None):
    moment = now or dt.datetime.combine(spec.date, dt.time(9, 0), IST)
    return Case(spec, tmp_path / ".env", environ or {}, moment, Learned())


def states(results):
    return {result.name: result.state for result in results}


# ---- as a whole ----


def test_practice_exchange_passes_every_check(server, tmp_path):
    results = preflight(
        practice_spec(server, tmp_path), env_file=tmp_path / ".env", environ=secrets_of(server)
    )
    assert [result.name for result in results] == NAMES
    assert {result.name: (result.state, result.what) for result in results if result.state != "ok"} == {}
    assert all_well(results)
    told = {result.name: result.what for result in results}
    assert "50 NIFTY options of 2026-09-01, lot 65" in told["contracts"]
    assert "straddle needs Rs" in told["margin"]
    assert "PRACTICE" in told["mode"]


def test_nothing_is_subscribed_or_ordered_by_the_checks(server, tmp_path):
    preflight(practice_spec(server, tmp_path), env_file=tmp_path / ".env", environ=secrets_of(server))
    assert not server.exchange.orders
    assert not server.ticker.sockets
    assert list(tmp_path.iterdir()) == []


def test_bad_login_fails_the_token_and_skips_what_stands_on_it(server, tmp_path):
    environ = {**secrets_of(server), "KITE_ACCESS_TOKEN": "wrongwrongwrong"}
    results = preflight(practice_spec(server, tmp_path), env_file=tmp_path / ".env", environ=environ)
    found = states(results)
    assert (found["token"], found["contracts"], found["margin"]) == ("fail", "skipped", "skipped")
    assert not all_well(results)
    line = next(result for result in results if result.name == "token")
    assert line.remedy.startswith(f"log in again: workbench login kite --root {server.rest_url}")
    assert "wrongwrongwrong" not in str(results)


def test_a_dead_login_of_the_environment_does_not_stop_a_good_one_of_the_file(server, tmp_path):
    file = tmp_path / ".env"
    file.write_text(f"KITE_ACCESS_TOKEN={server.grant_token()}\n")
    file.chmod(0o600)
    checks = tuple(check for check in CHECKS if check.name in {"secrets", "calendar", "token", "contracts"})
    for dies in (
        "2026-08-31T06:00:00+05:30",
        "2099-08-31T06:00:00+05:30",
    ):  # the second was ended by a later login
        environ = {"KITE_API_KEY": server.api_key, "KITE_ACCESS_TOKEN": "wrong", "KITE_TOKEN_DIES": dies}
        found = states(
            preflight(practice_spec(server, tmp_path), env_file=file, environ=environ, checks=checks)
        )
        assert set(found.values()) == {"ok"}, found


def test_dead_exchange_fails_what_needs_it_and_nothing_else(serve, tmp_path):
    server = serve()
    spec, environ = practice_spec(server, tmp_path), secrets_of(server)
    server.stop()
    found = states(preflight(spec, env_file=tmp_path / ".env", environ=environ))
    assert [name for name, state in found.items() if state == "fail"] == ["token", "feed"]
    assert (found["clock"], found["contracts"], found["disk"]) == ("warn", "skipped", "ok")


def test_replay_asks_no_broker(tmp_path):
    results = preflight(paper_spec(tmp_path, DATE, "replay"), env_file=tmp_path / ".env", environ={})
    found = states(results)
    assert {name for name, state in found.items() if state == "skipped"} == {
        "secrets", "token", "feed", "contracts", "margin", "proxies",
    }  # fmt: skip
    assert all_well(results)


def test_check_that_hangs_fails_after_its_own_time_and_holds_up_no_other(tmp_path):
    checks = (
        Check("hangs", lambda _: time.sleep(60), 0.3, when_hung="pull the plug"),  # type: ignore[arg-type]
        Check("after", lambda _: Finding("ok", ""), needs=("hangs",)),
        Check("quick", lambda _: Finding("ok", "fine")),
        Check("breaks", lambda _: 1 / 0),
    )
    begun = time.monotonic()
    results = preflight(paper_spec(tmp_path), environ={}, checks=checks)
    assert time.monotonic() - begun < 30
    assert states(results) == {"hangs": "fail", "after": "skipped", "quick": "ok", "breaks": "fail"}
    assert (results[0].what, results[0].remedy) == ("no result within 0.3 s", "pull the plug")
    assert "ZeroDivisionError" in results[3].what


def test_progress_counts_every_check(tmp_path):
    told = []
    checks = tuple(Check(name, lambda _: Finding("ok", "")) for name in "abc")
    preflight(paper_spec(tmp_path), environ={}, checks=checks, progress=lambda *words: told.append(words))
    assert told[-1][:2] == (3, 3)


# ---- mode and secrets ----


def test_live_without_its_switch_fails(tmp_path):
    spec = make_spec(
        load_session_params("paper", mode="live"), date=RECENT, data_folder=tmp_path, account="AB1234"
    )
    found = states(preflight(spec, environ={}, checks=(Check("mode", preflight_session.mode),)))
    assert found == {"mode": "fail"}
    switched = preflight_session.mode(case_of(spec, tmp_path, {"WORKBENCH_LIVE": "1"}))
    assert switched == Finding("ok", "LIVE: real money on account AB1234")


def test_env_file_that_others_may_read_fails(tmp_path):
    file = tmp_path / ".env"
    file.write_text("KITE_API_KEY=k\nKITE_ACCESS_TOKEN=t\n")
    file.chmod(0o644)
    (result,) = preflight(
        paper_spec(tmp_path), env_file=file, environ={}, checks=(Check("secrets", preflight_session.secrets),)
    )
    assert result.state == "fail"
    assert result.remedy == f"chmod 600 {file}"


def test_token_that_died_this_morning_fails_before_anybody_is_asked(tmp_path):
    file = tmp_path / ".env"
    file.write_text("KITE_API_KEY=k\nKITE_ACCESS_TOKEN=t\nKITE_TOKEN_DIES=2026-11-20T06:00:00+05:30\n")
    file.chmod(0o600)
    (result,) = preflight(
        paper_spec(tmp_path), env_file=file, environ={}, checks=(Check("secrets", preflight_session.secrets),)
    )
    assert result.state == "fail"
    assert "died at 2026-11-20 06:00" in result.what


def test_login_of_another_account_fails_a_live_session(server, tmp_path):
    spec = make_spec(
        load_session_params("paper", mode="live"), date=RECENT, data_folder=tmp_path, account="AB1234",
        broker_root=server.rest_url,
    )  # fmt: skip
    found = preflight_broker.token(case_of(spec, tmp_path, secrets_of(server)))
    assert found.state == "fail"
    assert "the session of AB1234" in found.what


def test_practice_session_without_an_exchange_never_asks_kite(tmp_path):
    spec = make_spec(load_session_params("practice"), date=DATE, data_folder=tmp_path)
    case = case_of(spec, tmp_path, {"KITE_API_KEY": "k", "KITE_ACCESS_TOKEN": "t"})
    for check in (preflight_broker.token, preflight_broker.feed):
        assert check(case).remedy == "start one: workbench practice serve"


# ---- calendar and contracts ----


@pytest.mark.parametrize(
    ("date", "now", "state", "words"),
    [
        (RECENT, dt.datetime(2026, 11, 20, 9, 0), "ok", "NIFTY expiry 2026-11-23"),
        (RECENT, dt.datetime(2026, 11, 20, 18, 0), "fail", "the session ended at"),
        (RECENT, dt.datetime(2026, 11, 19, 9, 0), "fail", "today is 2026-11-19"),
        (dt.date(2026, 11, 21), dt.datetime(2026, 11, 21, 9, 0), "fail", "Saturday"),
        (dt.date(2026, 12, 28), dt.datetime(2026, 12, 28, 9, 0), "warn", "the holiday table ends with 2026"),
    ],
)  # fmt: skip
def test_day_is_one_to_trade_on(tmp_path, date, now, state, words):
    case = case_of(paper_spec(tmp_path, date), tmp_path, now=now.replace(tzinfo=IST))
    found = preflight_session.calendar(case)
    assert (found.state, words in found.what) == (state, True), found


def test_year_whose_holidays_nobody_knows_fails_with_what_to_add(tmp_path):
    spec = paper_spec(tmp_path, dt.date(2026, 12, 31))
    (result,) = preflight(spec, environ={}, checks=(Check("lot", preflight_session.lot),))
    assert result.state == "fail"
    assert "holidays.csv" in f"{result.what} {result.remedy}"


@pytest.mark.parametrize(
    ("mode", "exit_time", "state", "words"),
    [
        ("live", "15:15", "warn", "uncertain"),
        ("live", "15:30", "fail", "entry_end_time 15:30 too late"),
        ("paper", "15:30", "warn", "the broker closes MIS positions at 15:25"),
        ("paper", "15:15", "ok", "forced exit 15:15, the broker closes MIS at 15:25"),
    ],
)
def test_exits_are_over_before_the_broker_squares_off(tmp_path, mode, exit_time, state, words):
    changes = {"entry_end_time": exit_time, "forced_exit_time": exit_time}
    session = load_session_params("paper", mode=mode, strategy_changes=changes)
    spec = make_spec(session, date=RECENT, data_folder=tmp_path, account="AB1234" if mode == "live" else None)
    found = preflight_session.square_off(case_of(spec, tmp_path))
    assert (found.state, words in found.what) == (state, True), found


def test_fact_that_is_uncertain_is_a_warning_where_money_is_meant(tmp_path):
    assert preflight_session.lot(case_of(paper_spec(tmp_path), tmp_path)).state == "warn"
    assert preflight_session.lot(case_of(paper_spec(tmp_path, DATE, "replay"), tmp_path)).state == "ok"


def test_simulated_day_may_lie_in_the_past(tmp_path):
    spec = paper_spec(tmp_path, DATE, "replay")
    now = dt.datetime(2026, 11, 20, 18, 0, tzinfo=IST)
    assert preflight_session.calendar(case_of(spec, tmp_path, now=now)).state == "ok"


def contract(kind="CE", strike=25000, expiry=dt.date(2026, 11, 23), lot=65):
    return Contract(f"N{strike}{kind}", 1, "NIFTY", expiry, strike, kind, lot)


@pytest.fixture
def answers(monkeypatch):
    """Replace the broker by answers given in turn; an exception is raised."""

    def give(*told):
        left = list(told)

        def asked(*_):
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(preflight_broker, "_asked", asked)

    return give


def test_expiry_that_is_not_ours_fails(tmp_path, answers):
    answers([contract(expiry=dt.date(2026, 11, 26))])
    found = preflight_broker.contracts(case_of(paper_spec(tmp_path), tmp_path))
    assert found.state == "fail"
    assert "2026-11-26" in found.what
    assert "2026-11-23" in found.what


def test_lot_that_is_not_ours_fails_with_what_to_read(tmp_path, answers):
    answers(ContractMismatchError("N: Kite's lot is 70, our table says 65; read the circular"))
    (result,) = preflight(
        paper_spec(tmp_path), environ={}, checks=(Check("contracts", preflight_broker.contracts),)
    )
    assert (result.state, result.remedy) == ("fail", "read the circular")


def test_too_few_strikes_are_a_warning(tmp_path, answers):
    answers([contract()])
    assert preflight_broker.contracts(case_of(paper_spec(tmp_path), tmp_path)).state == "warn"


def quote(symbol, last):
    return Quote(symbol, last, last - 1, last + 1, 0, 0)


@pytest.mark.parametrize(("mode", "state"), [("paper", "ok"), ("live", "fail")])
def test_cash_that_does_not_bear_one_straddle_fails_where_it_matters(tmp_path, answers, mode, state):
    spec = make_spec(
        load_session_params("paper", mode=mode), date=RECENT, data_folder=tmp_path, account="AB1234"
    )
    case = case_of(spec, tmp_path)
    case.learned.contracts = tuple(
        contract(kind, strike) for strike in (24900, 25000) for kind in ("CE", "PE")
    )
    last = {"N24900CE": 4000, "N24900PE": 1000, "N25000CE": 2400, "N25000PE": 2500}
    quotes = [quote(*each) for each in last.items()]
    answers(quotes, MarginReport(30_000_000, 25_000_000, 24_999_999))
    found = preflight_broker.margin(case)
    assert found.state == state
    assert "one lot of the 25000 straddle needs Rs 250000.00, there are Rs 249999.99" in found.what


def test_margin_without_prices_is_a_warning(tmp_path, answers):
    case = case_of(paper_spec(tmp_path), tmp_path)
    case.learned.contracts = (contract("CE"), contract("PE"))
    answers([quote("N25000CE", 0), quote("N25000PE", 10)])
    assert preflight_broker.margin(case).state == "warn"


def test_poor_practice_account_fails(serve, tmp_path):
    server = serve(exchange=ExchangeSettings(cash_rupees=1000))
    results = preflight(
        practice_spec(server, tmp_path), env_file=tmp_path / ".env", environ=secrets_of(server)
    )
    assert states(results)["margin"] == "fail"


# ---- machine ----


def test_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(
        preflight_machine.metadata, "requires", lambda _: ["no-such-package>=1", "httpx>=99", "rich"]
    )
    found = preflight_machine.environment(case_of(paper_spec(tmp_path), tmp_path))
    assert found.state == "fail"
    assert "no-such-package is missing" in found.what
    assert "httpx" in found.what
    assert "rich" not in found.what


def test_disk_below_its_reserve_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight_machine, "FREE_BYTES", 1 << 60)
    assert preflight_machine.disk(case_of(paper_spec(tmp_path), tmp_path)).state == "fail"


def test_folder_that_cannot_be_made_fails(tmp_path):
    (tmp_path / "state").write_text("a file where a folder should be")
    assert preflight_machine.disk(case_of(paper_spec(tmp_path), tmp_path)).state == "fail"


def test_slow_sync_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight_machine, "SLOW_SYNC_S", 0.0)
    assert preflight_machine.disk(case_of(paper_spec(tmp_path), tmp_path)).state == "warn"


def shifted(monkeypatch, wall):
    """Another wall clock for the checks alone; threads of other tests keep theirs."""
    clock = SimpleNamespace(time=wall, monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(preflight_machine, "time", clock)


@pytest.mark.parametrize(("ahead_s", "state"), [(0, "ok"), (5, "warn"), (-5, "warn")])
def test_clock_is_held_against_the_servers(monkeypatch, server, tmp_path, ahead_s, state):
    shifted(monkeypatch, lambda: time.time() + ahead_s)
    found = preflight_machine.clock(case_of(practice_spec(server, tmp_path), tmp_path))
    assert found.state == state, found


def test_clock_that_jumps_is_a_warning(monkeypatch, tmp_path):
    moments = iter([100.0, 101.0])
    shifted(monkeypatch, lambda: next(moments))
    found = preflight_machine.clock(case_of(paper_spec(tmp_path, DATE, "replay"), tmp_path))
    assert (found.state, "the wall clock moved +" in found.what) == ("warn", True)


def test_proxy_and_netrc_are_told_without_their_secrets(tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.kite.trade login me password hush1\n")
    netrc.chmod(0o600)
    environ = {"HTTPS_PROXY": "http://me:hush2@proxy.example:3128", "NETRC": str(netrc)}
    found = preflight_machine.proxies(case_of(paper_spec(tmp_path), tmp_path, environ))
    assert found.state == "warn"
    assert "proxy.example" in found.what
    assert "access token" in found.what
    assert "hush" not in str(found)


def test_proxy_that_spares_the_broker_is_fine(tmp_path):
    environ = {
        "HTTPS_PROXY": "http://proxy.example",
        "no_proxy": "kite.trade",
        "NETRC": str(tmp_path / "none"),
    }
    assert preflight_machine.proxies(case_of(paper_spec(tmp_path), tmp_path, environ)).state == "ok"


def test_feed_address_that_refuses_fails(server, tmp_path):
    spec = practice_spec(server, tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        options = {**spec.feed_options, "ticker_url": f"ws://127.0.0.1:{free.getsockname()[1]}"}
        case = case_of(spec.model_copy(update={"feed_options": options}), tmp_path)
        assert preflight_broker.feed(case).state == "fail"


# ---- the account's own files ----


def test_running_session_is_named_and_may_be_used(tmp_path):
    spec = paper_spec(tmp_path)
    case = case_of(spec, tmp_path)
    assert preflight_session.lease(case).state == "ok"
    with Store.open(spec.places.database, "paper") as store:
        store.append(session(), *short())
        found = preflight_session.lease(case)
        assert (found.state, str(os.getpid()) in found.what) == ("warn", True)
        assert preflight_session.database(case).state == "ok"
    assert preflight_session.lease(case).state == "ok"


def test_looking_at_a_log_changes_nothing(tmp_path):
    spec = paper_spec(tmp_path)
    with Store.open(spec.places.database, "paper") as store:
        store.append(session(), *short())
        before = store.state_hash()
        preflight_session.database(case_of(spec, tmp_path))
        assert store.state_hash() == before
        with StoreReader(spec.places.database) as reader:
            assert reader.beats() == ()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("UPDATE orders SET quantity = 999", "orders"),
        ("DROP TRIGGER events_kept; DELETE FROM events WHERE seq = 3", "numbered 1 to 8"),
        ("PRAGMA user_version = 999", "version 999"),
    ],
)
def test_log_that_is_damaged_fails(tmp_path, harm, words):
    spec = paper_spec(tmp_path)
    with Store.open(spec.places.database, "paper") as store:
        store.append(session(), *short())
    db = sqlite3.connect(spec.places.database)
    db.executescript(harm)
    db.close()
    (result,) = preflight(
        spec, environ={}, checks=(Check("database", preflight_session.database),), env_file=tmp_path / ".env"
    )
    assert (result.state, words in result.what) == ("fail", True), result


def test_file_that_is_no_database_fails(tmp_path):
    spec = paper_spec(tmp_path)
    spec.places.folder.mkdir(parents=True)
    spec.places.database.write_bytes(b"no database at all" * 100)
    checks = (Check("database", preflight_session.database),)
    assert states(preflight(spec, environ={}, checks=checks)) == {"database": "fail"}


def test_journal_that_waits_is_told(tmp_path):
    spec = paper_spec(tmp_path)
    with Store.open(spec.places.database, "paper") as store:
        store.append(session())
    spec.places.database.with_name("live.sqlite.journal").write_bytes(b"0000 line\n")
    assert preflight_session.database(case_of(spec, tmp_path)).state == "warn"


# ---- filters and alerts ----


def test_filter_that_is_not_there_fails(tmp_path):
    spec = paper_spec(tmp_path)
    spec = spec.model_copy(update={"params": spec.params.replace(filters=("no_such_filter",))})
    (result,) = preflight(spec, environ={}, checks=(Check("filters", preflight_session.filters),))
    assert result.state == "fail"
    assert "no_such_filter" in result.what


def test_messenger_without_its_token_fails(tmp_path):
    case = case_of(paper_spec(tmp_path, alerts=["telegram"]), tmp_path)
    assert preflight_session.alerts(case).state == "fail"
    stand_in = StandIn()
    environ = {m.TELEGRAM_TOKEN: TOKEN, m.TELEGRAM_CHAT: "42", m.TELEGRAM_API: stand_in.url}
    assert preflight_session.alerts(replace(case, environ=environ)).state == "ok"
    assert stand_in.posts == []
    stand_in.stop()


def test_live_session_that_tells_nobody_is_a_warning(tmp_path):
    spec = make_spec(
        load_session_params("paper", mode="live"), date=RECENT, data_folder=tmp_path, account="AB1234"
    )
    assert preflight_session.alerts(case_of(spec, tmp_path)).state == "warn"
