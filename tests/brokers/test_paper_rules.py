"""What the paper broker refuses, how long a request takes, and what is left of it after a restart."""

import numpy as np
import pytest
from paper_rig import MS, Played, done

from engine.history.bars import TICK
from engine.live.brokers.base import BrokerRefused, BrokerUnknown, OrderRequest, OrderStatus
from engine.live.brokers.paper import PaperBookError
from engine.live.brokers.paper_market import PaperMarket


class Account:
    """A paper broker in the middle of a played day, and requests in few words."""

    def __init__(self, day, path, **rules):
        self.day = Played(day, path, **{"match": "moves", "moments": True, **rules})
        self.day.play(25)
        self.contract = next(one for one in self.day.contracts if (one.strike, one.kind) == (25000, "CE"))
        self.place_of = self.day.contracts.index(self.contract)
        self.lot = self.contract.lot
        self.count = 0

    @property
    def broker(self):
        return self.day.broker

    @property
    def last(self):
        return int(self.day.market.last[self.place_of])

    def request(self, side, kind, trigger=0, limit=0, lots=1, **more):
        self.count += 1
        return OrderRequest(
            more.pop("tag", f"T{self.count}"), more.pop("symbol", self.contract.symbol), side,
            more.pop("quantity", lots * self.lot), kind, trigger, limit, **more,
        )  # fmt: skip

    def place(self, *args, **more):
        return done(self.broker.place(self.request(*args, **more)))

    def order(self, order_id):
        (found,) = [one for one in done(self.broker.orders()) if one.order_id == order_id]
        return found

    def pass_ms(self, ms):
        self.day.clock.ms += ms
        self.broker.on_time(self.day.clock.wall_ns())

    def again(self):
        """The process was killed and another one starts: only the file is left."""
        self.broker._book.close()
        self.day.open()


@pytest.fixture
def account(played_day, tmp_path):
    return Account(played_day, tmp_path / "paper_book.jsonl")


@pytest.fixture
def slow(played_day, tmp_path):
    return Account(played_day, tmp_path / "paper_book.jsonl", latency_ms=500)


def refusal(work):
    with pytest.raises(BrokerRefused) as caught:
        work()
    assert caught.value.code == 400
    return caught.value.message


# --- refusals -------------------------------------------------------------------------------------------------------


def test_an_order_above_the_freeze_quantity_is_refused(account):
    assert "freeze limit of 1800" in refusal(
        lambda: account.place("SELL", "LIMIT", limit=account.last, lots=28)
    )


def test_a_contract_that_is_not_listed_is_refused(account):
    told = refusal(lambda: account.place("SELL", "LIMIT", limit=2000, symbol="NIFTY26SEP1CE"))
    assert "does not exist (NFO:NIFTY26SEP1CE)" in told


@pytest.mark.parametrize(("side", "trigger"), [("SELL", 1), ("BUY", -1), ("SELL", 0), ("BUY", 0)])
def test_a_stop_whose_trigger_is_reached_already_is_refused(account, side, trigger):
    sign = 1 if side == "BUY" else -1
    price = account.last + trigger
    assert "Trigger price for stoploss" in refusal(
        lambda: account.place(side, "SL", price, price + 20 * sign)
    )


def test_a_stop_whose_limit_is_before_its_trigger_is_refused(account):
    told = refusal(lambda: account.place("SELL", "SL", account.last - 20, account.last - 10))
    assert "cannot be higher than its trigger price" in told


def test_a_limit_outside_the_price_band_is_refused(account):
    assert "circuit limit" in refusal(lambda: account.place("BUY", "LIMIT", limit=account.last * 3))


def test_orders_before_the_open_and_after_the_close_are_refused(account):
    for ms in (-1, 24 * 3600 * 1000):
        account.day.clock.ms = ms
        assert "Markets are closed" in refusal(lambda: account.place("SELL", "LIMIT", limit=account.last))


def test_the_twenty_sixth_modification_is_refused(account):
    order_id = account.place("SELL", "LIMIT", limit=account.last + 100)
    for step in range(25):
        done(
            account.broker.modify(order_id, account.request("SELL", "LIMIT", limit=account.last + 100 + step))
        )
    assert "modifications exceeded" in refusal(
        lambda: done(
            account.broker.modify(order_id, account.request("SELL", "LIMIT", limit=account.last + 99))
        )
    )


