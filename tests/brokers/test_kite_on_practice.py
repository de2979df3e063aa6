"""The suite for Kite: the official client against the practice exchange, over real sockets."""

import asyncio

import pytest
import requests
from broker_suite import BrokerSuite

from engine.live.brokers.kite import KiteBroker
from engine.practice.pace import PaceSettings
from engine.practice.server import PracticeServer, ServerSettings


class PracticeRig:
    underlying = "NIFTY"
    user_id = "PR0001"

    def __init__(self, server):
        self.server = server
        server.step(25)
        market = server.exchange.market
        at_money, further = (
            next(one for one in market.instruments if (one.strike, one.kind) == (strike, "CE"))
            for strike in (25000, 25100)
        )
        self.symbol, self.other, self.lot = at_money.symbol, further.symbol, at_money.lot_size
        self.broker = KiteBroker(server.api_key, server.grant_token(), root=server.rest_url, timeout_s=5)
        self._loop = asyncio.new_event_loop()

    def run(self, work):
        return self._loop.run_until_complete(work)

    def play(self, moments):
        self.server.step(moments)

    def fault(self, *texts):
        form = [("fault", text) for text in texts]
        requests.post(f"{self.server.rest_url}/practice/faults", data=form, timeout=5).raise_for_status()

    def expire_login(self):
        self.server.call(self.server.rest.expire_tokens)

    def log_in_again(self):
        self.broker.use_token(self.server.grant_token())

    def now_ns(self):
        return self.server.exchange.market.open_ns + self.server.exchange.now_ms * 1_000_000

    def close(self):
        self.run(self.broker.close())
        self._loop.close()


@pytest.fixture
def rig(played_day):
    with PracticeServer(played_day, ServerSettings(pace=PaceSettings(speed="manual"))) as server:
        rig = PracticeRig(server)
        yield rig
        rig.close()


class TestKiteOnPractice(BrokerSuite):
    """Kite Connect v3 as the practice exchange speaks it."""
