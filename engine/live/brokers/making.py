"""Our own brokers from a session's spec: the factories behind the entry points kite and paper.

Secrets come from the environment or the `.env` file, never from the spec. Paper takes its list of contracts from
where its prices come from: Kite, the practice exchange, or the day that is replayed.
"""

import datetime as dt
from collections.abc import Sequence

from engine.live.brokers.base import BrokerAuth, Contract
from engine.live.brokers.kite import KiteBroker
from engine.live.brokers.logins import known_logins, log_in, with_command
from engine.live.brokers.paper import ContractSource, PaperBroker
from engine.live.brokers.paper_market import BarRange
from engine.live.brokers.paper_on_feed import PaperOnFeed
from engine.live.brokers.paper_rules import PaperRules
from engine.live.clocks import Clock
from engine.live.control.live_gate import check_root
from engine.live.feeds.replay import open_script
from engine.live.feeds.script import LakeScript, RecordingScript, Script
from engine.live.spec import SessionSpec
from engine.market.clock import IST
from engine.market.contracts import lot_size
from engine.market.prices import TICKS_PER_RUPEE

BASIS_POINTS_PER_PERCENT = 100


def make_kite(spec: SessionSpec, clock: Clock, *, fed: bool = False) -> KiteBroker:
    """
    A connection to Kite, or to what stands in for it at `spec.broker_root`.

    Parameters
    ----------
    spec : SessionSpec
    clock : Clock
        Not needed: a login lives by the machine's time, on a played day too.
    fed : bool
        Not needed: Kite knows its prices.

    Raises
    ------
    SecretsError
        If there is no api key, or others may read the file.
    BrokerAuth
        If there is no token, or all have died.
    LiveGateError
        If a session that is not LIVE would reach Kite itself.
    """
    del clock, fed
    check_root(spec)
    return _kite(spec, spec.broker_root)


def make_paper(spec: SessionSpec, clock: Clock, *, fed: bool = False) -> PaperBroker:
    """
    The paper account of a session.

    Raises
    ------
    PaperBookError
        If another process holds the account, or its file is damaged.
    DataError
        If the day to be replayed is not there.
    """
    script = open_script(spec) if spec.feed == "replay" else None
    contracts = _listed(spec) if script is None else _contracts_of(script, spec)
    ranges = _ranges_of(script) if isinstance(script, LakeScript) else None
    kind = PaperBroker if fed else PaperOnFeed
    broker = kind(
        spec.places.paper_book,
        spec.date,
        clock,
        contracts=contracts,
        rules=_rules(spec, script),
        ranges=ranges,
    )
    if isinstance(broker, PaperOnFeed):
        broker.socket = spec.places.feed_socket
    return broker


def _rules(spec: SessionSpec, script: Script | None) -> PaperRules:
    """Slippage of the parameters, latency of the session; a played day fills by its moments."""
    played = (
        spec.feed == "practice" or (script is not None and script.simulated) or isinstance(script, LakeScript)
    )
    return PaperRules(
        latency_ms=spec.session.paper_latency_ms,
        moments=played,
        slip_ticks=int(spec.params.slippage_rupees * TICKS_PER_RUPEE),
        slip_basis_points=int(spec.params.slippage_percent * BASIS_POINTS_PER_PERCENT),
    )


def _kite(spec: SessionSpec, root: str | None) -> KiteBroker:
    best = known_logins(spec)[0]
    try:
        token = best.token(dt.datetime.now(IST))
    except BrokerAuth as error:
        raise with_command(error, spec) from error
    return KiteBroker(best.api_key, token, root=root)


def _listed(spec: SessionSpec) -> ContractSource:
    """Today's dump of Kite, or of the practice exchange."""
    root = str(spec.feed_options["rest_url"]) if spec.feed == "practice" else None

    async def listed(underlying: str, expiry: dt.date | None) -> Sequence[Contract]:
        broker = _kite(spec, root)
        try:
            await log_in(broker, spec)
            return await broker.instruments(underlying, expiry)
        finally:
            await broker.close()

    return listed


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
