"""A session as a person sees it: exact money, honest ages, no price that is not there, every event in words."""

import datetime as dt
import time
from decimal import Decimal

import pytest
from scripted_session import CALL, DATE, OPEN_NS, PUT, ScriptedSession

from engine.desk.live_chart import RecordedCloses, profit_curve
from engine.desk.live_money import billed_charges, day_money
from engine.desk.live_reading import LiveReading
from engine.desk.live_view import Facts, Sign, view_of
from engine.desk.live_words import LogWords
from engine.live.day.recording import recording_folder
from engine.live.log import events as e
from engine.live.log.reader import StoreReader, submit_command
from engine.live.places import Places
from engine.market.charges import contract_note, option_charges
from engine.market.prices import to_rupees


@pytest.fixture
def session(tmp_path):
    with ScriptedSession(tmp_path) as one:
        yield one


@pytest.fixture
def reading(session):
    with LiveReading(session.places) as one:
        yield one


def light(view, name):
    return next(each for each in view.lights if each.name == name)


# ---- money ----


def test_net_is_gross_less_the_contract_note_of_the_fills(session, reading):
    session.start_day()
    session.short(1, CALL, price=3046)
    session.buy_back(1, 3247)
    session.short(2, PUT, price=2900, quantity=130)
    session.prices = {PUT: 2880}
    session.beat()
    told = reading.view().money
    assert told.realised == (3046 - 3247) * 260 * 5
    assert told.gross == told.realised + (2900 - 2880) * 130 * 5
    note = contract_note(
        [
            option_charges(DATE, side, units, to_rupees(ticks))
            for side, units, ticks in [("SELL", 260, 3046), ("BUY", 260, 3247), ("SELL", 130, 2900)]
        ]
    )
    assert abs(told.charges - note.rounded.to_paise()) == 0
    assert told.net == told.gross - told.charges
    assert told.net_r == (Decimal(told.net) / 650_000).quantize(Decimal("0.01"))


def test_brokerage_is_due_once_for_an_order_filled_in_parts(session, reading):
    session.start_day()
    session.order("E1", 1, "entry", CALL)
    session.accept("E1")
    session.fill("E1", 3000, 130, "a")
    session.fill("E1", 3000, 130, "b")
    reading.view()
    whole = contract_note([option_charges(DATE, "SELL", 260, "150.00")]).rounded.to_paise()
    assert billed_charges(DATE, reading.facts.fills) == whole


def test_a_missing_price_makes_the_sum_unknown_not_zero(session, reading):
    session.start_day()
    session.short(1, CALL)
    session.beat()
    view = reading.view()
    assert (view.money.gross, view.money.net, view.money.net_r) == (None, None, None)
    assert (view.positions[0].last, view.positions[0].pnl, view.positions[0].r) == (None, None, None)


def test_a_price_off_the_tick_is_no_price(session, reading):
    session.start_day()
    session.short(1, CALL)
    session.beat(prices={CALL: "150.03"})
    assert reading.view().positions[0].last is None


def test_no_r_without_its_value():
    assert day_money(DATE, [], [], {}, None).net_r is None


