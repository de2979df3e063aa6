"""What a person may ask of the runner from the control room: pause, resume, flatten one, stop, KILL.

A click inserts a command row, nothing more; the runner decides and answers, and a refusal is shown with its reason.
What cannot be undone takes two clicks: the first arms the button for five seconds, the second acts.
"""

import html
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets

from engine.desk.live_reading import LiveReading
from engine.desk.live_view import FRESH_S, LiveView, seconds
from engine.desk.live_words import command_label
from engine.errors import WorkbenchError
from engine.live.log.reader import submit_command

ARMED_S = 5.0
ORIGIN = "widget"
_SHOWN = 3
_LEAVE, _FLATTEN = "leave stops at the broker", "flatten first"

Clock = Callable[[], float]


class TwoClicks:
    """
    A button that acts on the second click, if it comes within `ARMED_S` of the first.

    Parameters
    ----------
    words, sure : str
        On the button before and after the first click.
    act : function
        Called by the second click.
    style : str
        CSS class of the armed button.
    clock : function
        Seconds, never going back.
    """

    def __init__(
        self, words: str, sure: str, act: Callable[[], None], *, style: str, clock: Clock, width: str = "auto"
    ) -> None:
        self._words, self._sure, self._act, self._style, self._clock = words, sure, act, style, clock
        self._until = 0.0
        self.button = widgets.Button(description=words, layout=widgets.Layout(width=width, margin="2px"))
        self.button.on_click(lambda _: self.click())

    @property
    def armed(self) -> bool:
        """Whether the next click acts."""
        return self._clock() < self._until

    def click(self) -> None:
        """Arm, or act and disarm."""
        if self.armed:
            self._until = 0.0
            self.renew()
            self._act()
        else:
            self._until = self._clock() + ARMED_S
            self.renew()

    def renew(self) -> None:
        """Count down, or go back to the first state."""
        left = self._until - self._clock()
        if left > 0:
            words = f"{self._sure} ({left:.0f} s)"
            self.button.add_class(self._style)
        else:
            words = self._words
            self.button.remove_class(self._style)
        if self.button.description != words:
            self.button.description = words


@dataclass(frozen=True)
class _Asked:
    """A command of this viewer and what became of it."""

    number: int
    verb: str
    at: float
    state: str = "new"
    answer: str = ""

    @property
    def open(self) -> bool:
        return self.state in ("new", "taken")


