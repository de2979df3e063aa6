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
from engine.live.spec import SessionSpec
from engine.market.clock import IST
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
    contracts, ranges, by_moments = _market(spec)
    kind = PaperBroker if fed else PaperOnFeed
    broker = kind(
        spec.places.paper_book,
        spec.date,
        clock,
        contracts=contracts,
        rules=_rules(spec, by_moments=by_moments),
        ranges=ranges,
    )
    if isinstance(broker, PaperOnFeed):
        broker.socket = spec.places.feed_socket
    return broker


def _market(spec: SessionSpec) -> tuple[ContractSource | Sequence[Contract], BarRange | None, bool]:
    """Contracts, ranges of the bars in progress where they are known, and whether the day is played by moments."""
    if spec.feed != "replay":
        return _listed(spec), None, spec.feed == "practice"
    from engine.live.brokers.paper_replay import (
        replayed_market,  # with the lake: only a replay has need of it
    )

    return replayed_market(spec)


def _rules(spec: SessionSpec, *, by_moments: bool) -> PaperRules:
    """Slippage of the parameters, latency of the session; a played day fills by its moments."""
    return PaperRules(
        latency_ms=spec.session.paper_latency_ms,
        moments=by_moments,
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
