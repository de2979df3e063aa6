"""The watchdog as a process of its own: a stuck runner, a dead one, a deaf one; a short on the practice exchange."""

import asyncio
import datetime as dt
import os
import signal
import time

import pytest
from live_session_kit import Session, wait_for
from small_disk import told_on_small_disk

from engine.execution.matching import BUY
from engine.execution.risk import Limits
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.brokers.kite import KiteBroker
from engine.live.brokers.kite_token import KiteSecrets, write_token
from engine.live.brokers.registry import make_broker
from engine.live.clocks import SystemClock
from engine.live.control import dead_man
from engine.live.control.processes import Process
from engine.live.gateway import Gateway
from engine.live.log.events import SessionStarted
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.orders.prechecks import Rails, Wish
from engine.live.orders.wire import Rules
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store
from engine.market.clock import IST
from engine.practice.market import load_practice_day
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

DATE = dt.date(2026, 9, 1)
LIMITS = Limits(5, 3, 3, 2**62, 2**62)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("watchdog-data"))
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=5)
    return load_practice_day(lake, "NIFTY", DATE)


@pytest.fixture
def exchange(day):
    pace = PaceSettings(speed=60.0, start_minute=60)
    with PracticeServer(day, ServerSettings(pace=pace)) as server:
        yield server


@pytest.fixture
def account(exchange, tmp_path, monkeypatch):
    """A session with one short and its stop, in the log and on the exchange; its processes are stand-ins."""
    session = load_session_params("practice", heartbeat_stale_seconds=3, flatten_within_seconds=30)
    spec = make_spec(session, date=DATE, data_folder=tmp_path, broker_root=exchange.rest_url)
    made = Session(tmp_path, real=("watchdog",), spec=spec)
    monkeypatch.setenv("KITE_API_KEY", exchange.api_key)
    monkeypatch.setenv("KITE_ACCESS_TOKEN", exchange.grant_token())
    instrument = next(
        one for one in exchange.exchange.market.instruments if (one.strike, one.kind) == (25000, "CE")
    )
    asyncio.run(_sell(spec, exchange, instrument))
    made.exchange, made.symbol = exchange, instrument.symbol
    yield made
    made.clean()


def broker_of(spec):
    return KiteBroker(os.environ["KITE_API_KEY"], os.environ["KITE_ACCESS_TOKEN"], root=spec.broker_root)


