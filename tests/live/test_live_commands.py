"""What people ask of a runner: each is answered, a KILL in every phase, the flag file without a database."""

import asyncio
import sqlite3
from types import SimpleNamespace

import pytest
from live_session_kit import DATE
from store_facts import session, short

from engine.live.day.commands import Commands
from engine.live.day.day_status import DayStatus
from engine.live.decisions.session_inputs import Command, FeedStatus
from engine.live.log.reader import StoreReader, submit_command
from engine.live.log.store_errors import StoreError
from engine.live.spec import load_session_params, make_spec
from engine.live.store import Store


class StandInTrader:
    """Obeys as told: `flat` are the answers to KILL, `gate` holds them back."""

    def __init__(self, store):
        self.store = store
        self.told = []
        self.kills = []
        self.flat = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_flat = True
        self.state = SimpleNamespace(day_latch=0, shorts={})
        self.clock = SimpleNamespace(monotonic_ns=lambda: 0)
        self.alerts = []
        self.missing = []

    def alert(self, level, text):
        self.alerts.append((level, text))

    def command(self, command):
        self.told.append(command)
        latch = {"pause": "REDUCING", "resume": "ACTIVE"}.get(command.verb)
        if latch:
            self.store.set_latch(latch, command.reason, command.who, reset=latch == "ACTIVE")

    def tell(self, event):
        self.told.append(event)

    async def settled_within(self, _within_s):
        await asyncio.sleep(0)
        return self.missing.pop(0) if self.missing else ""

    async def kill(self, reason, who, within_s):
        self.kills.append((reason, who, within_s))
        self.store.set_latch("FLATTENING", reason, who)
        await self.gate.wait()
        return self.flat.pop(0) if self.flat else True

    async def proves_flat(self):
        return self.is_flat

    async def wait_changed(self, _within_s):
        await asyncio.sleep(0)


class StandInDay:
    def __init__(self, trader, early=()):
        self.trader = trader
        self.started = trader is not None
        self.stopping = False
        self.early = list(early)
        self.reasons = []

    async def close_early(self, reason, _who):
        self.reasons.append(reason)
        return self.early.pop(0)


class Desk:
    def __init__(self, folder):
        self.spec = make_spec(load_session_params("practice"), date=DATE, data_folder=folder)
        self.places = self.spec.places
        self.broken = False
        self.store = Store.open(self.places.database, self.spec.account, at=self._at)
        self.stopped = []
        self.status = DayStatus()
        self.commands = Commands(self.spec, self.store, self.status, self.stopped.append)

    def _at(self, point):
        if self.broken and point == "before commit":
            raise sqlite3.OperationalError("disk I/O error")

    def trades(self):
        self.trader = StandInTrader(self.store)
        self.commands.day = StandInDay(self.trader)
        return self.trader

    def ask(self, verb, payload=None):
        return submit_command(self.places.database, "widget", verb, payload or {})

    def answer(self, number):
        with StoreReader(self.places.database) as reader:
            told = reader.command(number)
        return told.state, told.answer

    @property
    def latch(self):
        return self.store.state.latch.state

    async def until(self, true, within_s=5.0):
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110 - anything may be waited for
                await asyncio.sleep(0.01)

    async def answered(self, number):
        await self.until(lambda: self.answer(number)[0] in {"done", "refused"})
        return self.answer(number)

    def run(self, act):
        async def whole():
            running = asyncio.create_task(self.commands.run())
            try:
                await act()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await self.commands.close()

        asyncio.run(whole())


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.store.close()


def test_what_is_no_command_is_refused_with_the_reason(desk):
    async def act():
        desk.trades()
        state, words = await desk.answered(desk.ask("dance"))
        assert (state, "dance is no command" in words) == ("refused", True)
        for payload in ({"position": "one"}, {}, {"position": True}):
            assert (await desk.answered(desk.ask("flatten", payload)))[0] == "refused"

    desk.run(act)


