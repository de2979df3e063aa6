"""Pre-flight: everything a session needs, looked at before it starts. `preflight(spec)` gives a line for each check.

Checks run side by side in threads, each with a time limit of its own, so one dead network holds up nothing but itself.
A check that stands on another that failed is skipped and says so. Nothing is changed: no order, no lease, no
subscription, no folder; one small file is written and removed.
"""

import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from engine.errors import WorkbenchError
from engine.live.checks import preflight_broker, preflight_machine, preflight_session
from engine.live.checks.preflight_case import Case, Check, CheckResult, Finding, Learned
from engine.live.spec import SessionSpec
from engine.market.clock import IST

__all__ = ["CheckResult", "all_well", "preflight"]

CHECKS: tuple[Check, ...] = (
    *preflight_machine.CHECKS,
    *preflight_session.CHECKS,
    *preflight_broker.CHECKS,
)
Progress = Callable[[int, int, object], None]


def preflight(
    spec: SessionSpec,
    *,
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    checks: tuple[Check, ...] = CHECKS,
    progress: Progress | None = None,
) -> list[CheckResult]:
    """
    Look at everything a session needs.

    Parameters
    ----------
    spec : SessionSpec
        Of the session that is to start; it need not be written.
    env_file : Path, optional
        Where secrets stand that the environment does not hold; by default `spec.env_file`.
    environ : mapping, optional
        By default `os.environ`.
    checks : tuple of Check
        By default all.
    progress : function, optional
        Called with (done, in all, name of the check that ended).

    Returns
    -------
    list of CheckResult
        One for each check, in the order of `checks`. Raises nothing that a check found.
    """
    case = Case(
        spec=spec,
        env_file=env_file or spec.env_file,
        environ=os.environ if environ is None else environ,
        now=dt.datetime.now(IST),
        learned=Learned(),
    )
    results: dict[str, CheckResult] = {}
    running: dict[Future[Finding], tuple[Check, float]] = {}
    left = list(checks)
    while left or running:
        left = _begin_what_can(left, case, results, running)
        _collect(running, results)
        if progress is not None and results:
            progress(len(results), len(checks), next(reversed(results)))
    return [results[check.name] for check in checks]


def all_well(results: list[CheckResult]) -> bool:
    """Whether nothing failed; warnings and skipped checks pass."""
    return all(result.state != "fail" for result in results)


def _begin_what_can(
    left: list[Check],
    case: Case,
    results: dict[str, CheckResult],
    running: dict[Future[Finding], tuple[Check, float]],
) -> list[Check]:
    """Start every check whose needs are met, skip those whose needs failed; the rest waits."""
    waiting = []
    for check in left:
        missing = [name for name in check.needs if name not in results]
        bad = [name for name in check.needs if name in results and results[name].state in {"fail", "skipped"}]
        if bad:
            results[check.name] = CheckResult(check.name, "skipped", f"needs {' and '.join(bad)}", "", 0.0)
        elif missing:
            waiting.append(check)
        else:
            running[_begin(check, case)] = check, time.monotonic()
    return waiting


def _begin(check: Check, case: Case) -> Future[Finding]:
    """Run a check in a daemon thread: one that hangs for ever cannot hold up the end of the process."""
    future: Future[Finding] = Future()

    def work() -> None:
        try:
            found = check.run(case)
        except WorkbenchError as error:
            found = Finding.of(error)
        except Exception as error:  # noqa: BLE001 - a check that breaks is a check that failed
            found = Finding("fail", f"the check itself broke: {type(error).__name__}: {error}", "report this")
        future.set_result(found)

    threading.Thread(target=work, name=f"check-{check.name}", daemon=True).start()
    return future


def _collect(running: dict[Future[Finding], tuple[Check, float]], results: dict[str, CheckResult]) -> None:
    """Wait until a check ends or one's time is up, and take the results."""
    if not running:
        return
    nearest = min(begun + check.limit_s for check, begun in running.values())
    wait(running, max(nearest - time.monotonic(), 0), FIRST_COMPLETED)
    now = time.monotonic()
    for future, (check, begun) in list(running.items()):
        took_s = now - begun
        if future.done():
            found = future.result()
        elif took_s >= check.limit_s:
            found = Finding("fail", f"no result within {check.limit_s:g} s", check.when_hung)
        else:
            continue
        results[check.name] = CheckResult(check.name, found.state, found.what, found.remedy, took_s)
        del running[future]
