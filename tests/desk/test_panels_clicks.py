"""The control room's buttons: what a click asks for, what is answered, KILL until flat is proved."""

import pytest
from room_reading import commands, shown, silent_for, words
from scripted_session import CALL, PUT

from engine.desk.panels import ControlRoom
from engine.desk.panels_commands import ARMED_S
from engine.live.places import Places

# ---- clicks ----


def test_pause_inserts_one_command_and_shows_the_answer(session, room):
    room.controls.pause.click()
    assert commands(session) == [("widget", "pause", "{}")]
    assert "pause: asked, not taken yet" in words(room)
    session.answer()
    room.refresh()
    assert "pause: no new entry until resumed" in words(room)


def test_resume_needs_a_reason(session, room):
    room.controls.resume.click()
    assert commands(session) == []
    assert "resume needs a reason" in words(room)
    room.controls.reason.value = "looked at it"
    room.controls.resume.click()
    assert commands(session) == [("widget", "resume", '{"reason":"looked at it"}')]
    assert room.controls.reason.value == ""


def test_a_refused_command_says_why(session, room):
    session.store.set_latch("FLATTENING", "kill", "trader")
    room.controls.reason.value = "again"
    room.controls.resume.click()
    session.answer()
    room.refresh()
    assert "resume REFUSED: a kill is being carried out" in words(room)


def test_a_command_that_nobody_takes_says_so(session, room, hand, monkeypatch):
    room.controls.pause.click()
    silent_for(monkeypatch, session, 30)
    hand.now += 7
    room.refresh()
    assert "not taken yet (7 s); the runner's last sign: 30 s" in words(room)


def test_a_command_that_cannot_be_written_names_another_door(tmp_path):
    room = ControlRoom(Places(tmp_path, "paper"))
    room.controls.kill.button.click()
    room.controls.kill.button.click()
    assert "could not be asked for" in words(room)
    assert "workbench live kill" in words(room)
    room.close()


def test_flatten_has_a_button_for_each_open_position_and_takes_two_clicks(session, room):
    session.short(1, CALL)
    session.short(2, PUT, price=2900)
    room.refresh()
    buttons = room.controls.flatten_row.children
    assert [each.description for each in buttons] == [f"Flatten #1 {CALL}", f"Flatten #2 {PUT}"]
    buttons[1].click()
    assert commands(session) == []
    buttons[1].click()
    assert commands(session) == [("widget", "flatten", '{"position":2}')]
    session.buy_back(2, 2900)
    room.refresh()
    assert [each.description for each in room.controls.flatten_row.children] == [f"Flatten #1 {CALL}"]


@pytest.mark.parametrize(("choice", "flatten"), [(0, "false"), (1, "true")])
def test_stop_tells_what_becomes_of_the_positions(session, room, choice, flatten):
    room.controls.how.value = room.controls.how.options[choice]
    room.controls.stop.button.click()
    assert commands(session) == []
    room.controls.stop.button.click()
    assert commands(session) == [("widget", "stop", f'{{"flatten":{flatten}}}')]


# ---- KILL ----


def test_one_click_on_kill_arms_and_does_nothing(session, room):
    room.controls.kill.button.click()
    assert commands(session) == []
    assert room.controls.kill.button.description == f"CONFIRM KILL ({ARMED_S:.0f} s)"
    assert "cr-armed" in room.controls.kill.button._dom_classes


def test_second_click_within_five_seconds_kills(session, room, hand):
    room.controls.kill.button.click()
    hand.now += ARMED_S - 0.1
    room.controls.kill.button.click()
    assert [verb for _, verb, _ in commands(session)] == ["kill"]
    assert room.controls.kill.button.description == "KILL"


def test_second_click_after_five_seconds_only_arms_again(session, room, hand):
    room.controls.kill.button.click()
    hand.now += ARMED_S
    room.controls.kill.button.click()
    assert commands(session) == []
    assert room.controls.kill.armed


def test_an_armed_kill_counts_down_and_disarms_by_itself(session, room, hand):
    room.controls.kill.button.click()
    hand.now += 2
    room.refresh()
    assert "(3 s)" in room.controls.kill.button.description
    hand.now += 4
    room.refresh()
    assert room.controls.kill.button.description == "KILL"
    assert "cr-armed" not in room.controls.kill.button._dom_classes


def kill(room):
    room.controls.kill.button.click()
    room.controls.kill.button.click()


def test_kill_shows_progress_until_proved_flat_and_the_seconds(session, room, hand):
    session.short(1, CALL)
    session.short(2, PUT, price=2900)
    room.refresh()
    kill(room)
    room.refresh()
    assert "KILL: asked, waiting for the runner" in words(room)
    session.store.take_commands()
    session.store.set_latch("FLATTENING", "KILL in the control room", "widget")
    hand.now += 1
    room.refresh()
    assert "latch FLATTENING, closing · 2 positions and 2 orders left · 1 s" in words(room)
    session.buy_back(1, 3100)
    hand.now += 1
    room.refresh()
    assert "1 positions and 1 orders left · 2 s" in words(room)
    assert "data-kill='running'" in shown(room)
    session.buy_back(2, 2900)
    session.store.set_latch("HALTED", "proved flat", "runner")
    session.store.answer_command(1, "done", "flat: no order, no position at the broker")
    hand.now += 1.5
    room.refresh()
    assert "KILL: FLAT, proved in 3.5 s" in words(room)
    assert "data-kill='done'" in shown(room)


def test_a_done_kill_without_proof_goes_on(session, room):
    session.short(1, CALL)
    kill(room)
    session.store.take_commands()
    session.store.set_latch("FLATTENING", "x", "widget")
    session.store.answer_command(1, "done", "latched FLATTENING, not proved flat yet")
    room.refresh()
    assert "data-kill='running'" in shown(room)
    assert "not proved flat yet" in words(room)


def test_resume_button_resets_a_halted_latch(session, room):
    session.store.set_latch("HALTED", "proved flat", "runner")
    room.refresh()
    assert room.controls.resume.description == "Reset latch"
    room.controls.reason.value = "looked at it"
    room.controls.resume.click()
    assert commands(session) == [("widget", "reset", '{"reason":"looked at it"}')]


def test_flat_in_the_log_alone_is_not_called_proved(session, room):
    session.short(1, CALL)
    kill(room)
    session.store.take_commands()
    session.store.set_latch("FLATTENING", "x", "widget")
    session.buy_back(1, 3100)
    room.refresh()
    assert "FLAT" not in words(room).replace("FLATTENING", "")


def test_another_viewer_sees_the_kill_too(session, room, hand):
    session.short(1, CALL)
    other = ControlRoom(session.places, clock=hand)
    kill(room)
    session.answer()
    other.refresh()
    assert "KILL: FLAT, proved" in words(other)
    other.close()
