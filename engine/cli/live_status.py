"""`workbench live status`: one look at a session; exit code 0 running well, 1 not running, 2 unwell.

Unwell is: a process that should live does not or gives no sign, a link is down, prices are stale, the latch is not
ACTIVE, a kill flag lies there, a position without its whole stop, a login that is missing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.text import Text

from engine.cli.live_account import NeverStartedError, meant, processes
from engine.cli.show import console, print_json, rupees, table, warn_played
from engine.market.prices import paise_to_rupees, to_rupees

if TYPE_CHECKING:
    from engine.desk.live_view import LiveView
    from engine.live.control.processes import Process
    from engine.live.places import Places

State = Literal["well", "not running", "unwell"]
EXIT_CODES: dict[State, int] = {"well": 0, "not running": 1, "unwell": 2}
_STYLES = {"ok": "green", "late": "yellow", "bad": "bold white on red", "off": "dim"}
_STATES = {"well": "bold green", "not running": "bold", "unwell": "bold white on red"}
_MODES = {"live": "bold white on red", "practice": "bold white on magenta", "paper": "bold white on blue"}
BY_STORE = "store"
"""Who set the latch of an account that never had a session."""
_NEEDED = ("runner", "supervisor", "watchdog", "feed")
_LINKS = frozenset({"runner", "feed", "broker", "watchdog", "database"})


def run_status(account: str | None, data_folder: Path | None, as_json: bool) -> None:
    """
    Look at a session once.

    Raises
    ------
    NoSessionError
        If several run and none is named.
    """
    from engine.desk.live_reading import LiveReading

    try:
        places = meant(account, data_folder)
    except NeverStartedError as error:
        if as_json:
            print_json({"state": "not running", "why": [str(error)]})
        else:
            console.print(str(error), highlight=False)
        raise typer.Exit(EXIT_CODES["not running"]) from None
    alive = processes(places)
    with LiveReading(places) as reading:
        view = reading.view()
    state, why = judge(view, alive, flagged=places.kill_flag.exists())
    if as_json:
        print_json(_told(places, view, alive, state, why))
    else:
        _show(places, view, alive, state, why)
    if EXIT_CODES[state]:
        raise typer.Exit(EXIT_CODES[state])


def judge(view: "LiveView", alive: "dict[str, Process]", *, flagged: bool) -> tuple[State, list[str]]:
    """
    Whether a session is well, and if not, why.

    Parameters
    ----------
    view : LiveView
    alive : mapping
        Processes that live, by name.
    flagged : bool
        Whether the kill flag exists.
    """
    held = [f"position {one.position} is open" for one in view.positions]
    if not alive:
        stopped = ["it was stopped"] if view.phase == "stopped" else []
        return ("unwell" if held else "not running"), [*stopped, "no process lives", *held]
    if view.phase == "ended":
        return ("unwell" if held else "not running"), ["the day is over", *held]
    why = [f"{name} does not run" for name in _NEEDED if name not in alive]
    if "runner" not in alive and view.runner_before:
        why.append(view.runner_before)
    why += [
        f"{light.name}: {light.words}"
        for light in view.lights
        if light.name in _LINKS
        and light.condition != "ok"
        and not (light.name == "broker" and light.condition == "off")
    ]
    if view.phase == "login_needed":
        why.append(f"the broker's login is missing: {view.login}")
    if view.latch is not None and view.latch.state != "ACTIVE":
        why.append(f"latch {view.latch.state}: {view.latch.reason} (by {view.latch.who})")
    if flagged:
        why.append("a kill flag lies there: workbench live reset --reason ...")
    if view.prices_doubtful and (view.positions or view.orders):
        why.append(f"prices: {view.prices_doubtful}")
    why += [f"position {one.position}: {one.protection}" for one in view.positions if one.protection]
    return ("unwell" if why else "well"), why


def _told(
    places: "Places", view: "LiveView", alive: "dict[str, Process]", state: State, why: list[str]
) -> dict[str, Any]:
    money = view.money
    return {
        "state": state,
        "why": why,
        "account": places.account,
        "mode": view.mode,
        "simulated": view.simulated,
        "title": view.title,
        "phase": view.phase,
        "clock": view.clock,
        "latch": None if view.latch is None else {"state": view.latch.state, "reason": view.latch.reason, "who": view.latch.who},
        "day_latched": view.day_latched,
        "processes": {name: process.pid for name, process in alive.items()},
        "runner_before": view.runner_before,
        "lights": {light.name: {"condition": light.condition, "words": light.words} for light in view.lights},
        "positions": [
            {
                "position": one.position, "symbol": one.symbol, "units": one.units, "entry": one.entry_rupees,
                "last": None if one.last is None else to_rupees(one.last), "stop": to_rupees(one.stop),
                "protection": one.protection, "pnl": None if one.pnl is None else paise_to_rupees(one.pnl), "r": one.r,
            }
            for one in view.positions
        ],
        "orders": [
            {
                "tag": one.tag, "position": one.position, "leg": one.leg, "symbol": one.symbol, "side": one.side,
                "quantity": one.quantity, "filled": one.filled, "trigger": to_rupees(one.trigger),
                "limit": to_rupees(one.limit), "state": one.state,
            }
            for one in view.orders
        ],
        "trades": len(view.trades),
        "money": None
        if money is None
        else {
            "gross": None if money.gross is None else paise_to_rupees(money.gross),
            "charges": paise_to_rupees(money.charges),
            "net": None if money.net is None else paise_to_rupees(money.net),
            "r": money.r,
            "net_r": money.net_r,
        },
        "database": str(places.database),
        "logs": str(places.logs),
    }  # fmt: skip


def _show(
    places: "Places", view: "LiveView", alive: "dict[str, Process]", state: State, why: list[str]
) -> None:
    mode = view.mode or "no session yet"
    head = Text.assemble(
        (f" {mode.upper()} ", _MODES.get(mode, "bold")),
        f"  {view.title}  account {places.account}  {view.phase} {view.clock}",
    )
    console.print(head)
    warn_played(view.simulated and view.mode is not None)
    lights = Text()
    for light in view.lights:
        number = f" {alive[light.name].pid}" if light.name in alive else ""
        lights.append("● ", style=_STYLES[light.condition]).append(f"{light.name}{number} {light.words}   ")
    console.print(lights)
    if view.runner_before:
        console.print(view.runner_before, style="yellow", highlight=False)
    if view.latch is not None:
        active = view.latch.state == "ACTIVE"
        never_set = active and view.latch.who == BY_STORE
        reason = "" if never_set else f"  {view.latch.reason} (by {view.latch.who})"
        console.print(
            Text(f"latch {view.latch.state}", style="green" if active else "bold red")
            + Text(reason, style="dim")
        )
    if view.positions:
        console.print(_positions(view))
    if view.orders:
        console.print(_orders(view))
    if view.money is not None:
        console.print(_money(view), highlight=False)
    console.print(Text(state.upper() + ("" if not why else ": " + "; ".join(why)), style=_STATES[state]))


def _positions(view: "LiveView") -> Any:
    rows = [
        (
            one.position, one.symbol, one.units, one.entry_rupees, "-" if one.last is None else to_rupees(one.last),
            to_rupees(one.stop) if one.stop else "none",
            "-" if one.pnl is None else rupees(paise_to_rupees(one.pnl)), "-" if one.r is None else one.r,
            one.protection or "stop stands",
        )
        for one in view.positions
    ]  # fmt: skip
    columns = ["position", "symbol", "units", "entry", "last", "stop", "P&L", "R", "protection"]
    return table("Open positions", columns, rows, right={"units", "entry", "last", "stop", "P&L", "R"})


def _orders(view: "LiveView") -> Any:
    rows = [
        (
            one.position, one.leg, one.symbol, one.side, f"{one.filled}/{one.quantity}",
            to_rupees(one.trigger) if one.trigger else "", to_rupees(one.limit) if one.limit else "", one.state,
        )
        for one in view.orders
    ]  # fmt: skip
    columns = ["position", "leg", "symbol", "side", "filled", "trigger", "limit", "state"]
    return table("Working orders", columns, rows, right={"filled", "trigger", "limit"})


def _money(view: "LiveView") -> str:
    money = view.money
    assert money is not None

    def said(paise: int | None) -> str:
        return "not known" if paise is None else rupees(paise_to_rupees(paise))

    in_r = "" if money.net_r is None else f" = {money.net_r} R"
    return (
        f"day: gross {said(money.gross)}, charges {said(money.charges)}, net {said(money.net)}{in_r}; "
        f"{len(view.trades)} trades"
    )