class Controls:
    """
    The buttons, what became of the commands, and the progress of a KILL.

    Parameters
    ----------
    reading : LiveReading
        Told where the commands go and how they were answered.
    turn : RLock
        Held by whoever touches the widgets.
    wake : function
        Called after a click, so that what follows is seen at once.
    clock : function

    Attributes
    ----------
    panel, flatten_row : widgets
    pause, resume, stop, kill, reason : widgets, for tests and scripts
        `resume` asks for a reset while the latch is HALTED: after a KILL, say.
    """

    def __init__(
        self,
        reading: LiveReading,
        turn: threading.RLock,
        wake: Callable[[], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self._reading, self._turn, self._wake, self._clock = reading, turn, wake, clock
        self._asked: list[_Asked] = []
        self._complaint = ""
        self._halted = False
        self._runner_age = float("inf")
        self._kill_began: float | None = None  # by this viewer's clock
        self._kill_took: float | None = None
        self._kill_size = 0
        self._flatten: dict[int, TwoClicks] = {}
        self.pause = self._plain("Pause entries", "pause", self._ask_pause)
        self.resume = self._plain("Resume", "play", self._ask_resume)
        self.reason = widgets.Text(
            placeholder="reason, to resume or reset", layout=widgets.Layout(width="190px", margin="2px")
        )
        self.how = widgets.Dropdown(
            options=[_LEAVE, _FLATTEN], value=_LEAVE, layout=widgets.Layout(width="190px", margin="2px")
        )
        self.stop = TwoClicks(
            "Stop session", "Stop: click again", self._ask_stop, style="cr-sure", clock=clock, width="170px"
        )
        self.kill = TwoClicks(
            "KILL", "CONFIRM KILL", self._ask_kill, style="cr-armed", clock=clock, width="240px"
        )
        self.kill.button.layout.flex = "0 0 auto"
        self.kill.button.add_class("cr-kill")
        self.kill.button.tooltip = "withdraw all entries, buy back everything, prove flat; two clicks"
        self._told = widgets.HTML()
        self._progress = widgets.HTML()
        self.flatten_row = widgets.HBox([], layout=widgets.Layout(flex_flow="row wrap"))
        self.flatten_row.add_class("cr-flatten")
        wrapped = widgets.Layout(flex="1 1 auto", flex_flow="row wrap", align_items="center", min_width="0")
        usual = widgets.HBox(
            [self.pause, self.reason, self.resume, self.how, self.stop.button], layout=wrapped
        )
        row = widgets.HBox([usual, self.kill.button], layout=widgets.Layout(align_items="center"))
        row.add_class("cr-card")
        self.panel = widgets.VBox([row, self._progress, self._told])

    @property
    def busy(self) -> bool:
        """Whether something is armed or awaited: look more often."""
        waiting = any(each.open for each in self._asked)
        return waiting or any(each.armed for each in self._buttons()) or self._running_kill

    @property
    def _running_kill(self) -> bool:
        return self._kill_began is not None and self._kill_took is None

    def show(self, view: LiveView) -> None:
        """Bring buttons, answers and progress up to date."""
        self._runner_age = view.stale_s
        self._halted = view.latch is not None and view.latch.state == "HALTED"
        words = "Reset latch" if self._halted else "Resume"
        if self.resume.description != words:
            self.resume.description = words
        for each in self._buttons():
            each.renew()
        self._show_flatten(view)
        self._follow()
        self._show_kill(view)
        _set(self._told, self._answers())

    # ---- asking ----

    def _plain(self, words: str, icon: str, act: Callable[[], None]) -> Any:
        button = widgets.Button(
            description=words, icon=icon, layout=widgets.Layout(width="140px", margin="2px")
        )
        button.on_click(lambda _: act())
        return button

    def _ask(self, verb: str, payload: Mapping[str, object]) -> bool:
        with self._turn:
            self._complaint = ""
            try:
                number = submit_command(self._reading.places.database, ORIGIN, verb, payload)
            except WorkbenchError as error:
                self._complaint = f"{command_label(verb)} could not be asked for: {error}"
                if verb == "kill":
                    self._complaint += "; use another door: `workbench live kill`"
                _set(self._told, self._answers())
                return False
            self._asked = [*self._asked, _Asked(number, verb, self._clock())][-_SHOWN:]
            _set(self._told, self._answers())
        self._wake()
        return True

    def _ask_pause(self) -> None:
        self._ask("pause", {})

    def _ask_resume(self) -> None:
        reason = self.reason.value.strip()
        verb = "reset" if self._halted else "resume"
        if not reason:
            self._complaint = f"{verb} needs a reason: write one beside the button"
            _set(self._told, self._answers())
            return
        if self._ask(verb, {"reason": reason}):
            self.reason.value = ""

    def _ask_stop(self) -> None:
        self._ask("stop", {"flatten": self.how.value == _FLATTEN})

    def _ask_kill(self) -> None:
        began = self._clock()
        if self._ask("kill", {"reason": self.reason.value.strip() or "KILL in the control room"}):
            with self._turn:
                self._kill_began, self._kill_took, self._kill_size = began, None, 0

    def _ask_flatten(self, position: int) -> None:
        self._ask("flatten", {"position": position})

    # ---- showing ----

    def _buttons(self) -> tuple[TwoClicks, ...]:
        return (self.kill, self.stop, *self._flatten.values())

    def _show_flatten(self, view: LiveView) -> None:
        wanted = {line.position: line.symbol for line in view.positions}
        if set(wanted) == set(self._flatten):
            return
        for number in set(self._flatten) - set(wanted):
            self._flatten.pop(number).button.close()
        for number, symbol in wanted.items():
            if number not in self._flatten:
                self._flatten[number] = TwoClicks(
                    f"Flatten #{number} {symbol}",
                    f"Buy back #{number} {symbol}?",
                    lambda number=number: self._ask_flatten(number),  # type: ignore[misc]
                    style="cr-sure",
                    clock=self._clock,
                )
        self.flatten_row.children = [self._flatten[number].button for number in sorted(self._flatten)]

    def _follow(self) -> None:
        followed = []
        for asked in self._asked:
            new = asked
            if asked.open:
                try:
                    row = self._reading.command(asked.number)
                except WorkbenchError:  # the view says that the store cannot be read
                    row = None
                if row is not None:
                    new = replace(asked, state=row.state, answer=row.answer)
            followed.append(new)
        self._asked = followed

    def _answers(self) -> str:
        lines = []
        if self._complaint:
            lines.append(("error", self._complaint))
        for asked in reversed(self._asked):
            if asked.verb == "kill" and asked.state != "refused":
                continue  # the bar of the KILL tells it
            label = command_label(asked.verb)
            if asked.state == "done":
                lines.append(("done", f"{label}: {asked.answer}"))
            elif asked.state == "refused":
                lines.append(("warning", f"{label} REFUSED: {asked.answer}"))
            else:
                waited = self._clock() - asked.at
                words = "taken, being done" if asked.state == "taken" else "asked, not taken yet"
                silent = ""
                if asked.state == "new" and waited > FRESH_S and self._runner_age:
                    silent = f"; the runner's last sign: {seconds(self._runner_age)}"
                lines.append(("warning", f"{label}: {words} ({seconds(waited)}){silent}"))
        return "".join(
            f"<div class='cr-strip {level}' data-answer='1'>{html.escape(text)}</div>"
            for level, text in lines
        )

    def _show_kill(self, view: LiveView) -> None:
        """Progress from the first click to proved flat; a viewer that did not click sees it from the log."""
        told = view.flattening
        mine = next((each for each in reversed(self._asked) if each.verb == "kill"), None)
        if mine is not None and mine.state == "refused":
            self._kill_began = None
        if told is None and not (mine and mine.open):
            self._kill_began = self._kill_took = None
            _set(self._progress, "")
            return
        ended = bool(told and told.ended_ns) and not (mine and mine.open)
        if self._kill_began is None and not ended:
            self._kill_began = self._clock()
        if ended and self._kill_began is not None and self._kill_took is None:
            self._kill_took = self._clock() - self._kill_began
        left = len(view.positions) + len(view.orders)
        self._kill_size = max(self._kill_size, left)
        _set(self._progress, self._kill_words(view, ended=ended, left=left))

    def _kill_words(self, view: LiveView, *, ended: bool, left: int) -> str:
        told = view.flattening
        if ended and told is not None:
            took = self._kill_took
            if took is None and not view.paced:
                took = (told.ended_ns - told.started_ns) / 1e9
            within = f" in {took:.1f} s" if took is not None else ""
            flat = "FLAT, proved" if not left else f"ended, but {left} orders or positions are left"
            words = f"KILL: {flat}{within} · {told.answer}"
            return _bar("done" if not left else "error", words, 1.0 if not left else 0.5)
        waited = self._clock() - (self._kill_began or self._clock())
        stage = "latch FLATTENING, closing" if told else "asked, waiting for the runner"
        words = f"KILL: {stage} · {len(view.positions)} positions and {len(view.orders)} orders left · {waited:.0f} s"
        return _bar("error", words, 0.1 + 0.8 * (1 - left / max(self._kill_size, 1)) if told else 0.05)


def _bar(level: str, words: str, share: float) -> str:
    return (
        f"<div class='cr-strip {level}' data-kill='{'done' if level == 'done' else 'running'}'>{html.escape(words)}"
        f"<div class='cr-progress {level}'><div style='width:{share * 100:.0f}%'></div></div></div>"
    )


def _set(widget: Any, value: str) -> None:
    """Send only what is new."""
    if widget.value != value:
        widget.value = value
