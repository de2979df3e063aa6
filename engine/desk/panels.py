"""The control room: one live session seen and, within what the runner allows, steered from a notebook.

It reads the store read-only, about once a second, in a thread of its own, and sends to the browser only what has
changed. A kernel or a browser that dies takes nothing of the session with it: run the cell again and the room is back.
"""

import datetime as dt
import threading
import time
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from engine.desk import panels_html as parts
from engine.desk.live_chart import RecordedCloses
from engine.desk.live_reading import LiveReading
from engine.desk.live_view import LiveView
from engine.desk.panels_chart import LiveCharts
from engine.desk.panels_commands import Clock, Controls
from engine.live.day.recording import recording_folder
from engine.live.places import Places

EVERY_S = 1.0
BUSY_S = 0.25
CLOSE_WAIT_S = 5.0
FIT_AT, FIT_EVERY = (2, 4), 15  # refreshes after which the pictures are fitted to the page

_ROOMS: dict[Path, "ControlRoom"] = {}


class ControlRoom:
    """
    One viewer of an account's session.

    Parameters
    ----------
    places : Places
        Of the account; its session need not have started.
    clock : function
        Seconds, never going back; for the two clicks and what is timed.

    Attributes
    ----------
    panel : VBox
        What a notebook shows.
    controls : Controls
    charts : LiveCharts
    view : LiveView
        As shown.
    """

    def __init__(self, places: Places, *, clock: Clock = time.monotonic) -> None:
        self.places = places
        self._reading = LiveReading(places)
        self._turn = threading.RLock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._beats = 0
        self._recorded: RecordedCloses | None = None
        self._html = {
            name: widgets.HTML()
            for name in (
                "banner", "strips", "lights", "money", "CE", "PE", "positions", "orders", "trades", "log", "footer", "heart",
            )
        }  # fmt: skip
        self._html["heart"].add_class("cr-heart")
        self.controls = Controls(self._reading, self._turn, self._wake.set, clock)
        self.charts = LiveCharts(simulated=True)
        self._pictures = widgets.VBox([self.charts.panel])
        self._dimmed = [self._html[name] for name in ("money", "CE", "PE", "positions", "orders")]
        self.panel = self._laid_out()
        self.view: LiveView
        self.refresh()

    def refresh(self) -> None:
        """Read once and show what is new."""
        with self._turn:
            view = self._reading.view()
            self.view = view
            self._show("banner", parts.banner(view))
            self._show("strips", parts.strips(view))
            self._show("lights", parts.lights(view))
            self._show("money", parts.day_money(view))
            for line in view.slots:
                self._show(line.slot, parts.slot(line))
            self._show("positions", parts.positions(view.positions))
            self._show("orders", parts.orders(view.orders))
            self._show("trades", parts.trades(view.trades))
            self._show("log", parts.event_log(view.log))
            self._show("footer", parts.footer(view))
            self._dim(stale=bool(view.stale_s))
            self.controls.show(view)
            self._draw(view)
            self._beats += 1
            if self._beats in FIT_AT or self._beats % FIT_EVERY == 0:
                self.charts.fit()
            self._show("heart", parts.heartbeat(self._beats))

    def start(self) -> None:
        """Go on showing the session until `close`, or until the kernel ends."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="control room", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread and the widgets; the session does not notice."""
        self._ended.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_WAIT_S)
        with self._turn:
            self._reading.close()
            _close(self.panel)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    # ---- inside ----

    def _watch(self) -> None:
        while not self._ended.is_set() and threading.main_thread().is_alive() and self.panel.comm is not None:
            try:
                self.refresh()
            except Exception as error:
                self._show("strips", parts.failure(error))
                self._dim(stale=True)
                raise
            self._wake.wait(BUSY_S if self.controls.busy else EVERY_S)
            self._wake.clear()

    def _show(self, name: str, value: str) -> None:
        widget = self._html[name]
        if widget.value != value:
            widget.value = value

    def _dim(self, *, stale: bool) -> None:
        for widget in (*self._dimmed, self._pictures):
            if stale:
                widget.add_class("cr-stale")
            else:
                widget.remove_class("cr-stale")

    def _draw(self, view: LiveView) -> None:
        facts = self._reading.facts
        day = facts.day
        if self.charts.simulated != view.simulated:
            old = self.charts
            self.charts = LiveCharts(simulated=view.simulated)
            self._pictures.children = [self.charts.panel]
            _close(old.panel)
        date = dt.date.fromisoformat(day.date) if day else None
        if day is not None and date is not None:
            folder = recording_folder(self.places.folder, day.underlying, date)
            if self._recorded is None or self._recorded.folder != folder:
                self._recorded = RecordedCloses(folder)
        self.charts.show(
            view,
            date=date,
            fills=facts.fills,
            positions=(*facts.closed, *facts.positions),
            recorded=self._recorded if day else None,
        )

    def _laid_out(self) -> Any:
        html = self._html

        def card(*inside: Any, **layout: str) -> Any:
            box = widgets.VBox(
                list(inside), layout=widgets.Layout(**{"flex": "1 1 0", "min_width": "0", **layout})
            )
            box.add_class("cr-card")
            return box

        log = card(widgets.HTML("<h4>Event log, IST</h4>"), html["log"], flex="none")
        html["log"].add_class("cr-scroll")
        html["trades"].add_class("cr-scroll")
        for name in ("trades", "positions", "orders"):
            html[name].add_class("cr-wide")
        room = widgets.VBox(
            [
                widgets.HTML(parts.STYLE, layout=widgets.Layout(height="0", margin="0")),
                html["heart"],
                html["banner"],
                html["strips"],
                html["lights"],
                self.controls.panel,
                widgets.HBox([card(html["money"]), card(html["CE"]), card(html["PE"])]),
                card(html["positions"], self.controls.flatten_row, flex="none"),
                card(html["orders"], flex="none"),
                self._pictures,
                card(html["trades"], flex="none"),
                log,
                html["footer"],
            ]
        )
        room.add_class("cr-room")
        return room


def _close(widget: Any) -> None:
    """Close a widget and all inside it, so that nothing is left in the kernel."""
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()


def control_room(places: Places) -> ControlRoom:
    """
    The running control room of an account in this kernel; an earlier one of the same account is closed first.

    So running the cell again, as after a restart of the kernel, leaves one thread and one set of widgets.
    """
    key = places.database.resolve()
    if key in _ROOMS:
        _ROOMS.pop(key).close()
    room = ControlRoom(places)
    _ROOMS[key] = room
    room.start()
    return room
