"""The runner as a process at a practice exchange: days equal to the backtest, every way to stop, kill and go on."""

import datetime as dt
import resource

import pytest
from runner_rig import DATE, Days, Rig

from engine.live.control.processes import ENDED, FEED, LEASE_HELD, RUNNER
from engine.live.log.events import SessionEnded
from engine.live.store import Store

HELD_MINUTE = 12
"""A position is open at its beginning, on the day of these tests."""
TWO_HELD_MINUTE = 25
NEXT_DATE = dt.date(2026, 9, 2)
ALL_DONE_MINUTE = 60
"""The day's target was reached before; nothing is traded after."""


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return Days(tmp_path_factory.mktemp("runner-lake"))


@pytest.fixture
def make_rig(tmp_path, days):
    made = []

    def make(**settings):
        made.append(Rig(tmp_path, days, **settings))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make_rig):
    """Trading, with positions open, the market standing still."""
    made = make_rig().start()
    made.play_to(HELD_MINUTE)
    assert made.open_positions()
    return made


def test_a_played_day_equals_its_backtest_and_is_over_once(make_rig, days):
    trades, decisions = days.backtest(DATE)
    rig = make_rig(held=False).start()
    assert rig.wait_exit(180) == ENDED
    assert rig.trades() == trades
    assert len(rig.facts("DecisionMade")) == decisions
    assert rig.facts("SessionEnded")[0].flat
    assert rig.beat()["phase"] == "done"
    rig.start(RUNNER)
    assert rig.wait_exit() == ENDED
    assert len(rig.facts("SessionStarted")) == len(rig.facts("SessionEnded")) == 1


def test_runners_killed_in_mid_day_trade_as_one_that_was_not(make_rig, days):
    rig = make_rig().start()
    for minute in (9, HELD_MINUTE, TWO_HELD_MINUTE, 47):
        rig.play_to(minute)
        rig.end(RUNNER)
        rig.start(RUNNER)
    rig.play_to(ALL_DONE_MINUTE)
    assert rig.trades() == days.backtest(DATE)[0]
    assert not rig.facts("Mismatch")


def test_a_second_runner_refuses(rig):
    first = rig.runner
    rig.start(RUNNER)
    assert rig.wait_exit() == LEASE_HELD
    assert first.poll() is None
    rig.running["first"] = first


def test_a_kill_by_command_is_answered_when_flat_is_proved(rig):
    assert rig.answer(rig.ask("kill", reason="enough")) == ("done", "proved flat")
    assert rig.latch() == "HALTED"
    assert not rig.open_positions()
    assert not rig.broker_net()
    state, words = rig.answer(rig.ask("resume", reason="again"))
    assert (state, "reset" in words) == ("refused", True)
    assert rig.answer(rig.ask("reset", reason="looked at it"))[0] == "done"
    assert rig.latch() == "ACTIVE"


def test_a_flag_file_kills(rig):
    rig.places.kill_flag.write_text("from the shell\n")
    rig.wait(lambda: rig.read(lambda r: r.latch()).reason.startswith("proved flat"), why="proved")
    assert rig.latch() == "HALTED"
    assert not rig.broker_net()
    assert any(fact.reason == "from the shell" for fact in rig.facts("LatchChanged"))


def test_sigterm_leaves_the_stops_and_a_new_runner_goes_on(rig, days):
    open_before = rig.open_positions()
    rig.tell()
    assert rig.wait_exit() == ENDED
    assert rig.beat()["phase"] == "done"
    assert rig.latch() == "ACTIVE"
    assert rig.open_positions() == open_before
    standing = rig.read(lambda r: r.orders(only_open=True))
    assert {order.leg for order in standing} == {"stop"}
    assert {order.position for order in standing} == {row.position for row in open_before}
    rig.start(RUNNER)
    rig.play_to(HELD_MINUTE + 2)
    assert rig.latch() == "ACTIVE"
    assert not rig.facts("Mismatch")


def test_sigterm_flattens_where_the_session_says_so(make_rig):
    rig = make_rig(on_sigterm="flatten").start()
    rig.play_to(HELD_MINUTE)
    assert rig.open_positions()
    rig.tell()
    assert rig.wait_exit() == ENDED
    assert not rig.open_positions()
    assert not rig.broker_net()
    assert rig.latch() == "ACTIVE"


def test_a_stop_that_flattens_ends_flat_and_needs_no_reset(rig):
    assert rig.answer(rig.ask("stop", flatten=True))[0] == "done"
    assert rig.wait_exit() == ENDED
    assert not rig.broker_net()
    assert rig.latch() == "ACTIVE"


def test_pause_withdraws_entries_and_resume_takes_them_up(make_rig):
    rig = make_rig().start()
    rig.play_to(5)
    assert rig.answer(rig.ask("pause"))[0] == "done"
    rig.play_to(HELD_MINUTE)
    assert not rig.open_positions()
    assert not rig.read(lambda r: r.orders(only_open=True))
    assert rig.answer(rig.ask("pause"))[0] == "refused"
    assert rig.answer(rig.ask("resume"))[0] == "done"
    rig.play_to(TWO_HELD_MINUTE)
    assert rig.open_positions()


def test_one_position_is_flattened_alone(rig):
    rig.play_to(TWO_HELD_MINUTE)
    before = rig.open_positions()
    assert len(before) > 1
    number = rig.ask("flatten", position=before[0].position)
    assert rig.answer(number) == ("done", "flat")
    assert rig.open_positions() == before[1:]
    assert rig.answer(rig.ask("flatten", position=99))[0] == "refused"


# ---- before it trades ----


