"""Parameters of notebooks: nothing unknown, nothing missing, no secrets."""

import datetime as dt

import pytest

from engine.desk.notebook import DataNotebook, FiltersNotebook, check_parameters
from engine.errors import ParamsError

GOOD = {
    "data_folder": None,
    "underlying": "NIFTY",
    "source": "simulated",
    "start": "2026-10-01",
    "end": "2026-10-30",
    "params": "swing_break",
    "changes": {},
    "save_winner": False,
}


def check(**changes):
    return check_parameters(FiltersNotebook, {"In": [""], "Out": {}, "get_ipython": check, **GOOD, **changes})


def test_good_parameters_become_dates_and_rules():
    settings = check(changes={"min_vwap_premium_percent": 6})
    assert settings.start == dt.date(2026, 10, 1)
    assert settings.strategy.min_vwap_premium_percent == 6


def test_unknown_parameter_is_told_with_the_nearest_name():
    with pytest.raises(ParamsError, match=r"no parameter 'strat'; did you mean 'start'\?"):
        check(strat="2026-10-01")


def test_value_of_an_unknown_parameter_is_never_told():
    with pytest.raises(ParamsError) as error:
        check(startt="s3cret")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("name", ["token", "kite_api_key", "password", "API_SECRET", "totp", "pin"])
def test_secret_is_refused_by_its_name(name):
    with pytest.raises(ParamsError, match="looks like a secret"):
        check(**{name: "x"})


def test_missing_parameter_is_an_error():
    with pytest.raises(ParamsError, match="'data_folder' is not set"):
        check_parameters(FiltersNotebook, {k: v for k, v in GOOD.items() if k != "data_folder"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "30.10.2026"}, "write it as '2026-10-30'"),
        ({"start": "2026-11-01"}, "is after end"),
        ({"save_winner": "yes"}, "save_winner = 'yes'"),
        ({"underlying": 3}, "underlying = 3"),
    ],
)
def test_wrong_value_is_told_with_its_name(changes, words):
    with pytest.raises(ParamsError, match=words):
        check(**changes)


def test_misspelt_strategy_parameter_is_told_too():
    with pytest.raises(ParamsError, match="did you mean 'max_lots'"):
        check(changes={"max_lot": 3}).strategy  # noqa: B018 - the property checks


def test_clock_time_is_read():
    values = {k: GOOD[k] for k in ("data_folder", "underlying", "source", "start", "end")}
    settings = check_parameters(DataNotebook, {**values, "day": "2026-10-27", "at": "11:00"})
    assert settings.at == dt.time(11)


def test_checked_again_only_cells_that_set_parameters_count():
    namespace = {"In": ["", "parameters", "check"], **GOOD}
    check_parameters(FiltersNotebook, namespace)
    namespace |= {"scratch": 3, "totals": [1]}
    namespace["In"] += ["scratch = 3\ntotals = [1]", "check"]
    check_parameters(FiltersNotebook, namespace)


def test_checked_again_an_edited_parameters_cell_is_held_to_account():
    namespace = {"In": ["", "parameters", "check"], **GOOD}
    check_parameters(FiltersNotebook, namespace)
    namespace["In"] += ['start = "2026-10-01"\nsave_winer = True', "check"]
    namespace["save_winer"] = True
    with pytest.raises(ParamsError, match="did you mean 'save_winner'"):
        check_parameters(FiltersNotebook, namespace)
    namespace["In"] += ['start = "2026-10-01"\nsave_winner = True', "check"]
    namespace["save_winner"] = True
    assert check_parameters(FiltersNotebook, namespace).save_winner
