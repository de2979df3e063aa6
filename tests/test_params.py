"""Parameter files are strict: nothing unknown, nothing out of range, no rail left out."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from engine.errors import ParamsError
from engine.params import SwingBreakParams, load_params, params_path

FOLDER = Path(__file__).resolve().parents[1] / "params"
RAILS = (
    "forced_exit_time",
    "r_value_rupees",
    "max_lots",
    "max_positions",
    "max_ce_positions",
    "max_pe_positions",
    "daily_target_r",
    "daily_stop_r",
)
LOOSENED = ("max_positions", "max_ce_positions", "max_pe_positions", "daily_target_r", "daily_stop_r")


@pytest.fixture
def values():
    return yaml.safe_load((FOLDER / "swing_break.yaml").read_text())


@pytest.fixture
def written(tmp_path):
    def write(values):
        path = tmp_path / "mine.yaml"
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_shipped_file_loads(path):
    assert load_params(path.stem) == load_params(path)


def test_the_shipped_file_holds_the_rule_books_defaults():
    params = load_params("swing_break")
    assert (params.r_value_rupees, params.max_lots) == (6500, 10)
    assert (params.max_positions, params.max_ce_positions, params.max_pe_positions) == (5, 3, 3)
    assert (params.min_entry_price_rupees, params.max_entry_price_rupees) == (100, 300)
    assert (params.min_stop_percent, params.max_stop_percent, params.min_vwap_premium_percent) == (2, 10, 4)
    assert (params.daily_stop_r, params.daily_target_r) == (5, 5)
    assert params.forced_exit_time == dt.time(15, 15)
    assert params.swing_variant == "ge2"


def test_a_misspelt_name_is_told_with_the_right_one(written, values):
    with pytest.raises(ParamsError, match="unknown parameter 'max_lot'; did you mean 'max_lots'"):
        load_params(written({**values, "max_lot": 5}))


def test_a_name_like_no_other_is_told_with_all_known_ones(written, values):
    with pytest.raises(ParamsError, match="unknown parameter 'zzz'; known are schema_version, strategy"):
        load_params(written({**values, "zzz": 5}))


@pytest.mark.parametrize("rail", RAILS)
def test_a_missing_rail_is_refused(written, values, rail):
    del values[rail]
    with pytest.raises(ParamsError, match=f"{rail} is missing"):
        load_params(written(values))


@pytest.mark.parametrize("rail", LOOSENED)
def test_null_loosens_a_rail(written, values, rail):
    assert getattr(load_params(written({**values, rail: None})), rail) is None


@pytest.mark.parametrize("rail", ["r_value_rupees", "max_lots", "forced_exit_time"])
def test_some_rails_cannot_be_loosened(written, values, rail):
    with pytest.raises(ParamsError, match=rail):
        load_params(written({**values, rail: None}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_lots", 0),
        ("max_lots", -1),
        ("max_lots", 2.5),
        ("max_lots", True),
        ("max_lots", "ten"),
        ("max_positions", 0),
        ("r_value_rupees", 0),
        ("r_value_rupees", float("inf")),
        ("r_value_rupees", float("nan")),
        ("daily_stop_r", 0),
        ("daily_stop_r", -5),
        ("min_entry_price_rupees", 100.03),
        ("min_entry_price_rupees", "a hundred"),
        ("min_stop_percent", 0.001),
        ("slippage_rupees", -0.05),
        ("latency_ms", -1),
        ("latency_ms", 30_001),
        ("entry_trigger_below_low_rupees", 0),
        ("bar_path", "best"),
        ("swing_variant", "eq3"),
        ("entry_end_time", "25:00"),
        ("entry_end_time", "soon"),
        ("entry_end_time", "15:14:30"),
        ("strategy", "weekly"),
        ("underlying", 5),
        ("filters", "early"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(written, values, name, value):
    with pytest.raises(ParamsError, match=name):
        load_params(written({**values, name: value}))


@pytest.mark.parametrize(
    ("low", "high", "values_of"),
    [
        ("min_entry_price_rupees", "max_entry_price_rupees", (200, 199)),
        ("min_stop_percent", "max_stop_percent", (5, 4)),
        ("entry_start_time", "entry_end_time", ("12:00", "11:59")),
        ("entry_end_time", "forced_exit_time", ("15:16", "15:15")),
    ],
)
def test_bounds_in_the_wrong_order_are_refused(low, high, values_of):
    with pytest.raises(ParamsError, match=f"{low} .* is above {high}"):
        load_params(**dict(zip((low, high), values_of, strict=True)))


def test_a_time_without_quotes_is_told_as_the_yaml_trap_it_is(written):
    text = (FOLDER / "swing_break.yaml").read_text()
    assert yaml.safe_load("a: 15:15") == {"a": 915}
    with pytest.raises(ParamsError, match="YAML reads 15:15 without quotes as a number, write '15:15'"):
        load_params(written(text.replace('forced_exit_time: "15:15"', "forced_exit_time: 15:15")))


def test_a_decimal_is_read_by_its_text():
    params = load_params(slippage_rupees=0.15, max_stop_percent=10.01)
    assert params.slippage_rupees == Decimal("0.15")
    assert params.max_stop_percent == Decimal("10.01")


def test_the_hash_does_not_depend_on_order_or_spelling(written, values):
    expected = load_params("swing_break").hash
    turned = dict(reversed(values.items()))
    assert load_params(written(turned)).hash == expected
    spelt = {**values, "r_value_rupees": "6500.00", "max_stop_percent": 10.0, "daily_stop_r": "5.0"}
    assert load_params(written(spelt)).hash == expected
    filled = load_params("swing_break").model_dump(mode="json")
    assert load_params(written({**filled, "filters": list(filled["filters"])})).hash == expected


def test_every_value_moves_the_hash():
    base = load_params("swing_break")
    other = {
        "underlying": "BANKNIFTY",
        "strikes_each_side": None,
        "swing_variant": "eq2",
        "same_bar_rule": "alternation_first",
        "updated_swing_vwap": "updated",
        "failed_vwap_low": "remove_previous",
        "bar_path": "high_first",
        "filters": ("early",),
        "entry_start_time": "09:16",
        "entry_end_time": "15:00",
        "forced_exit_time": "15:20",
        "round_strike_rupees": None,
        "daily_target_r": None,
        "daily_stop_r": None,
    }
    hashes = {base.hash}
    for name in SwingBreakParams.model_fields:
        if name in ("schema_version", "strategy"):
            continue
        value = other.get(name, None if name in LOOSENED else getattr(base, name))
        hashes.add(base.replace(**{name: value + 1 if isinstance(value, int | Decimal) else value}).hash)
    assert len(hashes) == len(SwingBreakParams.model_fields) - 2 + 1


def test_replace_is_as_strict_as_a_file():
    base = load_params("swing_break")
    assert base.replace(max_lots=3).max_lots == 3
    assert base.max_lots == 10
    with pytest.raises(ParamsError, match="did you mean 'max_lots'"):
        base.replace(maxlots=3)
    with pytest.raises(ParamsError, match="max_lots"):
        base.replace(max_lots="3")
    with pytest.raises(ParamsError, match="is above max_stop_percent"):
        base.replace(min_stop_percent=50)
    assert base.replace() == base


def test_a_set_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        load_params("swing_break").max_lots = 100


def test_overrides_as_a_notebook_gives_them():
    params = load_params("swing_break", min_vwap_premium_percent=5, filters=["early"], daily_stop_r=None)
    assert params.min_vwap_premium_percent == 5
    assert params.filters == ("early",)
    assert params.daily_stop_r is None
    with pytest.raises(ParamsError, match="did you mean 'min_vwap_premium_percent'"):
        load_params("swing_break", min_vwap_premium=5)


def test_a_name_means_a_file_of_the_params_folder():
    assert params_path("swing_break") == FOLDER / "swing_break.yaml"
    assert params_path("here/mine") == Path("here/mine")
    with pytest.raises(ParamsError, match=r"params/ holds .*swing_break"):
        load_params("swing_brake")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no parameters"),
        ("- a\n- b\n", "holds no parameters"),
        ("a: [1\nb: 2\n", "line 2 is not valid YAML"),
        ("strategy: swing_break\n", "schema_version is None, this program reads 1"),
        ("schema_version: 2\n", "schema_version is 2, this program reads 1"),
    ],
)
def test_a_file_that_is_no_parameter_file_is_told_plainly(written, text, complaint):
    with pytest.raises(ParamsError, match=complaint):
        load_params(written(text))


def test_a_folder_is_told_as_unreadable(tmp_path):
    folder = tmp_path / "a.yaml"
    folder.mkdir()
    with pytest.raises(ParamsError, match="cannot read"):
        load_params(folder)


def test_one_line_names_the_file_and_how_many_complaints(written, values):
    with pytest.raises(ParamsError) as caught:
        load_params(written({**values, "max_lots": 0, "latency_ms": -1}))
    assert str(caught.value).startswith("mine.yaml: ")
    assert "(and 1 more)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text + "\nmax_lots: 100\n", "max_lots is set twice"),
        (
            lambda text: text.replace('entry_end_time: "15:15"', 'entry_end_time: "15:15+05:30"'),
            "entry_end_time",
        ),
        (lambda text: text.replace("max_lots: 10", "max_lots: 010"), "leading zero"),
        (lambda text: text + "\x00", "not valid YAML"),
    ],
    ids=["doubled key", "time zone", "octal", "control character"],
)
def test_what_yaml_would_read_silently_or_at_length_is_one_line(written, change, said):
    path = written(change((FOLDER / "swing_break.yaml").read_text()))
    with pytest.raises(ParamsError, match=said) as refused:
        load_params(path)
    assert "\n" not in str(refused.value)


def test_minus_zero_is_zero():
    assert load_params(min_vwap_premium_percent=-0.0).hash == load_params(min_vwap_premium_percent=0).hash
