"""What the adapters are tested against: a day of the practice exchange, and a server that answers as told."""

import threading

import pytest
from scripted_kite import Script
from simulated_day import day_to_play, simulated_lake


@pytest.fixture(scope="session")
def played_lake(tmp_path_factory):
    return simulated_lake(tmp_path_factory.mktemp("brokers-data"))


@pytest.fixture(scope="session")
def played_day(played_lake):
    return day_to_play(played_lake)


@pytest.fixture
def script():
    server = Script()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
