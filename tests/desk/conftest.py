"""A control room over a scripted session, on a clock that the test moves."""

import pytest
from scripted_session import ScriptedSession

from engine.desk.panels import ControlRoom


class Hand:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def session(tmp_path):
    with ScriptedSession(tmp_path) as one:
        yield one


@pytest.fixture
def hand():
    return Hand()


@pytest.fixture
def room(session, hand):
    session.start_day()
    session.beat()
    one = ControlRoom(session.places, clock=hand)
    yield one
    one.close()