def test_pause_and_resume_say_what_they_do_and_refuse_what_makes_no_sense(desk):
    async def act():
        trader = desk.trades()
        assert (await desk.answered(desk.ask("resume"))) == ("refused", "the session is not paused")
        assert (await desk.answered(desk.ask("pause", {"reason": "lunch"})))[0] == "done"
        assert trader.told == [Command("pause", "widget", "lunch")]
        assert (await desk.answered(desk.ask("pause")))[0] == "refused"
        trader.state.day_latch = 1
        assert "day limit" in (await desk.answered(desk.ask("resume")))[1]
        trader.state.day_latch = 0
        assert (await desk.answered(desk.ask("resume")))[0] == "done"

    desk.run(act)


def test_before_it_trades_pause_and_resume_move_the_latch_and_flatten_is_refused(desk):
    async def act():
        assert (await desk.answered(desk.ask("pause")))[0] == "done"
        assert desk.latch == "REDUCING"
        assert (await desk.answered(desk.ask("flatten", {"position": 1})))[0] == "refused"
        assert (await desk.answered(desk.ask("reset", {"reason": "why"})))[0] == "refused"
        assert (await desk.answered(desk.ask("resume")))[0] == "done"
        assert desk.latch == "ACTIVE"
        desk.store.set_latch("HALTED", "by hand", "test")
        assert "workbench live reset --reason" in (await desk.answered(desk.ask("resume")))[1]

    desk.run(act)


def test_a_kill_is_answered_only_when_flat_is_proved(desk):
    async def act():
        trader = desk.trades()
        trader.flat = [False, False, True]
        number = desk.ask("kill", {"reason": "enough"})
        await desk.until(lambda: len(trader.kills) == 2)
        assert desk.answer(number)[0] == "taken"
        assert desk.status.killing
        assert await desk.answered(number) == ("done", "proved flat")
        assert len(trader.kills) == 3
        assert [level for level, _ in trader.alerts] == ["error"]
        assert desk.latch == "HALTED"
        assert not desk.status.killing

    desk.run(act)


def test_two_kills_are_one_and_a_reset_waits_for_its_end(desk):
    async def act():
        trader = desk.trades()
        trader.gate.clear()
        numbers = [desk.ask("kill", {"reason": "first"}), desk.ask("kill", {"reason": "second"})]
        desk.places.kill_flag.write_text("third")
        await desk.until(lambda: trader.kills and all(desk.answer(n)[0] == "taken" for n in numbers))
        assert "being carried out" in (await desk.answered(desk.ask("reset", {"reason": "why"})))[1]
        assert "being closed" in (await desk.answered(desk.ask("stop", {"flatten": False})))[1]
        trader.gate.set()
        for number in numbers:
            assert (await desk.answered(number))[0] == "done"
        assert len(trader.kills) == 1
        assert (await desk.answered(desk.ask("reset")))[1] == "a reset needs a reason"
        trader.is_flat = False
        assert "does not show flat" in (await desk.answered(desk.ask("reset", {"reason": "why"})))[1]
        trader.is_flat = True
        assert (await desk.answered(desk.ask("reset", {"reason": "why"})))[0] == "done"
        assert desk.latch == "ACTIVE"
        assert not desk.places.kill_flag.exists()

    desk.run(act)


@pytest.mark.parametrize("door", ["command", "flag"])
def test_a_kill_that_comes_while_a_reset_asks_the_broker_is_not_undone(desk, door):
    async def act():
        trader = desk.trades()
        desk.store.set_latch("HALTED", "proved flat after: first", "widget")
        asked, told = asyncio.Event(), asyncio.Event()

        async def slowly():
            asked.set()
            await told.wait()
            if door == "flag":
                desk.places.kill_flag.write_text("second")  # nobody has looked for it yet
            return True

        trader.proves_flat = slowly
        number = desk.ask("reset", {"reason": "why"})
        await asked.wait()
        if door == "command":
            assert (await desk.answered(desk.ask("kill", {"reason": "second"})))[0] == "done"
        told.set()
        assert (await desk.answered(number))[0] == "refused"
        await desk.until(lambda: len(trader.kills) == 1 and desk.latch == "HALTED")

    desk.run(act)


