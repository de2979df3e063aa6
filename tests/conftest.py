"""Where the tests find reference material that is not part of the project."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with golden answers and real market data; tests that need it skip where it is absent."""
    if not (SHARED / "README.md").exists():
        pytest.skip("the reference folder ../shared is not beside this checkout")
    return SHARED
