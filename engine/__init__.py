"""One package for research and live trading of NSE index options.

The front door: `load_params`, `Lake`, `backtest`. Each is loaded when it is first used, so that
the command line answers at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine import backtest
    from engine.backtest.result import Result
    from engine.history.lake import Lake
    from engine.params import load_params

__all__ = ["Lake", "Result", "backtest", "load_params"]

_HOMES = {
    "Lake": "engine.history.lake",
    "Result": "engine.backtest.result",
    "load_params": "engine.params",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "backtest":  # the package is callable
        return importlib.import_module("engine.backtest")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
