"""The report of a run: one HTML file that opens anywhere, without a network, and says what it rests on.

It only shows what a `Result` holds: no number is computed here that the result does not give. Charts of single
trades need the lake, for the bars around them.
"""

import json
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from engine.backtest.assumptions import assumptions
from engine.backtest.report_tables import (
    assumption_list,
    charge_table,
    day_table,
    filter_sources,
    funnel_table,
    params_table,
    tiles,
    trade_table,
)
from engine.backtest.result import SIMULATED_LABEL, Result
from engine.backtest.trade_pictures import trade_figures
from engine.desk import plots
from engine.errors import DataError
from engine.history.lake import Lake
from engine.history.writing import write_atomic

DEFAULT_CHARTS = 60
_SECTIONS = (
    ("result", "Result"),
    ("basis", "What it rests on"),
    ("equity", "Equity"),
    ("where", "Where it comes from"),
    ("funnel", "Rules"),
    ("charges", "Charges"),
    ("trades", "Trades"),
    ("parameters", "Parameters"),
)


def overview(result: Result) -> go.Figure:
    """Equity, R per day and drawdown of a run as one figure."""
    return plots.overview(result.daily, title=_heading(result), simulated=result.simulated)


def write_report(
    result: Result, path: str | Path, lake: Lake | str | Path | None = None, *, charts: int = DEFAULT_CHARTS
) -> Path:
    """
    Write the report of a run as one self-contained HTML file, whole or not at all.

    Parameters
    ----------
    result : Result
    path : path
        File to write; its folder is made, an older file is replaced.
    lake : Lake or path of the data folder, optional
        With it, a click on a trade opens its chart; without it, there are no charts of trades.
    charts : int
        Trades that get a chart: best, worst and a spread of the others. Each adds about 15 kB.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    DataError
        If the path is a folder, or the lake no longer holds a day of the run.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(
            f"{path} is a folder; give the name of the report in it, such as {path / 'report.html'}"
        )
    lake = Lake(lake) if isinstance(lake, str | Path) else lake
    pictures = trade_figures(result, lake, charts) if lake is not None else {}
    page = _page(result, pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.encode())
    return path


def _page(result: Result, pictures: dict[int, go.Figure]) -> str:
    title = _heading(result)
    facts = (
        f"Parameter hash {result.params.hash}",
        f"trade hash {result.trade_hash}",
        f"source {', '.join(result.sources)}",
    )
    stored = {
        "templates": {
            "light": plots.template().to_plotly_json(),
            "dark": plots.template(dark=True).to_plotly_json(),
        },
        "figures": {name: _plain(figure) for name, figure in _figures(result).items()},
        "trades": {str(k): _plain(figure) for k, figure in pictures.items()},
    }
    nav = "".join(f'<a href="#{name}">{escape(text)}</a>' for name, text in _SECTIONS)
    return _template().substitute(
        title=escape(f"{title} [{SIMULATED_LABEL}]" if result.simulated else title),
        heading=escape(title),
        under=escape(f"{' · '.join(facts)}"),
        banner=_banner(result),
        nav=nav,
        sections=_sections(result, pictures),
        footer=escape(
            f"{title}; {', '.join(facts)}; {len(result.days)} days in {result.elapsed_s:.2f} s."
            + (f" {SIMULATED_LABEL}." if result.simulated else "")
        ),
        css=_part("report.css"),
        js=_part("report.js"),
        plotly=get_plotlyjs(),
        figures=_for_script(stored),
    )


def _figures(result: Result) -> dict[str, go.Figure]:
    shown = {"simulated": result.simulated}
    daily, trades = result.daily, result.trades
    return {
        "equity": plots.equity(daily, **shown),
        "daily": plots.daily_r(daily, **shown),
        "distribution": plots.r_distribution(trades, **shown),
        "exits": plots.exit_reasons(trades, **shown),
        "time": plots.entry_time_map(trades, **shown),
        "premium": plots.premium_map(trades, **shown),
        "strike": plots.strike_map(
            trades, round_strike=result.params.round_strike_rupees or 100, simulated=result.simulated
        ),
        "funnel": plots.funnel(result.funnel, **shown),
        "charges": plots.charges(result.charges, **shown),
    }


def _sections(result: Result, pictures: dict[int, go.Figure]) -> str:
    if pictures:
        hint = f"{len(pictures)} of {result.trades.height} have a chart: click a row with a blue contract. "
    else:
        hint = "No charts of single trades: the report was written without the lake. "
    own = filter_sources(result)
    titles = dict(_SECTIONS)
    parts = {
        "result": f'<div class="tiles">{tiles(result)}</div>',
        "basis": f'<div class="card"><h2>{titles["basis"]}</h2>{assumption_list(assumptions(result))}</div>',
        "equity": (
            f"{_slot('equity')}{_slot('daily')}<div class='card'><details><summary>Every day as a table</summary>"
            f"{day_table(result)}</details></div>"
        ),
        "where": (
            f'<div class="pair">{_slot("distribution")}{_slot("exits")}</div>'
            f"{_slot('time')}"
            f'<div class="pair">{_slot("premium")}{_slot("strike")}</div>'
        ),
        "funnel": f'<div class="pair">{_slot("funnel")}<div class="card">{funnel_table(result)}</div></div>',
        "charges": f'<div class="pair">{_slot("charges")}<div class="card">{charge_table(result)}</div></div>',
        "trades": (
            f'<div class="card"><h2>{titles["trades"]}</h2><p class="under">{escape(hint)}'
            f"A click on the head of a column sorts.</p>{trade_table(result, pictures)}</div>"
        ),
        "parameters": (
            f'<div class="card"><h2>{titles["parameters"]}</h2><p class="under">Hash '
            f"<code>{escape(result.params.hash)}</code>. A run with these parameters over the same data gives "
            f"trade hash <code>{escape(result.trade_hash)}</code>.</p>{params_table(result)}{own}</div>"
        ),
    }
    return "\n".join(f'<section id="{name}">{parts[name]}</section>' for name, _ in _SECTIONS)


def _slot(name: str) -> str:
    return f'<div class="card figure"><div data-figure="{name}"></div></div>'


def _banner(result: Result) -> str:
    if not result.simulated:
        return ""
    return (
        f'<p class="banner" role="alert"><b>{SIMULATED_LABEL}</b> These prices were made by a model. '
        "Nothing here tells what the strategy would earn or lose in the market.</p>"
    )


def _heading(result: Result) -> str:
    strategy = result.params.strategy.replace("_", "-")
    return f"{result.params.underlying} {strategy}, {result.start:%d %b %Y} to {result.end:%d %b %Y}"


def _plain(figure: go.Figure) -> dict[str, Any]:
    """A figure as JSON values, without its template: the page puts in the light or the dark one."""
    fields: dict[str, Any] = json.loads(figure.to_json())
    fields["layout"].pop("template", None)
    return {"data": fields["data"], "layout": fields["layout"]}


def _for_script(values: object) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(values, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _part(name: str) -> str:
    return (files("engine.backtest") / "page" / name).read_text(encoding="utf-8")


def _template() -> Template:
    return Template(_part("report.html"))
