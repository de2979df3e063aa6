"""A simulated day, a practice exchange over it, and the official client logged in."""

import urllib.parse

import pytest
import requests
from kiteconnect import KiteConnect
from simulated_day import day_to_play, simulated_lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory):
    return simulated_lake(tmp_path_factory.mktemp("practice-data"))


@pytest.fixture(scope="session")
def played_day(lake):
    return day_to_play(lake)


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
