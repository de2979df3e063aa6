"""User filters: a small Python function over a CANDIDATE row, compiled on the fly.

A quant writes `def early(c): return c.minute < 120` in a notebook cell and passes it to a run. It is compiled
to machine code in a fraction of a second; the decision kernels call it by address, so they themselves are
never recompiled. A predicate sees a candidate only as it stands at the close of a bar: nothing later.
"""

import dis
import hashlib
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, from_dtype, types
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.extending import intrinsic

from engine.compiled import Rows, njit
from engine.errors import ParamsError
from engine.params import project_folder

CANDIDATE = np.dtype(
    [
        ("minute", np.int32),  # minute of the session whose close is judged, 0 = the first
        ("contract", np.int32),  # place in the day's contract list
        ("strike", np.int32),  # rupees
        ("is_call", np.bool_),
        ("days_to_expiry", np.int32),  # calendar days, 0 on expiry day; -1 when unknown
        ("conf_minute", np.int32),  # minute whose close confirmed the swing low
        ("swing_minute", np.int32),  # minute of the extreme
        ("age", np.int32),  # minutes since the confirmation
        ("swing_low", np.int32),  # ticks
        ("highest_high", np.int32),  # ticks, since the swing low
        ("stop", np.int32),  # ticks, highest high plus its buffer
        ("lots", np.int32),
        ("close", np.int32),  # ticks, last traded close of the contract
        ("volume", np.int32),  # units traded in the minute, 0 when it had no bar
        ("price", np.float64),  # rupees, the swing low
        ("vwap", np.float64),  # rupees, the session VWAP that judged the swing low
        ("vwap_premium_percent", np.float64),  # of the swing low over that VWAP
        ("stop_points", np.float64),  # rupees from swing low to stop
        ("stop_percent", np.float64),  # of the swing low
    ],
    align=True,
)

