"""Words for what the engine calls by short names: exit reasons, funnel levels, charges."""

REASON_LABELS = {
    "open": "Still open",
    "stop": "Stop",
    "stop_gap": "Stop jumped, to market",
    "day_stop": "Day stop",
    "day_target": "Day target",
    "time": "Time exit",
    "limit_breach": "Position limit",
    "no_price": "No price: invalid",
}
LEVEL_LABELS = {
    "contract_days": "Contract-days watched",
    "contract_days_examined": "Contract-days worth examining",
    "swing_lows": "Swing lows confirmed",
    "price_range": "Price range",
    "vwap_premium": "VWAP premium",
    "stop_distance": "Stop distance",
    "lots": "At least one lot",
    "best_of_type": "Best CE or PE",
    "ordered": "Order placed",
    "filled": "Filled",
}
CHARGE_LABELS = {
    "brokerage": "Brokerage",
    "stt": "STT",
    "exchange": "Exchange charge",
    "ipft": "IPFT",
    "sebi": "SEBI fee",
    "stamp": "Stamp duty",
    "gst": "GST",
}


def reason_label(reason: str) -> str:
    """An exit reason in words."""
    return REASON_LABELS.get(reason, reason)


def level_label(rule: str) -> str:
    """A funnel level in words; a user filter keeps its own name."""
    return LEVEL_LABELS.get(rule, rule.replace("filter:", "Filter: ", 1))
