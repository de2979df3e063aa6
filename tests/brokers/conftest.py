"""A simulated day for the practice exchange that the adapters are tested against."""

import datetime as dt

import pytest

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.practice.market import load_practice_day

DATE = dt.date(2026, 9, 1)


@pytest.fixture(scope="session")
def played_day(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("brokers-data"))
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=5)
    return load_practice_day(lake, "NIFTY", DATE)
