"""Messengers over real sockets: their rates, their failures, and that their secrets stay theirs."""

import logging
import time

import pytest
from messenger_stand_in import TOKEN, StandIn

from engine.live.messages import messengers as m
from engine.live.messages import outbox as outboxes
from engine.live.messages.alert_texts import Message
from engine.live.messages.messengers import Allowance, MessengerError, Telegram, Webhook, messengers_of
from engine.live.messages.outbox import Outbox

NOON = 1_795_000_000_000_000_000  # ns UTC
LOG = logging.getLogger("test-messengers")


@pytest.fixture
def stand_in():
    server = StandIn()
    yield server
    server.stop()


def message(text="hello", seq=1, level="info"):
    return Message(text, level, seq, "Alert", "paper", NOON)


def until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_telegram_gets_the_chat_and_the_text(stand_in):
    Telegram(TOKEN, "42", stand_in.url).deliver([message("one"), message("two")])
    (_, path, told), = stand_in.posts  # fmt: skip
    assert path == f"/bot{TOKEN}/sendMessage"
    assert (told["chat_id"], told["text"]) == ("42", "one\ntwo")


def test_webhook_gets_one_object_for_each_message(stand_in):
    Webhook(f"{stand_in.url}/hook").deliver([message("one", 7, "error")])
    assert stand_in.posts[0][2] == {
        "text": "one", "level": "error", "kind": "Alert", "mode": "paper", "seq": 7, "at": "2026-11-18T16:36:40+05:30",
    }  # fmt: skip


def test_429_tells_how_long_to_wait(stand_in):
    stand_in.answers = [(429, {"ok": False, "description": "Too Many", "parameters": {"retry_after": 17}})]
    with pytest.raises(MessengerError) as failed:
        Telegram(TOKEN, "42", stand_in.url).deliver([message()])
    assert failed.value.wait_s == 17


@pytest.mark.parametrize(
    "answer",
    [
        "cut",
        (500, {}),
        (401, {"ok": False, "description": f"bad {TOKEN}"}),
        (200, {"ok": False, "description": f"/bot{TOKEN}/sendMessage"}),
    ],
)
def test_token_stands_in_no_error_and_no_log(stand_in, answer, caplog):
    caplog.set_level(logging.DEBUG)
    stand_in.answers = [answer]
    with pytest.raises(MessengerError) as failed:
        Telegram(TOKEN, "42", stand_in.url).deliver([message()])
    assert TOKEN not in f"{failed.value!r} {failed.value.__cause__!r}"
    assert TOKEN not in caplog.text


def test_address_that_is_none_is_an_error_without_the_address(caplog):
    caplog.set_level(logging.DEBUG)
    for url in (
        "http://127.0.0.1:1/secretpath",
        "http://[secretpath",
        "secretpath",
        "http://127.0.0.1:99999/secretpath",
    ):
        with pytest.raises(MessengerError) as failed:
            Webhook(url).deliver([message()])
        assert "secretpath" not in f"{failed.value} {caplog.text}"


def test_text_that_is_too_long_is_cut(stand_in):
    Telegram(TOKEN, "42", stand_in.url).deliver([message("x" * 5000)])
    assert len(stand_in.texts[0]) == 4096


def test_messenger_without_its_variables_is_named_with_them():
    made, unusable = messengers_of(("telegram", "webhook"), {m.TELEGRAM_CHAT: "1"})
    assert made == []
    assert m.TELEGRAM_TOKEN in unusable["telegram"]
    assert m.TELEGRAM_CHAT not in unusable["telegram"]
    assert m.WEBHOOK_URL in unusable["webhook"]


def test_token_of_a_wrong_form_is_refused_and_not_shown():
    _, unusable = messengers_of(("telegram",), {m.TELEGRAM_TOKEN: "hush/../x", m.TELEGRAM_CHAT: "1"})
    assert "hush" not in unusable["telegram"]


