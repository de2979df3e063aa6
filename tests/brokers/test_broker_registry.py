"""Brokers and feeds are found by the names under which packages bring them."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from engine.live.brokers import registry
from engine.live.brokers.registry import BROKERS, FEEDS, AdapterError, factory, known

OURS = (
    EntryPoint("kite", "engine.live.brokers.making:make_kite", BROKERS),
    EntryPoint("paper", "engine.live.brokers.making:make_paper", BROKERS),
    EntryPoint("kite", "engine.live.feeds.kite:open_feed", FEEDS),
    EntryPoint("practice", "engine.live.feeds.practice:open_feed", FEEDS),
    EntryPoint("replay", "engine.live.feeds.replay:open_feed", FEEDS),
)


@pytest.fixture
def installed(monkeypatch):
    def install(*more):
        monkeypatch.setattr(
            registry, "entry_points", lambda **what: EntryPoints((*OURS, *more)).select(**what)
        )

    install()
    return install


def test_our_own_adapters_load(installed):
    assert known(BROKERS) == ("kite", "paper")
    assert known(FEEDS) == ("kite", "practice", "replay")
    for entry in OURS:
        assert callable(factory(entry.group, entry.name))


def test_an_unknown_name_lists_the_known_ones(installed):
    with pytest.raises(AdapterError, match="broker 'zerodha' is not installed, known are kite, paper"):
        factory(BROKERS, "zerodha")


def test_an_adapter_of_another_package_is_found(installed):
    installed(EntryPoint("other", "engine.live.clocks:SystemClock", BROKERS))
    assert factory(BROKERS, "other").__name__ == "SystemClock"


def test_two_of_one_name_are_refused(installed):
    installed(EntryPoint("paper", "other.package:make", BROKERS))
    with pytest.raises(AdapterError, match="uninstall one"):
        factory(BROKERS, "paper")


def test_an_adapter_that_cannot_be_loaded_says_which(installed):
    installed(EntryPoint("gone", "engine.live.no_such_module:make", BROKERS))
    with pytest.raises(AdapterError, match="no_such_module"):
        factory(BROKERS, "gone")
