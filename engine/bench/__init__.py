"""The benchmark: the engine beside vectorbt and backtesting.py on one simulated year, and how fast it starts.

`run_bench` measures, `render` shows. Both are loaded when they are first used: a process that measures one
engine must hold nothing of the others.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.bench.report import render
    from engine.bench.run import run_bench

__all__ = ["render", "run_bench"]

_HOMES = {"render": "engine.bench.report", "run_bench": "engine.bench.run"}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'engine.bench' has no attribute {name!r}")