def test_profit_curve_values_what_is_open_at_the_last_close_and_keeps_what_is_closed(session, reading):
    session.start_day()
    session.minute = 2.5
    session.short(1, CALL, price=3000, quantity=65)
    session.minute = 5.5
    session.buy_back(1, 3100)
    session.record({CALL: [3000, 3000, 3010, 3020, 3030, 3100, 3500]})
    reading.view()
    closes = RecordedCloses(recording_folder(session.places.folder, "NIFTY", DATE))
    assert closes.renew()
    assert not closes.renew()
    curve = profit_curve(DATE, reading.facts.fills, closes.closes)
    minutes = [(at - OPEN_NS) // 60_000_000_000 for at in curve.at_ns]
    assert minutes == [3, 4, 5, 6, 7]
    assert curve.gross == tuple((3000 - mark) * 65 * 5 for mark in (3010, 3020, 3030, 3100, 3100))
    charges = [gross - net for gross, net in zip(curve.gross, curve.net, strict=True)]
    assert charges[0] == billed_charges(DATE, reading.facts.fills[:1])
    assert charges[-1] == billed_charges(DATE, reading.facts.fills)


def test_profit_curve_is_unknown_while_a_held_contract_has_no_close(session, reading):
    session.start_day()
    session.minute = 0.5
    session.short(1, CALL)
    reading.view()
    curve = profit_curve(DATE, reading.facts.fills, {PUT: [(OPEN_NS + 60_000_000_000, 2900)]})
    assert curve.gross == (None,)


# ---- what is seen ----


def test_slots_tell_candidates_best_contract_and_why(session, reading):
    session.start_day()
    session.decide("CE", CALL)
    session.decide("PE")
    ce, pe = reading.view().slots
    assert (ce.slot, ce.wanted, ce.symbol, ce.candidates, ce.qualified, ce.lots) == (
        "CE",
        True,
        CALL,
        7,
        3,
        4,
    )
    assert (ce.swing_low, ce.trigger, ce.limit, ce.stop, ce.since) == (3047, 3046, 2986, 3247, "10:15")
    assert "swing low 152.35 at 10:06, known since 10:09" in ce.words
    assert "the stop is 10.00 or 6.6 % away" in ce.words
    assert "best of 3 of 7" in ce.words
    assert (pe.wanted, pe.words) == (False, "nothing to sell, none of 7 candidates qualify")


def test_position_tells_price_stop_protection_and_r(session, reading):
    session.start_day()
    session.short(1, CALL, price=3046, stop=3247)
    session.prices = {CALL: 2990}
    session.beat()
    (held,) = reading.view().positions
    assert (held.units, held.entry_rupees, held.last, held.stop) == (-260, Decimal("152.30"), 2990, 3247)
    assert (held.pnl, held.r, held.protection) == (72_800, Decimal("0.11"), "")


def test_a_short_without_a_standing_stop_is_an_alarm(session, reading):
    session.start_day()
    session.short(1, CALL, protected=False)
    assert reading.view().positions[0].protection == "NO STOP"
    session.order("S1", 1, "stop", CALL, trigger=3247, limit=3307)
    assert reading.view().positions[0].protection == "stop not confirmed"
    session.accept("S1")
    assert reading.view().positions[0].protection == ""


def test_a_stop_over_a_part_of_the_units_is_not_protection(session, reading):
    session.start_day()
    session.short(1, CALL, protected=False)
    session.order("S1", 1, "stop", CALL, quantity=130, trigger=3247, limit=3307)
    session.accept("S1")
    assert reading.view().positions[0].protection == "stop not confirmed"


def test_an_order_of_unknown_outcome_is_marked(session, reading):
    session.start_day()
    session.order("E1", 1, "entry", CALL)
    session.tell(e.OrderUnknown(tag="E1", reason="time-out"))
    (order,) = reading.view().orders
    assert order.doubtful
    assert "UNKNOWN" in order.state


def test_closed_trade_tells_both_prices_reason_and_result(session, reading):
    session.start_day()
    session.short(1, CALL, price=3046)
    session.minute = 75
    session.buy_back(1, 3247)
    (trade,) = reading.view().trades
    assert (trade.entry_rupees, trade.exit_rupees) == (Decimal("152.30"), Decimal("162.35"))
    assert (trade.opened, trade.closed, trade.reason) == ("10:15", "10:30", "stop")
    assert trade.pnl == (3046 - 3247) * 260 * 5


# ---- ages ----


def test_lights_are_ok_while_all_give_signs(session, reading):
    session.start_day()
    session.beat()
    view = reading.view()
    assert [each.name for each in view.lights] == ["runner", "feed", "broker", "watchdog", "database"]
    assert {each.condition for each in view.lights} == {"ok"}
    assert (view.stale_s, view.prices_doubtful) == (0.0, "")


def facts_with_runner(age_s, facts, **status):
    held = {name: getattr(facts, name) for name in Facts.__dataclass_fields__}
    told = {**facts.signs["runner"].status, **status}
    return Facts(**{**held, "signs": {**facts.signs, "runner": Sign(age_s, told)}})


def test_a_silent_runner_makes_every_number_old_and_says_how_old(session, reading):
    session.start_day()
    session.beat()
    reading.view()
    view = view_of(facts_with_runner(8.0, reading.facts))
    assert view.stale_s == 8.0
    assert light(view, "runner").condition == "late"
    assert light(view, "runner").words == "8 s ago"
    assert light(view, "broker").words == "not known, runner silent"
    assert light(view_of(facts_with_runner(40.0, reading.facts)), "runner").condition == "bad"


def test_a_mute_feed_makes_prices_doubtful_and_its_light_bad(session, reading):
    session.start_day()
    session.beat(feed={"fresh": False, "age_s": 9.0, "detail": "no tick for 9 s"})
    view = reading.view()
    assert view.prices_doubtful == "no tick for 9 s"
    assert (light(view, "feed").condition, light(view, "feed").words) == ("bad", "no tick for 9 s")


def test_a_stopped_session_says_so(session, reading):
    session.start_day()
    session.beat(phase="done")
    reading.view()
    view = view_of(facts_with_runner(60.0, reading.facts))
    assert (view.phase, view.prices_doubtful) == ("stopped", "the session was stopped")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"state": "running", "runner_ended": ""}, ""),
        (
            {"state": "running", "runner_ended": "after 9.0 s: signal 9"},
            "the runner before ended after 9.0 s: signal 9",
        ),
        ({"state": "over", "runner_ended": "after 9.0 s: exit code 0"}, ""),
    ],
)
def test_how_the_runner_before_ended_is_told_while_the_session_lasts(told, words):
    assert view_of(Facts(signs={"supervisor": Sign(0.5, told)})).runner_before == words


