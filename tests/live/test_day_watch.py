"""After a doubt broker and log are compared at once, not at the next turn of the clock."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest

from engine.live.clocks import PacedClock
from engine.live.day import day_watch
from engine.live.day.day_watch import DayWatch
from engine.live.reconcile import Comparison

WELL, UNKNOWN = Comparison(True, 0), Comparison(False, 0, "no answer")


class Day:
    """What the duties touch of a live day; the broker answers as it is told to."""

    def __init__(self, answers=(), *, books=True):
        self.compared = []
        self.answers = list(answers)
        self.books = books
        self.clock = PacedClock(0)
        self.paced, self.stopping, self.rate = True, False, 0
        self.spec = SimpleNamespace(
            feed="practice", session=SimpleNamespace(reconcile_seconds=600, stale_ticks_seconds=5)
        )
        self.link = SimpleNamespace(condition=lambda _: ("up", ""), tick_age_s=0.0, silent_s=0.0)
        self.store = SimpleNamespace(state=SimpleNamespace(open_orders=("one",)))
        self.status = SimpleNamespace(compared=self.compared.append)
        self.minutes = SimpleNamespace(lost=lambda *_: None)
        self.trader = SimpleNamespace(
            login_lost=False, reconcile=self.reconcile, look=self.look, held=int, tell=lambda _: None,
            raise_failure=lambda: None,
        )  # fmt: skip

    async def reconcile(self):
        return self.answers.pop(0) if self.answers else WELL

    async def look(self):
        return self.books

    def tell_link(self, *_):
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(day_watch, "BOOK_S", 0.01)
    monkeypatch.setattr(day_watch, "WATCH_S", 0.01)


def compared(day, *, before=None, within_s=0.3):
    """Comparisons that were made in so short a time."""

    async def live():
        watch = DayWatch(day, None)
        if before is not None:
            before(watch)
        duties = [
            asyncio.create_task(duty) for duty in (watch.watch(), watch.read_books(), watch.reconcile())
        ]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*duties), within_s)

    asyncio.run(live())
    return day.compared


def test_without_a_doubt_the_next_comparison_waits_for_its_turn():
    assert compared(Day()) == []


def test_prices_that_are_back_are_followed_by_a_comparison():
    def away(watch):
        watch.fresh = False

    assert compared(Day(), before=away) == [WELL]


def test_books_that_cannot_be_read_are_compared_until_they_can():
    day = Day([UNKNOWN, UNKNOWN, WELL], books=False)
    assert compared(day)[:3] == [UNKNOWN, UNKNOWN, WELL]


def test_a_comparison_without_an_answer_is_made_again_soon():
    def doubted(watch):
        watch._doubt.set()

    assert compared(Day([UNKNOWN, UNKNOWN]), before=doubted) == [UNKNOWN, UNKNOWN, WELL]
