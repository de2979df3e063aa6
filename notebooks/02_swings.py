# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Swings
# One contract through one session: its bars, its swing lows, which of them are worth an order and why.
#
# Everything below is computed by the functions that also decide in a backtest and live. The last section is a
# panel: pick a contract, move the minute, change a rule, and watch the decision follow.

# %% tags=["parameters"]
data_folder = None  # None: the project's data/ folder
underlying = "NIFTY"
source = "simulated"  # simulated days are made where they are missing
start = "2026-10-01"
end = "2026-10-30"
day = "2026-10-30"
params = "swing_break"  # a file of params/
changes = {}  # e.g. {"min_vwap_premium_percent": 6}

# %%
from engine.desk.notebook import SwingsNotebook, check_parameters, ready_days
from engine.desk.tables import readable_tables

settings = check_parameters(SwingsNotebook, globals())
readable_tables()

# %% [markdown]
# ## The day
# The contracts watched are fixed at the open: the strike at the money and ten on each side, CE and PE.

# %%
from engine.backtest.run import load_day

entries = {entry.date: entry for entry in ready_days(settings)}
rules = settings.strategy
bars = load_day(settings.lake, entries[settings.day], rules)
print(
    f"{bars.underlying} {bars.date}, expiry {bars.expiry}: {bars.contracts} contracts x {bars.minutes} minutes"
)
print(f"strikes {bars.strike.min()} to {bars.strike.max()}, lot {bars.lot_size}, source: {bars.source}")

# %% [markdown]
# ## Swing events
# A bar collects an up-vote from a later bar with a higher high **and** a higher close. Two up-votes on one bar
# confirm a swing low: the lowest low since the last swing. The event is known only at the close of its
# `conf` bar, several bars after the extreme at `index`.

# %%
import polars as pl

from engine.desk.explorer import busiest_contract
from engine.strategy.swing import detect

symbol = busiest_contract(bars, rules)
one = bars.symbols.index(symbol)
traded = bars.valid[one]
events = detect(
    bars.high[one, traded], bars.low[one, traded], bars.close[one, traded], variant=rules.swing_variant
)
print(f"{symbol}: {len(events)} events (prices in ticks of Rs 0.05)")
pl.DataFrame({name: events[name] for name in events.dtype.names}).head(6)

# %% [markdown]
# ## What became of each swing low
# Stage 1 asks once, at the confirmation: is the price in range, is it far enough over the session VWAP?
# A swing low that passes waits to be broken.

# %%
from engine.backtest.explain import explain_contract

story = explain_contract(bars, rules, one)
story.drop("kind")

# %% [markdown]
# ## Does an update need two votes or more?
# The public descriptions differ. `ge2` moves a swing low at the second vote or any later one, `eq2` at exactly
# the second. On this contract:

# %%
for variant in ("ge2", "eq2"):
    found = detect(bars.high[one, traded], bars.low[one, traded], bars.close[one, traded], variant=variant)
    print(f"{variant}: {len(found)} events, {int(found['update'].sum())} of them updates")

# %% [markdown]
# ## Explore
# Rings mark swing lows that pass price range and premium. Shaded is the time in which this contract was the best of its
# type, from swing low to planned stop, as if nothing were ever traded. The table tells the run with its trades: for the
# minute of the slider the verdict on every contract, live candidates first, the chosen ones marked.

# %%
from engine.desk.explorer import SwingExplorer

explorer = SwingExplorer(bars, rules)
explorer.panel

# %% [markdown]
# What the panel holds is at hand in Python too: the parameter set as the controls stand, and the explained minute.

# %%
print(explorer.params.hash, *explorer.explained.slots, sep="\n")