def test_a_link_that_was_never_heard_is_not_called_fresh(session, reading):
    session.start_day()
    session.beat(feed={"fresh": False, "age_s": None, "detail": ""}, broker={"up": True, "age_s": None})
    view = reading.view()
    assert (light(view, "feed").condition, light(view, "feed").words) == ("bad", "no word yet")
    assert light(view, "broker").words == "no word yet"


def test_an_ended_day_is_over_not_stale(session, reading):
    session.start_day()
    session.beat()
    session.tell(e.SessionEnded(date=DATE, flat=True, charges=0, reason="closed"))
    reading.view()
    view = view_of(facts_with_runner(900.0, reading.facts))
    assert (view.phase, view.stale_s) == ("ended", 0.0)
    assert light(view, "runner").condition == "off"


def test_a_sign_from_before_the_last_boot_is_no_sign(session, reading, monkeypatch):
    session.start_day()
    session.beat()
    monkeypatch.setattr("engine.live.log.heartbeat.boot_id", lambda: "another")
    assert reading.view().stale_s == float("inf")


# ---- never a simulated price as a real one ----


@pytest.mark.parametrize(
    ("spec", "day", "shown"),
    [(None, None, True), (True, None, True), (None, True, True), (False, True, True), (True, False, True), (False, None, False), (None, False, False), (False, False, False)],
)  # fmt: skip
def test_prices_count_as_real_only_where_all_that_is_known_says_so(session, reading, spec, day, shown):
    if day is not None:
        session.start_day(simulated=day)
    reading.view()
    held = {name: getattr(reading.facts, name) for name in Facts.__dataclass_fields__}
    assert view_of(Facts(**{**held, "simulated": spec})).simulated is shown


# ---- reading ----


def test_reading_begins_before_there_is_a_session(tmp_path):
    places = Places(tmp_path, "practice")
    with LiveReading(places) as reading:
        view = reading.view()
        assert view.mode is None
        assert light(view, "database").words == "no session yet"
        with ScriptedSession(tmp_path) as session:
            session.start_day()
            session.beat()
            view = reading.view()
            assert (view.mode, view.stale_s) == ("practice", 0.0)


