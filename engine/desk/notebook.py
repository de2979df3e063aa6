"""What the notebooks stand on: strict parameters, the days they need, tables that can be read.

papermill only warns about a parameter that a notebook does not know, so a misspelt name would run a whole year
with the wrong value. The first code cell of every notebook therefore checks all of them against a model of
this module. papermill also writes every parameter into its output notebook: names that look like secrets are
refused, and no value of an unknown name is ever told.
"""

import ast
import datetime as dt
import difflib
import re
import time
from collections.abc import Mapping, MutableMapping
from decimal import Decimal
from typing import Annotated, Any, Self, TypeVar

import plotly.graph_objects as go
import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.backtest.result import Result
from engine.backtest.trade_pictures import contract_bars, contract_swings
from engine.desk import plots
from engine.errors import ParamsError
from engine.history.lake import Lake
from engine.history.manifest import SIMULATED_SOURCE, LakeDay
from engine.params import SwingBreakParams, load_params, project_folder

_PLAIN = (str, int, float, bool, list, tuple, dict, type(None))
"""Types of value that papermill can inject."""

_SECRET = re.compile(
    r"token|secret|passw|pwd|credential|totp|(^|_)(otp|pin|auth)($|_)|(api|access|private)_?key",
    re.IGNORECASE,
)
_CHECKED = "_parameters_checked"


