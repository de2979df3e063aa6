# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Data
# What the lake holds, where it has gaps, and how a day looks from inside. Real days come in through importers; days of
# the source `simulated` were made by a model, and every table and picture says so.

# %% tags=["parameters"]
data_folder = None  # None: the project's data/ folder
underlying = "NIFTY"
source = "simulated"  # simulated days are made where they are missing
start = "2026-10-01"
end = "2026-10-30"
day = "2026-10-27"
at = "11:00"  # IST; the chain as known at this time

# %%
from engine.desk.notebook import DataNotebook, check_parameters, ready_days
from engine.desk.tables import readable_tables

settings = check_parameters(DataNotebook, globals())
readable_tables()

# %% [markdown]
# ## What the lake holds
# One Parquet file a day, with a manifest beside it that tells hash, rows, gaps and quality. Listing reads manifests only.

# %%
entries = ready_days(settings)
lake = settings.lake
print(
    f"{len(entries)} days of {settings.underlying} from {settings.source}, {entries[0].date} to {entries[-1].date}"
)

# %%
import polars as pl

held = pl.DataFrame(
    {
        "date": [e.date for e in entries],
        "source": [e.source for e in entries],
        "simulated": [e.simulated for e in entries],
        "quality": [e.quality for e in entries],
        "contracts": [e.contracts for e in entries],
        "bars": [e.rows for e in entries],
        "missing": [e.gaps.missing for e in entries],
        "minutes": [e.minutes for e in entries],
        "nearest_expiry": [e.expiries[0] for e in entries],
    }
)
held.tail(8)

# %% [markdown]
# ## Coverage
# One cell per calendar day. A trading day without data stays empty; it is never filled in.

# %%
from engine.desk.plots import lake_coverage

lake_coverage(held, underlying=settings.underlying)

# %% [markdown]
# ## Gaps
# `missing` counts contract-minutes without a bar between a contract's first and last bar. A missing minute is never a
# price of zero: stops cannot be seen in it, and a backtest lists the trades it touched.

# %%
held.filter(pl.col("missing") > 0).sort("missing", descending=True).select(
    "date", "missing", "contracts"
).head(8)

# %% [markdown]
# ## One day
# A tidy frame for people: rupees, IST, one row per contract and minute.

# %%
entry = next(e for e in entries if e.date == settings.day)
tidy = lake.frame(entry)
tidy.filter(pl.col("option_type") == "CE").drop("underlying", "option_type", "expiry").head(5)

# %% [markdown]
# The same day as the engine sees it: contracts x minutes, integer ticks, a validity mask. The number of minutes comes
# from the calendar of that date (375 until 31 July 2026, 385 since 3 August).

# %%
dense = lake.load(entry)
print(
    f"{dense.contracts} contracts x {dense.minutes} minutes, {dense.valid.mean():.1%} have a bar; lot {dense.lot_size}"
)

# %% [markdown]
# ## The chain at one minute
# The last bar of every contract that had closed by then.

# %%
import datetime as dt

from engine.desk.plots import chain
from engine.market.clock import IST, minute_of
from engine.market.prices import PAISE_PER_RUPEE

moment = dt.datetime.combine(settings.day, settings.at, IST)
minute = minute_of(moment) - 1  # the last one that has closed
spot = lake.spot(entry).filter(pl.col("minute") == minute)["close"][0] / PAISE_PER_RUPEE
rows = lake.chain(entry, minute, expiry=entry.expiries[0])
chain(
    rows,
    title=f"{settings.underlying} {entry.expiries[0]:%d %b} expiry on {settings.day:%a %d %b %Y}, {settings.at:%H:%M}",
    simulated=entry.simulated,
    spot=spot,
)

# %% [markdown]
# ## Your own days
# Parquet or CSV with one row per contract and minute goes in as it is; a vendor's other column names are told by a small
# YAML map. Every refused row is counted with its reason. Here or at the command line:
#
# ```python
# from engine.history.importers import import_file
# report = import_file("bars.parquet", lake, source="my_vendor")
# print(*report.lines(), sep="\n")
# ```
#
# ```
# workbench data import bars.parquet --source my_vendor
# workbench data import vendor.csv --source my_vendor --map columns.yaml
# workbench data check
# ```
#
# Then set `source = "my_vendor"` in the parameters cell of any notebook. Real and simulated days are never mixed in one
# run.