def test_a_market_order_in_a_contract_without_a_trade_is_rejected_by_the_exchange(played_day, tmp_path):
    account = Account(played_day, tmp_path / "book")
    account.broker._market.last[account.place_of] = 0
    order_id = account.place("BUY", "MARKET", market_protection=5)
    told = account.order(order_id)
    assert told.status is OrderStatus.REJECTED
    assert told.message.startswith("17181")


def test_words_of_orders_that_are_over(account):
    filled = account.place("SELL", "LIMIT", limit=account.last - 10)
    assert refusal(lambda: done(account.broker.cancel(filled))) == (
        "Order cannot be cancelled as it is already complete."
    )
    gone = account.place("SELL", "LIMIT", limit=account.last + 100)
    done(account.broker.cancel(gone))
    assert refusal(lambda: done(account.broker.modify(gone, account.request("SELL", "LIMIT", limit=9)))) == (
        "Order cannot be modified as it is already cancelled."
    )
    assert refusal(lambda: done(account.broker.cancel("7"))) == "Couldn't find that `order_id`."


def test_closing_a_short_needs_no_margin(played_day, tmp_path):
    account = Account(played_day, tmp_path / "book", cash_rupees=250_000)
    account.place("SELL", "LIMIT", limit=account.last - 10)
    assert "Insufficient funds" in refusal(lambda: account.place("SELL", "LIMIT", limit=account.last - 10))
    account.place("BUY", "LIMIT", limit=account.last + 10)
    assert [one.quantity for one in done(account.broker.positions())] == [0]


# --- latency --------------------------------------------------------------------------------------------------------


def test_a_request_takes_effect_after_the_latency(slow):
    order_id = slow.place("SELL", "LIMIT", limit=slow.last + 100)
    slow.pass_ms(499)
    assert slow.order(order_id).status_text == "PUT ORDER REQ RECEIVED"
    slow.pass_ms(1)
    assert slow.order(order_id).status is OrderStatus.OPEN
    done(slow.broker.cancel(order_id))
    assert slow.order(order_id).status is OrderStatus.OPEN
    slow.pass_ms(500)
    assert slow.order(order_id).status is OrderStatus.CANCELLED


def test_what_is_due_arrives_before_the_ticks_of_a_played_moment_although_its_clock_comes_after(slow):
    slow.day.play()
    order_id = slow.place("SELL", "LIMIT", limit=slow.last + 100)
    tick = np.zeros(1, TICK)
    tick["exchange_ns"], tick["price"] = slow.day.clock.wall_ns() + 20_000 * MS, slow.last + 100
    tick["instrument"] = slow.place_of
    slow.broker.on_ticks(tick, slow.day.clock.wall_ns())
    assert slow.order(order_id).status is OrderStatus.COMPLETE


def test_a_price_that_ran_through_the_trigger_meanwhile_rejects_the_stop(slow):
    order_id = slow.place("SELL", "SL", slow.last - 5, slow.last - 60)
    slow.day.trade(slow.place_of, slow.last - 6)
    slow.pass_ms(500)
    told = slow.order(order_id)
    assert told.status is OrderStatus.REJECTED
    assert "should be lower than the last traded price" in told.message


def test_a_wall_clock_that_is_set_back_holds_no_request_up(slow):
    order_id = slow.place("SELL", "LIMIT", limit=slow.last + 100)
    counted = slow.day.clock.ms + 500
    slow.day.clock.monotonic_ns = lambda: counted * MS
    slow.day.clock.ms -= 60_000
    assert slow.order(order_id).status is OrderStatus.OPEN


def test_a_fill_wins_over_a_cancel_on_its_way(slow):
    order_id = slow.place("SELL", "SL", slow.last - 5, slow.last - 60)
    slow.pass_ms(500)
    done(slow.broker.cancel(order_id))
    slow.day.trade(slow.place_of, slow.last - 5)
    slow.pass_ms(500)
    told = slow.order(order_id)
    assert (told.status, told.filled) == (OrderStatus.COMPLETE, slow.lot)


