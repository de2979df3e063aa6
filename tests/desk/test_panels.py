"""The control room without a browser: colours, honesty, what is sent, what ends, pictures."""

import gc
import threading
import time

import ipywidgets as widgets
import pytest
from room_reading import shown, silent_for, words
from scripted_session import CALL, ScriptedSession

from engine.desk import panels
from engine.desk.panels import ControlRoom, control_room
from engine.live.places import Places

# ---- mode and honesty ----


@pytest.mark.parametrize(
    ("mode", "colour", "name"),
    [("paper", "#1f66a6", "PAPER"), ("practice", "#6b3fa0", "PRACTICE"), ("live", "#b3261e", "LIVE")],
)
def test_banner_has_the_colour_and_the_word_of_its_mode(tmp_path, mode, colour, name):
    with ScriptedSession(tmp_path, mode=mode, simulated=mode != "live") as session:
        session.start_day()
        session.beat()
        room = ControlRoom(session.places)
        banner = room._html["banner"].value
        assert f"background:{colour}" in banner
        assert f">{name}<" in banner
        assert f"data-mode='{mode}'" in banner
        room.close()


def test_simulated_prices_are_named_in_banner_money_and_both_pictures(session, room):
    assert "SIMULATED PRICES" in room._html["banner"].value
    assert "simulated" in room._html["money"].value
    for figure in (room.charts.profit, room.charts.prices):
        assert any("SIMULATED" in note.text for note in figure.layout.annotations)


def test_real_prices_carry_no_such_label(tmp_path):
    with ScriptedSession(tmp_path, simulated=False, spec=False) as session:
        session.start_day()
        session.beat()
        room = ControlRoom(session.places)
        assert "SIMULATED" not in words(room)
        assert not room.charts.simulated
        assert len(room.charts.profit.layout.annotations) == 0
        room.close()


def test_a_live_session_with_simulated_prices_is_an_alarm(tmp_path):
    with ScriptedSession(tmp_path, mode="live", simulated=True) as session:
        session.start_day()
        session.beat()
        room = ControlRoom(session.places)
        assert "trust no number" in room._html["strips"].value
        room.close()


def test_without_a_session_the_room_says_how_to_start_one(tmp_path):
    room = ControlRoom(Places(tmp_path, "paper"))
    assert "NO SESSION" in words(room)
    assert "notebook 10" in words(room)
    room.close()


def test_stale_numbers_turn_grey_and_say_how_old(session, room, monkeypatch):
    assert "cr-stale" not in room._html["money"]._dom_classes
    silent_for(monkeypatch, session, 9)
    room.refresh()
    for name in ("money", "CE", "PE", "positions", "orders"):
        assert "cr-stale" in room._html[name]._dom_classes
    assert "cr-stale" in room._pictures._dom_classes
    assert "numbers are 9 s old" in words(room)
    session.beat()
    monkeypatch.undo()
    room.refresh()
    assert "cr-stale" not in room._html["money"]._dom_classes


def test_a_page_without_its_kernel_is_covered_by_the_browser_itself(room):
    first = room._html["heart"].value
    room.refresh()
    assert room._html["heart"].value != first, "no new heartbeat: the cover would appear"
    assert "heard nothing from its kernel" in first


def test_what_a_log_or_broker_writes_cannot_become_html(session, room):
    session.store.set_latch("HALTED", "<img src=x onerror=alert(1)>", "<b>who</b>")
    room.refresh()
    assert "<img" not in shown(room)
    assert "<b>who" not in shown(room)
    assert "&lt;img" in shown(room)


# ---- what is sent, what ends ----


def sent_by(room, action):
    """Names of the traits that reach the browser during an action."""
    changed = []

    def note(change):
        changed.append((type(change["owner"]).__name__, change["name"]))

    every = []

    def names(widget):
        return [name for name in widget.keys if name not in ("_esm", "_css")]  # fixed texts of a figure

    def walk(widget):
        every.append(widget)
        for child in getattr(widget, "children", ()):
            walk(child)

    walk(room.panel)
    for widget in every:
        widget.observe(note, names(widget))
    action()
    return changed


def test_a_second_without_news_sends_the_heartbeat_alone(session, room):
    session.record({CALL: [3000] * 60})
    session.short(1, CALL)
    session.prices = {CALL: 3000}
    session.beat()
    room._beats = 100  # past the fitting of the pictures
    room.refresh()
    assert sent_by(room, room.refresh) == [("HTML", "value")]