def test_without_a_broker_a_kill_is_latched_at_once_and_done_as_soon_as_there_is_one(desk):
    async def act():
        number = desk.ask("kill", {"reason": "now"})
        await desk.until(lambda: desk.latch == "FLATTENING")
        await asyncio.sleep(0.2)
        assert desk.answer(number)[0] == "taken"
        desk.commands.day = StandInDay(None, early=[False, True])
        assert await desk.answered(number) == ("done", "proved flat")
        assert desk.commands.day.reasons == ["now", "now"]
        assert desk.latch == "HALTED"

    desk.run(act)


@pytest.mark.parametrize("content", [b"out of here", b"", b"\xff\xfe\x00"])
def test_a_flag_file_kills_whatever_is_in_it(desk, content):
    async def act():
        trader = desk.trades()
        desk.places.kill_flag.write_bytes(content)
        await desk.until(lambda: desk.latch == "HALTED")
        assert trader.kills[0][0] in {"out of here", "kill flag"}
        await asyncio.sleep(0.3)
        assert len(trader.kills) == 1  # the same file is one KILL

    desk.run(act)


def test_the_flag_file_works_while_the_database_does_not(desk):
    async def act():
        trader = desk.trades()
        trader.store = SimpleNamespace(set_latch=lambda *_, **__: None)
        number = desk.ask("pause")
        desk.broken = True
        await asyncio.sleep(0.3)
        desk.places.kill_flag.write_text("disk")
        await desk.until(lambda: trader.kills)
        desk.broken = False
        await desk.until(lambda: desk.answer(number)[0] == "refused")  # halted meanwhile

    desk.run(act)


def test_a_lost_lease_ends_the_runner(desk):
    async def act():
        desk.trades()
        with sqlite3.connect(desk.places.database) as other:
            other.execute("UPDATE lease SET token = 'somebody'")
        desk.ask("pause")
        with pytest.raises(StoreError) as told:
            await asyncio.wait_for(desk.commands.run(), 5)
        assert told.value.failure == "lost_lease"

    asyncio.run(act())


def test_what_a_dead_process_had_taken_is_carried_out(desk):
    number = desk.ask("kill", {"reason": "died of it"})
    desk.store.take_commands()

    async def act():
        desk.trades()
        assert await desk.answered(number) == ("done", "proved flat")

    desk.run(act)


def test_a_kill_that_an_earlier_process_began_goes_on(desk):
    desk.store.set_latch("FLATTENING", "the runner is dead", "watchdog")

    async def act():
        trader = desk.trades()
        await desk.until(lambda: desk.latch == "HALTED")
        assert trader.kills[0][:2] == ("the runner is dead", "watchdog")

    desk.run(act)


def test_a_stop_that_leaves_takes_the_entries_away_and_leaves_the_latch_alone(desk):
    async def act():
        trader = desk.trades()
        assert (await desk.answered(desk.ask("stop")))[0] == "done"
        await desk.until(lambda: desk.stopped == [0])
        assert isinstance(trader.told[0], FeedStatus)
        assert not trader.told[0].fresh
        assert not trader.kills
        assert desk.latch == "ACTIVE"

    desk.run(act)


def test_a_stop_does_not_wait_for_ever_and_tells_what_is_missing(desk):
    async def act():
        trader = desk.trades()
        trader.missing = ["trades of 65 units of stop S1"]
        await desk.answered(desk.ask("stop"))
        await desk.until(lambda: desk.stopped == [0])
        ((level, text),) = trader.alerts
        assert (level, text.startswith("stopped without trades of 65 units of stop S1;")) == ("warning", True)

    desk.run(act)


