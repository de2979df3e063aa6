"""Cutting an order at the freeze quantity, and the tags that name its slices.

An order above the exchange's freeze quantity is refused, so it leaves as slices of whole lots, each an intent of
its own with a tag of its own. The broker's own slicing is not used: its children carry no tag of ours.
"""

from engine.errors import MarketFactError
from engine.live.log.events import Leg

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS: dict[Leg, str] = {"entry": "E", "stop": "S", "exit": "X"}
_NS_PER_MS = 1_000_000


def slices(quantity: int, lot: int, freeze: int) -> tuple[int, ...]:
    """
    Sizes in units of the orders that make up `quantity`, the largest first.

    Parameters
    ----------
    quantity, lot, freeze : int
        Units. Nothing above `freeze` in one order; each slice is whole lots if `quantity` is.

    Raises
    ------
    MarketFactError
        If not one lot fits into an order.
    """
    largest = freeze // lot * lot
    if largest < 1:
        raise MarketFactError(
            f"freeze quantity {freeze} is below one lot of {lot}; check the contract tables"
        )
    whole, rest = divmod(quantity, largest)
    return (largest,) * whole + ((rest,) if rest else ())


class Tags:
    """
    Tags that no other order of the account carries: leg, start of this process in ms, running number (base 36).

    Parameters
    ----------
    started_ns : int
        Wall clock at the start of the process, ns UTC; told apart from tags of earlier runs, of a lost log too.
    """

    def __init__(self, started_ns: int) -> None:
        self._start = _base36(started_ns // _NS_PER_MS)
        self._count = 0

    def new(self, leg: Leg, used: object) -> str:
        """The next tag that is not in `used` (anything with `in`); at most 20 letters and digits."""
        while True:
            self._count += 1
            tag = f"{_LETTERS[leg]}{self._start}{_base36(self._count):0>4}"
            if tag not in used:  # type: ignore[operator]
                return tag


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
    return text or "0"