def test_a_new_price_reaches_both_pictures(session, room):
    session.short(1, CALL)
    session.prices = {CALL: 3000}
    session.beat()
    room._beats = 100
    room.refresh()
    session.minute += 0.02
    session.prices = {CALL: 2990}
    session.beat()
    sent = sent_by(room, room.refresh)
    assert sum(owner == "FigureWidget" for owner, _ in sent) >= 2


def test_only_the_parts_with_news_are_sent(session, room):
    room._beats = 100
    room.refresh()
    session.decide("PE")
    session.beat()
    before = room._html["PE"].value, room._html["money"].value, room._html["banner"].value
    count = len(sent_by(room, room.refresh))
    assert room._html["PE"].value != before[0]
    assert (room._html["money"].value, room._html["banner"].value) == before[1:]
    assert count <= 5  # heart, PE, lights (event number), log, footer


def test_running_the_cell_again_leaves_one_thread_and_one_set_of_widgets(session):
    session.start_day()
    session.beat()
    first = control_room(session.places)
    count = len(widgets.Widget._instances if hasattr(widgets.Widget, "_instances") else [])
    second = control_room(session.places)
    third = control_room(session.places)
    assert (first.alive, second.alive, third.alive) == (False, False, True)
    now = len(widgets.Widget._instances if hasattr(widgets.Widget, "_instances") else [])
    assert now <= count
    assert sum(thread.name == "control room" for thread in threading.enumerate()) == 1
    third.close()
    assert not third.alive
    panels._ROOMS.clear()
    gc.collect()


def test_thread_ends_with_its_widget(session):
    room = control_room(session.places)
    room.panel.close()
    deadline = time.monotonic() + 10
    while room.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not room.alive
    panels._ROOMS.clear()


def test_thread_shows_what_happens_by_itself(session):
    session.start_day()
    session.beat()
    room = control_room(session.places)
    session.short(1, CALL)
    deadline = time.monotonic() + 10
    while CALL not in room._html["positions"].value and time.monotonic() < deadline:
        time.sleep(0.05)
    assert CALL in room._html["positions"].value
    room.close()
    panels._ROOMS.clear()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_room_that_fails_says_so_instead_of_standing_still(session, monkeypatch):
    session.start_day()
    session.beat()
    room = ControlRoom(session.places)

    def broken(_view):
        raise RuntimeError("drawn wrongly")

    monkeypatch.setattr(room.controls, "show", broken)
    room.start()
    room._thread.join(10)
    assert "This panel has failed (RuntimeError: drawn wrongly)" in room._html["strips"].value
    assert "cr-stale" in room._html["money"]._dom_classes
    room.close()


def test_many_viewers_at_once_show_the_same(session, room):
    session.short(1, CALL)
    session.beat()
    others = [ControlRoom(session.places) for _ in range(4)]
    room.refresh()
    assert {each._html["positions"].value for each in others} == {room._html["positions"].value}
    for each in others:
        each.close()


# ---- pictures ----


def test_chart_draws_profit_and_the_contract_with_entry_and_stop(session):
    session.minute = 2.5
    session.start_day()
    room = ControlRoom(session.places)
    session.short(1, CALL, price=3000, quantity=65, stop=3200)
    session.minute = 6
    session.record({CALL: [3000, 3000, 3010, 3020, 3030, 3100]})
    session.prices = {CALL: 3050}
    session.minute = 6.5
    session.beat()
    room.refresh()
    net, gross = room.charts.profit.data
    assert list(gross.y) == [-32.5, -65.0, -97.5, -325.0, -162.5]
    assert all(a < b for a, b in zip(net.y, gross.y, strict=True))
    price, stop, _entry, sold, _bought = room.charts.prices.data
    assert list(price.y) == [150.0, 150.0, 150.5, 151.0, 151.5, 155.0, 152.5]
    assert list(stop.y[:2]) == [160.0, 160.0]
    assert list(sold.y) == [150.0]
    assert room.charts.prices.layout.title.text.startswith(CALL)
    room.close()


def test_a_stale_sign_adds_no_point_to_the_chart(session, room, monkeypatch):
    session.short(1, CALL)
    session.prices = {CALL: 3050}
    session.beat()
    room.refresh()
    count = len(room.charts.profit.data[0].y)
    session.minute += 1
    session.beat()
    silent_for(monkeypatch, session, 9)
    room.refresh()
    assert len(room.charts.profit.data[0].y) == count
