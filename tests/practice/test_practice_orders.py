"""Orders through the official client: lives, fills, refusals, rates, tokens."""

import pytest
import requests
from kiteconnect import exceptions as refused

from engine.practice.exchange import ExchangeSettings
from engine.practice.pace import PaceSettings


def last_price(kite, symbol):
    return kite.ltp(f"NFO:{symbol}")[f"NFO:{symbol}"]["last_price"]


def order(kite, symbol, side="SELL", kind="LIMIT", quantity=65, **more):
    return kite.place_order("regular", "NFO", symbol, side, quantity, "MIS", kind, **more)


def statuses(kite, order_id):
    return [line["status"] for line in kite.order_history(order_id)]


def refusal(kite, symbol, **told):
    with pytest.raises(refused.KiteException) as caught:
        order(kite, symbol, **told)
    assert kite.orders() == []
    return caught.value


def test_a_stop_limit_entry_triggers_and_fills_on_the_played_day(server, kite, atm, minutes):
    server.step(minutes(5))
    last = last_price(kite, atm)
    trigger, limit = round(last - 2, 2), round(last - 5, 2)
    order_id = order(kite, atm, kind="SL", trigger_price=trigger, price=limit, tag="entry1")
    assert statuses(kite, order_id)[-1] == "TRIGGER PENDING"
    while not kite.trades():
        server.step()
    (fill,) = kite.order_trades(order_id)
    assert limit <= fill["average_price"] <= trigger
    (booked,) = kite.orders()
    assert (booked["status"], booked["filled_quantity"], booked["tag"]) == ("COMPLETE", 65, "entry1")
    assert statuses(kite, order_id) == [
        "PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "TRIGGER PENDING", "OPEN", "COMPLETE",
    ]  # fmt: skip
    (position,) = kite.positions()["net"]
    assert (position["quantity"], position["average_price"]) == (-65, fill["average_price"])
    assert position["pnl"] == pytest.approx((fill["average_price"] - position["last_price"]) * 65)
    assert str(fill["fill_timestamp"].tzinfo) == "None"
    assert fill["fill_timestamp"].date().isoformat() == "2026-09-01"


def test_a_crossing_limit_takes_the_last_price_and_buys_back_flat(server, kite, atm, minutes):
    server.step(minutes(5))
    last = last_price(kite, atm)
    order(kite, atm, "SELL", price=round(last - 1, 2))
    order(kite, atm, "BUY", price=round(last + 1, 2))
    assert [trade["average_price"] for trade in kite.trades()] == [last, last]
    assert kite.positions()["net"][0]["quantity"] == 0
    assert server.call(server.exchange.is_flat)


def test_modify_moves_a_resting_order_and_turns_a_stop_into_a_limit(server, kite, atm, minutes):
    server.step(minutes(5))
    last = last_price(kite, atm)
    order_id = order(kite, atm, kind="SL", trigger_price=round(last - 2, 2), price=round(last - 5, 2))
    kite.modify_order("regular", order_id, trigger_price=round(last - 3, 2), price=round(last - 6, 2))
    (book,) = kite.orders()
    assert (book["trigger_price"], book["price"], book["modified"]) == (last - 3, last - 6, True)
    assert "MODIFIED" in statuses(kite, order_id)
    kite.modify_order("regular", order_id, order_type="LIMIT", price=round(last - 6, 2))
    (book,) = kite.orders()
    assert (book["status"], book["average_price"]) == ("COMPLETE", last)


def test_a_26th_modification_is_refused(server, kite, atm, minutes):
    server.step(minutes(5))
    last = last_price(kite, atm)
    order_id = order(kite, atm, price=round(last + 10, 2))
    for turn in range(25):
        if turn % 8 == 0:
            server.step()  # the next second has its own ten orders
        kite.modify_order("regular", order_id, price=round(last + 10 + (turn + 1) * 0.05, 2))
    server.step()
    with pytest.raises(refused.InputException, match="modifications exceeded"):
        kite.modify_order("regular", order_id, price=round(last + 9, 2))


