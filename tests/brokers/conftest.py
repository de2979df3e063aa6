"""What the adapters are tested against: a day of the practice exchange, and a server that answers as told."""

import datetime as dt
import threading

import pytest
from scripted_kite import Script

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.practice.market import load_practice_day

DATE = dt.date(2026, 9, 1)


@pytest.fixture(scope="session")
def played_lake(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("brokers-data"))
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=5)
    return lake


@pytest.fixture(scope="session")
def played_day(played_lake):
    return load_practice_day(played_lake, "NIFTY", DATE)


@pytest.fixture
def script():
    server = Script()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
