"""A change of code never meets an old kernel."""

import ast
import shutil
from pathlib import Path

from engine.compiled import KERNEL_FOLDER, KERNEL_SOURCES, PACKAGE, fingerprint

NOT_FROZEN_INTO_KERNELS = {
    "engine.compiled",
    "engine.errors",
    "engine.params",
    "engine.history.day",
    "engine.market.contracts",  # for the exchange's rules, which are no kernel
}


def _module(name: str) -> Path:
    return PACKAGE / Path(*name.split(".")[1:]).with_suffix(".py")


def _kernel_files() -> set[Path]:
    return {path for pattern in KERNEL_SOURCES for path in PACKAGE.glob(pattern)}


def _imports_at_top(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        n.module
        for n in tree.body
        if isinstance(n, ast.ImportFrom) and n.module and n.module.startswith("engine.")
    }


def test_fingerprint_moves_when_a_filter_changes(tmp_path):
    copy = tmp_path / "engine"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = fingerprint(copy)
    assert before == fingerprint()
    filters = copy / "strategy" / "filters.py"
    filters.write_text(filters.read_text().replace("<= rules.max_price", "< rules.max_price"))
    assert fingerprint(copy) != before


def test_every_file_that_defines_a_cached_kernel_is_in_the_fingerprint():
    defining = {p for p in PACKAGE.rglob("*.py") if "(cache=True" in p.read_text()} - {
        PACKAGE / "compiled.py"
    }
    kernels = {p for p in defining if p.relative_to(PACKAGE).parts[0] != "bench"}
    assert kernels
    assert kernels <= _kernel_files()


def test_every_module_that_kernel_files_import_is_in_the_fingerprint():
    for path in _kernel_files():
        for name in _imports_at_top(path) - NOT_FROZEN_INTO_KERNELS:
            assert _module(name) in _kernel_files(), f"{path.name} imports {name}"


def test_kernels_are_cached_under_the_fingerprint():
    assert KERNEL_FOLDER.name == fingerprint()
