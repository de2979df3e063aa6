"""Which login is used: the first that is good, and of the session's account; on the practice exchange."""

import asyncio

import pytest

from engine.live.brokers.base import BrokerAuth
from engine.live.brokers.kite import KiteBroker
from engine.live.brokers.kite_token import KiteSecrets
from engine.live.brokers.logins import find_login
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings


@pytest.fixture(scope="module")
def server(played_day):
    with PracticeServer(played_day, ServerSettings(pace=PaceSettings(speed="manual"))) as server:
        yield server


def tried(server, tokens, account=None, own="own"):
    """What was found, or the error; and whose the broker's own token is afterwards."""

    async def story():
        broker = KiteBroker(server.api_key, own, root=server.rest_url)
        logins = [KiteSecrets(server.api_key, None, token) for token in tokens]
        try:
            try:
                found = await find_login(broker, logins, account)
            except BrokerAuth as error:
                found = error
            try:
                return found, await broker.connect()
            except BrokerAuth:
                return found, None
        finally:
            await broker.close()

    return asyncio.run(story())


def test_refused_logins_are_passed_over_and_the_broker_goes_on_with_the_good_one(server):
    good = server.grant_token()
    (login, user), own = tried(server, ["refused", good, "never asked"])
    assert (login.access_token, user) == (good, server.login.user_id)
    assert own == user


def test_a_login_of_another_user_is_none_and_the_broker_keeps_its_own(server):
    error, own = tried(server, [server.grant_token()], account="ZZ9999")
    assert "log in as the latter" in str(error)
    assert own is None, "the broker did not take that token"


def test_where_none_is_good_the_best_one_s_answer_is_told(server):
    error, own = tried(server, [None, "refused"])
    assert "there is no Kite access token" in str(error)
    assert own is None
