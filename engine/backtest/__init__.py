"""The driver over history: run, result, cross-check, report.

The package is also the function: `engine.backtest(params, lake, start, end)` is `engine.backtest.run.backtest`.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from engine.backtest.run import backtest

        return backtest(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