async def _sell(spec, exchange, instrument):
    lot = instrument.lot_size
    with Store.open(spec.places.database, spec.account) as store:
        store.append(
            SessionStarted(
                date=DATE, underlying="NIFTY", expiry=instrument.expiry, mode="practice", params_hash="x",
                lot_size=lot, broker="kite", feed="practice", simulated=True,
            )
        )  # fmt: skip
        broker = broker_of(spec)
        (quote,) = await broker.quotes([instrument.symbol])
        rails = Rails(DATE, lot, lot * 20, LIMITS, 10**12)
        gateway = Gateway(store, broker, SystemClock(), rails, lambda _: quote.last, Rules(poll_s=0.1))
        await gateway.recover()
        told = {"position": 1, "slot": "CE", "symbol": instrument.symbol, "quantity": lot}
        low, high = max(quote.last * 9 // 10, 1), quote.last * 2
        await gateway.place(
            Wish(leg="entry", reason="entry", side="SELL", order_type="LIMIT", limit=low, **told)
        )
        assert await gateway.watch(lambda: bool(store.state.open_positions), 10), "the short fills"
        await gateway.place(
            Wish(
                leg="stop", reason="stop", side="BUY", order_type="SL", trigger=high, limit=high + 60, **told
            )
        )
        assert await gateway.watch(
            lambda: any(o.status == "TRIGGER PENDING" for o in store.state.open_orders), 10
        )
        await broker.close()


def at_exchange(account):
    """Units of our symbol and orders that are open, as the exchange has it."""

    def read():
        exchange = account.exchange.exchange
        net = sum(
            trade.quantity * (1 if trade.order.side == BUY else -1)
            for trade in exchange.trades
            if trade.order.instrument.symbol == account.symbol
        )
        return net, sum(1 for order in exchange.orders.values() if not order.ended)

    return account.exchange.call(read)


def latch(account):
    with StoreReader(account.places.database) as reader:
        return reader.latch().state


def kill_runner(account):
    pid = account.pid("runner")
    os.kill(pid, signal.SIGKILL)
    return pid


def test_fourth_death_is_followed_by_proved_flat(account):
    supervisor = account.supervise()
    account.wait_up("runner", "feed", "watchdog", "supervisor")
    assert at_exchange(account)[0] < 0
    for _ in range(3):
        old = kill_runner(account)
        wait_for(lambda old=old: account.pid("runner") not in {0, old})
    assert at_exchange(account)[0] < 0, "restarts change nothing at the exchange"
    began = time.monotonic()
    kill_runner(account)
    wait_for(lambda: at_exchange(account) == (0, 0), 30, account.words())
    assert supervisor.wait(20) == 1, "the session is over"
    print(f"fourth death -> session over, proved flat: {time.monotonic() - began:.2f} s")
    assert latch(account) == "FLATTENING"
    assert account.alive() == {}
    assert "proved flat" in account.words()


def test_runner_dead_and_no_supervisor(account):
    supervisor = account.supervise()
    account.wait_up("runner", "feed", "watchdog", "supervisor")
    supervisor.kill()
    supervisor.wait()
    time.sleep(1)
    assert at_exchange(account)[0] < 0, "a runner that lives is left alone"
    began = time.monotonic()
    kill_runner(account)
    wait_for(lambda: at_exchange(account) == (0, 0), 30, account.words())
    print(f"death without supervisor -> flat: {time.monotonic() - began:.2f} s")
    wait_for(lambda: account.alive() == {}, 20, "the orphans end as well")


def test_stuck_runner_is_killed_and_started_again(account):
    account.supervise()
    account.wait_up("runner", "feed", "watchdog", "supervisor")
    time.sleep(3)
    old = Process.of(account.pid("runner"))
    old.signal(signal.SIGSTOP)
    wait_for(lambda: account.pid("runner") not in {0, old.pid}, 20, account.words())
    assert not old.alive
    wait_for(lambda: account.beat("runner").age_s() < 1)
    assert at_exchange(account)[0] < 0, "the short keeps its stop; nothing is closed"
    why = "signal 9, killed by the watchdog: it gave no sign of life for "
    wait_for(lambda: why in account.beat("supervisor").status)
    assert why in (account.places.folder / "supervisor.out").read_text()
    assert f"runner (process {old.pid}) is killed: it gave no sign of life for" in account.words()


def test_kill_flag_that_the_runner_does_not_obey(account):
    account.supervise()
    account.wait_up("runner", "feed", "watchdog", "supervisor")
    began = time.monotonic()
    account.places.kill_flag.write_text("test of the flag")
    wait_for(lambda: at_exchange(account) == (0, 0), 40, account.words())
    print(f"disobeyed kill flag -> flat: {time.monotonic() - began:.2f} s")
    assert latch(account) == "FLATTENING"


def test_silence_of_all_because_nobody_can_write_is_no_death(account):
    account.supervise()
    account.wait_up("runner", "feed", "watchdog", "supervisor")
    old = account.pid("runner")
    import sqlite3

    db = sqlite3.connect(account.places.database, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")  # the write lock, held
    time.sleep(6)
    assert account.pid("runner") == old
    db.execute("ROLLBACK")
    db.close()
    wait_for(lambda: account.beat("runner").age_s() < 1)
    assert account.pid("runner") == old
    assert at_exchange(account)[0] < 0


def test_what_a_person_has_bought_back_is_not_bought_again(account):
    exchange = account.exchange

    async def buy_back():
        broker = broker_of(account.spec)
        from engine.live.brokers.base import OrderRequest

        (quote,) = await broker.quotes([account.symbol])
        lot = -at_exchange(account)[0]
        await broker.place(
            OrderRequest("APP1", account.symbol, "BUY", lot, "LIMIT", limit_ticks=quote.last * 11 // 10)
        )
        await broker.close()

    asyncio.run(buy_back())
    wait_for(lambda: at_exchange(account)[0] == 0)
    done = dead_man.run_closing(account.spec, lambda: broker_of(account.spec), "test", lambda *_: None)
    assert done.flat
    assert at_exchange(account) == (0, 0)
    assert sum(1 for trade in exchange.exchange.trades if trade.order.side == BUY) == 1


def test_full_disk_closes_from_a_copy_of_the_log(account, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = []
    real = Store.open.__func__

    def full(cls, path, *words, **more):
        if path == account.places.database:
            raise StoreError("database or disk is full", "full")
        return real(cls, path, *words, **more)

    monkeypatch.setattr(Store, "open", classmethod(full))
    done = dead_man.run_closing(
        account.spec, lambda: broker_of(account.spec), "test", lambda _, text: told.append(text)
    )
    assert done.flat
    assert at_exchange(account) == (0, 0)
    assert any("a copy takes its place" in text for text in told)


def test_a_disk_that_is_really_full_keeps_nobody_from_closing(account, tmp_path):
    told = told_on_small_disk(tmp_path, "closing", str(account.path))
    assert told["flat"], told
    assert at_exchange(account) == (0, 0)


def test_broker_that_does_not_answer_leads_to_no_order_and_no_claim(account):
    account.exchange.stop()
    spec = account.spec.model_copy(
        update={"session": account.spec.session.model_copy(update={"flatten_within_seconds": 2})}
    )
    told = []
    done = dead_man.run_closing(spec, lambda: broker_of(spec), "test", lambda _, text: told.append(text))
    assert not done.flat
    assert done.left
    assert told


# ---- logins ----


def keep_in_file(account, token):
    dies = dt.datetime.now(IST) + dt.timedelta(hours=1)
    write_token(account.spec.env_file, KiteSecrets(account.exchange.api_key, None, token, dies))


@pytest.mark.parametrize("dies", ["2026-08-31T06:00:00+05:30", "2099-08-31T06:00:00+05:30", ""])
def test_a_dead_login_of_the_environment_does_not_hide_the_file_s_good_one(account, monkeypatch, dies):
    keep_in_file(account, account.exchange.grant_token())
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "dead")
    monkeypatch.setenv("KITE_TOKEN_DIES", dies)
    told = []
    done = dead_man.run_closing(
        account.spec, lambda: make_broker(account.spec), "test", lambda _, text: told.append(text)
    )
    assert done.flat
    assert at_exchange(account) == (0, 0)
    assert told == []
    assert latch(account) == "FLATTENING"
    dead_man.reset_latch(account.spec, lambda: make_broker(account.spec), "looked at it", "test")
    assert latch(account) == "ACTIVE"


def test_a_login_renewed_while_closing_waits_for_it_is_used(account, monkeypatch):
    monkeypatch.setattr(dead_man, "_AGAIN_S", 0.1)
    account.exchange.call(account.exchange.login.expire)
    told = []

    def tell(_level, text):
        told.append(text)
        keep_in_file(account, account.exchange.grant_token())  # a person logs in once it is asked for

    done = dead_man.run_closing(account.spec, lambda: make_broker(account.spec), "test", tell)
    assert done.flat
    assert at_exchange(account) == (0, 0)
    assert len(told) == 1
    assert f"log in again: {account.spec.login_command}" in told[0]
    assert "--root http" in told[0]
