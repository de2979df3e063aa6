"""The clock of a played day, and the day's time that no jump of the wall clock carries along."""

import asyncio
import time

import pytest
from machine_clocks import Machine

from engine.live.clocks import PacedClock
from engine.live.day.day_time import DayTime

NS = 1_000_000_000
START = 1_800_000_000 * NS


@pytest.fixture
def real(monkeypatch):
    """The machine's counting clock, moved by hand."""

    class Real:
        now = 5 * NS

    monkeypatch.setattr(time, "monotonic_ns", lambda: Real.now)
    return Real


def test_it_stands_until_told_and_never_goes_back(real):
    clock = PacedClock(START)
    real.now += 10 * NS
    assert clock.wall_ns() == START
    clock.told(START + 60 * NS, 0)
    clock.told(START + 30 * NS, 0)
    assert clock.wall_ns() == START + 60 * NS


def test_ages_count_the_day_and_our_own_work(real):
    clock = PacedClock(START)
    clock.told(START + 60 * NS, 0)
    real.now += 2 * NS
    assert clock.monotonic_ns() == 62 * NS


def test_at_a_rate_it_flows_between_two_words(real):
    clock = PacedClock(START)
    clock.told(START, 60)
    real.now += NS
    assert clock.wall_ns() == START + 60 * NS
    assert clock.monotonic_ns() == 61 * NS


def test_the_count_never_falls_where_the_day_lags_behind_its_rate(real):
    clock = PacedClock(START)
    clock.told(START, 60)
    real.now += NS
    before = clock.monotonic_ns()
    clock.told(START + 10 * NS, 60)
    assert clock.wall_ns() == START + 10 * NS
    assert clock.monotonic_ns() == before
    real.now += 2 * NS
    assert clock.monotonic_ns() > before


def test_a_wait_ends_although_the_day_stands():
    async def wait():
        clock = PacedClock(START)
        began = time.monotonic()
        await clock.sleep_ns(NS // 20)
        return time.monotonic() - began

    assert 0.04 < asyncio.run(wait()) < 1


def test_a_wait_ends_as_soon_as_the_day_has_passed_it():
    async def wait():
        clock = PacedClock(START)
        waiting = asyncio.create_task(clock.sleep_ns(3600 * NS))
        await asyncio.sleep(0.01)
        clock.told(START + 1000 * NS, 0)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        clock.told(START + 3600 * NS, 0)
        await asyncio.wait_for(waiting, 1)

    asyncio.run(wait())


@pytest.fixture
def machine():
    return Machine(START)


def test_time_passes_and_small_steps_are_followed(machine):
    day = DayTime(machine)
    machine.passes(10)
    machine.wall += NS
    assert day.read() == (START + 11 * NS, 0)


@pytest.mark.parametrize("jump", [600, -600, 3])
def test_a_jump_is_told_once_and_not_followed(machine, jump):
    day = DayTime(machine)
    machine.passes(10)
    machine.wall += jump * NS
    assert day.read() == (START + 10 * NS, jump * NS)
    machine.passes(1)
    assert day.read() == (START + 11 * NS, 0)


def test_a_clock_that_was_wrong_is_believed_once_the_exchange_agrees_with_it(machine):
    machine.wall -= 600 * NS
    day = DayTime(machine)
    machine.passes(1)
    machine.wall += 600 * NS
    assert day.read()[0] == START - 599 * NS
    assert day.read(exchange_ns=START + NS)[0] == START + NS


def test_a_machine_that_slept_takes_the_time_of_the_first_tick_it_hears(machine):
    day = DayTime(machine)
    machine.wall += 900 * NS
    day.read(exchange_ns=START)
    machine.passes(1)
    assert day.read(exchange_ns=START + 901 * NS) == (START + 901 * NS, 0)


def test_a_wrong_wall_clock_stays_wrong_against_the_exchange(machine):
    day = DayTime(machine)
    machine.wall += 600 * NS
    machine.passes(1)
    assert day.read(exchange_ns=START + NS)[0] == START + NS