def test_cancel_ends_an_order_once(server, kite, atm, minutes):
    server.step(minutes(5))
    order_id = order(kite, atm, price=round(last_price(kite, atm) + 10, 2))
    kite.cancel_order("regular", order_id)
    (book,) = kite.orders()
    assert (book["status"], book["cancelled_quantity"], book["pending_quantity"]) == ("CANCELLED", 65, 0)
    assert statuses(kite, order_id)[-2:] == ["CANCEL PENDING", "CANCELLED"]
    with pytest.raises(refused.OrderException, match="already cancelled"):
        kite.cancel_order("regular", order_id)


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ({"price": 60.03}, refused.InputException, "Tick size"),
        ({"price": 60, "quantity": 64}, refused.InputException, "multiples of 65"),
        ({"price": 60, "quantity": 1820}, refused.InputException, "freeze limit of 1800"),
        ({"side": "SELL", "price": 0.05}, refused.InputException, "circuit limit"),
        ({"side": "BUY", "price": 900}, refused.InputException, "circuit limit"),
        ({"kind": "SL", "trigger_price": 500, "price": 499}, refused.InputException, "lower than the last"),
        ({"side": "BUY", "kind": "SL", "trigger_price": 1, "price": 2}, refused.InputException, "higher than"),
        ({"kind": "SL", "trigger_price": 20, "price": 21}, refused.InputException, "cannot be higher"),
        ({"kind": "MARKET"}, refused.InputException, "without market protection"),
        ({"price": 60, "tag": "too-long-or-odd"}, refused.InputException, "tag"),
    ],
)  # fmt: skip
def test_kite_refuses_before_the_order_book(server, kite, atm, minutes, told, kind, words):
    server.step(minutes(5))
    error = refusal(kite, atm, **told)
    assert isinstance(error, kind)
    assert error.code == 400
    assert words in str(error)


def test_stop_loss_market_is_not_available_at_the_exchange(server, kite, atm, minutes):
    server.step(minutes(5))
    order(kite, atm, "BUY", "SL-M", trigger_price=200, market_protection=5)
    (book,) = kite.orders()
    assert (book["status"], book["status_message"]) == ("REJECTED", "16052 : Function Not Available")


def test_a_protected_market_order_fills_at_the_last_price(server, kite, atm, minutes):
    server.step(minutes(5))
    order(kite, atm, "BUY", "MARKET", market_protection=-1)
    assert kite.orders()[0]["average_price"] == last_price(kite, atm)


def test_missing_money_is_a_margin_error(serve, logged_in, minutes):
    server = serve(exchange=ExchangeSettings(cash_rupees=100_000))
    kite = logged_in(server)
    server.step(minutes(5))
    symbol = server.exchange.market.instruments[0].symbol
    with pytest.raises(refused.GeneralException, match="Insufficient funds") as caught:
        order(kite, symbol, price=round(last_price(kite, symbol), 2))
    assert caught.value.code == 400


def test_big_orders_are_sliced_on_request(server, kite, atm, minutes):
    server.step(minutes(5))
    answer = kite.place_autoslice_order(
        "regular", "NFO", atm, "SELL", 4550, "MIS", "LIMIT", price=round(last_price(kite, atm) + 5, 2)
    )
    assert len(answer["children"]) == 2
    assert [line["quantity"] for line in kite.orders()] == [1755, 1755, 1040]
    with pytest.raises(refused.InputException, match="freeze limit of 1800"):
        kite.place_autoslice_order("regular", "NFO", atm, "SELL", 1755, "MIS", "LIMIT", price=60)


def test_the_eleventh_order_of_a_second_is_429(server, kite, atm, minutes):
    server.step(minutes(5))
    price = round(last_price(kite, atm) + 10, 2)
    for _ in range(10):
        order(kite, atm, price=price)
    with pytest.raises(refused.NetworkException) as caught:
        order(kite, atm, price=price)
    assert caught.value.code == 429
    server.step(2)  # the first is the same second: a minute's end and the next minute's start
    assert order(kite, atm, price=price)


def test_order_limits_can_be_lifted_for_a_rehearsal_without_latency(serve, logged_in, minutes):
    server = serve(order_limits=False)
    kite = logged_in(server)
    server.step(minutes(5))
    one = server.exchange.market.instruments[0]
    price = round(last_price(kite, one.symbol) + 10, 2)
    assert len({order(kite, one.symbol, price=price) for _ in range(15)}) == 15


def test_a_second_quote_within_a_second_is_429(serve, logged_in):
    server = serve(pace=PaceSettings(speed=1, start_minute=5))
    kite = logged_in(server)
    key = server.exchange.market.instruments[0].key
    with pytest.raises(refused.NetworkException) as caught:  # noqa: PT012 - a second may turn between two
        for _ in range(3):
            kite.ltp(key)
    assert caught.value.code == 429


