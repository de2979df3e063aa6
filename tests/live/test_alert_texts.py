"""What a person is told of each event of a session."""

import datetime as dt

import pytest
from store_facts import DATE, ONE_OF_EACH, fill, intent, session, short, update

from engine.live.log import events as e
from engine.live.log.state import State
from engine.live.messages.alert_texts import Teller, money

NOON = 1_795_000_000_000_000_000  # ns UTC
R = 650_000  # paise


def heard(*facts, mode="practice"):
    teller = Teller(mode, "NIFTY", R, State())
    told = (teller.hear(e.Event(seq, NOON + seq * 1_000_000_000, fact)) for seq, fact in enumerate(facts, 1))
    return [message for message in told if message is not None]


def last(*facts):
    return heard(*facts)[-1]


@pytest.mark.parametrize(("mode", "words"), [("paper", "PAPER"), ("practice", "PRACTICE"), ("live", "LIVE")])
def test_every_text_begins_with_the_mode_in_words(mode, words):
    told = heard(session(), *short(), e.LatchChanged(state="HALTED", reason="r", who="w"), mode=mode)
    assert len(told) == 5
    assert all(message.text.startswith(f"{words} NIFTY ") for message in told)


def test_session_start_says_what_prices_it_trades_on():
    text = last(session()).text
    assert "SIMULATED" in text
    assert "expiry 2026-11-24" in text
    assert "lot 65" in text


def test_entry_order_fill_stop_and_exit_are_told_in_order():
    facts = [session(), *short(), fill("S1", "oS1", "x1", "BUY", 65, 2210)]
    texts = [message.text.split(" ", 3)[3] for message in heard(*facts)[1:]]
    assert texts == [
        "Entry order stands: SELL 65 NIFTY24NOV2624000CE trigger Rs 100.00 limit Rs 97.00; stop planned at Rs 110.00",
        "Sold 65 NIFTY24NOV2624000CE at Rs 100.00 (entry CE); now 65 short",
        "Stop stands: BUY 65 NIFTY24NOV2624000CE trigger Rs 110.00 limit Rs 113.00",
        (
            "Bought 65 NIFTY24NOV2624000CE at Rs 110.50 (stop). Position closed after 0 min: Rs -682.50, -0.10 R, "
            "before charges"
        ),
    ]


def test_partial_fill_says_how_much_of_the_order_it_is():
    text = last(session(), *short(quantity=130)[:2], fill("E1", "oE1", "a", "SELL", 65)).text
    assert "65 of 130" in text
    assert "now 65 short" in text


def test_buying_more_than_was_short_is_an_error():
    told = last(session(), *short(), fill("S1", "oS1", "x", "BUY", 130, 2210))
    assert told.level == "error"
    assert "65 LONG" in told.text


def test_closing_order_is_told_when_it_is_prepared():
    text = last(session(), *short(), intent("X1", 1, "exit", order_type="LIMIT", trigger=0, limit=2100)).text
    assert "Closing: BUY 65 NIFTY24NOV2624000CE limit Rs 105.00; exit" in text


def test_moved_stop_is_told_with_its_new_prices():
    change = e.ModifyPrepared(tag="S1", quantity=65, trigger=2150, limit=2210, order_type="SL")
    answer = e.RequestAnswered(tag="S1", request="modify", outcome="confirmed", reason="")
    assert (
        "Stop moved: BUY 65 NIFTY24NOV2624000CE trigger Rs 107.50 limit Rs 110.50"
        in last(session(), *short(), change, answer).text
    )


@pytest.mark.parametrize("outcome", ["refused", "unknown", "denied"])
def test_stop_that_could_not_be_moved_is_a_warning(outcome):
    change = e.ModifyPrepared(tag="S1", quantity=65, trigger=2150, limit=2210, order_type="SL")
    told = last(
        session(), *short(), change,
        e.RequestAnswered(tag="S1", request="modify", outcome=outcome, reason="too many"),
    )  # fmt: skip
    assert told.level == "warning"
    assert "too many" in told.text


