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
from pathlib import Path

import numba
from numba import njit

__all__ = ["KERNEL_FOLDER", "fingerprint", "njit"]

PACKAGE = Path(__file__).resolve().parent
KERNEL_SOURCES = (
    "market/clock.py",
    "market/prices.py",
    "history/bar_step.py",
    "history/vwap.py",
    "strategy/*.py",
    "execution/*.py",
    "backtest/day_loop.py",
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
