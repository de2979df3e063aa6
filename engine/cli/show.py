"""How commands speak: one JSON object for programs; tables, progress and a clear label for people."""

import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

SIMULATED = "SIMULATED PRICES: made by a model, no market traded them"
PLAYED = "SIMULATED PRICES: made by a model, or of another day played again"

_PIPED_WIDTH = 160

console = Console()
if not console.is_terminal:
    console = Console(width=_PIPED_WIDTH)
notes = Console(stderr=True)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output; decimals and dates as text."""

    def plain(item: object) -> object:
        if isinstance(item, Decimal | dt.date | dt.time):
            return str(item)
        if isinstance(item, tuple | set | frozenset):
            return list(item)
        raise TypeError(f"{type(item).__name__} is not plain data")

    sys.stdout.write(json.dumps(value, default=plain) + "\n")


@contextmanager
def progress(what: str, quiet: bool = False) -> Iterator[Callable[[int, int, object], None]]:
    """A progress bar on standard error: call it with (done, in all, what is at hand)."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
        console=notes,
        transient=True,
        disable=quiet or not notes.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None, at="")

        def step(done: int, total: int, at: object) -> None:
            bar.update(task, completed=done, total=total, at=str(at))

        yield step


@contextmanager
def waiting(what: str, quiet: bool = False) -> Iterator[None]:
    """A sign of life on standard error while something takes its time; nothing where no person looks on."""
    if quiet or not notes.is_terminal:
        yield
        return
    with notes.status(what):
        yield


def table(
    title: str, columns: list[str], rows: list[tuple[Any, ...]], right: set[str] | None = None
) -> Table:
    """A plain table; columns named in `right` are aligned to the right, only the last one is ever folded."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for place, name in enumerate(columns):
        made.add_column(
            name.replace("_", " "),
            justify="right" if right and name in right else "left",
            overflow="fold",
            no_wrap=place < len(columns) - 1,
            min_width=max(len(word) for word in [*name.split("_"), " "]),
        )
    for row in rows:
        made.add_row(*("" if value is None else str(value) for value in row))
    return made


def warn_simulated(simulated: bool) -> None:
    """Say unmistakably that prices were made up."""
    if simulated:
        console.print(Text(f" {SIMULATED} ", style="bold black on yellow"))


def warn_played(simulated: bool) -> None:
    """Say unmistakably that a session's prices are not those of today's market."""
    if simulated:
        console.print(Text(f" {PLAYED} ", style="bold black on yellow"))


def rupees(amount: Decimal | str) -> str:
    """Rupees with Indian grouping, e.g. Rs -1,23,456.75."""
    value = Decimal(str(amount)).quantize(Decimal("0.01"))
    sign, digits = ("-" if value < 0 else ""), f"{abs(value):.2f}"
    whole, paise = digits.split(".")
    head, tail = whole[:-3], whole[-3:]
    groups: list[str] = []
    while len(head) > 2:
        groups.insert(0, head[-2:])
        head = head[:-2]
    if head:
        groups.insert(0, head)
    return f"Rs {sign}{','.join([*groups, tail])}.{paise}"