def test_entry_that_follows_the_market_is_not_told_every_minute():
    change = e.ModifyPrepared(tag="E1", quantity=65, trigger=1990, limit=1930, order_type="SL")
    answer = e.RequestAnswered(tag="E1", request="modify", outcome="confirmed", reason="")
    assert len(heard(session(), *short()[:2], change, answer)) == 2


def test_order_found_again_is_told_once():
    found = e.OrderAccepted(tag="E1", order_id="oE1", found=True)
    told = heard(session(), intent("E1"), e.OrderUnknown(tag="E1", reason="time-out"), found, found)
    assert [message.kind for message in told] == ["SessionStarted", "OrderUnknown", "OrderAccepted"]
    assert "found by its tag" in told[-1].text


def test_order_that_look_and_answer_both_tell_is_told_once():
    found = e.OrderAccepted(tag="E1", order_id="oE1", found=True)
    sent, answered = e.IntentSent(tag="E1"), e.OrderAccepted(tag="E1", order_id="oE1")
    told = heard(session(), intent("E1"), found, update("E1", "oE1", "COMPLETE", 65), sent, answered)
    assert [message.kind for message in told] == ["SessionStarted", "OrderAccepted"]
    assert "found" not in told[-1].text  # nobody had doubted it


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (e.OrderRefused(tag="S1", code="400", reason="margin"), "error"),
        (e.OrderNotSent(tag="S1", reason="absent"), "error"),
        (update("S1", "oS1", "REJECTED", message="price band"), "error"),
        (update("S1", "oS1", "CANCELLED"), "error"),
    ],
)
def test_stop_that_is_not_there_is_an_error(fact, level):
    facts = short()[:-1] if isinstance(fact, e.OrderRefused | e.OrderNotSent) else short()
    assert last(session(), *facts, fact).level == level


def test_stop_that_we_cancelled_ourselves_is_no_error():
    facts = [e.CancelPrepared(tag="S1", reason="exit"), update("S1", "oS1", "CANCELLED")]
    assert len(heard(session(), *short(), *facts)) == len(heard(session(), *short()))


def test_repeated_rejection_is_told_once():
    rejected = update("E1", "oE1", "REJECTED", message="margin")
    told = heard(session(), *short()[:2], rejected, rejected)
    assert [message.level for message in told] == ["info", "info", "warning"]


@pytest.mark.parametrize(
    ("fact", "level", "words"),
    [
        (e.DayLatched(date=DATE, reason="day_stop", day_pnl=-3_250_000), "warning", "Rs -32500.00, -5.00 R"),
        (e.LatchChanged(state="REDUCING", reason="mismatch", who="reconcile", reset=True), "warning", "exits only"),
        (e.LatchChanged(state="FLATTENING", reason="kill", who="cli"), "error", "kill; by cli"),
        (e.LinkChanged(link="feed", name="kite", status="stale", detail="7 s"), "warning", "Feed kite is stale: 7 s"),
        (e.LinkChanged(link="feed", name="kite", status="up", detail=""), "info", "Feed kite is up"),
        (e.LinkChanged(link="broker", name="kite", status="token_expired", detail="log in: X"), "error", "token expired: log in: X"),
        (e.Mismatch(subject="position", key="X", ours="65", theirs="0", detail=""), "error", "log 65, broker 0"),
        (e.RunnerStarted(pid=9, boot_id="b", version="1"), "warning", "started again as process 9"),
        (e.JournalMerged(merged=2, refused=0, detail=""), "warning", "2 events"),
        (e.ProjectionsRebuilt(detail="orders"), "warning", "orders"),
        (e.OrderDenied(position=2, slot="PE", leg="entry", symbol="P", quantity=65, reason="latch"), "warning", "latch"),
        (e.OrderDenied(position=2, slot="PE", leg="stop", symbol="P", quantity=65, reason="band"), "error", "band"),
    ],
)  # fmt: skip
def test_trouble_is_told_with_its_level(fact, level, words):
    told = last(session(), fact)
    assert told.kind == type(fact).__name__
    assert told.level == level
    assert words in told.text


