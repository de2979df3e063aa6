# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Filters
# Write a rule in a cell, run the year, see what it removed and what that did. The rule is an ordinary Python
# function of one candidate; it is compiled on the fly and asked at the close of every bar, so it cannot see
# anything later.

# %% tags=["parameters"]
data_folder = None  # None: the project's data/ folder
underlying = "NIFTY"
source = "simulated"  # simulated days are made where they are missing
start = "2025-11-03"
end = "2026-10-30"
params = "swing_break"  # a file of params/
changes = {}  # e.g. {"min_vwap_premium_percent": 6}
save_winner = False  # True writes the better filter to params/filters/

# %%
from engine.desk.notebook import FiltersNotebook, check_parameters, ready_days, side_by_side
from engine.desk.tables import readable_tables

settings = check_parameters(FiltersNotebook, globals())
readable_tables()

# %% [markdown]
# ## The year
# Made once (some twenty seconds for a simulated year), read from then on.

# %%
held = ready_days(settings)
print(f"{len(held)} days, {sum(day.rows for day in held):,} bars, source: {settings.source}")

# %% [markdown]
# ## Without a filter
# The first run of a session loads the compiled engine; every later one takes only what it prints.

# %%
from engine import backtest
from engine.desk.plots import funnel, two_runs

rules = settings.strategy


def run(*filters):
    result = backtest(
        rules, settings.lake, settings.start, settings.end, source=settings.source, filters=filters
    )
    print(f"{result}\n{len(result.days)} days in {result.elapsed_s:.2f} s")
    return result


plain = run()
funnel(plain.funnel, simulated=plain.simulated)


# %% [markdown]
# ## Your filter
# Change it and run the cell again. A candidate `c` has `minute, age, strike, is_call, days_to_expiry, price, vwap,
# vwap_premium_percent, stop_points, stop_percent, lots, close, volume` and a few more; a wrong name is answered with the
# list.


# %%
def near_stop(c):
    return c.stop_percent < 6.0


mine = run(near_stop)
two_runs(
    (plain.daily, mine.daily),
    (plain.funnel, mine.funnel),
    ("no filter", "near_stop"),
    simulated=mine.simulated,
)

# %% [markdown]
# ## Which rule removed how many
# The filter is a rule like the built-in ones: it has its own line.

# %%
funnel(mine.funnel, simulated=mine.simulated)

# %% [markdown]
# ## A second idea, side by side


# %%
def morning(c):
    return c.minute < 150 and c.days_to_expiry > 0


other = run(morning)
two_runs(
    (mine.daily, other.daily),
    (mine.funnel, other.funnel),
    ("near_stop", "morning"),
    simulated=other.simulated,
)

# %%
both = run(near_stop, morning)
side_by_side(no_filter=plain, near_stop=mine, morning=other, both=both)

# %% [markdown]
# The best of four runs over one year is partly luck. Before a filter goes live it should also be the best on days that
# did not choose it.
#
# ## Keep the winner
# A saved filter is a file of `params/filters/`; a parameter file names it under `filters:` and a live session applies the
# same compiled rule.

# %%
from engine.strategy.predicates import save_filter

winner = near_stop if mine.daily["net_r"].sum() >= other.daily["net_r"].sum() else morning
if settings.save_winner:
    print("saved:", save_filter(winner))
else:
    print(f"not saved; with save_winner = True {winner.__name__} is written to params/filters/")
