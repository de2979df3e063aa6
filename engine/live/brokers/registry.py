"""Brokers and feeds by name: entry points, so that another package can bring its own.

An entry of the group `workbench.brokers` is a factory `make(spec, clock, *, fed) -> Broker`, one of `workbench.feeds`
a factory `open_feed(spec) -> Feed`.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from engine.errors import WorkbenchError
from engine.live.brokers.base import Broker
from engine.live.clocks import Clock, SystemClock
from engine.live.spec import SessionSpec

if TYPE_CHECKING:
    from engine.live.feeds.server import Feed

BROKERS = "workbench.brokers"
FEEDS = "workbench.feeds"
_WORDS = {BROKERS: "broker", FEEDS: "feed"}


class AdapterError(WorkbenchError):
    """A broker or feed is not installed, or there are two of one name."""


def known(group: str) -> tuple[str, ...]:
    """Names of a group, sorted."""
    return tuple(sorted(entry_points(group=group).names))


def factory(group: str, name: str) -> Callable[..., Any]:
    """
    What makes the adapter of a name.

    Raises
    ------
    AdapterError
        If there is none, more than one, or it cannot be imported.
    """
    word = _WORDS[group]
    found = tuple(entry_points(group=group, name=name))
    if not found:
        raise AdapterError(
            f"{word} {name!r} is not installed, known are {', '.join(known(group)) or 'none'}; "
            "correct the name or install the package that brings it (own ones: pip install -e .)"
        )
    if len({entry.value for entry in found}) > 1:
        raise AdapterError(
            f"{word} {name!r} is brought by {' and '.join(entry.value for entry in found)}; uninstall one"
        )
    try:
        made: Callable[..., Any] = found[0].load()
    except (ImportError, AttributeError) as error:
        raise AdapterError(
            f"{word} {name!r} ({found[0].value}) cannot be loaded ({error}); install its package again"
        ) from error
    return made


def make_broker(spec: SessionSpec, clock: Clock | None = None, *, fed: bool = False) -> Broker:
    """
    The broker of a session.

    Parameters
    ----------
    spec : SessionSpec
    clock : Clock, optional
        That of the caller; None = the machine's.
    fed : bool
        The caller hears the prices and hands them to a broker that wants them (`PaperBroker.on_ticks`). False: such a
        broker listens to the session's feed itself, once it holds something.

    Raises
    ------
    AdapterError
        If the broker is not installed.
    WorkbenchError
        What its factory refuses: secrets, an account in use.
    """
    broker: Broker = factory(BROKERS, spec.broker)(spec, clock or SystemClock(), fed=fed)
    return broker


def make_feed(spec: SessionSpec) -> "Feed":
    """The feed of a session; errors as `make_broker`."""
    feed: Feed = factory(FEEDS, spec.feed)(spec)
    return feed
