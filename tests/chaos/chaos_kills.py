"""`kill -9` of a rehearsal's processes at random moments of its day, and what became of the day.

One seed is one list of kills: moment of the played day and process. Every fifth kill strikes while the session still
recovers from the one before. Runner and supervisor are not killed together: nobody is left to start the runner then, and
the watchdog closes everything after three seconds, which is its job and measured with the doors of KILL.
"""

import random
import threading
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, field

from chaos_stage import EXCHANGE, POLL_S, Stage, StageError, wait_for

from engine.cli.rehearsal import play_as_told, tradable_day
from engine.desk.parity import Comparison, backtest_day, compare_day, read_session
from engine.errors import WorkbenchError
from engine.live.control.processes import FEED, RUNNER, SUPERVISOR, WATCHDOG
from engine.market.clock import minute_start

VICTIMS = (RUNNER, FEED, EXCHANGE, SUPERVISOR, WATCHDOG)
NEXT_S = (0.05, 3.0)  # after the kill before, where one strikes during recovery
RECOVER_S = 90.0
DAY_S = 1800.0
GOAL_S = 10.0


@dataclass(frozen=True)
class Kill:
    """At a minute of the day and a moment in it, or (`follows`) so many seconds after the kill before."""

    minute: int
    after_s: float
    victim: str
    follows: bool


@dataclass
class Recovery:
    """Kills of one blow, and how long until all was well; `away_s`: how long the exchange itself was gone."""

    victims: tuple[str, ...]
    minute: int
    seconds: float
    away_s: float

    @property
    def own_s(self):
        """What the session needed once there was an exchange again."""
        return max(self.seconds - self.away_s, 0.0)


@dataclass
class Outcome:
    """What became of a day."""

    seed: int
    kills: int
    recoveries: list[Recovery]
    comparison: Comparison
    wrong: list[str]
    latch: str
    restarts: int
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def same(self):
        """Whether the trades are those of the backtest."""
        return self.comparison.trade_hash == self.comparison.backtest_trade_hash

    @property
    def trade_differences(self):
        return [each for each in self.comparison.differences if each.what != "decision"]

    @property
    def unexplained(self):
        return [each for each in self.trade_differences if each.cause == "unexplained"]


def plan(seed, kills, first_minute, last_minute, minute_s=0.3):
    """The kills of a seed, in the order of the day; a minute of it lasts so many seconds."""
    draw = random.Random(seed)
    minutes = sorted(draw.randrange(first_minute, last_minute) for _ in range(kills))
    made = []
    for number, minute in enumerate(minutes):
        follows = number % 5 == 4
        victims = VICTIMS
        if follows and made[-1].victim in {RUNNER, SUPERVISOR}:
            victims = tuple(name for name in VICTIMS if name not in {RUNNER, SUPERVISOR} - {made[-1].victim})
        after_s = draw.uniform(*NEXT_S) if follows else draw.uniform(0, minute_s)
        made.append(Kill(minute, after_s, draw.choice(victims), follows))
    return made


class Storm:
    """Carries the kills of one seed out."""

    def __init__(self, stage):
        self.stage = stage
        self.problems = []
        self._back_at = 0.0  # of the exchange
        self._revivals = []

    def strike(self, blow):
        """The kills of one blow; how long until the session trades again."""
        stage = self.stage
        minute = stage.exchange.at()[1]
        after_seq = None
        moment = 0
        for kill in blow:
            time.sleep(kill.after_s)
            if kill.victim == EXCHANGE:
                self._await_revivals()  # it is killed when it is up
            if kill.victim in {RUNNER, EXCHANGE}:
                after_seq = stage.last_seq()
            moment = stage.exchange.at()[0] or moment
            struck = stage.kill(kill.victim)
            since = time.monotonic()
            if not struck:
                self.problems.append(f"minute {minute}: no {kill.victim} to kill")
            self._revive(kill.victim)
        try:
            wait_for(
                lambda: stage.trades_again(since, after_seq, moment) or stage.is_over(), RECOVER_S,
                f"minute {minute}: recovery from {[kill.victim for kill in blow]}",
            )  # fmt: skip
        except StageError as error:
            self.problems.append(f"{error}; last words {stage.words()}")
        recovered = time.monotonic()
        self._await_revivals()
        away_s = max(self._back_at - since, 0.0) if any(kill.victim == EXCHANGE for kill in blow) else 0.0
        return Recovery(tuple(kill.victim for kill in blow), minute, recovered - since, away_s)

    def _revive(self, victim):
        """Who starts the other processes again is the supervisor; who starts it and the exchange is a person."""
        work = {EXCHANGE: self._open_again, SUPERVISOR: self._supervise_again}.get(victim)
        if work is not None:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._revivals.append(thread)

    def _open_again(self):
        try:
            self.stage.exchange.start()
        except StageError as error:
            self.problems.append(str(error))
        self._back_at = time.monotonic()

    def _supervise_again(self):
        try:
            self.stage.start()
        except WorkbenchError as error:
            self.problems.append(f"start after the supervisor's death: {error}")

    def _await_revivals(self):
        for thread in self._revivals:
            thread.join()
        self._revivals.clear()


