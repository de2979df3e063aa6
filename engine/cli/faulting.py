"""`workbench faults`: histories of the live session under faults, one for each seed."""

from typing import TYPE_CHECKING

import typer

from engine.cli.show import console, print_json, progress, table

if TYPE_CHECKING:
    from engine.faults.campaign import Campaign


def run_faults(*, seeds: int, first: int, workers: int, verbose: bool, as_json: bool) -> None:
    """
    Play histories; exit code 1 if an invariant was violated.

    Parameters
    ----------
    seeds, first : int
        Seeds `first` to `first + seeds - 1`.
    verbose : bool
        Print everything that happened in them and what the log holds; for one seed or a few.
    """
    from engine.faults.campaign import explore
    from engine.faults.world import play

    if verbose:
        for seed in range(first, first + seeds):
            history = play(seed, verbose=True)
            console.print(f"seed {seed}", style="bold")
            for line in history.lines:
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    with progress("histories", quiet=as_json) as step:
        done = 0

        def on_history(_: object) -> None:
            nonlocal done
            done += 1
            step(done, seeds, "")

        campaign = explore(first, seeds, workers, on_history)
    if as_json:
        print_json(campaign.as_json())
    else:
        _show(campaign)
    if campaign.violations:
        raise typer.Exit(1)


def _show(campaign: "Campaign") -> None:
    from engine.faults.weather import ELSEWHERE, FAULTS

    rows = [
        (number, words, "elsewhere" if number in ELSEWHERE else campaign.met[number])
        for number, words in FAULTS.items()
    ]
    console.print(table("Faults met", ["no.", "fault", "times"], rows))
    console.print(
        f"{campaign.seeds} histories, {campaign.died_at.total()} deaths at {len(campaign.died_at)} points, "
        f"{campaign.positions} positions, "
        f"{campaign.fills} fills, {campaign.took_s:.1f} s, {campaign.seeds / campaign.took_s:.1f} histories a second"
    )
    for seed, invariant, detail in campaign.violations:
        console.print(f"VIOLATION seed {seed}: {invariant}: {detail}", markup=False, style="bold red")
        console.print(f"  again: workbench faults --first {seed} --seeds 1 --verbose", markup=False)
    if not campaign.violations:
        console.print("no violation")
