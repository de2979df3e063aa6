"""The command line: tables for people, one JSON object for programs, one line and exit code 2 for mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

JSON_FIELDS = {
    "trades", "total_r", "gross_pnl", "charges", "net_pnl", "trade_hash", "days", "sources", "funnel", "ambiguous_bars",
    "invalid_trades", "elapsed_s",
}  # fmt: skip


def workbench(*words, cwd=None):
    command = [sys.executable, "-m", "engine.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def answer(*words):
    done = workbench(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one JSON object and nothing else"
    return json.loads(done.stdout)


def refused(*words):
    done = workbench(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one line"
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made = answer("data", "simulate", "--start", "2026-10-05", "--end", "2026-10-07", "--data", folder)
    assert made["written"] == ["2026-10-05", "2026-10-06", "2026-10-07"]
    return folder


@pytest.fixture(scope="module")
def ran(data):
    return answer("backtest", "--data", data)


def test_help_names_every_command():
    done = workbench("--help")
    assert done.returncode == 0
    for command in ("demo", "data", "backtest", "explain", "bench", "lab"):
        assert command in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['workbench', '--help']\n"
        "try:\n    from engine.cli import main; main()\nexcept SystemExit: pass\n"
        "heavy = {'numba', 'polars', 'pandas', 'vectorbt', 'plotly', 'pydantic', 'exchange_calendars'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_backtest_answers_programs(ran):
    assert ran.keys() >= JSON_FIELDS
    assert ran["days"] == 3
    assert ran["sources"] == ["simulated"]
    assert ran["simulated"] is True
    assert ran["trades"] > 0


def test_backtest_labels_simulated_prices_for_people(data):
    done = workbench("backtest", "--data", data, "--date", "2026-10-06")
    assert done.returncode == 0
    assert "SIMULATED PRICES" in done.stdout
    assert "Funnel" in done.stdout


def test_threads_do_not_change_the_trades(data, ran):
    assert answer("backtest", "--data", data, "--threads", 1)["trade_hash"] == ran["trade_hash"]


def test_a_changed_parameter_changes_hash_and_trades(data, ran):
    other = answer("backtest", "--data", data, "--set", "min_vwap_premium_percent=12")
    assert other["params_hash"] != ran["params_hash"]
    assert other["trade_hash"] != ran["trade_hash"]


def test_report_is_written_where_it_was_asked_for(data, tmp_path):
    path = tmp_path / "deep" / "day.html"
    made = answer("backtest", "--data", data, "--date", "2026-10-06", "--report", path)
    assert Path(made["report"]) == path
    assert "SIMULATED PRICES" in path.read_text()


def test_lake_is_listed_and_sound(data):
    held = answer("data", "list", "--data", data)["days"]
    assert [day["date"] for day in held] == ["2026-10-05", "2026-10-06", "2026-10-07"]
    assert all(day["simulated"] for day in held)
    assert answer("data", "check", "--data", data) == {"problems": [], "days": 3}


def test_a_tampered_day_is_found(data, tmp_path):
    answer("data", "simulate", "--date", "2026-10-08", "--data", tmp_path)
    (victim,) = tmp_path.rglob("*.parquet")
    victim.write_bytes(victim.read_bytes()[:-9] + b"x" * 9)
    done = workbench("data", "check", "--data", tmp_path)
    assert done.returncode == 1
    assert victim.name in done.stdout.replace("\n", "")


def test_explain_tells_why_a_trade_was_chosen(data):
    day = answer("explain", "2026-10-06", "--data", data)
    trade = day["trades"][0]
    confirmed = trade["confirmed_at"][11:16]
    story = answer("explain", "2026-10-06", trade["symbol"], "--data", data)
    low = next(
        low
        for low in story["swing_lows"]
        if low["confirmed_at"] == confirmed and low["swing_low"] == trade["swing_low"]
    )
    assert "filled" in low["fate"]
    hour, minute = (int(part) for part in trade["entry_time"][11:16].split(":"))
    moment = answer("explain", "2026-10-06", f"{hour:02}:{minute:02}", "--data", data)
    (chosen,) = [row for row in moment["contracts"] if row["chosen"] and row["symbol"] == trade["symbol"]]
    assert chosen["verdict"].startswith("CHOSEN")
    others = [row for row in moment["contracts"] if not row["chosen"]]
    assert all(row["verdict"] for row in others), "why not that one"


def test_explain_takes_strike_and_type(data):
    day = answer("explain", "2026-10-06", "--data", data)
    symbol = day["trades"][0]["symbol"]
    assert answer("explain", "2026-10-06", symbol[12:], "--data", data)["contract"] == symbol


def test_close_only_days_import_but_say_what_they_cannot_know(tmp_path, shared):
    path = shared / "data" / "nifty_atm_closes_1m_2024-12_2025-06.parquet"
    report = answer("data", "import", path, "--data", tmp_path)["files"][0]
    assert {day["quality"] for day in report["days"]} == {"close_only"}
    said = refused("backtest", "--data", tmp_path)
    assert "close-only" in said
    assert "VWAP" in said


def test_the_real_banknifty_day_trades_and_agrees_with_vectorbt(tmp_path, shared):
    path = shared / "data" / "banknifty_1m_20221230.parquet"
    report = answer("data", "import", path, "--data", tmp_path)["files"][0]
    assert report["rows_rejected"] == 48
    assert report["rejected"][0]["reason"] == "bar outside the session"
    run = answer("backtest", "-u", "BANKNIFTY", "--date", "2022-12-30", "--crosscheck", "--data", tmp_path)
    assert run["simulated"] is False
    assert run["trades"] > 0
    assert run["crosscheck"]["equal"] is True
    assert run["crosscheck"]["ours"] == run["gross_pnl"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backtest", "--set", "max_lots=0"], "max_lots"),
        (["backtest", "--set", "max_lot=3"], "did you mean 'max_lots'"),
        (["backtest", "--set", "max_lots"], "--set name=value"),
        (["backtest", "--set", "min_vwap_premium_percent=900"], "no trade in 3 days"),
        (["backtest", "--params", "nope"], "params/ holds"),
        (["backtest", "-u", "NFITY"], "did you mean NIFTY"),
        (["backtest", "--date", "06-10-2026"], "write it as"),
        (["backtest", "--date", "2026-10-04"], "holds no day"),
        (["backtest", "--start", "2026-10-07", "--end", "2026-10-05"], "earlier date first"),
        (["backtest", "--filter", "nope"], "no saved filter"),
        (["backtest", "--source", "nse"], "holds no day"),
        (["explain", "2026-10-06", "99950CE"], "no watched contract"),
        (["explain", "2026-10-06", "07:00"], "no bar closes then"),
        (["explain", "2026-10-06", "25:61"], "not a clock time"),
        (["data", "simulate", "--date", "2026-10-04"], "no trading day"),
        (["data", "simulate", "-u", "SENSEX", "--date", "2026-10-05"], "SENSEX"),
        (["data", "import", "nowhere.parquet"], "nowhere.parquet"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_remedy(data, words, said):
    assert said in refused(*words, "--data", data)


def _tidy(**changes):
    row = {
        "symbol": "NIFTY03NOV2625000CE", "underlying": "NIFTY", "expiry": "2026-11-03", "strike": 25000, "option_type": "CE",
        "ts": "2026-10-30 09:15:00", "open": 100.0, "high": 101.0, "low": 99.0, "close": 100.5, "volume": 65, "oi": 650,
    }  # fmt: skip
    return {**row, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"close": 100.52}, "tick"),
        ({"ts": "2026-10-30 15:40:00"}, "session"),
        ({"high": 99.5}, "contradict"),
        ({"underlying": "NIFTI"}, "underlying"),
        ({"expiry": "2026-11-04"}, "expiry"),
        ({"ts": "2026-10-31 09:15:00"}, "2026-10-31"),
    ],
)
def test_a_file_of_bad_bars_is_refused_whole_with_the_reason(tmp_path, changes, said):
    path = tmp_path / "bars.csv"
    pl.DataFrame([_tidy(**changes)]).write_csv(path)
    assert said in refused("data", "import", path, "--data", tmp_path / "lake")
    assert not list((tmp_path / "lake").rglob("*.parquet")), "nothing half-written"


def test_a_bad_bar_among_good_ones_is_counted_and_strict_refuses_it(tmp_path):
    path = tmp_path / "bars.csv"
    good = _tidy()
    doubled = _tidy(ts="2026-10-30 09:16:00")
    rows = [good, doubled, {**doubled, "close": 100.0}, _tidy(ts="2026-10-30 09:17:00", close=100.52)]
    pl.DataFrame(rows).write_csv(path)
    said = refused("data", "import", path, "--strict", "--data", tmp_path / "lake")
    assert "2" in said or "minute" in said
    said = refused("data", "import", path, "--data", tmp_path / "lake")
    assert "3 of 4 option rows (75%)" in said
    assert "2 rows: two different bars for one minute" in said
    assert "--force" in said
    assert not (tmp_path / "lake").exists(), "nothing written"
    report = answer("data", "import", path, "--force", "--data", tmp_path / "lake")["files"][0]
    assert report["rows_kept"] == 1
    assert {each["count"] for each in report["rejected"]} == {1, 2}


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "bars.csv"
    pl.DataFrame([_tidy()]).rename({"close": "clos"}).write_csv(path)
    said = refused("data", "import", path, "--data", tmp_path / "lake")
    assert "close" in said
    assert "clos" in said


def test_demo_ends_with_the_report(tmp_path):
    made = answer("demo", "--data", tmp_path)
    assert Path(made["report"]).exists()
    assert made["days"] == 20
    assert made["simulated"] is True
    rehearsed = made["rehearsal"]
    assert rehearsed["trades"] > 0
    assert rehearsed["trade_hash"] == rehearsed["backtest_trade_hash"]
    assert rehearsed["decisions_equal"] is True


def test_a_wrong_path_among_files_imports_none_of_them(tmp_path):
    path = tmp_path / "bars.csv"
    pl.DataFrame([_tidy()]).write_csv(path)
    said = refused("data", "import", path, tmp_path / "absent.csv", "--data", tmp_path / "lake")
    assert "absent.csv; nothing was imported" in said
    assert not (tmp_path / "lake").exists()


def test_one_unreadable_manifest_does_not_hide_the_other_days(tmp_path):
    answer(
        "data", "simulate", "--start", "2026-10-07", "--end", "2026-10-08", "--strikes", 1, "--data", tmp_path
    )
    (tmp_path / "lake/manifest/simulated-NIFTY-2026-10-07.json").write_text("nonsense")
    told = answer("data", "list", "--data", tmp_path)
    assert [day["date"] for day in told["days"]] == ["2026-10-08"]
    assert len(told["unreadable"]) == 1
    done = workbench("data", "list", "--data", tmp_path)
    assert done.returncode == 0
    assert "warning, left out:" in done.stdout
    assert "simulated-NIFTY-2026-10-07.json" in done.stdout.replace("\n", "")