# --- prices ---------------------------------------------------------------------------------------------------------


def test_every_report_is_on_disk_before_it_is_told(account):
    seen = []

    def hear(report):
        text = account.day.path.read_text()
        seen.append((report.status_text, f'"{report.status_text}"' in text.splitlines()[-1]))

    account.broker.on_report.append(hear)
    order_id = account.place("SELL", "SL", account.last - 5, account.last - 60)
    account.day.trade(account.place_of, account.last - 5)
    assert account.order(order_id).status is OrderStatus.COMPLETE
    assert [word for word, _ in seen] == ["TRIGGER PENDING", "OPEN", "COMPLETE"]
    assert seen[0][1]
    assert seen[2][1]


def test_two_ticks_of_a_batch_are_met_one_after_the_other(account):
    order_id = account.place("SELL", "SL", account.last - 5, account.last - 60)
    batch = np.zeros(2, TICK)
    batch["exchange_ns"] = account.day.clock.wall_ns()
    batch["instrument"] = account.place_of
    batch["price"] = account.last - 6, account.last + 50
    account.broker.on_ticks(batch, account.day.clock.wall_ns())
    assert account.order(order_id).status is OrderStatus.COMPLETE
    assert done(account.broker.quotes([account.contract.symbol]))[0].last == account.last + 50


def test_a_released_stop_whose_limit_lies_outside_the_band_is_rejected_unfilled(account):
    order_id = account.place("SELL", "SL", account.last - 5, 1)
    account.day.trade(account.place_of, account.last - 5)
    told = account.order(order_id)
    assert (told.status, told.filled) == (OrderStatus.REJECTED, 0)
    assert told.message.startswith("17070")


def test_a_limit_that_is_moved_across_the_market_takes_the_better_price(account):
    order_id = account.place("SELL", "LIMIT", limit=account.last + 100)
    account.day.trade(account.place_of, account.last)
    done(account.broker.modify(order_id, account.request("SELL", "LIMIT", limit=account.last - 10)))
    (trade,) = done(account.broker.trades())
    assert trade.price_ticks == account.last


def test_a_real_tick_jumps_and_a_played_one_moves(played_day, tmp_path):
    def fill(moments):
        account = Account(played_day, tmp_path / f"{moments}", moments=moments)
        account.day.broker._market.ranges = None
        account.place("SELL", "SL", account.last - 5, account.last - 60)
        account.day.trade(account.place_of, account.last - 20)
        (trade,) = done(account.broker.trades())
        return trade.price_ticks - account.last

    assert fill(moments=True) == -5
    assert fill(moments=False) == -20


def test_a_price_nobody_heard_is_unknown_and_never_zero(played_day, tmp_path):
    day = Played(played_day, tmp_path / "book")
    with pytest.raises(BrokerUnknown, match=day.contracts[0].symbol):
        done(day.broker.quotes([day.contracts[0].symbol]))


def test_impossible_ticks_change_nothing(account):
    before = done(account.broker.quotes([account.contract.symbol]))
    batch = np.zeros(3, TICK)
    batch["instrument"] = account.place_of, -1, 10_000
    batch["price"] = 0, 5, 5
    account.broker.on_ticks(batch, account.day.clock.wall_ns())
    assert done(account.broker.quotes([account.contract.symbol])) == before


def test_orders_die_at_the_close(account):
    order_id = account.place("SELL", "LIMIT", limit=account.last + 100)
    account.broker.on_time(account.broker._market.close_ns)
    told = account.order(order_id)
    assert (told.status, told.message) == (OrderStatus.CANCELLED, "The session has ended")


def test_the_reference_is_the_mean_of_the_last_half_minute(account):
    market = PaperMarket(account.day.bars.date, moments=False, ranges=None)
    market.follow([account.contract])
    watched = np.zeros(1, bool)
    for second, price in ((0, 100), (31, 200), (40, 300)):
        tick = np.zeros(1, TICK)
        tick["exchange_ns"], tick["price"] = market.open_ns + second * 1000 * MS, price
        list(market.take(tick, watched))
    assert market.reference(0, market.open_ns + 41_000 * MS) == 250
    assert market.reference(0, market.open_ns + 3_600_000 * MS) == 300