def blows(kills):
    """Kills that strike together."""
    made = []
    for kill in kills:
        if kill.follows:
            made[-1].append(kill)
        else:
            made.append([kill])
    return made


def run(lake, entry, params, folder, *, seed, kills, speed="max", moment_s=0.1, window=None, progress=None):
    """
    Rehearse a day through so many kills.

    Parameters
    ----------
    speed : "max" or number
        At "max" the market waits for the session, so its trades must be the backtest's; at a number it does not.
    moment_s : float
        At "max": how long a moment lasts at least, five to a minute, so that the kills spread over the day.
    window : (int, int), optional
        Minutes between which the day is traded; all is sold out two minutes before the end. The whole day if not given.
    progress : callable, optional
        Told every Recovery.
    """
    begun = time.monotonic()
    words = ["--participants", "2", "--no-order-limits"] if speed == "max" else []
    if window is not None:
        start, end, exit_ = (
            minute_start(entry.date, at).time() for at in (window[0], window[1] - 4, window[1] - 2)
        )
        params = params.replace(entry_start_time=start, entry_end_time=end, forced_exit_time=exit_)
        words += ["--start-at", f"{start:%H:%M}"]
    outcome = play_as_told(tradable_day(lake, entry, params), params)
    first, last = window or (0, outcome.minutes)
    minute_s = 5 * moment_s if speed == "max" else 60 / speed
    planned = plan(seed, kills, first + 1, last - 5, minute_s)
    recoveries = []
    with Stage(lake, entry, params, folder, speed=speed, words=words, restarts=20) as stage:
        stage.start()
        storm = Storm(stage)
        with stage.exchange.braked(moment_s) if speed == "max" else nullcontext():
            _carry_out(stage, storm, blows(planned), recoveries, progress)
            if not stage.alive() and not stage.is_over():
                storm.problems.append(f"the session is gone; last words {stage.words()}")
            elif window is None:
                wait_for(stage.is_over, DAY_S, "end of the day")
            else:
                wait_for(lambda: stage.exchange.at()[1] >= last, DAY_S, f"minute {last}")
                stage.stop()
        wrong = stage.audit()
        with stage.reader() as reader:
            latch = reader.latch()
            restarts = len(reader.events(limit=10**9, kinds=("RunnerStarted",)))
        ours = read_session(stage.places.database, entry.date)
        return Outcome(
            seed, kills, recoveries, compare_day(ours, backtest_day(outcome)), wrong,
            f"{latch.state} {latch.reason}".strip(), restarts, time.monotonic() - begun, storm.problems,
        )  # fmt: skip


def _carry_out(stage, storm, planned, recoveries, progress):
    for blow in planned:
        while stage.exchange.at()[1] < blow[0].minute and not stage.is_over():
            time.sleep(POLL_S)
        if stage.is_over():
            storm.problems.append(f"the day was over before minute {blow[0].minute}: give it more time")
            return
        recoveries.append(storm.strike(blow))
        if progress is not None:
            progress(recoveries[-1])
        if not stage.alive():
            return


def by_victim(recoveries):
    """Seconds of the session's own recovery, by what was killed; blows of more than one under "together"."""
    table = defaultdict(list)
    for each in recoveries:
        table[each.victims[0] if len(each.victims) == 1 else "together"].append(each.own_s)
    return dict(table)
