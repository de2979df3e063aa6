"""The journal of a practice exchange: what was asked of it and when, so that a killed one comes back as it was.

The exchange is deterministic, so its state is the day, the settings and the requests in their order: a new process
plays the day silently up to the last moment written down, makes the same requests again, and goes on from there. A
line is in the file before its request is answered. Chance of faults that concern answers only starts anew.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import WorkbenchError
from engine.practice.exchange import Exchange
from engine.practice.faults import parse_fault
from engine.practice.login import Login
from engine.practice.orders import Refused


class Journal:
    """
    Lines of one played day in a file.

    Parameters
    ----------
    path : Path
        Made when it is not there.
    heading : mapping
        What the day is played with; a file that begins with another heading is refused.

    Raises
    ------
    WorkbenchError
        If the file belongs to another day or other settings, or cannot be read or written.
    """

    def __init__(self, path: Path, heading: Mapping[str, Any]) -> None:
        self.path = path
        try:
            self.lines = self._read()
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except (OSError, ValueError) as error:
            raise WorkbenchError(
                f"journal {path} cannot be used ({error}); name another file or remove it"
            ) from error
        wanted = {"what": "day", **heading}
        if not self.lines:
            self.note(**wanted)
        elif self.lines[0] != wanted:
            different = sorted(k for k in wanted if self.lines[0].get(k) != wanted[k])
            raise WorkbenchError(
                f"journal {path} was written for another {', '.join(different) or 'day'}; name another file or "
                "remove it"
            )

    def note(self, **line: Any) -> None:
        """Append one line; it survives the death of this process."""
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def replay(self, exchange: Exchange, login: Login) -> tuple[int, int, int]:
        """
        Bring an exchange to where the journal ends.

        Returns
        -------
        seq, minute, moment : int
            The last moment played; seq 0 when none was.
        """
        at = (0, -1, 0)
        for line in self.lines[1:]:
            what = line["what"]
            if what == "beat":
                at = (line["seq"], line["minute"], line["moment"])
                if line["closes"]:
                    exchange.close_minute()
                else:
                    exchange.play(line["minute"], line["moment"])
            elif what == "token":
                login.access_tokens.add(line["token"])
            elif what == "expire":
                login.expire()
            elif what == "faults":
                exchange.faults.switch(tuple(parse_fault(text) for text in line["texts"]))
            else:
                exchange.advance(line["ms"])
                with suppress(Refused):  # it was refused the first time too
                    if what == "place":
                        exchange.place(line["form"], line["variety"], appears_after_s=line["appears_after_s"])
                    elif what == "modify":
                        exchange.modify(line["order_id"], line["form"])
                    else:
                        exchange.cancel(line["order_id"])
        return at

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # the process died in the middle of a line: it was never answered
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        return [json.loads(line) for line in whole.splitlines()]