def test_fill_of_somebody_else_is_an_error_with_what_is_left():
    bought = e.OutsideFill(
        position=1, order_id="b", trade_id="b1", symbol="NIFTY24NOV2624000CE", side="BUY", quantity=65, price=2100,
        time_ns=5,
    )  # fmt: skip
    told = last(session(), *short(), bought)
    assert told.level == "error"
    assert "Somebody else bought 65 NIFTY24NOV2624000CE at Rs 105.00, of ours. Position closed" in told.text


def test_stop_that_becomes_the_exit_says_so():
    change = e.ModifyPrepared(
        tag="S1", quantity=65, trigger=0, limit=2210, order_type="LIMIT", reason="forced_exit"
    )
    answer = e.RequestAnswered(tag="S1", request="modify", outcome="confirmed", reason="")
    text = last(session(), *short(), change, answer).text
    assert "Stop moved: BUY 65 NIFTY24NOV2624000CE limit Rs 110.50; now forced_exit" in text


def test_every_kind_of_event_is_told_or_silent_on_purpose():
    silent = {
        "CancelPrepared", "CommandTaken", "DecisionMade", "IntentSent", "ModifyPrepared", "OrderUpdated",
        "ReconcileDone", "RunnerStarted", "StopPlanned",
    }  # fmt: skip
    told = {message.kind for message in heard(*ONE_OF_EACH, e.Noticed(level="info", text="t"))}
    assert told & silent == set()
    assert told | silent | {"OutsideFill", "RequestAnswered"} == set(e.KINDS)  # these two: see above


@pytest.mark.parametrize(("state", "level"), [("done", "info"), ("refused", "warning")])
def test_answered_command_says_who_asked_for_what(state, level):
    told = last(
        session(), e.CommandTaken(command=3, origin="widget", verb="kill", payload="{}"),
        e.CommandAnswered(command=3, state=state, answer="flat in 2 s"),
    )  # fmt: skip
    assert told.level == level
    assert f"Command kill from widget {state}: flat in 2 s" in told.text


def test_first_start_of_a_runner_is_no_news():
    assert heard(e.RunnerStarted(pid=9, boot_id="b", version="1")) == []


def test_summary_counts_the_days_money_exactly():
    won = [*short(1), fill("S1", "oS1", "x1", "BUY", 65, 1801)]
    lost = [*short(2, entry=2001), fill("S2", "oS2", "x2", "BUY", 65, 2210)]
    ended = e.SessionEnded(date=DATE, flat=True, charges=12_345, reason="day over")
    text = last(session(), *won, *lost, ended).text
    # 199 and -209 ticks of 5 paise on 65 units
    assert "2 trades, 1 won; 4 orders, 4 fills, 0 mismatches." in text
    assert "Gross Rs -32.50, -0.01 R." in text
    assert "Charges Rs 123.45. Net Rs -155.95, -0.02 R." in text
    assert "Flat, proved from the broker." in text


def test_summary_of_today_leaves_out_yesterdays_trades():
    day_after = DATE + dt.timedelta(days=3)
    closed = [*short(1), fill("S1", "oS1", "x1", "BUY", 65, 1801)]
    ended = e.SessionEnded(date=day_after, flat=True, charges=0, reason="day over")
    assert "0 trades, 0 won" in last(session(), *closed, session(day_after), ended).text


def test_day_that_is_not_proved_flat_is_an_error_and_names_what_is_open():
    told = last(session(), *short(), e.SessionEnded(date=DATE, flat=False, charges=None, reason="killed"))
    assert told.level == "error"
    assert "NOT PROVED FLAT" in told.text
    assert "-65 NIFTY24NOV2624000CE" in told.text
    assert "net result is not known" in told.text


def test_money_has_its_sign():
    assert (money(5), money(-123_456)) == ("Rs +0.05", "Rs -1234.56")