def test_a_real_day_is_not_left_while_an_entry_may_fill_or_a_short_is_naked(desk):
    async def act():
        trader = desk.trades()
        desk.commands._spec = desk.spec.model_copy(update={"simulated": False})
        sold, stop = short()[:4], short()[4:]
        for fact in (session(), *sold):
            desk.store.append(fact)
        desk.ask("stop")
        await desk.until(lambda: trader.alerts)
        assert "stop waits for" in trader.alerts[0][1]
        assert "workbench live kill" in trader.alerts[0][1]
        assert desk.stopped == []
        for fact in stop:
            desk.store.append(fact)
        await desk.until(lambda: desk.stopped == [0])

    desk.run(act)


def test_a_real_day_is_not_left_while_a_short_is_being_bought_back(desk):
    """Its exit stands where its stop stood, at a price that only we widen."""

    async def act():
        trader = desk.trades()
        desk.commands._spec = desk.spec.model_copy(update={"simulated": False})
        leaving = SimpleNamespace(exit_reason="time_exit", stop_triggered_ns=0, units=65)
        trader.state.shorts[1] = leaving
        trader.missing = ["the end of position 1"]
        desk.ask("stop")
        await desk.until(lambda: trader.alerts)
        assert trader.alerts[0][1].startswith("stop waits for the end of position 1;")
        assert desk.stopped == []
        leaving.units = 0
        await desk.until(lambda: desk.stopped == [0])

    desk.run(act)


def test_a_real_day_is_not_left_while_a_stop_has_triggered_and_not_filled(desk):
    """The market may have jumped over its limit; only we make it marketable."""

    async def act():
        trader = desk.trades()
        desk.commands._spec = desk.spec.model_copy(update={"simulated": False})
        gap = SimpleNamespace(exit_reason="", stop_triggered_ns=1, units=65)
        trader.state.shorts[1] = gap
        desk.ask("stop")
        await desk.until(lambda: trader.alerts)
        assert "being bought back" in trader.alerts[0][1]
        assert desk.stopped == []
        gap.units = 0
        await desk.until(lambda: desk.stopped == [0])

    desk.run(act)


def test_a_stop_that_flattens_goes_on_until_flat_and_needs_no_reset(desk):
    async def act():
        trader = desk.trades()
        trader.flat = [False, True]
        assert (await desk.answered(desk.ask("stop", {"flatten": True})))[0] == "done"
        await desk.until(lambda: desk.stopped == [0])
        assert len(trader.kills) == 2
        assert desk.latch == "ACTIVE"

    desk.run(act)


def test_a_kill_during_a_stop_stays_a_kill(desk):
    async def act():
        trader = desk.trades()
        trader.gate.clear()
        stop = desk.ask("stop", {"flatten": True})
        await desk.until(lambda: trader.kills)
        kill = desk.ask("kill", {"reason": "really"})
        await desk.until(lambda: desk.answer(kill)[0] == "taken")
        trader.gate.set()
        for number in (stop, kill):
            assert (await desk.answered(number))[0] == "done"
        assert desk.latch == "HALTED"

    desk.run(act)


def test_before_it_trades_a_stop_that_flattens_ends_at_once_unless_the_log_holds_something(desk):
    async def act():
        desk.commands.stop(flatten=True, who="signal")
        await desk.until(lambda: desk.stopped == [0])

    desk.run(act)
    desk.stopped.clear()
    desk.store.append(session())
    for fact in short():
        desk.store.append(fact)

    async def again():
        desk.commands.stop(flatten=True, who="signal")
        await desk.until(lambda: desk.latch == "FLATTENING")
        assert not desk.stopped
        desk.commands.day = StandInDay(None, early=[True])
        await desk.until(lambda: desk.stopped == [0])

    desk.run(again)


def test_what_a_command_dies_of_ends_the_runner(desk):
    async def act():
        trader = desk.trades()

        async def fail(*_):
            raise RuntimeError("broken")

        trader.kill = fail
        desk.ask("kill")
        with pytest.raises(RuntimeError, match="broken"):
            await asyncio.wait_for(desk.commands.run(), 5)

    asyncio.run(act())
