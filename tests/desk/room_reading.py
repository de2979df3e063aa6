"""What a control room shows, and what it has asked for."""

import html
import re

import ipywidgets as widgets

from engine.live.log.reader import StoreReader


def shown(room):
    """All the HTML of the room, the style sheet left out."""
    texts = []

    def walk(widget):
        if isinstance(widget, widgets.HTML) and "<style>" not in widget.value:
            texts.append(widget.value)
        for child in getattr(widget, "children", ()):
            walk(child)

    walk(room.panel)
    return "".join(texts)


def words(room):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", shown(room))))


def commands(session):
    with StoreReader(session.places.database) as reader:
        rows = (reader.command(number) for number in range(1, 20))
        return [(row.origin, row.verb, row.payload) for row in rows if row]


def silent_for(monkeypatch, session, seconds):
    """Set the machine's counting clock to so long after the runner's last sign; it stands there."""
    with StoreReader(session.places.database) as reader:
        (sign,) = [beat for beat in reader.beats() if beat.name == "runner"]
    now = sign.monotonic_ns + seconds * 1_000_000_000
    monkeypatch.setattr("engine.live.log.heartbeat.time.monotonic_ns", lambda: now)
