"""A simulated day, a practice exchange over it, and the official client logged in."""

import datetime as dt
import urllib.parse

import pytest
import requests
from kiteconnect import KiteConnect

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.practice.market import load_practice_day
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings

DATE = dt.date(2026, 9, 1)


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    made = Lake(tmp_path_factory.mktemp("practice-data"))
    ensure_simulated(made, "NIFTY", DATE, DATE, strikes_each_side=5)
    return made


@pytest.fixture(scope="session")
def played_day(lake):
    return load_practice_day(lake, "NIFTY", DATE)


@pytest.fixture
def serve(played_day):
    """Start servers that are stopped after the test; manual pace unless told."""
    running = []

    def start(**settings):
        settings.setdefault("pace", PaceSettings(speed="manual"))
        server = PracticeServer(played_day, ServerSettings(**settings))
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


def log_in(server):
    kite = KiteConnect(server.api_key, root=server.rest_url)
    kite._default_login_uri = f"{server.rest_url}/connect/login"
    landed = requests.get(kite.login_url(), timeout=5)
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(landed.url).query)
    session = kite.generate_session(query["request_token"][0], api_secret=server.api_secret)
    kite.set_access_token(session["access_token"])
    return kite


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def kite(server):
    return log_in(server)


@pytest.fixture
def logged_in():
    return log_in


@pytest.fixture
def atm(server):
    """Symbol of the call at the money."""
    return next(i.symbol for i in server.exchange.market.instruments if (i.strike, i.kind) == (25000, "CE"))


@pytest.fixture
def minutes():
    """Moments of so many minutes."""
    return lambda count: count * 5