_ROW = from_dtype(CANDIDATE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class FilterFailedError(ParamsError):
    """A filter raised an error when it was asked."""


_KEEP, _DROP, _FAILED = 1, 0, 2


class Predicate(NamedTuple):
    """A compiled user filter."""

    name: str
    source: str
    address: int
    compiled: Any  # keeps the machine code alive

    @property
    def hash(self) -> str:
        """Eight hex digits over its source: two filters of one name need not be one rule."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:8]


def compile_predicate(function: Callable[[Any], Any]) -> Predicate:
    """
    Compile a filter.

    Parameters
    ----------
    function : callable of one CANDIDATE row
        True keeps the candidate. Fields are read as `c.stop_points`; numbers from around the function are
        frozen at their present value. A division by zero gives infinity or nan, as in NumPy.

    Raises
    ------
    ParamsError
        If it is not a plain function of one argument or uses what cannot be compiled; names the line.
    """
    name = getattr(function, "__name__", "filter")
    if not inspect.isfunction(function) or len(inspect.signature(function).parameters) != 1:
        raise ParamsError(
            f"filter {name!r} must be a plain function of one candidate, such as `lambda c: c.lots > 2`"
        )
    if _writes_to_candidate(function):
        raise ParamsError(
            f"filter {name!r} changes its candidate; a filter only looks at it and answers True or False"
        )
    try:
        inner = njit(error_model="numpy")(function)

        @cfunc(types.uint8(types.CPointer(_ROW)))
        def call(row: Any) -> int:
            try:
                return _KEEP if inner(carray(row, 1)[0]) else _DROP
            except Exception:  # noqa: BLE001 - compiled code cannot let it pass; `keeps` raises in its place
                return _FAILED

    except (NumbaError, UnsupportedBytecodeError, KeyError) as error:
        raise ParamsError(f"filter {name!r} cannot be compiled: {_plain_reason(error)}") from None
    answer = inner.nopython_signatures[0].return_type
    if not isinstance(answer, types.Boolean | types.Integer | types.Float):
        raise ParamsError(
            f"filter {name!r} answers {answer}; it must answer True or False on every way through it"
        )
    try:
        source = inspect.getsource(function)
    except OSError:
        source = name
    return Predicate("lambda_filter" if name == "<lambda>" else name, source, call.address, (call, inner))


def _writes_to_candidate(function: Callable[[Any], Any]) -> bool:
    return any(step.opname in ("STORE_ATTR", "STORE_SUBSCR") for step in dis.get_instructions(function))


def _plain_reason(error: NumbaError | UnsupportedBytecodeError | KeyError) -> str:
    text = str(error)
    field = re.search(r"^'(\w+)'$", text) if isinstance(error, KeyError) else None
    field = (
        field
        or re.search(r"Unknown attribute '(\w+)' of type Record", text)
        or re.search(r"Field '(\w+)'", text)
    )
    if field:
        return f"a candidate has no field {field[1]!r}; it has {', '.join(CANDIDATE.names or ())}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("Failed in nopython", "During", "File", "- "))]
    return useful[0] if useful else lines[0]


def compile_all(filters: Iterable[Callable[[Any], Any] | Predicate]) -> tuple[Predicate, ...]:
    """Compile several filters; they are applied in order and must have different names."""
    done = tuple(f if isinstance(f, Predicate) else compile_predicate(f) for f in filters)
    names = [f.name for f in done]
    for name in names:
        if names.count(name) > 1:
            raise ParamsError(
                f"two filters are called {name!r}; give each its own name, the funnel tells them apart"
            )
    return done


def filters_folder() -> Path:
    """Where saved filters live."""
    return project_folder() / "params" / "filters"


def save_filter(function: Callable[[Any], Any]) -> Path:
    """
    Write a filter to `params/filters/<name>.py`, where a parameter file can name it to go live.

    Raises
    ------
    ParamsError
        If it has no name of its own, uses values from around it, or another filter holds that name.
    """
    compile_predicate(function)
    name = function.__name__
    if not _NAME.fullmatch(name):
        raise ParamsError("a lambda cannot be saved; write the filter with def and give it a name")
    used = inspect.getclosurevars(function)
    outside = sorted({*used.globals, *used.nonlocals})
    if outside:
        raise ParamsError(
            f"filter {name!r} uses {', '.join(outside)} from around it; write the values into it"
        )
    source = textwrap.dedent(inspect.getsource(function))
    path = filters_folder() / f"{name}.py"
    if path.exists() and path.read_text(encoding="utf-8") != source:
        raise ParamsError(f"{path} holds another filter called {name!r}; rename one of them")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path


def load_filter(name: str) -> Predicate:
    """
    The saved filter of that name.

    Raises
    ------
    ParamsError
        If there is no such file, or it does not define a function of that name.
    """
    path = filters_folder() / f"{name}.py"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = sorted(p.stem for p in filters_folder().glob("*.py"))
        raise ParamsError(
            f"no saved filter {name!r} in params/filters/; it holds {', '.join(known) or 'none'}"
        )
    spec = importlib.util.spec_from_file_location(f"saved_filter_{name}", path)
    if spec is None or spec.loader is None:
        raise ParamsError(f"{path} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ParamsError(f"saved filter {path} cannot be loaded: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if function is None:
        raise ParamsError(f"{path} defines no function {name!r}")
    return compile_predicate(function)


@intrinsic
def _call_address(typingctx: Any, address: Any, row: Any) -> Any:  # noqa: ARG001
    signature = types.uint8(types.int64, row)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8)
        data = context.make_array(signature.args[1])(context, builder, args[1]).data
        pointer = builder.bitcast(data, byte.as_pointer())
        kind = ir.FunctionType(byte, [byte.as_pointer()])
        function = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(function, [pointer])

    return signature, build


@njit(cache=True)
def keeps(address: int, row: Rows) -> bool:
    """
    Call a compiled predicate on row[0] of a CANDIDATE[1] array.

    Raises
    ------
    FilterFailedError
        If it raised an error (an index out of range, its own raise): a run without its answer would be another run.
    """
    answer = _call_address(address, row)
    if answer == _FAILED:
        raise FilterFailedError(
            "a filter raised an error when asked; it must answer True or False for every candidate"
        )
    return answer == _KEEP
