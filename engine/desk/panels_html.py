"""The control room's parts as HTML: from a `LiveView` to text, nothing else.

Blue is PAPER, violet PRACTICE, red LIVE; nothing else on the page is violet or a full red surface but KILL. Gains are
blue and losses orange, as in every figure, and a condition is told by a sign and a word beside its colour.
"""

import html
from collections.abc import Iterable

from engine.desk.live_view import (
    Condition,
    LiveView,
    OrderLine,
    PositionLine,
    SlotLine,
    TradeLine,
    seconds,
)
from engine.desk.live_words import LogLine, money, price
from engine.desk.plots import SIMULATED_LABEL, reason_label
from engine.desk.plots.look import FONT

LOG_LINES = 120

MODES = {
    "paper": ("PAPER", "#1f66a6", "own book, no order leaves this machine"),
    "practice": ("PRACTICE", "#6b3fa0", "practice exchange, no real money"),
    "live": ("LIVE", "#b3261e", "REAL MONEY, real orders"),
    None: ("NO SESSION", "#4a5563", "nothing is running here yet"),
}
_SIGNS: dict[Condition, str] = {"ok": "●", "late": "▲", "bad": "✖", "off": "○"}

STYLE = f"""<style>
.cr-room {{ background: #eef1f5; padding: 10px; border-radius: 8px; font-family: {FONT}; color: #1d2733;
  --jp-widgets-font-size: 13px; overflow: visible; }}
.cr-room .widget-html, .cr-room .widget-html-content {{ margin: 0; line-height: 1.4; font-size: 13px; color: #1d2733;
  font-family: {FONT}; overflow: visible; }}
.cr-card {{ background: #fff; border: 1px solid #d8dde4; border-radius: 8px; padding: 8px 12px; margin: 4px;
  overflow: hidden; }}
.cr-card h4 {{ margin: 0 0 5px 0; font-size: 11px; letter-spacing: .07em; text-transform: uppercase; color: #5b6776;
  font-weight: 600; }}
.cr-stale {{ filter: grayscale(1); opacity: .5; }}
.cr-banner {{ color: #fff; border-radius: 8px; padding: 10px 18px; display: flex; align-items: center; gap: 20px;
  margin: 4px; }}
.cr-banner .mode {{ font-size: 30px; font-weight: 800; letter-spacing: .08em; line-height: 1.1; }}
.cr-banner .sub {{ font-size: 12px; opacity: .9; }}
.cr-banner .what {{ font-size: 16px; font-weight: 600; white-space: pre; }}
.cr-banner .clock {{ font-size: 26px; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.1; }}
.cr-banner .gap {{ flex: 1; }}
.cr-banner .right {{ text-align: right; }}
.cr-badge {{ display: inline-block; background: #fff; color: #8c1d18; font-weight: 800; font-size: 12px; padding: 3px 9px;
  border-radius: 4px; letter-spacing: .05em; }}
.cr-strip {{ border-radius: 6px; padding: 6px 14px; margin: 4px; font-weight: 600; }}
.cr-strip.warning {{ background: #fbe6c8; color: #7a3d00; }}
.cr-strip.error {{ background: #f9d8d5; color: #8c1d18; }}
.cr-strip.done {{ background: #d7ecdf; color: #12533c; }}
.cr-lights {{ display: flex; flex-wrap: wrap; gap: 6px; margin: 4px; }}
.cr-light {{ background: #fff; border: 1px solid #d8dde4; border-radius: 14px; padding: 2px 12px; font-size: 12px;
  white-space: nowrap; max-width: 420px; overflow: hidden; text-overflow: ellipsis; }}
.cr-light b {{ font-weight: 600; margin: 0 5px 0 4px; }}
.cr-light.ok i {{ color: #1b9e5a; }} .cr-light.late i {{ color: #c77700; }} .cr-light.bad i {{ color: #b3261e; }}
.cr-light.bad {{ border-color: #b3261e; background: #fdf0ef; }} .cr-light.late {{ border-color: #d9a400; }}
.cr-light.off {{ color: #7a8594; }} .cr-light i {{ font-style: normal; }}
.cr-big {{ font-size: 27px; font-weight: 700; font-variant-numeric: tabular-nums; line-height: 1.2; white-space: nowrap; }}
.cr-small {{ font-size: 12px; color: #5b6776; }}
.cr-gain {{ color: #1f66a6; }} .cr-loss {{ color: #c9580c; }}
.cr-pairs {{ display: flex; gap: 1px 18px; flex-wrap: wrap; font-variant-numeric: tabular-nums; margin-top: 3px; }}
.cr-pairs span {{ white-space: nowrap; }}
.cr-room table {{ border-collapse: collapse; width: 100%; font-size: 12.5px; font-variant-numeric: tabular-nums; }}
.cr-room th {{ text-align: right; font-weight: 500; color: #5b6776; font-size: 11px; padding: 2px 8px;
  border-bottom: 1px solid #d8dde4; white-space: nowrap; }}
.cr-room td {{ text-align: right; padding: 4px 8px; white-space: nowrap; border-bottom: 1px solid #eef1f5; }}
.cr-tight td, .cr-tight th {{ padding-left: 5px !important; padding-right: 5px !important; }}
.cr-wide {{ overflow-x: auto !important; }}
.cr-room th.l, .cr-room td.l {{ text-align: left; }}
.cr-none {{ color: #7a8594; padding: 3px 0; }}
.cr-alarm {{ background: #b3261e; color: #fff; border-radius: 3px; padding: 1px 6px; font-weight: 700; }}
.cr-doubt {{ background: #fbe6c8; color: #7a3d00; border-radius: 3px; padding: 1px 6px; font-weight: 600; }}
.cr-log table td {{ text-align: left; padding: 1px 8px; border: 0; white-space: normal; vertical-align: top; }}
.cr-log td:first-child {{ color: #5b6776; white-space: nowrap; width: 60px; }}
.cr-log .warning {{ color: #8a4500; }} .cr-log .error {{ color: #b3261e; font-weight: 600; }}
.cr-log .good {{ color: #12533c; }}
.cr-scroll {{ max-height: 300px; overflow-y: auto !important; }}
.cr-room button.jupyter-button {{ font-family: {FONT}; border-radius: 6px; font-weight: 600; height: 34px; line-height: 32px; }}
.cr-room button.cr-kill {{ background: #b3261e; color: #fff; font-size: 16px; font-weight: 800; letter-spacing: .08em;
  height: 46px; line-height: 44px; }}
.cr-room button.cr-armed {{ background: #000; color: #ffd6d2; outline: 3px solid #b3261e;
  animation: cr-pulse .8s infinite alternate; }}
.cr-room button.cr-sure {{ background: #7a3d00; color: #fff; }}
@keyframes cr-pulse {{ from {{ outline-color: #b3261e; }} to {{ outline-color: #ff8a80; }} }}
.cr-room {{ position: relative; }}
.cr-heart, .cr-heart .widget-html-content {{ position: static !important; margin: 0; height: 0 !important;
  min-height: 0; overflow: visible; }}
.cr-room .jupyter-widgets-disconnected::before {{ display: none; }} /* the cover says it */
.cr-room .cr-silent {{ position: absolute; inset: 0; z-index: 20; border-radius: 8px; pointer-events: none;
  background: rgba(222,226,232,.8); opacity: 0; animation: cr-appear .4s linear 12s forwards; text-align: center; }}
.cr-room .cr-silent span {{ position: sticky; top: 120px; display: inline-block; margin: 120px 0; background: #1d2733; color: #fff;
  font-size: 16px; font-weight: 600; padding: 14px 24px; border-radius: 8px; }}
@keyframes cr-appear {{ to {{ opacity: 1; }} }}
.cr-progress {{ height: 9px; background: #e3d0ce; border-radius: 5px; overflow: hidden; margin-top: 5px; }}
.cr-progress div {{ height: 100%; background: #b3261e; }} .cr-progress.done div {{ background: #1b9e5a; }}
.cr-flatten button.jupyter-button {{ height: 26px; line-height: 24px; font-size: 12px; }}
</style>"""


