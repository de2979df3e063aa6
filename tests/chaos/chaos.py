"""Kill a rehearsal's processes at random, or close it by every door of KILL, and measure; nothing of it is for trading.

    python tests/chaos/chaos.py --kills 50 --seed 1
    python tests/chaos/chaos.py --kill-times

Exit code 1 where something was doubled, lost or left open.
"""

import argparse
import datetime as dt
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import chaos_doors
import chaos_kills

from engine.cli.rehearsal_processes import pace
from engine.desk.parity import CAUSES
from engine.history.lake import Lake
from engine.params import load_params, project_folder

DAY, DOOR_DAY, DOOR_TIME = "2026-10-15", "2026-10-23", "10:36"


def main(given=None):
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=50)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--moment", type=float, default=0.1, help="seconds that a moment lasts at least")
    words.add_argument("--kill-times", action="store_true", help="measure the doors of KILL instead")
    words.add_argument("--door", action="append", choices=chaos_doors.DOORS, help="only these doors")
    words.add_argument("--speed", help="max or a number; default max, for the doors 1")
    words.add_argument("--start-at", default=DOOR_TIME, help="of the doors' day, IST")
    words.add_argument("--date", help=f"a stored day of NIFTY; {DAY}, for the doors {DOOR_DAY}")
    words.add_argument(
        "--folder", type=Path, help="kept; else a temporary one, kept where something is wrong"
    )
    words.add_argument("--window", type=int, nargs=2, help="first and last minute of the day to trade in")
    told = words.parse_args(given)
    told.speed = pace(told.speed or ("1" if told.kill_times else "max"))
    lake = Lake(project_folder() / "data")
    date = dt.date.fromisoformat(told.date or (DOOR_DAY if told.kill_times else DAY))
    entry = lake.select("NIFTY", date, date)[0]
    params = load_params("swing_break")
    folder = told.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    well = (doors if told.kill_times else kills)(told, lake, entry, params, folder)
    if well and told.folder is None:
        shutil.rmtree(folder)
    else:
        print(f"kept: {folder}")
    return 0 if well else 1


def kills(told, lake, entry, params, folder):
    """Table of recoveries by victim, and the day beside its backtest."""

    def progress(each):
        own = f" ({each.own_s:.1f} s after the exchange was back)" if each.away_s else ""
        print(
            f"  minute {each.minute:3} {' + '.join(each.victims):22} {each.seconds:5.1f} s{own}", flush=True
        )

    made = chaos_kills.run(
        lake,
        entry,
        params,
        folder,
        seed=told.seed,
        kills=told.kills,
        speed=told.speed,
        moment_s=told.moment,
        window=told.window,
        progress=progress,
    )
    print(
        f"seed {made.seed}: {made.kills} kills on {entry.date}, {made.restarts} runners, {made.seconds:.0f} s"
    )
    for name, seconds in sorted(chaos_kills.by_victim(made.recoveries).items()):
        print(
            f"  {name:10} n {len(seconds):2}  p50 {statistics.median(seconds):5.1f} s  max {max(seconds):5.1f} s"
        )
    every = [each.own_s for each in made.recoveries]
    if every:
        print(
            f"  {'all':10} n {len(every):2}  p50 {statistics.median(every):5.1f} s  max {max(every):5.1f} s"
        )
    comparison = made.comparison
    print(
        f"  trades {comparison.trades}, {'same as' if made.same else 'NOT those of'} the backtest; decisions "
        f"{'equal' if comparison.decisions_equal else 'differ'}; {comparison.fills} fills; latch {made.latch}"
    )
    for each in made.trade_differences:
        print(
            f"  {each.what} {each.key}: {each.ours or '-'} | {each.theirs or '-'}: {each.cause} ({each.detail})"
        )
    decisions = [each for each in comparison.differences if each.what == "decision"]
    if told.window is not None:
        decisions = []  # outside the window nobody decides
    for cause in (cause for cause in CAUSES if any(each.cause == cause for each in decisions)):
        print(f"  decisions that differ by {cause}: {sum(each.cause == cause for each in decisions)}")
    for line in (*made.wrong, *made.problems):
        print(f"  WRONG: {line}")
    return not made.wrong and not made.problems and not made.unexplained


def doors(told, lake, entry, params, folder):
    """Table of the doors."""
    print(f"{'door':14} held orders  flat s  proved s  latch       started again")
    well = True
    for door in told.door or chaos_doors.DOORS:
        made = chaos_doors.close_by(
            lake,
            entry,
            params,
            folder / door.replace(" ", "-"),
            door,
            speed=told.speed,
            words=["--start-at", told.start_at, "--match", "quotes"],
        )
        print(
            f"{door:14} {made.positions:4} {made.orders:6} {made.flat_s:7.2f} {made.proved_s:9.2f}  {made.latch:10}  "
            f"{made.again}",
            flush=True,
        )
        for line in made.wrong:
            print(f"  WRONG: {line}")
        well &= not made.wrong
    return well


if __name__ == "__main__":
    sys.exit(main())
