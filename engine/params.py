"""Strict parameter sets: a YAML file in, one immutable object out, and a hash that names a run.

Every run, in a notebook, at the command line or live, is described by one of these. An unknown key, a value
out of range or a missing risk rail is an error that says what to do; nothing is defaulted that guards money.
The parameters and their meaning come from the swing-break rules, sections 4 to 7.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from datetime import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.errors import ParamsError

SCHEMA_VERSION = 1


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses what it would else read silently as something the writer did not mean."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"{name} is set twice; keep one", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def _decimal_integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    digits = str(node.value).lstrip("+-")
    if len(digits) > 1 and digits[0] == "0":
        raise yaml.MarkedYAMLError(
            problem=f"{node.value} would be read as octal or another base; write it without the leading zero",
            problem_mark=node.start_mark,
        )
    return loader.construct_yaml_int(node)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _decimal_integer)


def _decimal(value: object) -> object:
    """Read a YAML number by its text, so that 0.05 is exactly 0.05."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None


def _clock_time(value: object) -> object:
    if isinstance(value, str):
        try:
            return time.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a time; write it as '15:15'") from None
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueError
            f"{value} is not a time; YAML reads 15:15 without quotes as a number, write '15:15'"
        )
    return value


Rupees = Annotated[Decimal, BeforeValidator(_decimal), Field(multiple_of=Decimal("0.05"))]
Percent = Annotated[Decimal, BeforeValidator(_decimal), Field(multiple_of=Decimal("0.01"))]
Multiple = Annotated[Decimal, BeforeValidator(_decimal), Field(multiple_of=Decimal("0.01"), gt=0, le=1000)]
ClockTime = Annotated[time, BeforeValidator(_clock_time)]


class SwingBreakParams(BaseModel):
    """
    Parameters of the intraday swing-break strategy; the unit is in each name.

    Risk rails (the last group) have no defaults: a file sets each of them, or loosens it explicitly with
    `null`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    schema_version: Literal[1]
    strategy: Literal["swing_break"]
    underlying: str

    # which contracts are watched
    strikes_each_side: int | None = Field(
        default=10,
        ge=1,
        le=200,
        description="strikes on each side of ATM; null = every strike the lake holds",
    )
    atm_rounding_rupees: int = Field(
        default=100, ge=1, description="spot is rounded to this for the ATM strike"
    )

    # swings (rules 3.1, 3.2)
    swing_variant: Literal["ge2", "eq2"] = Field(
        default="ge2", description="an update needs at least two votes (ge2) or exactly the second (eq2)"
    )
    same_bar_rule: Literal["first_vote", "alternation_first"] = Field(
        default="first_vote", description="which event wins when an update and a new swing fall on one bar"
    )

    # stage 1, once per swing low (rules 4.1)
    min_entry_price_rupees: Rupees = Field(ge=Decimal("0.05"), le=20_000)
    max_entry_price_rupees: Rupees = Field(ge=Decimal("0.05"), le=20_000)
    min_vwap_premium_percent: Percent = Field(ge=-100, le=1000)
    updated_swing_vwap: Literal["frozen", "updated"] = Field(
        default="frozen", description="VWAP of an updated swing: of its first extreme, or of the new one"
    )
    failed_vwap_low: Literal["keep_previous", "remove_previous"] = Field(
        default="keep_previous",
        description="what a new swing low that fails the VWAP rule does to the one before",
    )

    # stage 2, every closed bar (rules 4.2)
    min_stop_percent: Percent = Field(ge=0, le=1000)
    max_stop_percent: Percent = Field(gt=0, le=1000)
    stop_buffer_rupees: Rupees = Field(default=Decimal("1.00"), ge=0, le=100)

    # choice of the best CE and PE (rules 4.4)
    target_stop_points_rupees: Rupees = Field(default=Decimal("10.00"), ge=0, le=5000)
    round_strike_rupees: int | None = Field(
        default=100, ge=1, description="prefer strikes that are a multiple of this; null = no preference"
    )

    # orders (rules 5.1, 5.5)
    entry_trigger_below_low_rupees: Rupees = Field(default=Decimal("0.05"), ge=Decimal("0.05"), le=100)
    entry_limit_buffer_rupees: Rupees = Field(default=Decimal("3.00"), ge=0, le=100)
    stop_limit_buffer_rupees: Rupees = Field(default=Decimal("3.00"), ge=0, le=100)

    # what a simulated fill assumes
    bar_path: Literal["worst", "high_first", "nearest_first"] = Field(
        default="worst", description="order of the four prices of a bar: open-low-high-close, or another path"
    )
    slippage_rupees: Rupees = Field(default=Decimal("0.10"), ge=0, le=50)
    slippage_percent: Percent = Field(default=Decimal("0.00"), ge=0, le=20)
    latency_ms: int = Field(default=0, ge=0, le=30_000)
    stop_unfilled_seconds: int = Field(
        default=5, ge=0, le=600, description="a triggered stop still unfilled after this goes to market"
    )

    # saved predicates of params/filters/, by name
    filters: tuple[str, ...] = ()

    # hours, IST
    entry_start_time: ClockTime = time(9, 15)
    entry_end_time: ClockTime = Field(description="no new entry order from this minute on")

    # risk rails: set, or loosened with null
    forced_exit_time: ClockTime = Field(description="every position is bought back at this time")
    r_value_rupees: Rupees = Field(gt=0, le=10_000_000, description="money behind 1 R")
    max_lots: int = Field(ge=1, le=1000)
    max_positions: int | None = Field(ge=1)
    max_ce_positions: int | None = Field(ge=1)
    max_pe_positions: int | None = Field(ge=1)
    daily_target_r: Multiple | None
    daily_stop_r: Multiple | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("entry_start_time", "entry_end_time", "forced_exit_time"):
            moment: time = getattr(self, name)
            if moment.second or moment.microsecond or moment.tzinfo:
                raise ValueError(f"{name} {moment} is not a whole minute of IST; write it as '15:15'")
        pairs = (
            ("min_entry_price_rupees", "max_entry_price_rupees"),
            ("min_stop_percent", "max_stop_percent"),
            ("entry_start_time", "entry_end_time"),
            ("entry_end_time", "forced_exit_time"),
        )
        for low, high in pairs:
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}")
        return self

    @property
    def hash(self) -> str:
        """Sixteen hex digits that name this set; equal for equal values, however they were written."""
        plain = {name: _canonical(value) for name, value in self.model_dump().items()}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> Self:
        """
        A copy with some values changed, checked as strictly as a file.

        Raises
        ------
        ParamsError
            If a name is unknown (with a suggestion) or a value out of range.
        """
        return validated(type(self), {**self.model_dump(), **changes}, "replace()")


def _canonical(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value.normalize() + 0)  # -0 is 0
    if isinstance(value, time):
        return value.isoformat("minutes")
    return list(value) if isinstance(value, tuple) else value


P = TypeVar("P", bound=BaseModel)


def validated(model: type[P], values: Mapping[str, Any], where: str) -> P:
    """
    An instance of a parameter model, with errors in plain words.

    Raises
    ------
    ParamsError
        If a name is unknown (with a suggestion), missing, or a value out of range.
    """
    known = list(model.model_fields)
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
            raise ParamsError(f"{where}: unknown parameter {name!r}{hint}")
    plain = dict(values)
    if isinstance(plain.get("filters"), list):
        plain["filters"] = tuple(plain["filters"])
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        raise ParamsError(f"{where}: {_first_complaint(error)}") from None


def _first_complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{name} is missing; set it, or loosen it explicitly where it is a rail (null)"
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{name} = {first['input']!r}: {message}{more}" if name else f"{message}{more}"


def project_folder() -> Path:
    """The folder that holds `params/`: the working folder or its nearest parent, else beside the package."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params").is_dir() and (folder / "engine").is_dir():
            return folder
    return Path(__file__).resolve().parents[1]