def banner(view: LiveView) -> str:
    """Mode in its colour over the whole width, what is traded, the session's clock, and simulated prices named."""
    name, colour, words = MODES[view.mode]
    badge = f"<span class='cr-badge'>{SIMULATED_LABEL}</span>" if view.simulated and view.mode else ""
    pace = " · not in real time" if view.paced else ""
    phase = view.phase.replace("_", " ")
    old = " style='opacity:.45'" if view.stale_s else ""
    return (
        f"<div class='cr-banner' data-mode='{html.escape(view.mode or 'none')}' style='background:{colour}'>"
        f"<div><div class='mode'>{name}</div><div class='sub'>{words}</div></div>"
        f"<div><div class='what'>{html.escape(view.title)}</div>{badge}</div><div class='gap'></div>"
        f"<div class='right'><div class='clock'{old}>{view.clock or '--:--:--'}</div>"
        f"<div class='sub'>IST{', last told' if old else ''}{pace}{' · ' if phase else ''}{html.escape(phase)}</div></div></div>"
    )


def strips(view: LiveView) -> str:
    """What must not be overlooked, one line each: age of the numbers, the latch, the day's end for entries, login."""
    lines = []
    if view.mode is None:
        return "<div class='cr-strip warning'>No session is known here. Start one with notebook 10 or `workbench live start`.</div>"
    if view.stale_s:
        age = (
            "no number has come yet"
            if view.stale_s == float("inf")
            else f"numbers are {seconds(view.stale_s)} old"
        )
        lines.append(("error", f"{view.prices_doubtful or 'stale'}: {age}, greyed out below"))
    elif view.prices_doubtful and view.phase == "trading":
        lines.append(
            ("warning", f"prices are not fresh: {view.prices_doubtful}; no new entry while it lasts")
        )
    if view.mode == "live" and view.simulated:
        lines.append(("error", "prices are simulated or unproved in a LIVE session: trust no number here"))
    if view.phase == "login_needed":
        lines.append(("error", f"the broker wants a login: run `{view.login}`"))
    if view.latch and view.latch.state != "ACTIVE" and view.phase != "ended":
        meaning = {
            "REDUCING": "exits only",
            "HALTED": "no new entry",
            "FLATTENING": "everything is being closed",
        }[view.latch.state]
        lines.append(
            (
                "warning",
                f"trading latch {view.latch.state} ({meaning}): {view.latch.reason}, by {view.latch.who}",
            )
        )
    if view.day_latched:
        lines.append(("warning", f"{reason_label(view.day_latched)} reached: no entry any more today"))
    return "".join(f"<div class='cr-strip {level}'>{html.escape(text)}</div>" for level, text in lines)


