"""What tests of several folders share: reference material that is not part of the project, practice exchanges."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with golden answers and real market data; tests that need it skip where it is absent."""
    if not (SHARED / "README.md").exists():
        pytest.skip("the reference folder ../shared is not beside this checkout")
    return SHARED


@pytest.fixture
def serve(played_day):
    """Start practice exchanges over the folder's `played_day`, stopped after the test; manual pace unless told."""
    from engine.practice.pace import PaceSettings
    from engine.practice.server import PracticeServer, ServerSettings

    running = []

    def start(**settings):
        settings.setdefault("pace", PaceSettings(speed="manual"))
        server = PracticeServer(played_day, ServerSettings(**settings))
        running.append(server)
        server.start()
        return server

    yield start
    for server in running:
        server.stop()