def params_path(name_or_path: str | Path) -> Path:
    """`swing_break` means `params/swing_break.yaml`; anything with a suffix or a folder is a path as it is."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        return path
    return project_folder() / "params" / f"{path}.yaml"


def session_path(name_or_path: str | Path) -> Path:
    """As `params_path`, for the session files: `paper` means `params/sessions/paper.yaml`."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        return path
    return project_folder() / "params" / "sessions" / f"{path}.yaml"


def load_params(name_or_path: str | Path = "swing_break", **overrides: Any) -> SwingBreakParams:
    """
    Read a parameter file, e.g. `load_params("swing_break", min_vwap_premium_percent=5)`.

    Parameters
    ----------
    name_or_path : str or Path
        A name in `params/` or a path to a YAML file.
    overrides
        Values that replace those of the file; checked as strictly.

    Raises
    ------
    ParamsError
        If the file is missing or is not YAML, a key is unknown, a rail is not set, a value is out of range.
    """
    path = params_path(name_or_path)
    return validated(SwingBreakParams, {**read_values(path), **overrides}, path.name)


def read_values(path: Path) -> dict[str, Any]:
    """
    The values of a parameter file, its schema version checked.

    Raises
    ------
    ParamsError
        If the file is missing, is not YAML or has another schema version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ParamsError(
            f"no parameter file {path}; {path.parent.name}/ holds {', '.join(known) or 'none'}"
        ) from None
    except OSError as error:
        raise ParamsError(f"cannot read {path}: {error.strerror}") from error
    try:
        values = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f" line {place.line + 1}" if place else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ParamsError(f"{path}{line} is not valid YAML: {problem}") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no parameters; write `name: value` lines")
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ParamsError(f"{path}: schema_version is {version!r}, this program reads {SCHEMA_VERSION}")
    return values
