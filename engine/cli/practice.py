"""`workbench practice serve`: a stored day played by an exchange that the official Kite client logs in to."""

import datetime as dt
import signal
import threading
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.options import open_lake, parse_date
from engine.cli.show import console, notes, print_json, warn_simulated
from engine.errors import DataError
from engine.history.manifest import SIMULATED_SOURCE
from engine.market.clock import IST

if TYPE_CHECKING:
    from engine.history.lake import Lake

DEMO_SEED = 7
POLL_S = 0.2


def run_serve(
    *,
    underlying: str | None,
    day: str | None,
    source: str | None,
    speed: str,
    port: int,
    start_at: str | None,
    participants: int,
    wait: bool,
    match: str,
    bar_path: str,
    slippage: str,
    delay_ms: int,
    cash: int,
    faults: list[str] | None,
    seed: int,
    order_limits: bool,
    redirect_url: str | None,
    postback_url: str | None,
    journal: Path | None,
    linger: bool,
    data_folder: Path | None,
    as_json: bool,
    slippage_percent: str = "0",
) -> None:
    """
    Serve until the day is over, or for ever with `linger`; SIGINT or SIGTERM ends it.

    Parameters
    ----------
    underlying, day : str, optional
        Default NIFTY and the last day the lake holds, else the last trading day; one that no source has is simulated.
    speed : str
        A number, "max" or "manual".
    start_at : str, optional
        Clock time HH:MM, IST, from which the day is played at that speed; the time before is played at once.
    participants : int
        At "max": how many sessions must acknowledge each moment.
    wait : bool
        At "max": the first moment waits for the first ticker socket.
    match : str
        "bars" or "quotes".
    slippage, slippage_percent : str
        Rupees, and percent of the price, of fills against bars.
    faults : list of str, optional
        As `name:p=0.1`, see `engine.practice.faults.parse_fault`.
    order_limits : bool
        Whether Kite's order rates are kept.
    journal : Path, optional
        File that lets a killed server go on where it ended.

    Raises
    ------
    DataError, MarketFactError, FaultError, WorkbenchError
        If day, time, speed, fault or port are wrong.
    """
    from engine.execution.bar_path import PATHS
    from engine.history.simulate import ensure_simulated
    from engine.market.prices import to_ticks
    from engine.practice.faults import parse_fault, refuse_at_max
    from engine.practice.market import load_practice_day
    from engine.practice.pace import PaceSettings
    from engine.practice.server import PracticeServer, ServerSettings
    from engine.practice.settings import ExchangeSettings

    lake = open_lake(data_folder)
    name = underlying or "NIFTY"
    date = day_to_play(lake, name, day, source)
    if source in {None, "simulated"} and not lake.entries(name, date, date, source):
        ensure_simulated(lake, name, date, date, seed=DEMO_SEED)
    played = load_practice_day(lake, name, date, source=source)
    if match not in {"bars", "quotes"}:
        raise DataError(f"match {match!r} is not known; choose bars or quotes")
    if bar_path not in PATHS:
        raise DataError(f"bar path {bar_path!r} is not known; choose {', '.join(PATHS)}")
    switched_on = tuple(parse_fault(text) for text in faults or ())
    pace = _speed(speed)
    if pace == "max" and participants:
        refuse_at_max(switched_on)
    settings = ServerSettings(
        port=port,
        path=bar_path,
        pace=PaceSettings(
            speed=pace,
            participants=participants,
            await_reader=wait,
            start_minute=_minute(start_at, played.bars.open_minute) if start_at else 0,
        ),
        exchange=ExchangeSettings(
            match="quotes" if match == "quotes" else "bars",
            slip_ticks=to_ticks(slippage),
            slip_basis_points=_basis_points(slippage_percent),
            delay_ms=delay_ms,
            cash_rupees=cash,
        ),
        faults=switched_on,
        seed=seed,
        order_limits=order_limits,
        redirect_url=redirect_url,
        postback_url=postback_url,
        journal=journal,
    )
    server = PracticeServer(played, settings)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())  # an exception amid a lock would leave it held
    server.start()
    told: dict[str, Any] = {
        "underlying": name,
        "date": date,
        "source": played.bars.source,
        "simulated": played.bars.simulated,
        "contracts": played.bars.contracts,
        "speed": speed,
        "rest_url": server.rest_url,
        "ticker_url": server.ticker_url,
        "login_url": f"{server.rest_url}/connect/login?api_key={server.api_key}&v=3",
        "api_key": server.api_key,
        "api_secret": server.api_secret,
        "user_id": settings.exchange.user_id,
    }
    try:
        if as_json:
            print_json(told)
        else:
            for key, value in told.items():
                console.print(f"{key.replace('_', ' '):12} {value}", highlight=False)
            warn_simulated(played.bars.simulated)
            _say_next(server.rest_url)
        while not ended.is_set() and not server.is_over:
            ended.wait(POLL_S)
        if not as_json:
            console.print(
                f"{'day over' if server.is_over else 'stopped'}: {len(server.exchange.orders)} orders, "
                f"{len(server.exchange.trades)} fills",
                highlight=False,
            )
        while linger and not ended.is_set():
            ended.wait(POLL_S)
    finally:
        server.stop()


def _say_next(address: str) -> None:
    """What to type into another terminal."""
    console.print(
        f"a session here: workbench login kite --root {address}\n"
        f"          then: workbench live start --session practice --root {address}\n"
        "end: Ctrl-C",
        highlight=False,
        soft_wrap=True,
    )


def _speed(text: str) -> float | str:
    if text in {"max", "manual"}:
        return text
    try:
        return float(text.removesuffix("x"))
    except ValueError:
        raise DataError(f"speed {text!r} is not known; give a number such as 60, or max, or manual") from None


def _basis_points(text: str) -> int:
    try:
        points = Decimal(text) * 100
    except InvalidOperation:
        raise DataError(f"slippage {text!r} percent is not a number; write it as 0.25") from None
    if points < 0 or points != int(points):
        raise DataError(
            f"slippage {text} percent is not a whole hundredth of a percent from 0 on; write it as 0.25"
        )
    return int(points)


def _minute(text: str, open_minute: int) -> int:
    try:
        moment = dt.time.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is not a clock time; write it as 09:45") from None
    minute = moment.hour * 60 + moment.minute - open_minute
    if minute < 0:
        raise DataError(
            f"{text} lies before the open at {open_minute // 60:02d}:{open_minute % 60:02d}; choose a later time"
        )
    return minute


def day_to_play(lake: "Lake", underlying: str, day: str | None, source: str | None) -> dt.date:
    """
    The day asked for; else the last one the lake holds; else the last trading day, which will be simulated.

    Raises
    ------
    DataError
        If the day is none of trading, or there is none from that source.
    """
    from engine.market.calendar import is_trading_day, next_trading_day, previous_trading_day
    from engine.market.sessions import closure

    if day is not None:
        date = parse_date(day)
        if not is_trading_day(date) and not lake.entries(underlying, date, date, source):
            raise DataError(
                f"{date} is no trading day ({closure(date)}); the next one is {next_trading_day(date)}"
            )
        return date
    held = lake.entries(underlying, source=source)
    if held:
        return max(entry.date for entry in held)
    if source not in {None, SIMULATED_SOURCE}:
        raise DataError(
            f"the lake at {lake.root} holds no day of {underlying} from source {source!r}; look: workbench data list"
        )
    date = previous_trading_day(dt.datetime.now(IST).date())
    notes.print(f"no day of {underlying} is stored yet: {date} is simulated", highlight=False)
    return date
