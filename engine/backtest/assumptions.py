"""What a result rests on, in sentences for a reader who was not there when it was made."""

import datetime as dt
from typing import Literal, NamedTuple

from engine.backtest.result import Result
from engine.desk.plots import grouped

Weight = Literal["plain", "note", "warning"]
_NAMED = 6

_PATHS = {
    "worst": (
        "Each minute is played as open, low, high, close: a short entry is filled on the way down, then the bar's "
        "high is put against its stop. It is the worst order for a short."
    ),
    "high_first": "Each minute is played as open, high, low, close. This is kinder to a short than the order 'worst'.",
    "nearest_first": (
        "Each minute is played as open, the extreme nearer to the open, the other extreme, close. This is kinder to "
        "a short than the order 'worst'."
    ),
}


class Assumption(NamedTuple):
    """One statement: what it is about, what holds, and how much a reader should mind."""

    topic: str
    text: str
    weight: Weight


def assumptions(result: Result) -> list[Assumption]:
    """Everything that was assumed, left out or could not be known in a run."""
    return [
        _prices(result),
        Assumption(
            "Decisions",
            "Decisions use closed 1-minute bars only, and act from the moment a bar has closed. "
            "A swing low counts from its confirmation, not from its extreme.",
            "plain",
        ),
        Assumption(
            "Order within a minute",
            _PATHS[result.params.bar_path],
            "plain" if result.params.bar_path == "worst" else "note",
        ),
        _fills(result),
        Assumption(
            "Charges",
            "Brokerage, STT, exchange and SEBI charges, stamp duty and GST at the rates of each date, rounded as on "
            "a contract note. R, win rate and drawdown are before charges unless a figure says otherwise.",
            "plain",
        ),
        _ambiguous(result),
        _unpriced(result),
        _gaps(result),
        _days(result),
    ]


def _prices(result: Result) -> Assumption:
    days = _count(len(result.days), "day")
    bars = grouped(sum(day.bars for day in result.days))
    sources = ", ".join(result.sources)
    if result.simulated:
        text = (
            f"Made by a model (source: {sources}), {days}, {bars} bars. They show how the machinery works and say "
            "nothing about profit or loss in the market."
        )
        return Assumption("Prices", text, "warning")
    return Assumption("Prices", f"From {sources}: {days}, {bars} bars of one minute.", "plain")


def _fills(result: Result) -> Assumption:
    params = result.params
    slip = [f"Rs {params.slippage_rupees:.2f}"] if params.slippage_rupees else []
    slip += [f"{params.slippage_percent} % of the price"] if params.slippage_percent else []
    worse = (
        f"{' plus '.join(slip)} worse than the price met" if slip else "at the price met, without slippage"
    )
    delay = (
        f"Orders take {params.latency_ms} ms to reach the exchange."
        if params.latency_ms
        else "Orders reach the exchange without delay."
    )
    text = (
        f"Every fill is {worse}, within the bar's range. {delay} A triggered stop that its limit leaves unfilled for "
        f"{params.stop_unfilled_seconds} s goes to market. The size of the order book is not considered."
    )
    return Assumption("Fills", text, "plain" if slip and params.latency_ms else "note")


def _ambiguous(result: Result) -> Assumption:
    bars = sum(day.ambiguous_bars for day in result.days)
    marked = int(result.trades["ambiguous"].sum())
    if not bars:
        text = "In no bar did the assumed order of prices decide a trade or a day limit."
        return Assumption("Ambiguous bars", text, "plain")
    text = (
        f"In {_count(bars, 'bar')} the assumed order of prices decided a trade or a day limit; one-minute bars cannot tell "
        f"what came first. {marked} of {result.trades.height} trades are marked for it."
    )
    return Assumption("Ambiguous bars", text, "note")


def _unpriced(result: Result) -> Assumption:
    invalid = int(result.trades["invalid"].sum())
    held = int((result.trades["gap_minutes"] > 0).sum())
    if not invalid and not held:
        return Assumption(
            "Missing prices", "Every position could be followed and closed at a price.", "plain"
        )
    text = (
        f"Trades without a price to close them: {invalid}; they are listed as invalid, and their result is unknown and "
        f"in no total. Trades held through minutes without a bar, in which their stop could not be seen: {held}."
    )
    return Assumption("Missing prices", text, "warning" if invalid else "note")


def _gaps(result: Result) -> Assumption:
    gaps = result.data_gaps
    if gaps.is_empty():
        return Assumption("Data gaps", "No contract misses a minute between its first and last bar.", "plain")
    worst = gaps.sort("worst_missing", descending=True).row(0, named=True)
    text = (
        f"Contract-minutes missing: {grouped(int(gaps['missing'].sum()))}, on {gaps.height} of "
        f"{len(result.entries)} days, most for {worst['worst_symbol']} on {worst['date']:%d %b %Y} "
        f"({_count(worst['worst_missing'], 'minute')}). A missing minute is never taken for a price."
    )
    return Assumption("Data gaps", text, "note")


def _days(result: Result) -> Assumption:
    sentences = []
    if result.skipped:
        reasons: dict[str, list[dt.date]] = {}
        for day in result.skipped:
            reasons.setdefault(day.reason, []).append(day.date)
        sentences += [f"Not traded: {_listed(dates)} ({reason})." for reason, dates in reasons.items()]
    if result.absent is None:
        sentences.append(
            "Whether days are missing cannot be told: the range reaches beyond the known calendar."
        )
    elif result.absent:
        sentences.append(f"Trading days without data: {_listed(list(result.absent))}.")
    if not sentences:
        return Assumption("Days", "Every trading day of the range is held and was traded.", "plain")
    return Assumption("Days", " ".join(sentences), "warning")


def _count(number: int, noun: str) -> str:
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"


def _listed(dates: list[dt.date]) -> str:
    named = ", ".join(f"{date:%d %b %Y}" for date in dates[:_NAMED])
    more = f" and {len(dates) - _NAMED} more" if len(dates) > _NAMED else ""
    return f"{named}{more}"
