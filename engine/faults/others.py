"""What others do in a history: a person at the controls and in the broker's app, the broker, a second runner."""

from typing import TYPE_CHECKING

from engine.faults.virtual import NS
from engine.live.brokers.base import OrderStatus
from engine.live.decisions.session_inputs import Command
from engine.live.log.store_errors import LeaseHeldError
from engine.live.store import Store

if TYPE_CHECKING:
    from engine.faults.world import World


class Others:
    """Everybody else of one history."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def plan(self) -> None:
        """Let what this history has in store happen at its time."""
        world = self._world
        draw, day = world.draw, world.weather.day_s
        for kind, act in (
            ("auto square-off", self._square_off),
            ("app", self._app),
            ("clock", self._set_clock),
        ):
            at = self._world.weather.first(kind)
            if at is not None:
                self._world.later(at, act)
        if draw.random() < 0.25:
            at = draw.uniform(60, day)
            self._world.later(at, lambda: self._person(Command("pause", "person", "test")))
            self._world.later(
                at + draw.uniform(5, 400), lambda: self._person(Command("resume", "person", "test"))
            )
        if draw.random() < 0.25:
            for _ in range(3):
                self._world.later(draw.uniform(300, day), self._flatten_one)
        cut = world.weather.first("network") or world.weather.first("login")
        if draw.random() < (0.5 if cut else 0.15):  # when the broker cannot be asked, above all
            self._world.later(
                cut + 5 if cut else draw.uniform(200, day), self._kill_when_held if cut else self._kill
            )
        if draw.random() < 0.2:
            self._world.later(draw.uniform(30, day), self._second_runner)
        if draw.random() < 0.2:
            self._world.later(draw.uniform(30, day), self._restart)

    def _person(self, command: Command) -> None:
        if self._world.life is not None:
            self._world.life.person(command)

    def _flatten_one(self) -> None:
        if self._world.log.open_positions:
            self._person(
                Command(
                    "flatten",
                    "person",
                    position=self._world.draw.choice(self._world.log.open_positions).position,
                )
            )

    def _kill(self) -> None:
        self._world.say("KILL")
        self._world.kill_wanted = True

    def _kill_when_held(self) -> None:
        if self._world.log.open_positions or self._world.weather.calm:
            self._kill()
        else:
            self._world.later(10, self._kill_when_held)

    def _restart(self) -> None:
        life = self._world.life
        if life is not None and life.ready:
            self._world.say("told to end")
            self._world.leaving = True

            async def leave() -> None:
                await life.leave()
                life.fate.death.set()

            self._world.start(leave())

    def _second_runner(self) -> None:
        if self._world.life is None or not self._world.life.ready:
            return
        try:
            Store.open(self._world.path, self._world.account).close()
        except LeaseHeldError:
            self._world.weather.count(28)
        else:
            self._world.watch.find("one writer", "a second runner opened the store")

    def _square_off(self) -> None:
        for symbol in self._world.market.symbols:
            if self._world.owned(symbol) < 0:
                self._world.weather.count(19)
                self._world.say(f"square-off of {symbol}")
                self._world.exchange.outside(symbol, "BUY", -self._world.owned(symbol))

    def _app(self) -> None:
        self._world.weather.count(18)
        mine = [order for order in self._world.exchange.open if order.tag]
        short = [symbol for symbol in self._world.market.symbols if self._world.owned(symbol) < 0]
        act = self._world.draw.choice(["cancel", "buy back", "trade"])
        self._world.say(f"app: {act}")
        if act == "cancel" and mine:
            self._world.exchange.end(self._world.draw.choice(mine), OrderStatus.CANCELLED, "")
        elif act == "buy back" and short:
            symbol = self._world.draw.choice(short)
            self._world.exchange.outside(symbol, "BUY", -self._world.owned(symbol))
        else:
            symbol = self._world.draw.choice(self._world.market.symbols)
            self._world.exchange.outside(
                symbol,
                self._world.draw.choice(["BUY", "SELL"]),
                self._world.lot * self._world.draw.randint(1, 4),
            )

    def _set_clock(self) -> None:
        self._world.weather.count(33)
        self._world.machine.jumped_ns = self._world.draw.choice([-600, -60, -2, 2, 60, 600]) * NS
        self._world.say(f"the wall clock is set by {self._world.machine.jumped_ns / NS:.0f} s")
