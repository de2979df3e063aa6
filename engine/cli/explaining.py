"""`workbench explain`: a day, one contract of it, one minute of it."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.options import open_lake, parse_date, read_params
from engine.cli.show import console, print_json, table, warn_simulated
from engine.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from engine.history.day import DayBars


def run_explain(
    *,
    day: str,
    contract: str | None,
    moment: str | None,
    name: str | None,
    underlying: str | None,
    source: str | None,
    changes: list[str] | None,
    filters: list[str] | None,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """Explain; a clock time may stand in the place of the contract."""
    from engine.backtest.explain import explain_contract, explain_minute, find_contract
    from engine.backtest.run import load_day
    from engine.strategy.predicates import load_filter

    if contract is not None and moment is None and ":" in contract:
        contract, moment = None, contract
    params = read_params(name, underlying, changes, filters)
    lake = open_lake(data_folder)
    date = parse_date(day)
    entry = lake.select(params.underlying, date, date, source)[0]
    bars = load_day(lake, entry, params)
    predicates = [load_filter(each) for each in params.filters]
    answer: dict[str, Any] = {
        "underlying": params.underlying,
        "date": date,
        "source": bars.source,
        "simulated": bars.simulated,
        "params_hash": params.hash,
    }
    if moment is None and contract is None:
        _day(bars, answer, params, predicates, as_json)
        return
    one = find_contract(bars, contract) if contract is not None else None
    if moment is None:
        assert one is not None
        story = explain_contract(bars, params, one, predicates)
        answer |= {"contract": bars.symbols[one], "swing_lows": story.to_dicts()}
        if as_json:
            print_json(answer)
        else:
            warn_simulated(bars.simulated)
            _print(f"{bars.symbols[one]} on {date}: every swing low and what became of it", story)
        return
    explained = explain_minute(bars, params, _closed_minute(bars, moment), predicates)
    rows = explained.contracts
    if one is not None:
        rows = rows.filter((rows["symbol"] == bars.symbols[one]) | rows["chosen"])
    answer |= {"decided_at": explained.decided_at, "slots": explained.slots, "contracts": rows.to_dicts()}
    if as_json:
        print_json(answer)
        return
    warn_simulated(bars.simulated)
    console.print(
        f"{params.underlying} {date}, decided at {explained.decided_at} IST (close of the minute before)"
    )
    for words in explained.slots:
        console.print(words, highlight=False)
    numbers = rows.drop("chosen", "option_type", "strike")
    _print("", numbers.rename({"vwap_premium_percent": "over_VWAP_%", "stop_percent": "stop_%"}))


def _day(bars: "DayBars", answer: dict[str, Any], params: Any, predicates: Any, as_json: bool) -> None:
    from engine.backtest.frames import decision_frame, trade_frame
    from engine.backtest.run import play_day

    outcome = play_day(bars, params, predicates)
    decisions = decision_frame([outcome])
    trades = trade_frame([outcome], int(params.r_value_rupees * 100))
    shown = trades.select(
        "symbol", "lots", "confirmed_at", "swing_low", "entry_time", "entry_price", "stop", "exit_time", "exit_price",
        "exit_reason", "pnl", "r",
    )  # fmt: skip
    answer |= {"trades": shown.to_dicts(), "decisions": decisions.to_dicts()}
    if as_json:
        print_json(answer)
        return
    warn_simulated(bars.simulated)
    _print(f"{params.underlying} {bars.date}: trades", shown)
    console.print()
    _print(
        "what was wanted of each slot, whenever it changed", decisions.drop("date", "candidates", "qualified")
    )


def _closed_minute(bars: "DayBars", moment: str) -> int:
    """The minute whose close decided at a clock time."""
    try:
        clock = dt.time.fromisoformat(moment)
    except ValueError:
        raise DataError(f"{moment!r} is not a clock time; write it as 10:31") from None
    return clock.hour * 60 + clock.minute - bars.open_minute - 1


def _print(title: str, frame: "pl.DataFrame") -> None:
    def text(value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, float):
            return f"{value:.2f}"
        if isinstance(value, dt.datetime):
            return f"{value:%H:%M:%S}"
        return str(value)

    numeric = {name for name, kind in frame.schema.items() if kind.is_numeric()}
    rows = [tuple(text(v) for v in row) for row in frame.iter_rows()]
    console.print(table(title, frame.columns, rows, right=numeric))
