"""Every way Kite can fail to answer, through the official client, and what it means for an order."""

import asyncio
import json

import pytest
from kiteconnect import exceptions as kite
from scripted_kite import ask

from engine.live.brokers.base import BrokerAuth, BrokerBusy, BrokerRefused, BrokerUnknown, OrderRequest
from engine.live.brokers.kite import WRITERS, KiteBroker
from engine.live.brokers.kite_outcomes import MAX_WORDS, outcome_of

ORDER = OrderRequest("Tag1", "NIFTY26S0125000CE", "BUY", 65, "SL", trigger_ticks=2002, limit_ticks=2021)


def error_body(kind, message="words"):
    return json.dumps({"status": "error", "message": message, "data": None, "error_type": kind})


def outcome(script, act, **more):
    with pytest.raises((BrokerRefused, BrokerUnknown, BrokerBusy, BrokerAuth)) as caught:
        ask(script, act, **more)
    return type(caught.value)


JSON = "application/json"
CASES = {
    "margin": (400, JSON, error_body("MarginException", "Insufficient funds."), BrokerRefused),
    "user": (403, JSON, error_body("UserException"), BrokerRefused),
    "holding": (400, JSON, error_body("HoldingException"), BrokerRefused),
    "input": (400, JSON, error_body("InputException"), BrokerRefused),
    "order": (400, JSON, error_body("OrderException", "already complete"), BrokerRefused),
    "permission": (403, JSON, error_body("PermissionException"), BrokerRefused),
    "no route": (404, JSON, error_body("GeneralException"), BrokerRefused),
    "timed out": (
        400,
        JSON,
        error_body("OrderException", "Order request timed out. Please check"),
        BrokerUnknown,
    ),
    "time out": (400, JSON, error_body("GeneralException", "Gateway time-out"), BrokerUnknown),
    "check the book": (400, JSON, error_body("OrderException", "Check the order book."), BrokerUnknown),
    "order 500": (500, JSON, error_body("OrderException"), BrokerUnknown),
    "general 500": (500, JSON, error_body("GeneralException"), BrokerUnknown),
    "margin 500": (500, JSON, error_body("MarginException"), BrokerUnknown),
    "oms": (502, JSON, error_body("DataException"), BrokerUnknown),
    "oms 400": (400, JSON, error_body("DataException"), BrokerUnknown),
    "network": (503, JSON, error_body("NetworkException"), BrokerUnknown),
    "network 400": (400, JSON, error_body("NetworkException"), BrokerUnknown),
    "too many": (429, JSON, error_body("NetworkException", "Too many requests"), BrokerBusy),
    "too many, another type": (429, JSON, error_body("GeneralException"), BrokerBusy),
    "token": (403, JSON, error_body("TokenException"), BrokerAuth),
    "token 500": (500, JSON, error_body("TokenException"), BrokerUnknown),
    "an error that says success": (200, JSON, error_body("OrderException"), BrokerUnknown),
    "request timeout": (408, JSON, error_body("GeneralException"), BrokerUnknown),
    "error page": (502, "text/html", "<html>bad gateway</html>", BrokerUnknown),
    "no content type": (200, "", '{"status": "success", "data": {"order_id": "1"}}', BrokerUnknown),
    "half a json": (200, JSON, '{"status": "success", "data": {"ord', BrokerUnknown),
    "no error type": (400, JSON, '{"status": "error", "message": "?"}', BrokerUnknown),
    "a list": (200, JSON, "[]", BrokerUnknown),
    "no data": (200, JSON, '{"status": "success"}', BrokerUnknown),
    "null data": (200, JSON, '{"status": "success", "data": null}', BrokerUnknown),
    "no id": (200, JSON, '{"status": "success", "data": {}}', BrokerUnknown),
    "empty id": (200, JSON, '{"status": "success", "data": {"order_id": ""}}', BrokerUnknown),
    "cut": (0, "", "", BrokerUnknown),
}


@pytest.mark.parametrize("name", CASES)
def test_each_failure_of_an_order_has_its_meaning(script, name):
    *script.answer, expected = CASES[name]
    assert outcome(script, lambda broker: broker.place(ORDER)) is expected
    assert len(script.asked) == 1  # never sent twice


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("what", ["orders", "trades", "positions"])
def test_no_failed_read_is_taken_for_an_answer(script, name, what):
    *script.answer, expected = CASES[name]
    expected = BrokerUnknown if expected is BrokerRefused else expected
    assert outcome(script, lambda broker: getattr(broker, what)()) is expected


def test_silence_is_unknown_and_not_repeated(script):
    script.wait_s = 1.2
    assert outcome(script, lambda broker: broker.place(ORDER), timeout_s=0.5) is BrokerUnknown
    assert len(script.asked) == 1


