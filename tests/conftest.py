"""Where the tests find reference material that is not part of the project."""

from pathlib import Path

import pytest

LONG = (
    "live/test_runner_process.py", "notebooks/test_live_notebooks.py", "browser/test_control_room.py",
    "cli/test_cli_live.py", "chaos/test_chaos.py", "faults/test_seeded_bugs.py", "live/test_watchdog.py",
    "faults/test_fault_simulator.py", "live/test_clock_day.py", "parity/test_parity_days.py", "live/test_paper_day.py",
    "bench/test_bench.py", "live/test_gateway_histories.py", "notebooks/test_notebooks_run.py",
)  # fmt: skip
"""Files that take minutes begin first, or one worker would end with them while the other has nothing left."""
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with golden answers and real market data; tests that need it skip where it is absent."""
    if not (SHARED / "README.md").exists():
        pytest.skip("the reference folder ../shared is not beside this checkout")
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of LONG, then the others as they come."""
    place = {name: number for number, name in enumerate(LONG)}
    folder = Path(__file__).parent
    items.sort(key=lambda item: place.get(item.path.relative_to(folder).as_posix(), len(LONG)))
