"""Swing rule 3.1, letter by letter."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SwingEvent:
    conf: int
    kind: str  # "L" or "H"
    index: int
    price: int
    update: bool


def literal_swings(high, low, close, *, variant="ge2", same_bar_rule="first_vote"):
    """Events of one day, at most one per bar."""
    events = []
    last, price, b = None, None, -1
    up, down = {}, {}

    def enough(votes):
        return votes == 2 if variant == "eq2" else votes >= 2

    def lowest(i):
        return min(range(b + 1, i + 1), key=lambda k: (low[k], k))

    def highest(i):
        return min(range(b + 1, i + 1), key=lambda k: (-high[k], k))

    def beats_up(i, j):
        return high[i] > high[j] and close[i] > close[j]

    def beats_down(i, j):
        return low[i] < low[j] and close[i] < close[j]

    for i in range(1, len(high)):
        event = None
        if same_bar_rule == "alternation_first" and last is not None:
            other = (beats_down, down) if last == "L" else (beats_up, up)
            if any(other[0](i, j) and other[1].get(j, 0) + 1 >= 2 for j in range(b + 1, i)):
                event = (highest(i), "H", False) if last == "L" else (lowest(i), "L", False)
        if event is None:
            for j in range(b + 1, i):
                if beats_up(i, j):
                    up[j] = up.get(j, 0) + 1
                    if not enough(up[j]):
                        continue
                    k = lowest(i)
                    if last != "L":
                        event = (k, "L", False)
                    elif low[k] < price:
                        event = (k, "L", True)
                elif beats_down(i, j):
                    down[j] = down.get(j, 0) + 1
                    if not enough(down[j]):
                        continue
                    k = highest(i)
                    if last != "H":
                        event = (k, "H", False)
                    elif high[k] > price:
                        event = (k, "H", True)
                if event is not None:
                    break
        if event is not None:
            b, last, update = event
            price = low[b] if last == "L" else high[b]
            if not update:
                up, down = {}, {}
            events.append(SwingEvent(i, last, b, price, update))
    return events


def breaks(high, low, events, *, including_swing_bar=False):
    """First break of each swing low: (bar, swing index, swing price, highest high since)."""
    found = []
    by_bar = {e.conf: e for e in events}
    last, index, price, broken = None, None, None, False
    for i in range(len(high)):
        event = by_bar.get(i)
        if event is not None:
            if not event.update:
                broken = False
            last, index, price = event.kind, event.index, event.price
        if last == "L" and not broken and low[i] < price:
            broken = True
            since = high[index if including_swing_bar else index + 1 : i + 1]
            found.append((i, index, price, max(since, default=None)))
    return found
