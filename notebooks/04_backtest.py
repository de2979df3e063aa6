# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Backtest
# One run read from all sides: money, R, days, trades, costs; a second opinion by vectorbt; and the report to hand on.

# %% tags=["parameters"]
data_folder = None  # None: the project's data/ folder
underlying = "NIFTY"
source = "simulated"  # simulated days are made where they are missing
start = "2025-11-03"
end = "2026-10-30"
params = "swing_break"  # a file of params/
changes = {}  # e.g. {"min_vwap_premium_percent": 6}
filters = []  # saved filters of params/filters/
capital_rupees = 1_000_000  # what returns are told of
report = None  # None: reports/backtest.html

# %%
from engine.desk.notebook import BacktestNotebook, check_parameters, facts, ready_days
from engine.desk.tables import readable_tables

settings = check_parameters(BacktestNotebook, globals())
readable_tables()

# %%
from engine import backtest
from engine.strategy.predicates import load_filter

days = ready_days(settings)
result = backtest(
    settings.strategy,
    settings.lake,
    settings.start,
    settings.end,
    source=settings.source,
    filters=[load_filter(name) for name in settings.filters],
)
result

# %% [markdown]
# ## In one table
# `r` counts P&L before charges over the value of one R; `net_r` after charges. Equal trade hashes mean equal trades.

# %%
facts(result)

# %% [markdown]
# ## Equity and days

# %%
from engine.desk import plots

plots.overview(result.daily, title="Equity, R per day, drawdown", simulated=result.simulated)

# %%
plots.r_distribution(result.trades, simulated=result.simulated)

# %% [markdown]
# ## Where it comes from
# A cell tells the mean R and how many trades stand behind it. Few trades mean little.

# %%
plots.entry_time_map(result.trades, simulated=result.simulated)

# %%
plots.premium_map(result.trades, simulated=result.simulated)

# %%
plots.strike_map(result.trades, simulated=result.simulated)

# %%
plots.exit_reasons(result.trades, simulated=result.simulated)

# %% [markdown]
# ## One trade
# The best and the worst of the run in their bars, with swing low, orders, stop and fills. Read the worst one first.

# %%
from engine.desk.notebook import trade_figure

ranked = result.trades.with_row_index("row").drop_nulls("r").sort("r")
trade_figure(result, settings.lake, int(ranked["row"][0]))

# %%
trade_figure(result, settings.lake, int(ranked["row"][-1]))

# %% [markdown]
# ## Costs
# By component, at the rates of each trade's date, billed and rounded per day as on a contract note.

# %%
plots.charges(result.charges, simulated=result.simulated)

# %% [markdown]
# ## A second opinion
# The fills of the order log, replayed through vectorbt's own accounting. The totals must agree to the paisa.
# Importing vectorbt takes about ten seconds and its first call as long again: it is used from here on only.

# %%
from engine.backtest.crosscheck import crosscheck

check = crosscheck(result)
print(f"ours Rs {check.ours}, vectorbt Rs {check.vectorbt}: {'equal' if check.equal else 'DIFFERENT'}")

# %% [markdown]
# ## Tear sheet
# vectorbt's statistics of the daily net P&L on the stated capital. The strategy holds nothing overnight and the capital
# is not compounded: each day's return is its P&L over the money there was that morning.

# %%
import pandas as pd
import vectorbt  # noqa: F401 - adds the accessor .vbt to pandas

capital = float(settings.capital_rupees)
pnl = pd.Series(
    result.daily["net_pnl"].cast(float).to_list(), index=pd.DatetimeIndex(result.daily["date"].to_list())
)
equity = capital + pnl.cumsum()
returns = pnl / equity.shift(fill_value=capital)
tear_sheet = returns.vbt.returns(freq="1D", year_freq="252 days")
without_benchmark = [name for name in tear_sheet.metrics if name not in ("benchmark_return", "alpha", "beta")]
tear_sheet.stats(metrics=without_benchmark).map(lambda v: f"{v:.2f}" if isinstance(v, float) else v).to_frame(
    ""
)

# %% [markdown]
# ## What it rests on

# %%
from engine.backtest.assumptions import assumptions

for line in assumptions(result):
    print(f"{line.topic}: {line.text}")

# %% [markdown]
# ## The report
# One self-contained HTML page: no server, no network.

# %%
from engine.params import project_folder

path = result.report(settings.report or project_folder() / "reports" / "backtest.html", settings.lake)
print(f"{path.stat().st_size / 1e6:.1f} MB: {path}")
