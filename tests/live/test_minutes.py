"""Ticks in, closed minutes out: volumes and torn files after a restart, lost minutes, candles, the reference price."""

import datetime as dt

import numpy as np
import pytest

from engine.history.bars import BAR, TICK
from engine.live.day.bar_log import BarLog
from engine.live.day.minutes import Minutes
from engine.market.clock import minute_start, to_ns

DATE = dt.date(2026, 9, 1)
OPEN_NS = to_ns(minute_start(DATE, 0))
NS, MINUTE = 1_000_000_000, 60_000_000_000
CONTRACTS = 3


def ticks(*told):
    """(seconds after the open, contract, price, day's volume), received at once."""
    made = np.zeros(len(told), TICK)
    for row, (second, contract, price, volume) in zip(made, told, strict=True):
        row["exchange_ns"] = row["receive_ns"] = OPEN_NS + round(second * NS)
        row["instrument"], row["price"], row["volume"] = contract, price, volume
    return made


def candles(*told):
    """(minute, contract, price, volume)."""
    made = np.zeros(len(told), BAR)
    for row, (minute, contract, price, volume) in zip(made, told, strict=True):
        row["minute"], row["instrument"], row["volume"] = minute, contract, volume
        for name in ("open", "high", "low", "close"):
            row[name] = price
    return made


@pytest.fixture
def make(tmp_path):
    return lambda **given: Minutes(OPEN_NS, 375, CONTRACTS, BarLog(tmp_path, DATE), **given)


