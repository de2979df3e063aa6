"""Bring market data files into the lake: recognise, check every row, land whole days.

Nothing is left out silently: each refused row is counted under its reason, with one example, in the report and in
the day's manifest. A file that cannot be used as a whole raises and writes nothing.
"""

from engine.history.importers.files import import_file
from engine.history.importers.report import DayLanded, ImportReport, Rejection

__all__ = ["DayLanded", "ImportReport", "Rejection", "import_file"]