def _date(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise ValueError("not a date; write it as '2026-10-30'") from None


def _clock_time(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return dt.time.fromisoformat(value)
    except ValueError:
        raise ValueError("not a clock time; write it as '10:30'") from None


def _number(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


Date = Annotated[dt.date, BeforeValidator(_date)]
ClockTime = Annotated[dt.time, BeforeValidator(_clock_time)]
Number = Annotated[Decimal, BeforeValidator(_number)]


class NotebookParams(BaseModel):
    """
    Parameters that every notebook has; each must be set in its parameters cell.

    Attributes
    ----------
    data_folder : str or None
        Folder of the lake; None is the project's `data/`.
    underlying : str
    source : str
        Whose prices; "simulated" days are made where they are missing, others must have been imported.
    start, end : date
        First and last trading day, both included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    data_folder: str | None
    underlying: str
    source: str
    start: Date
    end: Date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}; give the earlier date first")
        return self

    @property
    def lake(self) -> Lake:
        """The lake of the data folder."""
        return Lake(self.data_folder or project_folder() / "data")


class DataNotebook(NotebookParams):
    """Parameters of 01_data: the day and the clock time (IST) whose chain is shown."""

    day: Date
    at: ClockTime


class StrategyNotebook(NotebookParams):
    """
    Parameters of the notebooks that decide.

    Attributes
    ----------
    params : str
        A name in `params/` or a YAML file.
    changes : dict
        Values that replace those of the file, checked as strictly.
    """

    params: str
    changes: dict[str, Any]

    @property
    def strategy(self) -> SwingBreakParams:
        """
        The parameter set with its changes, for the notebook's underlying.

        Raises
        ------
        ParamsError
            As `load_params`.
        """
        return load_params(self.params, **{"underlying": self.underlying, **self.changes})


class SwingsNotebook(StrategyNotebook):
    """Parameters of 02_swings: the day that is explored."""

    day: Date


class FiltersNotebook(StrategyNotebook):
    """Parameters of 03_filters: whether the winner is written to `params/filters/`."""

    save_winner: bool


class BacktestNotebook(StrategyNotebook):
    """
    Parameters of 04_backtest.

    Attributes
    ----------
    filters : list of str
        Saved filters of `params/filters/` to apply.
    capital_rupees : number
        Money that returns are told of.
    report : str or None
        Where the HTML report goes; None is `reports/backtest.html` of the project.
    """

    filters: list[str]
    capital_rupees: Annotated[Number, Field(gt=0)]
    report: str | None


N = TypeVar("N", bound=BaseModel)


def check_parameters(model: type[N], namespace: MutableMapping[str, Any]) -> N:
    """
    Check what the parameters cell and papermill have set; to be called as `check_parameters(Model, globals())`.

    On the first call every plain value in the namespace counts as a parameter, so the cells before it may
    set nothing else. When it is called again, the cells run since then count that are nothing but assignments
    and set at least one known parameter.

    Returns
    -------
    The model, frozen.

    Raises
    ------
    ParamsError
        If a parameter is unknown (with a suggestion), missing, of the wrong type, out of range, or has a name
        like that of a secret.
    """
    known = list(model.model_fields)
    given = _names_set(namespace, known)
    namespace[_CHECKED] = len(namespace.get("In", ()))
    for name in given:
        if _SECRET.search(name):
            raise ParamsError(
                f"parameter {name!r} looks like a secret, and papermill writes parameters into its output; "
                "put it into .env and take it out of here"
            )
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise ParamsError(f"this notebook has no parameter {name!r}; {hint}")
    try:
        return model.model_validate({name: namespace[name] for name in known if name in namespace})
    except ValidationError as error:
        raise ParamsError(_complaint(error)) from None


def _names_set(namespace: Mapping[str, Any], known: list[str]) -> list[str]:
    """Names that are meant as parameters, see `check_parameters`."""
    if _CHECKED not in namespace:
        return [
            name
            for name, value in namespace.items()
            if not name.startswith("_") and name not in ("In", "Out") and isinstance(value, _PLAIN)
        ]
    cells = (_assigned(cell) for cell in namespace.get("In", ())[namespace[_CHECKED] :])
    return [name for names in cells if not set(names).isdisjoint(known) for name in names]


def _assigned(cell: str) -> list[str]:
    """Names a cell sets, if it does nothing else."""
    try:
        body = ast.parse(cell).body
    except SyntaxError:  # a magic or a shell line is no parameters cell
        return []
    targets = [node.targets[0] for node in body if isinstance(node, ast.Assign)]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(body) else []


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"parameter {name!r} is not set; set it in the parameters cell"
    message = first["msg"].removeprefix("Value error, ")
    return f"parameter {name} = {first['input']!r}: {message}" if name else message


class Progress:
    """One line under a cell that counts days; call it with (done, in all, date)."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._told = 0.0
        self._line: Any = None

    def __call__(self, done: int, total: int, date: dt.date) -> None:
        """Renew the line, five times a second at most."""
        from IPython.display import DisplayHandle

        now = time.monotonic()
        if done < total and now - self._told < 0.2:
            return
        self._told = now
        line = {"text/plain": f"{self._what}: {done} of {total} days, {date}"}
        if self._line is None:
            self._line = DisplayHandle()  # type: ignore[no-untyped-call]
            self._line.display(line, raw=True)
        else:
            self._line.update(line, raw=True)


def ready_days(settings: NotebookParams) -> list[LakeDay]:
    """
    The days a notebook asks for; simulated ones are made where they are missing.

    Raises
    ------
    DataError
        If another source holds none of them.
    """
    from engine.history.simulate import ensure_simulated

    if settings.source == SIMULATED_SOURCE:
        return ensure_simulated(
            settings.lake, settings.underlying, settings.start, settings.end, progress=Progress("simulated")
        )
    return settings.lake.select(settings.underlying, settings.start, settings.end, settings.source)


def facts(result: Result) -> pl.DataFrame:
    """The summary of a run as a table of two columns, `what` and `value`, without what has a table of its own."""
    shown = {k: v for k, v in result.summary().items() if not isinstance(v, dict)}
    return pl.DataFrame(
        [(name.replace("_", " "), _text(value)) for name, value in shown.items()],
        schema={"what": pl.String, "value": pl.String},
        orient="row",
    )


def side_by_side(**runs: Result) -> pl.DataFrame:
    """One row per run: trades, win rate, R, money."""
    names = (
        "trades",
        "win_rate",
        "total_r",
        "net_r",
        "mean_r",
        "worst_day_r",
        "max_drawdown_r",
        "net_pnl",
    )
    rows = [{"run": name, **{key: run.summary()[key] for key in names}} for name, run in runs.items()]
    return pl.DataFrame(rows).with_columns(pl.col("net_pnl").cast(pl.Decimal(18, 2)))


def trade_figure(result: Result, lake: Lake, row: int) -> go.Figure:
    """
    One trade of a run, by its row in the trade table, in the bars of its day.

    Raises
    ------
    DataError
        If its day can no longer be read from the lake.
    """
    trade = result.trades.row(row, named=True)
    entry = next(entry for entry in result.entries if entry.date == trade["date"])
    day = lake.load(entry, strikes=[trade["strike"]])
    return plots.trade(
        contract_bars(day, trade["symbol"]),
        trade,
        swings=contract_swings(day, trade["symbol"], result.params),
        simulated=day.simulated,
    )


def _text(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
