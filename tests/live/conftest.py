"""A session's store in a folder of its own."""

import pytest

from engine.live.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live" / "store.sqlite"


@pytest.fixture
def store(path):
    with Store.open(path, "AB1234") as opened:
        yield opened
