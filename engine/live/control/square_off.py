"""Whether a session's own exits are over before the broker closes its MIS positions by itself.

The broker's square-off sends market orders, costs a fee for each, and takes no new MIS order: an exit of ours that
comes after it would be refused, or buy what is bought back already. Source: reference `brokers_and_market`, 1.3.
"""

import datetime as dt

from engine.live.spec import SessionSpec
from engine.market.facts import Fact
from engine.market.square_off import mis_square_off


def square_off_of(spec: SessionSpec) -> Fact[dt.time]:
    """The broker's own square-off on the session's day, IST."""
    return mis_square_off(spec.date)


def too_late(spec: SessionSpec) -> tuple[str, str] | None:
    """
    What of the parameters comes too late for the broker's square-off, and the remedy; None if nothing does.

    The forced exit may take `flatten_within_seconds` until it is proved.
    """
    square_off = square_off_of(spec).value
    within_s = spec.session.flatten_within_seconds
    end = dt.datetime.combine(spec.date, square_off) - dt.timedelta(seconds=within_s)
    latest = end.time().replace(second=0)  # parameters are whole minutes
    late = {
        name: moment
        for name, moment in (
            ("forced_exit_time", spec.params.forced_exit_time),
            ("entry_end_time", spec.params.entry_end_time),
        )
        if moment > latest
    }
    if not late:
        return None
    named = " and ".join(f"{name} {moment:%H:%M}" for name, moment in late.items())
    what = (
        f"{named} too late: the broker closes MIS positions at {square_off:%H:%M}, "
        f"and an exit may take {within_s} s (flatten_within_seconds)"
    )
    remedy = (
        f"set {' and '.join(late)} to {latest:%H:%M} or earlier, or correct engine/market/tables/square_off.csv "
        "if the broker says another time"
    )
    return what, remedy
