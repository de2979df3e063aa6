"""The benchmark's figures for a person at a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text


def render(figures: Mapping[str, Any]) -> Group:
    """What `run_bench` found, as tables; print it with a rich console."""
    machine = figures["machine"]
    head = Text(
        f"{figures['days']} SIMULATED days x {figures['contracts']} contracts, {figures['bars']:,} bars\n"
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before'][0]} before and "
        f"{machine['load_after'][0]} after; Python {machine['python']}, "
        + ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    )
    return Group(
        head,
        "",
        _engines(figures),
        "",
        _trades(figures["trades"]),
        "",
        _start(figures["start"]),
        "",
        _live(figures["live"]),
        "",
        _goals(figures),
    )


def _engines(figures: Mapping[str, Any]) -> Table:
    table = Table(
        title="Same job, same days, run alternately", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("engine")
    for name in ("M bars/s", "s", "time over ours", "peak MB", "import s", "first run s"):
        table.add_column(name, justify="right")
    table.add_column("how", overflow="fold")
    for row in figures["engines"]:
        table.add_row(
            row["name"],
            f"{row['bars_per_s'] / 1e6:.3g}",
            f"{row['wall_s']:.3f}",
            _ratio(figures, row["key"]),
            "" if row["rss_mb"] is None else f"{row['rss_mb']:.0f}",
            "" if row["import_s"] is None else f"{row['import_s']:.1f}",
            "" if row["first_s"] is None else f"{row['first_s']:.1f}",
            row["note"],
        )
    return table


def _ratio(figures: Mapping[str, Any], key: str) -> str:
    if key not in figures["ratios"]:
        return ""
    spread = figures["ratio_spread"][key]
    return f"{figures['ratios'][key]:,.1f}x ({spread['min']:,.1f} to {spread['max']:,.1f})"


def _trades(trades: Mapping[str, Any]) -> Text:
    if trades["equal"]:
        said = f"{trades['count']} trades, hash {trades['hash']}: equal on 1 and 2 threads and by vectorbt"
        return Text(said, style="green")
    hashes = ", ".join(f"{name} {value}" for name, value in trades.items() if name.startswith("hash"))
    said = f"TRADES DIFFER: {trades['in_common_with_vectorbt']} of {trades['count']} in common with vectorbt; {hashes}"
    return Text(said, style="bold red")


def _start(start: Mapping[str, float]) -> Table:
    table = Table(title="From a fresh process", title_justify="left", box=None, pad_edge=False)
    table.add_column("what")
    table.add_column("", justify="right")
    for name, value in start.items():
        unit = "MB" if name.endswith("_mb") else "s"
        words = name.removesuffix("_mb").removesuffix("_s").replace("_", " ")
        table.add_row(
            words.replace("rss", "peak memory"),
            f"{value:.2f} {unit}" if unit == "s" else f"{value:.0f} {unit}",
        )
    return table


def _live(live: Mapping[str, Any]) -> Table:
    table = Table(title="Live path (made-up ticks)", title_justify="left", box=None, pad_edge=False)
    for name in ("what", "p50 us", "p99 us", "lost ticks", "CPU share", "peak MB", "own MB"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for key in ("ticks_8400", "ticks_20000"):
        row = live[key]
        words = f"{row['contracts'] * row['frames']:,.0f} ticks/s over {row['contracts']:,} contracts"
        own = "" if row["own_mb"] is None else f"{row['own_mb']}"
        shared = (f"{row['lost']:,}", f"{row['cpu_share']:.1%}", f"{row['rss_mb']}", own)
        for name, place in (("socket to decision", 0), ("of it in process", 1), ("a minute's close", 2)):
            took = row[("socket_to_decision", "in_process", "minute_close")[place]]
            told = shared if place == 0 else ("",) * len(shared)
            table.add_row(
                f"{words}: {name}" if place == 0 else f"   {name}",
                f"{took['p50_us']:,.0f}",
                f"{took['p99_us']:,.0f}",
                *told,
            )
    took = live["durable_intent"]
    table.add_row("decision to durable intent", f"{took['p50_us']:,.0f}", f"{took['p99_us']:,.0f}", *[""] * 4)
    table.add_row(
        f"recovery: log of {live['recovery_events']:,} events opened, session rebuilt in {live['recovery_s']:.2f} s",
        *[""] * 6,
    )
    return table


def _goals(figures: Mapping[str, Any]) -> Text:
    goals, ratio = figures["goals"], figures["ratios"]["vectorbt_whole_job"]
    speed = next(row["bars_per_s"] for row in figures["engines"] if row["key"] == "ours") / 1e6
    parts = (
        (
            f"{ratio:.1f}x vectorbt on the whole job, goal {goals['over_vectorbt_whole_job']:.0f}x",
            "over_vectorbt_whole_job_met",
        ),
        (
            f"{speed:.1f} M bars/s/core, goal {goals['bars_per_s_per_core'] / 1e6:.0f} M",
            "bars_per_s_per_core_met",
        ),
    )
    text = Text()
    for name, goal in figures["live"]["goals"].items():
        said = f"live, {name.replace('_', ' ')}: {goal['measured']:,.0f}, goal {goal['goal']:,.0f}"
        text.append(
            f"{'reached' if goal['met'] else 'MISSED '}  {said}\n", style="green" if goal["met"] else "red"
        )
    for said, key in parts:
        text.append(
            f"{'reached' if goals[key] else 'MISSED '}  {said}\n", style="green" if goals[key] else "red"
        )
    return text