def lights(view: LiveView) -> str:
    """Status lights: sign, name, age or trouble."""
    parts = (
        f"<span class='cr-light {light.condition}' title='{html.escape(light.words, quote=True)}'>"
        f"<i>{_SIGNS[light.condition]}</i><b>{html.escape(light.name)}</b>{html.escape(light.words)}</span>"
        for light in view.lights
    )
    return f"<div class='cr-lights'>{''.join(parts)}</div>"


def _coloured(paise: int | None, text: str) -> str:
    return text if not paise else f"<span class='cr-{'gain' if paise > 0 else 'loss'}'>{text}</span>"


def day_money(view: LiveView) -> str:
    """Net of the day, large; gross, charges and R beneath."""
    told = view.money
    if told is None:
        return "<h4>Day, net</h4><div class='cr-big'>-</div><div class='cr-small'>no session day yet</div>"
    net = "not known" if told.net is None else _coloured(told.net, money(told.net))
    r = "" if told.net_r is None else f"<b>{told.net_r:+.2f} R</b> net"
    gross = "not known: a price is missing" if told.gross is None else money(told.gross)
    gross_r = "" if told.r is None else f" ({told.r:+.2f} R)"
    simulated = " <span class='cr-doubt'>simulated</span>" if view.simulated else ""
    return (
        f"<h4>Day, net of charges{simulated}</h4><div class='cr-big'>{net}</div><div class='cr-pairs'><span>{r}</span></div>"
        f"<div class='cr-pairs cr-small'><span>gross {gross}{gross_r}</span>"
        f"<span>charges {money(told.charges, sign=False)}</span><span>realised {money(told.realised)}</span></div>"
    )


