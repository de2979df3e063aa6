"""The tables and tiles of the report as HTML; every text that comes from outside is escaped here."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Any, NamedTuple

from engine.backtest.assumptions import Assumption
from engine.backtest.result import Result
from engine.desk.plots import CHARGE_LABELS, grouped, level_label, reason_label, rupees


class Cell(NamedTuple):
    """One cell: what is read, what is sorted by, and the classes it wears."""

    text: str
    key: str = ""
    look: str = ""


def number(value: Decimal | float | None, decimals: int = 0, *, sign: bool = False) -> Cell:
    """A number cell the Indian way, coloured where its sign matters; empty when it is not known."""
    if value is None:
        return Cell("", "", "n")
    look = f"n {tone(value)}" if sign else "n"
    return Cell(grouped(value, decimals=decimals, sign=sign), str(value), look.strip())


def tone(value: Decimal | float) -> str:
    """The class of a gain or a loss."""
    return "gain" if value > 0 else "loss" if value < 0 else ""


def table(
    heads: Sequence[tuple[str, str]],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    *,
    classes: str = "",
    name: str = "",
    foot: Sequence[Cell] = (),
    low: bool = True,
) -> str:
    """
    An HTML table.

    Parameters
    ----------
    heads : sequence of (text, title)
        The title is shown on hovering; "" for none. A head stands right where its column does.
    rows : iterable of (attributes, cells)
        Attributes of the row are trusted HTML; cells are escaped.
    classes, name : str
        Classes and id of the table.
    foot : sequence of Cell, optional
    low : bool
        False gives it a height of its own, with a scroll bar.
    """
    body = [f"<tr{attributes}>{''.join(map(_td, cells))}</tr>" for attributes, cells in rows]
    numeric = {k for k, cell in enumerate(foot) if cell.look.startswith("n")}
    top = "".join(
        f'<th scope="col"{_attribute("title", title)}{_attribute("class", "n" if k in numeric else "")}>'
        f"{escape(text)}</th>"
        for k, (text, title) in enumerate(heads)
    )
    bottom = f"<tfoot><tr>{''.join(map(_td, foot))}</tr></tfoot>" if any(cell.text for cell in foot) else ""
    return (
        f'<div class="scroll{" low" if low else ""}"><table{_attribute("class", classes)}{_attribute("id", name)}>'
        f"<thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody>{bottom}</table></div>"
    )


def _attribute(name: str, value: str) -> str:
    return f' {name}="{escape(value)}"' if value else ""


def _td(cell: Cell) -> str:
    return f"<td{_attribute('class', cell.look)}{_attribute('data-v', cell.key)}>{escape(cell.text)}</td>"


def tiles(result: Result) -> str:
    """The headline numbers."""
    facts = result.summary()
    net, charged = Decimal(facts["net_pnl"]), Decimal(facts["charges"])
    share = "" if facts["win_rate"] is None else f"{100 * facts['win_rate']:.0f} %"
    worst = result.daily.sort("r").row(0, named=True)
    mean = "" if facts["mean_r"] is None else f"mean {facts['mean_r']:+.2f} R a trade"
    plural = "day" if facts["days"] == 1 else "days"
    shown = [
        (
            "Net P&L",
            rupees(net, sign=True),
            f"{rupees(Decimal(facts['gross_pnl']), sign=True)} before charges",
            net,
        ),
        (
            "R after charges",
            f"{facts['net_r']:+.2f}",
            f"{facts['total_r']:+.2f} before charges",
            facts["net_r"],
        ),
        ("Trades", grouped(facts["trades"]), f"over {facts['days']} {plural}", 0),
        ("Win rate", share or "none", mean, 0),
        ("Largest drawdown", f"{facts['max_drawdown_r']:.2f} R", "before charges, by day", 0),
        ("Charges", rupees(charged), f"{charged / result.params.r_value_rupees:.2f} R", 0),
        ("Worst day", f"{worst['r']:+.2f} R", f"{worst['date']:%a %d %b %Y}", worst["r"]),
        (
            "Days ended early",
            str(facts["day_stops"] + facts["day_targets"]),
            f"{facts['day_stops']} by day stop, {facts['day_targets']} by target",
            0,
        ),
    ]
    return "".join(
        f'<div class="tile"><div class="name">{escape(name)}</div>'
        f'<div class="value {tone(value)}">{escape(text)}</div><div class="more">{escape(more)}</div></div>'
        for name, text, more, value in shown
    )


def assumption_list(statements: Iterable[Assumption]) -> str:
    """The statements of what was assumed."""
    lines = "".join(
        f'<li class="{one.weight}"><b>{escape(one.topic)}</b><span>{escape(one.text)}</span></li>'
        for one in statements
    )
    return f'<ul class="assume">{lines}</ul>'


def funnel_table(result: Result) -> str:
    """Which rule removed how many."""
    rows = []
    before: int | None = None
    for rule, reached, removed in result.funnel.iter_rows():
        share = f"{100 * removed / before:.1f} %" if removed and before else ""
        cells = [Cell(level_label(rule)), number(reached), number(removed), Cell(share, "", "n")]
        rows.append(("", cells))
        before = reached
    right = Cell("", "", "n")
    heads = [("Rule", ""), ("Left", ""), ("Removed", ""), ("Of those before", "")]
    return table(heads, rows, foot=[Cell(""), right, right, right])


def charge_table(result: Result) -> str:
    """Charges by component, as billed."""
    total = sum((result.charges[name] for name in CHARGE_LABELS), Decimal(0))
    rows = []
    for name, label in CHARGE_LABELS.items():
        value = result.charges[name]
        share = f"{100 * value / total:.1f} %" if total else ""
        rows.append(("", [Cell(label), number(value, 2), Cell(share, "", "n")]))
    foot = [Cell("Total"), number(total, 2), Cell("", "", "n")]
    return table([("Charge", ""), ("Rs", ""), ("Share", "")], rows, foot=foot)


def day_table(result: Result) -> str:
    """One line per traded day."""
    heads = [
        (text, "")
        for text in (
            "Day",
            "Trades",
            "P&L, Rs",
            "Charges, Rs",
            "Net, Rs",
            "R",
            "R after",
            "Running R after",
            "Ended by",
        )
    ]
    rows = [
        (
            "",
            [
                Cell(f"{day['date']:%a %d %b %Y}", f"{day['date']}"),
                number(day["trades"]),
                number(day["gross_pnl"], 2, sign=True),
                number(day["charges"], 2),
                number(day["net_pnl"], 2, sign=True),
                number(round(day["r"], 4), 2, sign=True),
                number(round(day["net_r"], 4), 2, sign=True),
                number(round(day["total_net_r"], 4), 2, sign=True),
                Cell(reason_label(day["latch"])),
            ],
        )
        for day in result.daily.iter_rows(named=True)
    ]
    sums = [result.daily[name].sum() for name in ("trades", "gross_pnl", "charges", "net_pnl")]
    foot = [
        Cell("All days"),
        number(sums[0]),
        number(sums[1], 2, sign=True),
        number(sums[2], 2),
        number(sums[3], 2, sign=True),
        number(result.daily["r"].sum(), 2, sign=True),
        number(result.daily["net_r"].sum(), 2, sign=True),
        Cell("", "", "n"),
        Cell(""),
    ]
    return table(heads, rows, classes="sort", foot=foot, low=False)


TRADE_HEADS = (
    ("#", "Number"),
    ("Contract", "Contract"),
    ("Lots", "Lots"),
    ("Confirmed", "Swing low confirmed"),
    ("Low", "Swing low, Rs"),
    ("Entry", "Entry time"),
    ("Sold", "Sold at, Rs"),
    ("Stop", "Stop as placed, Rs"),
    ("Exit", "Exit time"),
    ("Bought", "Bought back at, Rs"),
    ("Why", "Exit reason"),
    ("P&L", "P&L before charges, Rs"),
    ("Net", "P&L after charges, Rs"),
    ("R", "R, of the value of one R"),
    ("Own R", "R, of the trade's own risk"),
    ("Marks", "Marks"),
)


def trade_table(result: Result, drawn: Collection[int]) -> str:
    """Every trade; rows in `drawn` open a chart."""
    rows = [
        (f' class="drawn" data-trade="{k}"' if k in drawn else "", _trade_cells(k, trade, k in drawn))
        for k, trade in enumerate(result.trades.iter_rows(named=True))
    ]
    right = {"#", "Lots", "Low", "Sold", "Stop", "Bought", "P&L", "Net", "R", "Own R"}
    foot = [Cell("", "", "n" if text in right else "") for text, _ in TRADE_HEADS]
    return table(TRADE_HEADS, rows, classes="sort", name="trades-table", foot=foot, low=False)


def _trade_cells(k: int, trade: dict[str, Any], drawn: bool) -> list[Cell]:
    marks = [
        *(["ambiguous bar"] if trade["ambiguous"] else []),
        *([f"{trade['gap_minutes']} min without price"] if trade["gap_minutes"] else []),
        *(["invalid"] if trade["invalid"] else []),
    ]
    left = trade["exit_time"]
    known, entered = trade["confirmed_at"], trade["entry_time"]
    return [
        Cell(str(k + 1), "", "n"),
        Cell(trade["symbol"], "", "look" if drawn else ""),
        number(trade["lots"]),
        Cell(f"{known:%d %b %H:%M}", f"{known:%Y-%m-%dT%H:%M:%S}"),
        number(trade["swing_low"], 2),
        Cell(f"{entered:%H:%M:%S}", f"{entered:%Y-%m-%dT%H:%M:%S}"),
        number(trade["entry_price"], 2),
        number(trade["stop"], 2),
        Cell("" if left is None else f"{left:%H:%M:%S}", "" if left is None else f"{left:%Y-%m-%dT%H:%M:%S}"),
        number(trade["exit_price"], 2),
        Cell(reason_label(trade["exit_reason"])),
        number(trade["pnl"], 0, sign=True),
        number(trade["net_pnl"], 0, sign=True),
        number(trade["r"] if trade["r"] is None else round(trade["r"], 4), 2, sign=True),
        number(trade["own_r"] if trade["own_r"] is None else round(trade["own_r"], 4), 2, sign=True),
        Cell(", ".join(marks), "", "bad" if trade["invalid"] else ""),
    ]


def params_table(result: Result) -> str:
    """Every parameter with its value and its meaning."""
    rows = []
    for name, field in type(result.params).model_fields.items():
        value = getattr(result.params, name)
        rows.append(("", [Cell(name), Cell(_written(value)), Cell(field.description or "", "", "wide")]))
    return table([("Parameter", ""), ("Value", ""), ("Meaning", "")], rows, low=False)


def _written(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, dt.time):
        return f"{value:%H:%M}"
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value)


def filter_sources(result: Result) -> str:
    """The user's own filters as they were written."""
    return "".join(f"<h3>Filter {escape(f.name)}</h3><pre>{escape(f.source)}</pre>" for f in result.filters)