def test_a_write_whose_caller_gave_up_is_not_taken_back_once_it_left(script):
    script.wait_s = 0.2

    async def given_up(broker):
        sending = asyncio.create_task(broker.place(ORDER))
        while not script.asked:  # noqa: ASYNC110 - told by another thread
            await asyncio.sleep(0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    ask(script, given_up)
    assert len(script.asked) == 1


def test_a_server_that_is_not_there_is_unknown(script):
    async def asked():
        broker = KiteBroker("key", "token", root="http://127.0.0.1:9", timeout_s=0.5)
        with pytest.raises(BrokerUnknown):
            await broker.orders()
        await broker.close()

    asyncio.run(asked())


def test_a_request_that_waits_too_long_for_its_turn_is_taken_back(script):
    script.wait_s = 0.45  # below the silence that ends a request

    async def many(broker):
        return await asyncio.gather(
            *(broker.place(ORDER) for _ in range(4 * WRITERS)), return_exceptions=True
        )

    ends = ask(script, many, timeout_s=0.5)
    done = [end for end in ends if end == "1"]
    late = [end for end in ends if isinstance(end, BrokerUnknown)]
    assert len(done) + len(late) == len(ends)
    assert late
    assert len(script.asked) < len(ends)


def test_a_slow_read_does_not_hold_up_a_write(script):
    script.reads_wait.clear()

    async def both(broker):
        reads = [asyncio.create_task(broker.orders()) for _ in range(4)]
        await asyncio.sleep(0.05)
        sent = await broker.place(ORDER)
        waiting = [one for one in reads if not one.done()]
        script.reads_wait.set()
        await asyncio.gather(*reads, return_exceptions=True)
        return sent, len(waiting)

    assert ask(script, both) == ("1", 4)


def test_a_stop_is_sent_as_sl_with_exact_rupees(script):
    assert ask(script, lambda broker: broker.place(ORDER)) == "1"
    ((method, path, body),) = script.asked
    assert (method, path) == ("POST", "/orders/regular")
    assert dict(pair.split("=") for pair in body.split("&")) == {
        "variety": "regular", "exchange": "NFO", "tradingsymbol": "NIFTY26S0125000CE", "transaction_type": "BUY",
        "quantity": "65", "product": "MIS", "order_type": "SL", "price": "101.05", "trigger_price": "100.10",
        "validity": "DAY", "tag": "Tag1",
    }  # fmt: skip


def test_a_market_order_carries_its_protection_and_no_price(script):
    ask(
        script,
        lambda broker: broker.place(OrderRequest("M1", "S", "SELL", 65, "MARKET", market_protection=2)),
    )
    ((_, _, body),) = script.asked
    assert "order_type=MARKET" in body
    assert "market_protection=2" in body
    assert "price" not in body


def test_a_change_names_type_quantity_and_both_prices(script):
    ask(script, lambda broker: broker.modify("77", ORDER))
    ((method, path, body),) = script.asked
    assert (method, path) == ("PUT", "/orders/regular/77")
    for part in ("order_type=SL", "quantity=65", "price=101.05", "trigger_price=100.10"):
        assert part in body


def test_words_of_an_error_page_are_cut_to_one_short_line():
    told = outcome_of(kite.DataException("<html>\n" + "x" * 5000, code=502), "orders")
    assert "\n" not in str(told)
    assert len(told.message) == MAX_WORDS


def test_an_outcome_keeps_code_and_words():
    told = outcome_of(kite.GeneralException("Insufficient funds.", code=400), "place T1")
    assert (type(told), told.code, told.message) == (BrokerRefused, 400, "Insufficient funds.")
    assert "place T1" in str(told)


def test_no_token_is_part_of_an_error(script):
    script.answer = (0, "", "")

    async def told(broker):
        broker.use_token("verysecret")
        with pytest.raises(BrokerUnknown) as caught:
            await broker.place(ORDER)
        return caught.value

    error = ask(script, told)
    assert "verysecret" not in str(error)
    assert error.__suppress_context__  # frames of the client, which hold the token, are not shown
    assert error.__cause__ is None


@pytest.mark.parametrize("token", ["hidden\n", "hid\nden", "hidden\r"])
def test_a_token_that_no_header_takes_is_told_without_being_shown(token):
    async def asked():
        broker = KiteBroker("key", token, root="http://127.0.0.1:9")
        try:
            await broker.orders()
        finally:
            await broker.close()

    with pytest.raises(BrokerAuth) as caught:
        asyncio.run(asked())
    assert "hid" not in str(caught.value)
