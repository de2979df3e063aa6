# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Live session
# Checks everything a session needs, starts it, shows that it is up, and ends. The session runs in processes of its own and
# lives on when this notebook, its kernel or papermill ends. Run again, it finds the running session and starts none.
#
# Every morning: `papermill notebooks/10_live_session.ipynb reports/live.ipynb -p session paper`. To watch and to steer,
# open `11_control_room`.
#
# **Paper unless you say otherwise.** LIVE needs `mode: live` in the session's file, `WORKBENCH_LIVE=1` in the environment,
# and the typed confirmation. Tokens and secrets come from the environment or `.env`, never from here: papermill writes
# parameters into its output.

# %% tags=["parameters"]
data_folder = None  # None: the project's data/ folder
session = "paper"  # a file of params/sessions/
changes = {}  # of that file, e.g. {"on_sigterm": "flatten"}
strategy_changes = {}  # of the strategy's file, e.g. {"min_vwap_premium_percent": 6}
date = None  # None: today in India
account = None  # your user id at the broker, for mode live
confirmation = None  # what mode live asks you to type
practice_exchange = None  # e.g. "http://127.0.0.1:8100", as `workbench practice serve` tells it
feed_options = {}  # e.g. {"speed": 60}, where a practice exchange plays its day faster

# %%
from engine.desk.live_notebook import LiveSessionNotebook, asked_for
from engine.desk.notebook import check_parameters
from engine.desk.tables import readable_tables

settings = check_parameters(LiveSessionNotebook, globals())
readable_tables()
spec = settings.spec

# %% [markdown]
# ## What is asked for

# %%
asked_for(spec)

# %% [markdown]
# ## Pre-flight
# A check that fails stops the notebook before anything is started.

# %%
from engine.desk.live_notebook import checked, refuse_unready
from engine.live.preflight import preflight

results = preflight(spec)
checked(results)

# %%
refuse_unready(results)

# %% [markdown]
# ## Start, or find it running

# %%
from engine.live.control.starting import start_session

started = start_session(spec, confirmation=settings.confirmation)
print(started.mode_line)
print(f"{started.what}: runner is process {started.runner}, phase {started.phase or 'starting'}")

# %% [markdown]
# ## It is up
# The notebook ends here; the session goes on.

# %%
from engine.desk.live_notebook import standing

standing(started.spec.places)
