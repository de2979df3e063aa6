"""The processes of a rehearsal: the exchange, the login at it, the session, and a look at where they stand.

The exchange is `practice serve` as a user would start it; the login is Kite's own way; the session is run by its
supervisor. Whatever is started here is ended here, however the rehearsal ends.
"""

import datetime as dt
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import WorkbenchError
from engine.history.lake import Lake
from engine.history.manifest import LakeDay
from engine.live.brokers.base import BrokerError
from engine.live.brokers.kite_token import (
    ACCESS_TOKEN,
    API_KEY,
    TOKEN_DIES,
    KiteSecrets,
    dies_after,
    exchange_request_token,
    login_url,
    write_token,
)
from engine.live.control.processes import (
    FEED,
    RUNNER,
    SUPERVISOR,
    Process,
    find_all,
    last_words,
    session_commands,
)
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.spec import SessionSpec
from engine.market.clock import IST
from engine.params import SwingBreakParams
from engine.practice.login import API_KEY as PRACTICE_KEY

SERVED_S = 120.0  # until the exchange speaks: the first time it compiles
POLL_S = 0.1
SILENT_S = 120.0  # without a sign of life from the runner
GIVEN_UP_S = 15.0  # after the supervisor has given the runner up: the watchdog closes what is open
LEAVE_S = 10.0  # a session that is broken off; what it holds exists in its exchange only
END_S = 5.0
ANSWER_S = 10.0


class RehearsalError(WorkbenchError):
    """A rehearsal could not be started or did not come to its end."""


@dataclass(frozen=True)
class Look:
    """
    Where a rehearsal stands.

    Attributes
    ----------
    minute, minutes : int
        Minute of the session in play, and how many there are.
    phase : str
        The runner's word.
    clock : str
        Time of the day played, IST.
    trades : int
        Round trips done.
    open : int
        Positions held.
    net_paise : int or None
        The day's P&L after charges, as the runner tells it.
    """

    minute: int
    minutes: int
    phase: str
    clock: str
    trades: int
    open: int
    net_paise: int | None


def pace(speed: str) -> str | float:
    """
    The speed as the feed takes it.

    Raises
    ------
    RehearsalError
        If it is neither "max" nor a number above 0.
    """
    if speed == "max":
        return speed
    try:
        number = float(speed.removesuffix("x"))
    except ValueError:
        number = 0.0
    if not number > 0:
        raise RehearsalError(f"speed {speed!r} is not known; give max, or a number above 0 such as 60")
    return number


# ---- the exchange ----


