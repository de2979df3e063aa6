"""The notebooks as files: pairs are equal, nothing but source is kept, parameters match their model."""

import ast
from pathlib import Path

import jupytext
import nbformat
import pytest

from engine.desk import live_notebook, notebook

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MODELS = {
    "01_data": notebook.DataNotebook,
    "02_swings": notebook.SwingsNotebook,
    "03_filters": notebook.FiltersNotebook,
    "04_backtest": notebook.BacktestNotebook,
    "10_live_session": live_notebook.LiveSessionNotebook,
    "11_control_room": live_notebook.ControlRoomNotebook,
}


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_every_notebook_has_its_pair():
    assert {p.stem for p in NOTEBOOKS.glob("*.ipynb")} == {p.stem for p in NOTEBOOKS.glob("*.py")}


@pytest.mark.parametrize("name", sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb")))
def test_pair_holds_the_same_cells(name):
    paired = jupytext.read(NOTEBOOKS / f"{name}.py")

    def cells(book):
        return [(c.cell_type, c.source, c.metadata.get("tags")) for c in book.cells]

    assert cells(read(name)) == cells(paired)


@pytest.mark.parametrize("name", sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb")))
def test_only_source_is_kept(name):
    book = read(name)
    assert set(book.metadata) <= {"kernelspec", "jupytext"}
    for cell in book.cells:
        assert set(cell.metadata) <= {"tags", "lines_to_next_cell"}  # the second is jupytext's own
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("name", MODELS)
def test_parameters_cell_sets_exactly_the_models_fields(name):
    tagged = [c for c in read(name).cells if "parameters" in c.metadata.get("tags", ())]
    assert len(tagged) == 1
    names = [node.targets[0].id for node in ast.parse(tagged[0].source).body]
    assert sorted(names) == sorted(MODELS[name].model_fields)


@pytest.mark.parametrize("name", MODELS)
def test_first_code_cell_after_the_parameters_checks_them(name):
    code = [c for c in read(name).cells if c.cell_type == "code"]
    assert f"check_parameters({MODELS[name].__name__}, globals())" in code[1].source