def test_a_dead_token_is_a_token_exception(server, kite):
    assert kite.profile()["user_id"] == "PR0001"
    told = []
    kite.set_session_expiry_hook(lambda: told.append(1))
    requests.post(f"{server.rest_url}/practice/expire_tokens", timeout=5)
    with pytest.raises(refused.TokenException) as caught:
        kite.profile()
    assert (caught.value.code, told) == (403, [1])


def test_a_request_token_serves_once(server, kite):
    token = server.call(lambda: server.login.open_page(server.api_key))
    kite.generate_session(token, api_secret=server.api_secret)
    with pytest.raises(refused.TokenException):
        kite.generate_session(token, api_secret=server.api_secret)
    with pytest.raises(refused.TokenException):
        kite.generate_session(server.call(lambda: server.login.open_page(server.api_key)), api_secret="wrong")


def test_an_unknown_route_is_a_kite_error(server, kite):
    with pytest.raises(refused.GeneralException) as caught:
        kite.get_gtts()
    assert caught.value.code == 404


def test_a_delayed_order_waits_and_arrives_before_the_moment(serve, logged_in, minutes):
    server = serve(exchange=ExchangeSettings(delay_ms=20_000))
    kite = logged_in(server)
    server.step(minutes(5) + 1)
    symbol = server.exchange.market.instruments[0].symbol
    order(kite, symbol, "BUY", price=round(last_price(kite, symbol) + 10, 2))
    assert kite.orders()[0]["status"] == "PUT ORDER REQ RECEIVED"
    server.step()
    assert (kite.orders()[0]["status"], kite.trades()[0]["average_price"]) == (
        "COMPLETE",
        last_price(kite, symbol),
    )


def test_quotes_fill_no_more_than_is_offered(serve, logged_in, minutes):
    server = serve(exchange=ExchangeSettings(match="quotes"), quote_lots=2)
    kite = logged_in(server)
    server.step(minutes(5))
    one = server.exchange.market.instruments[0]
    ask = kite.quote(one.key)[one.key]["depth"]["sell"][0]
    assert ask["quantity"] == 130
    order(kite, one.symbol, "BUY", quantity=195, price=round(ask["price"] + 5, 2))
    (book,) = kite.orders()
    assert (book["status"], book["filled_quantity"], book["pending_quantity"]) == ("OPEN", 130, 65)
    assert book["average_price"] == ask["price"]
    server.step()
    assert kite.orders()[0]["status"] == "COMPLETE"


def test_the_broker_squares_off_intraday_positions(serve, logged_in, minutes):
    server = serve(exchange=ExchangeSettings(square_off_minute=7))
    kite = logged_in(server)
    server.step(minutes(5))
    symbol = server.exchange.market.instruments[0].symbol
    order(kite, symbol, "SELL", price=round(last_price(kite, symbol) - 1, 2))
    resting = order(kite, symbol, "BUY", "SL", trigger_price=last_price(kite, symbol) + 90, price=last_price(kite, symbol) + 95)  # fmt: skip
    server.step(minutes(2) + 1)
    assert statuses(kite, resting)[-1] == "CANCELLED"
    assert kite.positions()["net"][0]["quantity"] == 0


def test_what_one_order_took_the_next_cannot_have(serve, logged_in, minutes):
    server = serve(exchange=ExchangeSettings(match="quotes"), quote_lots=2)
    kite = logged_in(server)
    server.step(minutes(5))
    one = server.exchange.market.instruments[0]
    price = round(last_price(kite, one.symbol) + 5, 2)
    for _ in range(2):
        order(kite, one.symbol, "BUY", quantity=130, price=price)
    assert [line["filled_quantity"] for line in kite.orders()] == [130, 0]


def test_a_fill_wins_over_a_cancel_on_its_way(serve, logged_in, minutes):
    server = serve(exchange=ExchangeSettings(delay_ms=30_000))
    kite = logged_in(server)
    server.step(minutes(5) + 1)
    symbol = server.exchange.market.instruments[0].symbol
    order_id = order(kite, symbol, "BUY", price=round(last_price(kite, symbol) + 10, 2))  # arrives at :30
    server.step()
    assert kite.cancel_order("regular", order_id) == order_id  # arrives at :50
    server.step()
    assert kite.orders()[0]["status"] == "COMPLETE"
    server.step(2)
    assert statuses(kite, order_id)[-1] == "COMPLETE"
    assert kite.positions()["net"][0]["quantity"] == 65
