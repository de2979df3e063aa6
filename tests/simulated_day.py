"""One simulated day of NIFTY in a lake of its own, and what the practice exchange plays of it."""

import datetime as dt

from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.practice.market import PracticeDay, load_practice_day

DATE = dt.date(2026, 9, 1)


def simulated_lake(folder, strikes_each_side=5) -> Lake:
    lake = Lake(folder)
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=strikes_each_side)
    return lake


def day_to_play(lake: Lake) -> PracticeDay:
    return load_practice_day(lake, "NIFTY", DATE)
