"""Every notebook runs by papermill, refuses what it does not know, and gives the same answers when run again."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOKS = PROJECT / "notebooks"
NAMES = ["01_data", "02_swings", "03_filters", "04_backtest"]
RANGE = {"start": "2026-10-26", "end": "2026-10-30"}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A lake that already holds the simulated days."""
    folder = tmp_path_factory.mktemp("data")
    first, last = (dt.date.fromisoformat(day) for day in RANGE.values())
    ensure_simulated(Lake(folder), "NIFTY", first, last)
    return folder


def execute(name, out, **parameters):
    return papermill.execute_notebook(
        NOTEBOOKS / f"{name}.ipynb", out / f"{name}.ipynb", parameters, cwd=NOTEBOOKS, progress_bar=False
    )


def texts(book):
    """All that the cells of an executed notebook printed or showed as text or table."""
    parts = []
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            shown = output.get("data", {})
            parts += [output.get("text", ""), shown.get("text/plain", ""), shown.get("text/html", "")]
    return "".join(parts)


def figures(book):
    kind = "application/vnd.plotly.v1+json"
    return [o["data"][kind] for c in book.cells for o in c.get("outputs", ()) if kind in o.get("data", {})]


def again(path):
    """Run an executed notebook once more and compare its outputs: all of them, in 04 those marked for it."""
    compare = "--nbval-lax" if path.stem == "04_backtest" else "--nbval"
    command = [
        sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", f"--rootdir={path.parent}", "-p", "no:cacheprovider",
        compare, f"--nbval-sanitize-with={NOTEBOOKS / 'sanitize.cfg'}", "--nbval-cell-timeout=300",
        "--nbval-current-env", path.name,
    ]  # fmt: skip
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_and_runs_again_with_equal_outputs(name, data, tmp_path):
    own = {"report": str(tmp_path / "report.html")} if name == "04_backtest" else {}
    book = execute(name, tmp_path, data_folder=str(data), **RANGE, **own)
    assert "SIMULATED PRICES" in str(figures(book)) + texts(book) + str(book.metadata.get("widgets"))
    assert all("SIMULATED PRICES" in str(figure) for figure in figures(book))
    if name == "04_backtest":
        assert "equal" in texts(book)
        assert "Sharpe Ratio" in texts(book)
        assert "SIMULATED PRICES" in (tmp_path / "report.html").read_text()
    outcome = again(tmp_path / f"{name}.ipynb")
    assert outcome.returncode == 0, outcome.stdout[-4000:]


def test_misspelt_parameter_stops_the_notebook_with_a_suggestion(data, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match=r"did you mean 'save_winner'\?"):
        execute("03_filters", tmp_path, data_folder=str(data), **RANGE, save_winer=True)
    book = nbformat.read(tmp_path / "03_filters.ipynb", as_version=4)
    assert sum(bool(cell.get("outputs")) for cell in book.cells) <= 2, "cells after the check have run"


def test_winner_is_not_saved_unless_asked(data, tmp_path):
    before = sorted((PROJECT / "params").rglob("*"))
    book = execute("03_filters", tmp_path, data_folder=str(data), **RANGE)
    assert "not saved" in texts(book)
    assert sorted((PROJECT / "params").rglob("*")) == before