@contextmanager
def practice_exchange(
    lake: Lake, entry: LakeDay, params: SwingBreakParams, speed: str, delay_ms: int, faults: Sequence[str],
    seed: int, folder: Path,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """
    A practice exchange in a process of its own, ended on leaving; what it told about itself.

    Raises
    ------
    RehearsalError
        If it does not come up; its own words are told.
    """
    numbers = ["--participants", "1", *([] if speed != "max" else ["--no-order-limits"])]
    words = [
        "--underlying", params.underlying, "--date", entry.date.isoformat(), "--source", entry.source,
        "--speed", str(pace(speed)), "--bar-path", params.bar_path, "--slippage", str(params.slippage_rupees),
        "--slippage-percent", str(params.slippage_percent), "--delay-ms", str(delay_ms), "--seed", str(seed),
        "--journal", str(folder / "exchange.jsonl"), "--data", str(lake.root.resolve()), "--linger", "--json",
        *numbers, *(word for fault in faults for word in ("--fault", fault)),
    ]  # fmt: skip
    log = (folder / "exchange.log").open("wb")
    served = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "engine.cli", "practice", "serve", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        yield _first_words(served, folder / "exchange.log")
    finally:
        _end(served)
        log.close()
        if served.stdout is not None:
            served.stdout.close()


def _first_words(served: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    lines: queue.Queue[bytes] = queue.Queue()
    stream = served.stdout
    assert stream is not None
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=SERVED_S)
    except queue.Empty:
        raise RehearsalError(f"the practice exchange said nothing for {SERVED_S:.0f} s; see {log}") from None
    if not line:
        served.wait(END_S)
        words = log.read_text("utf-8", "replace").strip().splitlines()
        raise RehearsalError(
            f"the practice exchange did not start: {words[-1] if words else f'exit code {served.returncode}'}"
        )
    told: dict[str, Any] = json.loads(line)
    return told


def exchange_state(rest_url: str) -> dict[str, Any]:
    """
    Where the exchange stands, by its own account.

    Raises
    ------
    RehearsalError
        If it does not answer.
    """
    try:
        with urllib.request.urlopen(f"{rest_url}/practice/state", timeout=ANSWER_S) as answer:  # noqa: S310
            state: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        raise RehearsalError(f"the practice exchange does not answer ({error}); see its log") from error
    return state


def log_in(told: dict[str, Any]) -> str:
    """
    An access token, by Kite's own way: login page, request token, checksum.

    Raises
    ------
    RehearsalError
        If the exchange gives none.
    """
    page = login_url(told["api_key"], told["rest_url"])
    try:
        with urllib.request.urlopen(page, timeout=ANSWER_S) as answer:  # noqa: S310 - the exchange just started
            landed = urllib.parse.urlsplit(answer.url)
        request_token = urllib.parse.parse_qs(landed.query)["request_token"][0]
    except (OSError, KeyError) as error:
        raise RehearsalError(f"the practice exchange gives no login ({error!r}); see its log") from error
    secrets = exchange_request_token(
        told["api_key"], told["api_secret"], request_token, now=dt.datetime.now(IST), root=told["rest_url"]
    )
    assert secrets.access_token is not None
    return secrets.access_token


# ---- the session ----


@contextmanager
def running_session(spec: SessionSpec, token: str) -> Iterator[subprocess.Popen[bytes]]:
    """The session's processes under their supervisor, all ended on leaving."""
    commands = session_commands(spec.places.spec)
    spec.places.logs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, API_KEY: PRACTICE_KEY, ACCESS_TOKEN: token}
    environment.pop(TOKEN_DIES, None)  # of another login: the fresh token would count as dead by it
    with (spec.places.logs / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(  # noqa: S603 - our own command
            list(commands[SUPERVISOR]),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment,
        )  # fmt: skip
    try:
        yield supervisor
    finally:
        _end(supervisor, LEAVE_S)
        for process in find_all(commands).values():
            process.end(END_S)


def watch(
    spec: SessionSpec,
    supervisor: subprocess.Popen[bytes],
    minutes: int,
    told: dict[str, Any],
    progress: Callable[[Look], object] | None,
) -> None:
    """
    Wait for the end of the session's day.

    Raises
    ------
    RehearsalError
        If its processes end before, or nothing is heard of the runner for long; its last words are told.
    """
    heard = time.monotonic()
    logged_in_again = given_up = 0.0
    while supervisor.poll() is None:
        look = look_at(spec, minutes)
        if look is not None:
            heard = time.monotonic()
            if progress is not None:
                progress(look)
            if look.phase == "login_needed" and time.monotonic() - logged_in_again > ANSWER_S:
                _renew(spec, told)
                logged_in_again = time.monotonic()
        given_up = (given_up or time.monotonic()) if _has_given_up(spec) else 0.0
        if given_up and time.monotonic() - given_up > GIVEN_UP_S:
            raise RehearsalError(f"the runner died too often: {_said(spec)}")
        if time.monotonic() - heard > SILENT_S:
            raise RehearsalError(f"nothing was heard of the runner for {SILENT_S:.0f} s: {_said(spec)}")
        time.sleep(POLL_S)
    if supervisor.returncode != 0 or not _has_ended(spec):
        raise RehearsalError(
            f"the session ended before its day (exit code {supervisor.returncode}): {_said(spec)}"
        )


def look_at(spec: SessionSpec, minutes: int) -> Look | None:
    """Where the session stands, by its store; None where it does not speak yet or no more."""
    try:
        with StoreReader(spec.places.database) as reader:
            beat = next((one for one in reader.beats() if one.name == RUNNER), None)
            if beat is None or Process.of(beat.pid) is None:
                return None
            status = json.loads(beat.status)
            trades, held = len(reader.trades(spec.date.isoformat())), len(reader.positions())
    except StoreError:
        return None
    ns = int(status.get("now_ns") or 0)
    return Look(
        minute=int(status.get("minute") or 0),
        minutes=minutes,
        phase=str(status.get("phase") or ""),
        clock=f"{dt.datetime.fromtimestamp(ns / 1e9, IST):%H:%M}" if ns else "",
        trades=trades,
        open=held,
        net_paise=status.get("net_paise"),
    )


def _renew(spec: SessionSpec, told: dict[str, Any]) -> None:
    """Log in again, as a person would, and leave the new token where the session looks for it."""
    path = spec.places.folder / ".env"
    with suppress(RehearsalError, BrokerError):  # an outage: asked again
        token = log_in(told)
        write_token(path, KiteSecrets(PRACTICE_KEY, None, token, dies_after(dt.datetime.now(IST))))


def _has_given_up(spec: SessionSpec) -> bool:
    try:
        with StoreReader(spec.places.database) as reader:
            return any(
                beat.name == SUPERVISOR and json.loads(beat.status).get("state") == "given_up"
                for beat in reader.beats()
            )
    except StoreError:
        return False


def _has_ended(spec: SessionSpec) -> bool:
    with StoreReader(spec.places.database) as reader:
        return any(reader.events(kinds=("SessionEnded",)))


def _said(spec: SessionSpec) -> str:
    words = [last_words(name, spec.places.logs, 2) for name in (RUNNER, SUPERVISOR, FEED)]
    return next((each for each in words if each), "no word") + f"; logs in {spec.places.logs}"


def measured_latency(spec: SessionSpec) -> tuple[float, float]:
    """p50 and p99 from a tick to the decision, microseconds, by the runner's last word; NaN where it has none."""
    with StoreReader(spec.places.database) as reader:
        beat = next((one for one in reader.beats() if one.name == RUNNER), None)
    told = json.loads(beat.status).get("latency_us") if beat else None
    nan = float("nan")
    return (float(told["p50"]), float(told["p99"])) if told else (nan, nan)


def _end(process: subprocess.Popen[bytes], within_s: float = END_S) -> None:
    """Ask a child to end, and kill it when it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
