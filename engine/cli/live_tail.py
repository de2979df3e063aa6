"""`workbench live tail`: the event log in plain words, times in IST by the session's clock."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from engine.cli.live_account import meant
from engine.cli.show import console, print_json
from engine.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.desk.live_words import LogLine

STYLES = {"info": "", "good": "green", "warning": "yellow", "error": "bold red"}
LOOK_S = 0.3
_BATCH = 2_000


def run_tail(lines: int, follow: bool, account: str | None, data_folder: Path | None, as_json: bool) -> None:
    """
    Print the last lines, then, with `follow`, each new one until Ctrl-C.

    Raises
    ------
    StoreError
        If there is no log, or it cannot be read.
    """
    from engine.desk.live_words import LogWords
    from engine.live.log.reader import StoreReader
    from engine.live.log.store_errors import StoreError

    places = meant(account, data_folder)
    words = LogWords()
    seq, told = 0, []
    with StoreReader(places.database) as reader:
        while events := reader.events(seq, _BATCH):
            seq = events[-1].seq
            told += [line for event in events if (line := words(event)) is not None]
    told = told[-lines:] if lines else []
    if as_json:
        print_json(
            {
                "account": places.account,
                "lines": [
                    {"seq": line.seq, "time": line.clock, "level": line.level, "text": line.text}
                    for line in told
                ],
            }
        )
        return
    for line in told:
        _print(line)
    while follow:
        with suppress(StoreError), StoreReader(places.database) as reader:  # locked or full: look again
            while True:
                for event in reader.events(seq, _BATCH):
                    seq = event.seq
                    if (new := words(event)) is not None:
                        _print(new)
                time.sleep(LOOK_S)
        if not places.database.exists():
            raise WorkbenchError(f"{places.database} is gone")
        time.sleep(LOOK_S)


def _print(line: "LogLine") -> None:
    console.print(Text(f"{line.clock}  {line.text}", style=STYLES[line.level]), soft_wrap=True)
