"""A session's store in a folder of its own, and a gateway to a scripted broker over one."""

import pytest
from scripted_broker import Desk, closing_store

from engine.live.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live" / "store.sqlite"


@pytest.fixture
def store(path):
    with Store.open(path, "AB1234") as opened:
        yield opened


@pytest.fixture
def desk(tmp_path):
    with closing_store(Desk(tmp_path / "store.sqlite")) as made:
        yield made