def test_without_a_login_a_kill_is_latched_and_done_after_the_login(make_rig):
    rig = make_rig().start()
    rig.play_to(HELD_MINUTE)
    rig.end(RUNNER)
    token = rig.env.pop("KITE_ACCESS_TOKEN")
    rig.start(RUNNER)
    rig.wait_phase("login_needed")
    number = rig.ask("kill", reason="now")
    rig.wait(lambda: rig.latch() == "FLATTENING", why="latched")
    assert rig.broker_net()
    rig.keep_token_in_file(token)
    assert rig.answer(number) == ("done", "proved flat")
    assert not rig.broker_net()


def test_without_a_login_sigterm_ends_it(make_rig):
    rig = make_rig(env={"KITE_ACCESS_TOKEN": "wrong"}).start()
    rig.wait_phase("login_needed")
    rig.tell()
    assert rig.wait_exit() == ENDED


def test_a_kill_without_a_feed_closes_what_an_earlier_runner_left(rig):
    rig.end(RUNNER)
    rig.end(FEED)
    rig.start(RUNNER)
    rig.wait_phase("waiting")
    assert rig.answer(rig.ask("kill", reason="no prices")) == ("done", "proved flat")
    assert not rig.broker_net()


def test_a_kill_before_the_open_ends_halted(make_rig):
    rig = make_rig().start(RUNNER)
    rig.wait_phase("waiting")
    rig.places.kill_flag.write_text("not today")
    rig.wait(lambda: rig.latch() == "HALTED", why="halted")
    rig.tell()
    assert rig.wait_exit() == ENDED


def test_a_kill_that_died_is_carried_on_by_the_next_runner(rig):
    rig.end(RUNNER)
    with Store.open(rig.places.database, rig.spec.account) as store:
        store.set_latch("FLATTENING", "begun", "test")
    rig.start(RUNNER)
    rig.wait(lambda: rig.latch() == "HALTED", why="halted")
    assert not rig.broker_net()


def test_a_feed_that_dies_and_comes_back_costs_no_trade(make_rig, days):
    rig = make_rig().start()
    for times, minute in enumerate((HELD_MINUTE, TWO_HELD_MINUTE), start=1):
        rig.play_to(minute)
        rig.end(FEED)
        rig.start(FEED)
        rig.wait(lambda times=times: rig.words().count("prices are fresh again") == times, why="fresh")
    rig.play_to(ALL_DONE_MINUTE)
    assert rig.trades() == days.backtest(DATE)[0]


# ---- logins, and days after one another ----


@pytest.mark.parametrize("kept", ["file", "environment"])
def test_a_login_lost_at_midday_is_waited_for_and_nothing_is_lost(make_rig, days, kept):
    rig = make_rig()
    if kept == "file":
        rig.keep_token_in_file(rig.env.pop("KITE_ACCESS_TOKEN"))
    rig.start()
    rig.play_to(HELD_MINUTE)
    rig.wait_phase("trading")  # its last words may still be those of its start, which waited for a login, too
    rig.expire_tokens()
    rig.wait_phase("login_needed")
    rig.keep_token_in_file(rig.server.grant_token())
    rig.wait_phase("trading")
    rig.play_to(ALL_DONE_MINUTE)
    assert rig.trades() == days.backtest(DATE)[0]
    assert {"token_expired", "up"} <= {fact.status for fact in rig.facts("LinkChanged")}
    assert not rig.facts("Mismatch")


def test_the_next_day_begins_clean_after_one_that_was_left_open(make_rig, days):
    rig = make_rig().start()
    rig.play_to(HELD_MINUTE)
    left = rig.open_positions()
    rig.end(RUNNER)
    rig.end(FEED)
    following = make_rig(date=NEXT_DATE).start()
    following.play_to(ALL_DONE_MINUTE)
    today = following.trades(NEXT_DATE)
    assert today
    assert set(today) <= set(days.backtest(NEXT_DATE)[0])
    assert not following.facts("Mismatch")
    booked = following.facts("OutsideFill")
    assert [fact.position for fact in booked] == [row.position for row in left]


def test_with_a_full_disk_a_kill_still_closes_everything_and_the_log_learns_it_later(rig):
    resource.prlimit(rig.runner.pid, resource.RLIMIT_FSIZE, (32_768, resource.RLIM_INFINITY))
    rig.play_to(HELD_MINUTE + 2)  # closed minutes cannot be kept, and that ends nothing
    assert rig.runner.poll() is None
    rig.places.kill_flag.write_text("disk full")
    rig.wait(lambda: not rig.broker_net(), why="flat at the exchange")
    assert rig.open_positions()  # by the log, which takes nothing
    rig.wait(lambda: "disk log: down" in rig.words(), why="noticed")
    resource.prlimit(rig.runner.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    rig.wait(lambda: rig.latch() == "HALTED", why="halted")
    rig.wait(lambda: not rig.open_positions(), why="flat by the log")

    def disk():
        return [fact.status for fact in rig.facts("LinkChanged") if fact.link == "disk"]

    rig.wait(lambda: disk() == ["down", "up"], why="disk down, then up")


def test_a_day_that_ended_without_the_proof_of_flat_goes_on(rig, days):
    rig.end(RUNNER)
    with Store.open(rig.places.database, rig.spec.account) as store:
        store.append(SessionEnded(date=DATE, flat=False, charges=0, reason="not proved flat"))
    rig.places.contracts.unlink()  # chosen anew, they are the same
    rig.start(RUNNER)
    rig.play_to(ALL_DONE_MINUTE)
    assert rig.trades() == days.backtest(DATE)[0]
    assert len(rig.facts("SessionStarted")) == 1
    assert not rig.facts("Mismatch")