# --- the account's file ---------------------------------------------------------------------------------------------


def test_an_account_goes_on_after_a_restart(account):
    account.place("SELL", "LIMIT", limit=account.last - 10, lots=2)
    stop = account.place("BUY", "SL", account.last + 50, account.last + 110, lots=2)
    before = [done(getattr(account.broker, what)()) for what in ("orders", "trades", "positions")]
    account.again()
    assert [done(getattr(account.broker, what)()) for what in ("orders", "trades", "positions")] == before
    account.day.trade(account.place_of, account.last + 50)
    assert account.order(stop).status is OrderStatus.COMPLETE
    assert [one.quantity for one in done(account.broker.positions())] == [0]
    assert len({one.trade_id for one in done(account.broker.trades())}) == 2
    assert account.place("SELL", "LIMIT", limit=account.last + 100) not in {one.order_id for one in before[0]}


def test_what_was_on_its_way_arrives_after_a_restart(slow):
    order_id = slow.place("SELL", "LIMIT", limit=slow.last + 100)
    slow.again()
    assert slow.order(order_id).status is OrderStatus.OPEN


def test_prices_told_again_do_not_meet_an_order_that_is_younger(account):
    account.day.play()
    order_id = account.place("SELL", "LIMIT", limit=account.last + 100)
    account.again()
    tick = np.zeros(1, TICK)
    tick["instrument"], tick["price"] = account.place_of, account.last + 200
    tick["exchange_ns"] = account.day.clock.wall_ns() - 20_000 * MS
    account.broker.on_ticks(tick, account.day.clock.wall_ns(), past=True)
    assert account.order(order_id).status is OrderStatus.OPEN
    tick["exchange_ns"] = account.day.clock.wall_ns() + 20_000 * MS
    account.broker.on_ticks(tick, account.day.clock.wall_ns(), past=True)
    assert account.order(order_id).status is OrderStatus.COMPLETE


@pytest.mark.parametrize("torn", [b'{"orders":[{"order_id":"26', b'{"orders":[],"trades":[]}', b"\0\0\0\0\n"])
def test_a_torn_last_line_is_dropped(account, torn):
    account.place("SELL", "LIMIT", limit=account.last + 100)
    before = done(account.broker.orders())
    account.broker._book.close()
    with account.day.path.open("ab") as file:
        file.write(torn)
    account.day.open()
    assert done(account.broker.orders()) == before
    account.place("SELL", "LIMIT", limit=account.last + 100)
    account.again()
    assert len(done(account.broker.orders())) == 2


def test_damage_in_the_middle_is_an_error(account):
    account.place("SELL", "LIMIT", limit=account.last + 100)
    account.place("SELL", "LIMIT", limit=account.last + 100)
    account.broker._book.close()
    lines = account.day.path.read_bytes().splitlines(keepends=True)
    account.day.path.write_bytes(b"".join([lines[0], b"x\n", *lines[2:]]))
    with pytest.raises(PaperBookError, match="line 2 cannot be read"):
        account.day.open()


def test_a_second_process_is_refused_the_account(account):
    with pytest.raises(PaperBookError, match="held by another process"):
        account.day.open()


def test_the_book_of_another_day_is_kept_beside(account):
    account.place("SELL", "LIMIT", limit=account.last + 100)
    account.broker._book.close()
    text = account.day.path.read_text().replace('"date":"2026-09-01"', '"date":"2026-08-31"')
    account.day.path.write_text(text)
    account.day.open()
    assert done(account.broker.orders()) == []
    assert (account.day.path.parent / "paper_book-2026-08-31.jsonl").read_text() == text


def test_a_full_disk_leaves_the_order_unknown_and_the_broker_silent_until_a_restart(account, monkeypatch):
    account.place("SELL", "LIMIT", limit=account.last + 100)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("engine.live.brokers.paper_book.os.fsync", full)
        with pytest.raises(BrokerUnknown, match="No space left"):
            account.place("SELL", "LIMIT", limit=account.last + 100)
    with pytest.raises(BrokerUnknown):
        done(account.broker.orders())
    with pytest.raises(PaperBookError):
        account.day.trade(account.place_of, account.last)
    account.again()
    assert len(done(account.broker.orders())) == 1