def told(closed):
    return [(bar.contract, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in closed.bars]


def at(second):
    return OPEN_NS + round(second * NS)


def prices(quotes):
    return list(zip(quotes.ticks["instrument"].tolist(), quotes.ticks["price"].tolist(), strict=True))


def test_a_minute_closes_with_what_was_traded_in_it(make):
    minutes = make()
    minutes.push(ticks((1, 0, 100, 10), (20, 0, 120, 30), (59, 0, 90, 40), (30, 1, 50, 5)))
    closed = minutes.close(0)
    assert told(closed) == [(0, 100, 120, 90, 90, 40), (1, 50, 50, 50, 50, 5)]
    assert not closed.replayed


def test_prices_are_told_by_minute_and_late_ones_are_left_out(make):
    minutes = make()
    quotes = minutes.push(ticks((59, 0, 100, 1), (61, 0, 101, 2)))
    assert [prices(each) for each in quotes] == [[(0, 100)], [(0, 101)]]
    assert minutes.push(ticks((58, 0, 90, 1), (60.5, 1, 0, 1))) == ()
    assert [minutes.reference(contract, at(200)) for contract in range(3)] == [101, None, None]
    assert minutes.newest_ns == at(61)


def test_an_older_tick_behind_a_newer_one_of_its_contract_in_one_frame_is_left_out(make):
    minutes = make()
    (quotes,) = minutes.push(ticks((5, 0, 100, 2), (4, 0, 90, 1), (4, 1, 50, 1), (5, 0, 101, 3)))
    assert prices(quotes) == [(0, 100), (1, 50), (0, 101)]
    assert quotes.at_ns == at(5)


def test_a_tick_from_a_time_that_cannot_be_tells_no_time_and_freezes_no_contract(make):
    minutes = make()
    minutes.push(ticks((1, 0, 100, 10)))
    garbage = ticks((2, 0, 200, 20))
    garbage["exchange_ns"] = (2**32 - 1) * NS
    (quotes,) = minutes.push(garbage)
    assert (quotes.at_ns, prices(quotes)) == (at(2), [(0, 200)])
    garbage["receive_ns"] = garbage["exchange_ns"] = (2**32 - 1) * NS
    assert minutes.push(garbage) == ()
    assert minutes.newest_ns == at(2)
    (quotes,) = minutes.push(ticks((3, 0, 101, 30)))
    assert (quotes.at_ns, prices(quotes)) == (at(3), [(0, 101)])


def test_a_tick_dated_ahead_of_our_clocks_counts_by_its_receipt(make):
    minutes = make()
    minutes.push(ticks((1, 0, 100, 10)))
    ahead = ticks((200, 0, 105, 20), (2, 1, 50, 5))
    ahead["receive_ns"] = at(2)
    (quotes,) = minutes.push(ahead, at(7))
    assert (quotes.at_ns, prices(quotes)) == (at(2), [(0, 105), (1, 50)])
    assert (minutes.newest_ns, minutes.ahead) == (at(2), 1)
    (quotes,) = minutes.push(ticks((3, 0, 101, 30)), at(8))
    assert prices(quotes) == [(0, 101)]
    assert told(minutes.close(0)) == [(0, 100, 105, 100, 101, 30), (1, 50, 50, 50, 50, 5)]


def test_minutes_are_due_a_grace_after_their_end_and_never_beyond_the_day(make):
    minutes = make()
    assert minutes.due(at(60.5)) == ()
    assert minutes.due(at(60), grace_ns=0) == (0,)
    assert minutes.due(at(200)) == (0, 1, 2)
    assert minutes.due(at(9_999_999))[-1] == 374


def test_an_empty_minute_closes_without_bars_and_is_known_after_a_restart(make):
    minutes = make()
    minutes.close(0)
    minutes.push(ticks((61, 0, 100, 10)))
    minutes.close(1)
    minutes.close(2)
    minutes.write()
    again = make()
    assert again.closed == 2
    assert [told(each) for each in again.history()] == [[], [(0, 100, 100, 100, 100, 10)], []]
    assert all(each.replayed for each in again.history())


def test_volumes_go_on_from_the_closed_bars_after_a_restart(make):
    minutes = make()
    minutes.push(ticks((10, 0, 100, 500), (10, 1, 70, 20)))
    minutes.close(0)
    minutes.write()
    again = make()
    again.resume()
    again.push(ticks((70, 0, 101, 530), (80, 2, 30, 7)))
    # contract 2 is first heard of now: what it traded before is not of this minute
    assert told(again.close(1)) == [(0, 101, 101, 101, 101, 30), (2, 30, 30, 30, 30, 7)]


def test_joining_late_counts_volume_from_the_candles(make):
    minutes = make(from_open=False)
    minutes.fill(0, candles((0, 0, 100, 400)))
    minutes.resume()
    minutes.push(ticks((65, 0, 100, 450)))
    assert told(minutes.close(1))[0][-1] == 50


def test_a_minute_of_which_something_was_missed_needs_candles_and_is_replayed(make):
    minutes = make()
    minutes.close(0)
    minutes.lost(at(100), at(130))
    assert [minutes.needs_candles(minute) for minute in range(4)] == [False, True, True, False]
    assert minutes.fill(1, candles((1, 0, 100, 5))).replayed
    assert minutes.close(2).replayed
    assert not minutes.close(3).replayed


def test_a_loss_before_the_open_or_after_the_close_costs_no_minute(make):
    minutes = make()
    minutes.lost(at(-100), at(-1))
    assert not any(minutes.needs_candles(minute) for minute in range(375))
    minutes.lost(at(374 * 60), at(9_999_999))
    assert minutes.needs_candles(374)
    assert not minutes.needs_candles(375)


def test_minutes_that_waited_for_candles_lose_no_bar_of_later_ones(make):
    minutes = make()
    minutes.lost(at(5), at(10))
    minutes.push(ticks((1, 0, 100, 10), (70, 0, 110, 20), (130, 0, 120, 25), (200, 0, 130, 40)))
    assert told(minutes.fill(0, candles((0, 0, 101, 12)))) == [(0, 101, 101, 101, 101, 12)]
    assert told(minutes.close(1)) == [(0, 110, 110, 110, 110, 10)]
    assert told(minutes.close(2)) == [(0, 120, 120, 120, 120, 5)]
    assert told(minutes.close(3)) == [(0, 130, 130, 130, 130, 15)]


def test_a_torn_minute_is_as_if_it_had_not_closed(make, tmp_path):
    minutes = make()
    for minute in range(3):
        minutes.push(
            ticks((minute * 60 + 1, 0, 100 + minute, minute + 1), (minute * 60 + 2, 1, 50, minute + 1))
        )
        minutes.close(minute)
        minutes.write()
    path = BarLog(tmp_path, DATE).path
    whole = path.read_bytes()
    for cut in range(1, 2 * BAR.itemsize):  # inside the last record, and between two of them
        path.write_bytes(whole[:-cut])
        assert make().closed == 1
        again = make()
        again.close(2)
        again.write()
        assert make().closed == 2


def test_minutes_after_a_hole_are_not_believed(make, tmp_path):
    rows = candles((0, 0, 100, 5), (0, -1, 0, 0), (2, 0, 100, 5), (2, -1, 0, 0))
    log = BarLog(tmp_path, DATE)
    log.read()
    log.append(rows)
    assert make().closed == 0


def test_a_minute_whose_decision_may_not_stand_yet_is_closed_again_after_a_crash(make):
    minutes = make()
    minutes.close(0)
    minutes.write()
    minutes.close(1)  # and then the process died, before the decision was in the log
    assert make().closed == 0


def test_a_foreign_file_is_not_believed(make, tmp_path):
    BarLog(tmp_path, DATE).path.write_bytes(b"something else altogether")
    assert make().closed == -1


def test_a_disk_that_takes_nothing_costs_the_file_only(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    log = BarLog(blocked / "below", DATE)
    minutes = Minutes(OPEN_NS, 375, CONTRACTS, log)
    minutes.push(ticks((1, 0, 100, 10)))
    assert told(minutes.close(0))
    minutes.write()
    assert "cannot be" in log.failure


def test_after_a_failed_write_the_file_is_left_alone_so_that_no_hole_is_taken_for_empty(
    make, tmp_path, monkeypatch
):
    minutes = make()
    minutes.close(0)
    minutes.write()
    log = minutes._log
    monkeypatch.setattr(log, "_add", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    minutes.close(1)
    minutes.write()
    monkeypatch.undo()
    minutes.close(2)
    minutes.write()
    assert "No space left" in log.failure
    assert make().closed == 0


def test_the_reference_price_is_the_mean_of_the_last_30_seconds_else_the_last_price(make):
    minutes = make()
    assert minutes.reference(0, at(0)) is None
    minutes.push(ticks((1, 0, 100, 1)))
    minutes.push(ticks((12, 0, 200, 2)))
    minutes.push(ticks((25, 0, 300, 3)))
    assert minutes.reference(0, at(26)) == 200
    assert minutes.reference(0, at(38)) == 250
    assert minutes.reference(0, at(500)) == 300


def test_minutes_close_in_order(make):
    with pytest.raises(AssertionError):
        make().close(1)
