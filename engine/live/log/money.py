"""Charges of a live day from its own fills: exact to the paisa, as the contract note will bill them."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from engine.live.log.state import Fill
from engine.market.charges import COMPONENTS, UNITS_PER_RUPEE, Charges, charge_fills, contract_note


def billed_charges(date: dt.date, fills: Sequence[Fill]) -> int:
    """
    Charges of a day's fills in paise, as its contract note bills them (STT and stamp to whole rupees).

    Brokerage falls due once per executed order, however many fills it took.

    Raises
    ------
    MarketFactError
        If the date lies before the charge tables.
    """
    if not fills:
        return 0
    first: set[str] = set()
    opens = []
    for fill in fills:
        opens.append(fill.order_id not in first)
        first.add(fill.order_id)
    rows = charge_fills(
        date,
        [fill.side == "SELL" for fill in fills],
        [fill.quantity for fill in fills],
        [fill.price for fill in fills],
        new_order=opens,
    )
    sums = {name: Decimal(int(rows[name].astype(np.int64).sum())) / UNITS_PER_RUPEE for name in COMPONENTS}
    return contract_note([Charges(**sums)]).rounded.to_paise()