def slot(line: SlotLine) -> str:
    """Best CE or PE, how many candidates there were, and the reason."""
    since = f" <span class='cr-small'>since {line.since}</span>" if line.since else ""
    counted = (
        f"{line.qualified} of {line.candidates} candidates qualify" if line.candidates else "no candidates"
    )
    head = f"<h4>Best {line.slot} · {counted}</h4>"
    if not line.wanted:
        return f"{head}<div class='cr-none'>{html.escape(line.words)}{since}</div>"
    lots = f"{line.lots} lot{'s' if line.lots > 1 else ''}"
    return (
        f"{head}<div><b>{html.escape(line.symbol)}</b> · sell {lots}{since}</div><div class='cr-pairs'>"
        f"<span>trigger <b>{price(line.trigger)}</b></span>"
        f"<span>limit <b>{price(line.limit)}</b></span><span>stop <b>{price(line.stop)}</b></span></div>"
        f"<div class='cr-small'>{html.escape(line.words)}</div>"
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], style: str = "") -> str:
    """A table; a column whose head begins with "|" stands left."""
    marked = [(head.removeprefix("|"), " class='l'" if head.startswith("|") else "") for head in heads]
    top = "".join(f"<th{left}>{name}</th>" for name, left in marked)
    body = "".join(
        "<tr>"
        + "".join(f"<td{left}>{cell}</td>" for cell, (_, left) in zip(row, marked, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table class='{style}'><tr>{top}</tr>{body}</table>"


def positions(lines: tuple[PositionLine, ...]) -> str:
    """Open positions with price, stop, P&L and R; a short without its stop is an alarm."""
    if not lines:
        return "<h4>Open positions</h4><div class='cr-none'>flat</div>"
    heads = ("|contract", "units", "entry", "last", "stop", "|protection", "P&L", "R", "since")
    rows = (
        (
            f"<b>{html.escape(line.symbol)}</b> <span class='cr-small'>#{line.position}</span>",
            f"{line.units:+,}",
            f"{line.entry_rupees}",
            "no price" if line.last is None else price(line.last),
            price(line.stop) if line.stop else "-",
            _protection(line.protection),
            "not known" if line.pnl is None else _coloured(line.pnl, money(line.pnl)),
            "" if line.r is None else f"{line.r:+.2f}",
            line.since,
        )
        for line in lines
    )
    return f"<h4>Open positions</h4>{_table(heads, rows)}"


def _protection(words: str) -> str:
    if not words:
        return "stop stands"
    style = "cr-alarm" if words.isupper() else "cr-doubt"
    return f"<span class='{style}'>{html.escape(words)}</span>"


def orders(lines: tuple[OrderLine, ...]) -> str:
    """Orders whose end is not proven."""
    if not lines:
        return "<h4>Working orders</h4><div class='cr-none'>none</div>"
    heads = ("|order", "|contract", "units", "filled", "trigger", "limit", "|state")
    rows = (
        (
            f"{line.side} {line.leg}",
            html.escape(line.symbol),
            f"{line.quantity:,}",
            f"{line.filled:,}",
            price(line.trigger) if line.trigger else "-",
            price(line.limit) if line.limit else "market",
            f"<span class='cr-doubt'>{html.escape(line.state)}</span>"
            if line.doubtful
            else html.escape(line.state),
        )
        for line in lines
    )
    return f"<h4>Working orders</h4>{_table(heads, rows)}"


def trades(lines: tuple[TradeLine, ...]) -> str:
    """Positions that are flat again, the newest first."""
    if not lines:
        return "<h4>Trades today</h4><div class='cr-none'>none yet</div>"
    heads = ("|contract", "units", "|sold", "at", "|bought", "at", "|why", "P&L", "R")
    rows = (
        (
            html.escape(line.symbol),
            f"{line.units:,}",
            line.opened,
            f"{line.entry_rupees}",
            line.closed,
            f"{line.exit_rupees}",
            html.escape(_why(line.reason)),
            _coloured(line.pnl, money(line.pnl)),
            "" if line.r is None else f"{line.r:+.2f}",
        )
        for line in reversed(lines)
    )
    return f"<h4>Trades today, before charges</h4>{_table(heads, rows, 'cr-tight')}"


def _why(reason: str) -> str:
    return "KILL" if reason == "kill" else reason_label(reason)


def event_log(lines: tuple[LogLine, ...]) -> str:
    """The newest lines first."""
    rows = "".join(
        f"<tr class='{line.level}'><td>{line.clock}</td><td>{html.escape(line.text)}</td></tr>"
        for line in reversed(lines[-LOG_LINES:])
    )
    return (
        f"<div class='cr-log'><table>{rows}</table></div>"
        if rows
        else "<div class='cr-none'>nothing yet</div>"
    )


def failure(error: Exception) -> str:
    """That the room itself has failed and shows nothing new any more."""
    words = html.escape(f"{type(error).__name__}: {error}")
    return (
        f"<div class='cr-strip error'>This panel has failed ({words}) and shows nothing new. The session runs on without "
        "it. Run the cell again.</div>"
    )


def heartbeat(number: int) -> str:
    """
    A cover that the browser itself draws over the room when no newer one has come for twelve seconds.

    So a page whose kernel has died does not go on showing old numbers as if they were of now.
    """
    return (
        f"<div class='cr-silent' data-beat='{number}'><span>This page has heard nothing from its kernel for 12 s or more: "
        "all numbers are old.<br>The session runs on without it. Run the cell again.</span></div>"
    )


def footer(view: LiveView) -> str:
    """Small print: latency, counts, when broker and log were last compared."""
    return f"<div class='cr-small' style='margin:4px 8px'>{html.escape(view.footer)}</div>"