def test_a_store_that_cannot_be_read_keeps_the_last_view_and_says_so(session, reading):
    session.start_day()
    session.short(1, CALL)
    session.beat()
    assert len(reading.view().positions) == 1
    reading.close()
    path = session.places.database
    path.rename(path.with_suffix(".away"))
    view = reading.view()
    assert len(view.positions) == 1
    assert light(view, "database").condition == "bad"
    assert view.stale_s > 0
    path.with_suffix(".away").rename(path)
    assert reading.view().stale_s == 0


def test_a_later_viewer_sees_the_same_as_an_early_one(session, reading):
    reading.view()
    session.start_day()
    session.decide("CE", CALL)
    reading.view()
    session.short(1, CALL)
    session.prices = {CALL: 3000}
    session.beat()
    early = reading.view()
    with LiveReading(session.places) as other:
        late = other.view()
    assert (late.log, late.positions, late.orders, late.slots, late.money) == (
        early.log, early.positions, early.orders, early.slots, early.money,
    )  # fmt: skip


def test_a_session_asked_for_a_later_day_shows_nothing_of_the_day_before(session, reading):
    session.start_day(date=DATE - dt.timedelta(days=1))
    session.decide("CE", CALL)
    view = reading.view()
    assert (view.title, view.money) == ("", None)
    assert view.slots[0].words == "no decision yet"


def test_reading_writes_nothing(session, reading):
    session.start_day()
    session.beat()
    with StoreReader(session.places.database) as other:
        before = other.last_seq()
        for _ in range(3):
            reading.view()
        assert other.last_seq() == before


def test_kill_is_seen_from_latch_to_proved_flat(session, reading):
    session.start_day()
    session.short(1, CALL)
    assert reading.view().flattening is None
    session.store.set_latch("FLATTENING", "too wild", "trader")
    assert (reading.view().flattening.reason, reading.view().flattening.ended_ns) == ("too wild", 0)
    session.buy_back(1, 3100)
    session.minute += 0.05
    session.store.set_latch("HALTED", "proved flat", "runner")
    told = reading.view().flattening
    assert told.ended_ns - told.started_ns == 3_000_000_000


@pytest.mark.parametrize(
    ("state", "words"), [("refused", "one is running"), ("done", "latched, not proved flat yet")]
)
def test_the_answer_of_a_kill_is_no_proof(session, reading, state, words):
    session.start_day()
    session.store.set_latch("FLATTENING", "first", "trader")
    number = submit_command(session.places.database, "cli", "kill", {})
    session.store.take_commands()
    session.store.answer_command(number, state, words)
    assert reading.view().flattening.ended_ns == 0


# ---- words ----


def test_log_tells_a_trade_in_plain_words(session, reading):
    session.start_day()
    session.decide("CE", CALL)
    session.short(1, CALL)
    texts = [line.text for line in reading.view().log]
    assert f"entry: SELL 260 {CALL}, trigger 152.30, limit 149.30" in texts
    assert f"sold 260 {CALL} (entry) at 152.30" in texts
    assert f"stop of {CALL} shall stand at 162.35, 260 units" in texts
    assert any("SIMULATED PRICES" in text for text in texts)
    assert reading.view().log[-1].clock == "10:15:00"


def test_every_kind_of_event_has_words_or_is_left_out_on_purpose():
    quiet = {"IntentSent"}
    said = {name for name in e.KINDS if name not in quiet}
    words = LogWords()
    assert {name for name, kind in e.KINDS.items() if _has_words(words, kind)} == said


def _has_words(_words, kind):
    from engine.desk.live_words import _SAYS

    return kind in _SAYS


def test_a_reading_of_a_long_log_is_quick(session, reading):
    session.start_day()
    session.tell(*(e.ReconcileDone(orders=0, positions=0, mismatches=0, took_ms=1) for _ in range(5000)))
    reading.view()
    began = time.perf_counter()
    reading.view()
    assert time.perf_counter() - began < 0.2
