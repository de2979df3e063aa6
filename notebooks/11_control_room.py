# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Control room
# One live session, seen and steered. The session itself runs in processes of its own: this page, its kernel and the browser
# may come and go, and several may look at once. After a restart of the kernel just run the cells again.
#
# **Blue is PAPER, violet is PRACTICE, red is LIVE.** Numbers that are not of now turn grey and say how old they are.
# KILL takes two clicks within five seconds: entries are withdrawn, everything is bought back, and the bar ends only when
# the broker's own answer proves that nothing is left.

# %% tags=["parameters"]
data_folder = None  # None: the project's data/ folder
account = "paper"  # paper, practice, or your user id at the broker

# %%
from engine.desk.live_notebook import ControlRoomNotebook
from engine.desk.notebook import check_parameters

settings = check_parameters(ControlRoomNotebook, globals())

# %%
from engine.desk.panels import control_room

room = control_room(settings.places)
room.panel
