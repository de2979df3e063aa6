"""What a session does about entries, changes and withdrawals that are refused. Prices in ticks."""

from test_session_rules import Desk, of

from engine.live.decisions.session_inputs import Command, FeedStatus, OrderUpdate, RequestRefused
from engine.live.decisions.session_intents import Alert, CancelOrder, ModifyEntry, PlaceEntry


def test_a_change_that_was_acknowledged_and_then_rejected_is_asked_for_again_at_the_close():
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.update("entry", "stands", quantity=910)
    desk.close()
    desk.update("entry", "stands", quantity=650)
    desk.update("entry", "stands", quantity=910)
    assert desk.state.slots[0].entry.order[0]["lots"] == 14, "the old numbers stand"
    (again,) = of(desk.close(), ModifyEntry)
    assert again.quantity == 650


def test_a_book_that_is_older_than_a_change_is_overtaken_by_the_next():
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.update("entry", "stands", quantity=910)
    desk.close()
    for quantity in (650, 910, 650):
        desk.update("entry", "stands", quantity=quantity)
    assert of(desk.close(), ModifyEntry) == []


def test_two_changes_that_were_acknowledged_and_both_rejected_are_not_believed():
    """The second left before the book was read: what stands is older than what stood before the last change."""
    desk = Desk((2370, 2440, 2365, 2430), max_lots=20)
    desk.update("entry", "stands", quantity=910)
    desk.close()
    desk.update("entry", "stands", quantity=650)
    slot = desk.state.slots[0]
    slot.wish = slot.entry.order.copy()
    slot.wish["lots"] = 9
    (change,) = of(desk.wait(1), ModifyEntry)
    desk.update("entry", "stands", quantity=change.quantity)
    desk.update("entry", "stands", quantity=910)
    assert slot.entry.order[0]["lots"] == 14
    (again,) = of(desk.close(), ModifyEntry)
    assert again.quantity == 650


def told(done):
    return [alert.text for alert in of(done, Alert)]


def refused_for_margin(desk, position=1):
    words = "Insufficient funds. Required margin is 95417.84 but available margin is 74251.80."
    return desk.tell(RequestRefused(position, "entry", "place", words))


def test_a_refusal_for_margin_is_told_once_and_holds_entries_back():
    desk = Desk()
    (text,) = told(refused_for_margin(desk))
    assert "no margin for the entry (Insufficient funds." in text
    assert "add funds, then: workbench live pause, workbench live resume" in text
    for _ in range(14):
        assert of(desk.close(), PlaceEntry, Alert) == []
    (again,) = of([*desk.close(), *desk.close()], PlaceEntry)
    assert told(refused_for_margin(desk, again.position)) == [], "told once"
    assert of(desk.close(), PlaceEntry) == []


def test_an_entry_that_is_rejected_for_margin_after_it_was_accepted_holds_entries_back():
    desk = Desk()
    rejected = OrderUpdate(
        1, "entry", "ended", 0, 2259, 2199, 0, desk.ns, "RMS:Margin Exceeds, Required:95417"
    )
    assert told(desk.tell(rejected))
    assert of(desk.close(), PlaceEntry) == []


def test_another_refusal_is_asked_for_again_at_the_next_close():
    desk = Desk()
    assert told(desk.tell(RequestRefused(1, "entry", "place", "Trigger price is through the market"))) == []
    assert of(desk.close(), PlaceEntry)


def test_an_exit_frees_margin():
    desk = Desk(kinds=("CE", "PE"))
    places = of(desk.asked, PlaceEntry)
    assert [place.position for place in places] == [1, 2]
    desk.protected()
    refused_for_margin(desk, position=2)
    assert of(desk.close(), PlaceEntry) == []
    desk.trade("stop", 650, 2400)
    desk.update("stop", "ended", filled=650, trigger=2400, limit=2460)
    assert [place.symbol for place in of(desk.close(), PlaceEntry)] == ["N24000PE"]


def test_margin_that_is_freed_and_used_up_again_every_minute_is_told_every_quarter_of_an_hour():
    desk = Desk(kinds=("CE", "PE"))
    desk.protected()
    alerts = told(refused_for_margin(desk, position=2))
    for _ in range(31):
        desk.trade("exit", 1, 2300)
        for place in of(desk.close(), PlaceEntry):
            alerts += told(refused_for_margin(desk, position=place.position))
    assert len([text for text in alerts if "no margin" in text]) == 3, "at 0, 15 and 30 min"


def test_a_person_who_pauses_and_resumes_lets_entries_be_asked_for_again():
    desk = Desk()
    refused_for_margin(desk)
    desk.tell(FeedStatus(fresh=False))
    desk.tell(FeedStatus(fresh=True))
    assert of(desk.close(), PlaceEntry) == [], "prices that come back free no margin"
    desk.tell(Command("pause", "test"))
    desk.tell(Command("resume", "test"))
    assert of(desk.close(), PlaceEntry)


def test_a_withdrawn_order_frees_its_margin():
    desk = Desk(kinds=("CE", "PE"))
    desk.update("entry", "stands")
    refused_for_margin(desk, position=2)
    assert of(desk.close(), PlaceEntry) == []
    desk.state.slots[0].entry.withdrawing = True
    desk.update("entry", "ended")
    assert of(desk.close(), PlaceEntry)


def test_a_withdrawal_that_is_refused_again_and_again_is_asked_for_ever_more_rarely():
    desk = Desk()
    desk.update("entry", "stands")
    asked = len(of(desk.tell(Command("pause", "test")), CancelOrder))
    for _ in range(120):
        if desk.state.slots[0].entry.request == "cancel":
            desk.tell(RequestRefused(1, "entry", "cancel", "it is being processed"))
        asked += len(of(desk.wait(1), CancelOrder))
    assert asked == 7, "at once, then after 2, 4, 8, 16, 32 and 32 s"
    desk.tell(RequestRefused(1, "entry", "cancel", "it is being processed"))
    reached = desk.update("entry", "stands")  # the exchange
    assert of([*reached, *desk.wait(2)], CancelOrder)
