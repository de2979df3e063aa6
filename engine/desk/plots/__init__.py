"""Figures of the desk, drawn with Plotly from plain frames and numbers.

A leaf: it knows the frames' columns and the market's facts, not the engine that made them. So backtest reports,
live panels, comparisons and notebooks draw alike. Every figure takes `simulated` and then carries the label
SIMULATED PRICES in the picture itself.
"""

from engine.desk.plots.breakdown import entry_time_map, funnel, premium_map, strike_map
from engine.desk.plots.coverage import lake_coverage
from engine.desk.plots.labels import CHARGE_LABELS, level_label, reason_label
from engine.desk.plots.look import SIMULATED_LABEL, finish, grouped, rupees, template
from engine.desk.plots.market import SWING_COLUMNS, chain, contract_day, swing_marks, trade
from engine.desk.plots.performance import (
    charges,
    daily_r,
    drawdown,
    equity,
    exit_reasons,
    overview,
    r_distribution,
    two_runs,
)

__all__ = [
    "CHARGE_LABELS",
    "SIMULATED_LABEL",
    "SWING_COLUMNS",
    "chain",
    "charges",
    "contract_day",
    "daily_r",
    "drawdown",
    "entry_time_map",
    "equity",
    "exit_reasons",
    "finish",
    "funnel",
    "grouped",
    "lake_coverage",
    "level_label",
    "overview",
    "premium_map",
    "r_distribution",
    "reason_label",
    "rupees",
    "strike_map",
    "swing_marks",
    "template",
    "trade",
    "two_runs",
]
