"""The market of a paper account on a replayed day: its contracts, and the ranges of the bars in progress."""

from engine.live.brokers.base import Contract
from engine.live.brokers.paper_market import BarRange
from engine.live.feeds.replay import open_script
from engine.live.feeds.script import LakeScript, RecordingScript, Script
from engine.live.spec import SessionSpec
from engine.market.contracts import lot_size


def replayed_market(spec: SessionSpec) -> tuple[list[Contract], BarRange | None, bool]:
    """
    Contracts, ranges and whether the day is played by moments.

    Raises
    ------
    DataError
        If the day is not there.
    """
    script = open_script(spec)
    contracts = _contracts_of(script, spec)
    if isinstance(script, LakeScript):
        return contracts, _ranges_of(script), True
    return contracts, None, script.simulated


def _contracts_of(script: Script, spec: SessionSpec) -> list[Contract]:
    """Contracts of a day that is replayed; they have no tokens, so their places stand for them."""
    underlying = spec.params.underlying
    if isinstance(script, LakeScript):
        bars = script.bars
        expiry = bars.expiry
        assert expiry is not None
        return [
            Contract(symbol, place + 1, underlying, expiry, int(bars.strike[place]),
                     "CE" if bars.is_call[place] else "PE", bars.lot_size)
            for place, symbol in enumerate(bars.symbols)
        ]  # fmt: skip
    assert isinstance(script, RecordingScript)
    return [
        Contract(one.symbol, place + 1, underlying, one.expiry, one.strike, one.option_type,
                 lot_size(underlying, one.expiry))
        for place, one in enumerate(script.recording.instruments)
        if one.option_type in {"CE", "PE"} and one.expiry is not None and one.strike is not None
    ]  # fmt: skip


def _ranges_of(script: LakeScript) -> BarRange:
    bars = script.bars
    places = {symbol: place for place, symbol in enumerate(bars.symbols)}

    def range_of(symbol: str, minute: int) -> tuple[int, int] | None:
        place = places[symbol]
        if not bars.valid[place, minute]:
            return None
        return int(bars.low[place, minute]), int(bars.high[place, minute])

    return range_of
