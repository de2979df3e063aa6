"""The commands of `workbench live` and their help; each does its work in a module of its own."""

from typing import Annotated

import typer

from engine.cli.options import Account, DataFolder, Day, Json, Root, SessionName, Set, UserId

live = typer.Typer(help="A live session: start it, look at it, stop it, KILL it.", no_args_is_help=True)


@live.command()
def start(
    session: SessionName = "paper",
    mode: Annotated[str | None, typer.Option(help="paper, practice or live.")] = None,
    changes: Set = None,
    root: Root = None,
    account: UserId = None,
    day: Day = None,
    confirm: Annotated[
        str | None, typer.Option(help='Mode live: the words "LIVE USERID"; else they are asked for.')
    ] = None,
    wait: Annotated[float, typer.Option(min=1, help="Seconds until the runner must give a sign.")] = 30.0,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Start a session that goes on without this terminal; a second start finds the running one."""
    from engine.cli.live_start import run_start

    run_start(session, mode, changes, root, account, day, confirm, wait, data_folder, as_json)


@live.command()
def status(account: Account = None, data_folder: DataFolder = None, as_json: Json = False) -> None:
    """Show processes, latch, positions, orders and money; exit code 0 well, 1 not running, 2 unwell."""
    from engine.cli.live_status import run_status

    run_status(account, data_folder, as_json)


@live.command()
def stop(
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Close everything first; else stops stay at the broker.")
    ] = False,
    account: Account = None,
    data_folder: DataFolder = None,
) -> None:
    """End the session."""
    from engine.cli.live_start import run_stop

    run_stop(flatten, account, data_folder)


@live.command()
def kill(
    reason: Annotated[str, typer.Option(help="Goes into latch and log.")] = "kill",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option(help="Follow until flat is proved.")] = True,
    account: Account = None,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """KILL: no entry any more, everything closed; exit code 0 only when the broker has proved it."""
    from engine.cli.live_kill import run_kill

    run_kill(reason, yes, wait, account, data_folder, as_json)


@live.command()
def flatten(
    position: Annotated[int, typer.Argument(help="Number of the position, see status.")],
    account: Account = None,
    data_folder: DataFolder = None,
) -> None:
    """Close one position; the session goes on."""
    from engine.cli.live_ask import run_command

    run_command("flatten", {"position": position}, account, data_folder)


@live.command()
def pause(account: Account = None, data_folder: DataFolder = None) -> None:
    """Make no new entries; stops and exits go on."""
    from engine.cli.live_ask import run_command

    run_command("pause", {}, account, data_folder)


@live.command()
def resume(
    reason: Annotated[str, typer.Option(help="Goes into the log.")] = "resume",
    account: Account = None,
    data_folder: DataFolder = None,
) -> None:
    """Make entries again after a pause."""
    from engine.cli.live_ask import run_command

    run_command("resume", {"reason": reason}, account, data_folder)


@live.command()
def reset(
    reason: Annotated[str, typer.Option(help="Why trading may go on; goes into the log.")],
    account: Account = None,
    data_folder: DataFolder = None,
) -> None:
    """Set the latch back to ACTIVE after a kill, once the broker shows flat."""
    from engine.cli.live_start import run_reset

    run_reset(reason, account, data_folder)


@live.command()
def tail(
    lines: Annotated[int, typer.Option("-n", min=0, help="How many lines.")] = 30,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    account: Account = None,
    data_folder: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Print the event log in plain words, times in IST."""
    from engine.cli.live_tail import run_tail

    run_tail(lines, follow, account, data_folder, as_json)