def test_allowance_keeps_messages_apart_and_counts_a_minute():
    allowance = Allowance(apart_s=1.0, per_minute=3)
    waits = []
    for now in (0.0, 0.4, 1.0, 2.0, 3.0):
        waits.append(round(allowance.wait_s(now), 3))
        if not waits[-1]:
            allowance.spend(now)
    assert waits == [0.0, 0.6, 0.0, 0.0, 57.0]
    assert allowance.wait_s(60.0) == 0.0


# ---- outbox ----


@pytest.fixture
def outbox(stand_in, monkeypatch):
    monkeypatch.setattr(outboxes, "FIRST_WAIT_S", 0.05)
    made = []

    def make(messenger=None, apart_s=0.0):
        chat = Telegram(TOKEN, "42", stand_in.url, Allowance(apart_s, 10_000))
        made.append(Outbox(messenger or chat, LOG))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_what_waits_is_bundled(stand_in, outbox):
    box = outbox(apart_s=0.3)
    box.put(message("first", 1))
    stand_in.wait_for(lambda: stand_in.posts)
    for seq in range(2, 30):
        box.put(message(f"news {seq}", seq))
    assert box.drain(5)
    assert len(stand_in.posts) == 2
    assert stand_in.texts[1].splitlines() == [f"news {seq}" for seq in range(2, 30)]
    assert stand_in.posts[1][0] - stand_in.posts[0][0] >= 0.29


def test_bundle_is_no_longer_than_a_message_may_be(stand_in, outbox):
    box = outbox(apart_s=0.2)
    for seq in range(1, 8):
        box.put(message(f"{seq}" * 1000, seq))
    assert box.drain(5)
    assert all(len(text) <= 4096 for text in stand_in.texts)
    assert "".join(stand_in.texts).replace("\n", "") == "".join(f"{seq}" * 1000 for seq in range(1, 8))


def test_failed_message_is_sent_again_in_order(stand_in, outbox):
    stand_in.answers = [(502, {}), "cut", (500, {})]
    box = outbox()
    box.put(message("a", 1))
    assert box.drain(5)
    assert stand_in.texts == ["a", "a", "a", "a"]
    assert box.problem == ""


def test_429_is_obeyed(stand_in, outbox):
    stand_in.answers = [(429, {"ok": False, "parameters": {"retry_after": 1}})]
    box = outbox()
    box.put(message("a", 1))
    assert box.drain(5)
    assert stand_in.posts[1][0] - stand_in.posts[0][0] >= 1


def test_message_that_is_never_taken_does_not_hold_up_the_others(stand_in, outbox):
    bad = (400, {"ok": False, "description": "Bad Request"})
    stand_in.answers = [(500, {}), bad, bad]
    box = outbox()
    box.put(message("a", 1))
    stand_in.wait_for(lambda: stand_in.posts)
    box.put(message("b", 2))
    assert box.drain(5)
    assert stand_in.texts[1:] == ["a\nb", "a", "(1 messages before this one were left out)\nb"]
    assert box.left_out == 1


def test_mute_messenger_holds_up_neither_log_nor_other_messengers(stand_in, outbox):
    stand_in.answers = ["mute"]
    box = outbox()
    hook = StandIn()
    other = outbox(Webhook(hook.url))
    begun = time.monotonic()
    for seq in range(1, 11):
        box.put(message(f"{seq}", seq))
        other.put(message(f"{seq}", seq))
    assert time.monotonic() - begun < 5
    assert other.drain(5)
    assert (other.done_until(10), box.done_until(10)) == (10, 0)
    hook.stop()


def test_long_queue_loses_plain_news_first_and_says_so(stand_in, outbox, monkeypatch):
    monkeypatch.setattr(outboxes, "LONGEST_QUEUE", 3)
    stand_in.answers = [(500, {})]
    box = outbox()
    box.put(message("first", 1))
    stand_in.wait_for(lambda: stand_in.posts)
    until(lambda: box.problem)
    for seq, level in enumerate(("error", "info", "info", "error", "error"), 2):
        box.put(message(f"{level} {seq}", seq, level))
    assert box.drain(5)
    said = "\n".join(stand_in.texts[1:])
    assert "(3 messages before this one were left out)" in said
    assert [line for line in said.splitlines() if line.startswith("error")] == [
        "error 2",
        "error 5",
        "error 6",
    ]
