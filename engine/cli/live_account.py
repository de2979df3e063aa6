"""Which session a command of `workbench live` means, and which of its processes live."""

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.live.control.processes import Process
    from engine.live.places import Places


class NoSessionError(WorkbenchError):
    """No session is meant, or more than one."""


class NeverStartedError(NoSessionError):
    """There is no session, nor was there ever one."""


def meant(account: str | None, data_folder: Path | None) -> "Places":
    """
    The account a command means: the one named, else the only one that runs, else the one started last.

    Raises
    ------
    NoSessionError
        If there is none, or several run.
    """
    from engine.live.places import Places
    from engine.params import project_folder

    folder = (data_folder or project_folder() / "data").resolve()
    if account is not None:
        places = Places(folder, account)
        if not places.spec.exists():
            raise NeverStartedError(
                f"account {account} has no session under {folder}; start one: workbench live start"
            )
        return places
    known = [Places(folder, path.parent.name) for path in sorted(folder.glob("state/*/session.json"))]
    if not known:
        raise NeverStartedError(
            f"no session was ever started under {folder}; start one: workbench live start"
        )
    alive = [places for places in known if processes(places)]
    if len(alive) > 1:
        raise NoSessionError(
            f"accounts {', '.join(each.account for each in alive)} run; say which with --account"
        )
    return alive[0] if alive else max(known, key=lambda each: each.spec.stat().st_mtime)


def processes(places: "Places") -> "dict[str, Process]":
    """Which processes of a session live, by name."""
    from engine.live.control.processes import find_all, session_commands

    return find_all(session_commands(places.spec))
