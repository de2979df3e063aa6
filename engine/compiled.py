"""Where compiled kernels are cached, so that a change of code can never meet an old kernel.

numba caches a function by its own file; it does not notice that a function called from another file has
changed. A filter edited in one file would go on trading by its old rule through a cached day loop. So the
cache folder is named by a fingerprint of every source file that kernels are made of. Modules that define
kernels import `njit` from here, which sets the folder before the first of them is defined.
"""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

__all__ = ["KERNEL_FOLDER", "Row", "Rows", "fingerprint", "inner", "int64", "njit"]

Row = Any
"""One record of a structured array as a kernel sees it: fields are attributes."""

Rows = Any
"""A structured array as a kernel sees it."""

int64: Any = np.int64
"""Widens a tick or a unit to 64 bits inside a kernel, where int32 would overflow."""

PACKAGE = Path(__file__).resolve().parent
KERNEL_SOURCES = (
    "market/clock.py",
    "market/prices.py",
    "history/bar_step.py",
    "history/price_step.py",
    "history/vwap.py",
    "strategy/*.py",
    "execution/*.py",
    "backtest/day_*.py",
)
KEPT_FOLDERS = 4


def fingerprint(package: Path = PACKAGE) -> str:
    """Sixteen hex digits over every source that holds a kernel, or a constant frozen into one."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in KERNEL_SOURCES for path in package.glob(pattern)):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _home() -> Path:
    """A folder to cache in: the one numba is told to use, else beside the package, else a temporary one."""
    told = os.environ.get("NUMBA_CACHE_DIR")
    wished = Path(told) if told else PACKAGE / "__pycache__" / "kernels"
    try:
        wished.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wished):
            return wished
    except OSError:
        return Path(tempfile.gettempdir()) / f"workbench-kernels-{os.getuid()}"


def _folder() -> Path:
    home = _home()
    folder = home / fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    others = sorted(
        (p for p in home.iterdir() if len(p.name) == len(folder.name)), key=lambda p: p.stat().st_mtime
    )
    for old in others[:-KEPT_FOLDERS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


KERNEL_FOLDER = _folder()
numba.config.CACHE_DIR = str(KERNEL_FOLDER)

_compiling = threading.RLock()


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """
    `numba.njit`, compiled without loop vectorisation.

    It gains these kernels nothing (they search and branch; `strategy.lanes` spells out the one vector that pays)
    and costs a fifth of the compile time. The setting is numba's and global, so it holds only while one of these
    kernels is compiled: a user's own functions keep theirs.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(**options)(function)
        compile_ = kernel.compile

        def plainly(signature: Any) -> Any:
            with _compiling:
                kept = numba.config.LOOP_VECTORIZE
                numba.config.LOOP_VECTORIZE = 0
                try:
                    return compile_(signature)
                finally:
                    numba.config.LOOP_VECTORIZE = kept

        kernel.compile = plainly
        return kernel

    return decorate


def inner(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`njit` for a function that only kernels call: without the entry from Python, which costs compile time."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
