"""The suite for paper trading: a played day heard by the paper broker."""

import pytest
from broker_suite import BrokerSuite
from paper_rig import PaperRig


@pytest.fixture
def rig(played_day, tmp_path):
    rig = PaperRig(played_day, tmp_path / "paper_book.jsonl")
    yield rig
    rig.run(rig.day.broker.close())


class TestPaperBroker(BrokerSuite):
    """Rejections, partial fills and races come from prices, quotes, circuits and latency; lost answers from a line."""
