"""What stands between a command and real money: the mode of the parameters, a switch, a sentence typed by a person.

All three, or there is no LIVE session. The switch is an environment variable, so it can neither be left in a parameter
file nor travel in a notebook; the sentence names the account, so it cannot be meant for another.
"""

from collections.abc import Mapping

from engine.errors import WorkbenchError
from engine.live.control.square_off import too_late
from engine.live.spec import SIMULATED_FEEDS, SessionSpec

SWITCH = "WORKBENCH_LIVE"


class LiveGateError(WorkbenchError):
    """A LIVE session was asked for without all that it needs; nothing was started."""


def sentence(account: str) -> str:
    """What a person types to trade with real money on this account."""
    return f"LIVE {account}"


def check_gate(spec: SessionSpec, confirmation: str | None, environ: Mapping[str, str]) -> None:
    """
    Let a session pass, or say what is missing; paper and practice pass always.

    Parameters
    ----------
    spec : SessionSpec
    confirmation : str or None
        As typed.
    environ : mapping
        `os.environ`.

    Raises
    ------
    LiveGateError
        Naming the first thing that is missing.
    """
    if spec.mode != "live" and spec.session.mode != "live":
        return
    if spec.mode != "live" or spec.session.mode != "live":
        raise LiveGateError(
            f"the session says mode {spec.mode} and its parameters say {spec.session.mode}; both must say live"
        )
    if spec.simulated or spec.feed in SIMULATED_FEEDS or spec.session.feed in SIMULATED_FEEDS:
        raise LiveGateError(
            f"a LIVE session refuses simulated or replayed prices (feed {spec.feed}); set feed to kite"
        )
    if spec.broker == "paper":
        raise LiveGateError("a LIVE session does not trade through broker paper; set mode to paper for that")
    check_switch(spec, environ)
    late = too_late(spec)
    if late is not None:
        raise LiveGateError("; ".join(late))
    if confirmation != sentence(spec.account):
        raise LiveGateError(
            f"a LIVE session trades real money; confirm it with the words {sentence(spec.account)!r}, typed exactly so"
        )


def check_switch(spec: SessionSpec, environ: Mapping[str, str]) -> None:
    """
    Hold every process of a LIVE session to the switch and to Kite itself, started by hand too.

    Raises
    ------
    LiveGateError
        If the session is LIVE and the switch is off, or it is to trade at a practice exchange.
    """
    if spec.mode == "live" and environ.get(SWITCH) != "1":
        raise LiveGateError(
            f"mode live needs {SWITCH}=1 in the environment; without it, start with mode paper"
        )
    if spec.mode == "live" and spec.broker_root:
        raise LiveGateError(
            f"a LIVE session trades at Kite itself, not at {spec.broker_root}; leave --root out and unset KITE_ROOT"
        )


def check_root(spec: SessionSpec) -> None:
    """
    Keep every session that is not LIVE away from Kite itself, whatever its file says.

    Raises
    ------
    LiveGateError
        If a practice session names no practice exchange, or Kite's own address.
    """
    root = (spec.broker_root or "").lower()
    if spec.mode != "live" and (not root or "kite.trade" in root or "zerodha" in root):
        raise LiveGateError(
            f"mode {spec.mode} would send orders to Kite itself ({spec.broker_root or 'no address given'}); "
            "name a practice exchange with --root"
        )
