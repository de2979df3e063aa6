"""Pre-flight of the session's own things: secrets, calendar, lot, lease, database, filters, alerts. No broker asked."""

import datetime as dt
from pathlib import Path

from engine.live.brokers.base import BrokerAuth
from engine.live.brokers.logins import with_command
from engine.live.checks.preflight_case import Case, Check, Finding
from engine.live.control.live_gate import check_switch
from engine.live.control.square_off import square_off_of, too_late
from engine.live.log.lease import read_holder
from engine.live.log.log_writing import verify_log
from engine.live.log.reader import open_read_only
from engine.live.log.schema import SCHEMA_VERSION, check_version, version_of
from engine.live.log.store_errors import translated
from engine.live.log.tables import load_state
from engine.live.messages.messengers import messengers_of
from engine.market.calendar import next_trading_day, session
from engine.market.contracts import freeze_quantity_fact, lot_size_fact
from engine.market.expiries import nearest_expiry
from engine.market.facts import table_rows
from engine.market.sessions import closure
from engine.strategy.predicates import compile_all, load_filter

HOLIDAYS_AHEAD = dt.timedelta(days=14)


def mode(case: Case) -> Finding:
    """The mode, in words that nobody can misread."""
    spec = case.spec
    check_switch(spec, case.environ)
    if spec.mode == "live":
        return Finding("ok", f"LIVE: real money on account {spec.account}")
    if spec.mode == "practice":
        return Finding("ok", "PRACTICE: orders go to a practice exchange, no money moves")
    prices = "replayed or simulated prices" if spec.simulated else "live prices"
    return Finding("ok", f"PAPER: no order leaves this machine; {prices}")


def secrets(case: Case) -> Finding:
    """Key and token are there, and nobody else may read them."""
    if not case.asks_broker:
        return Finding("skipped", "a replay needs none")
    found = case.logins()[0]
    try:
        found.token(case.now)
    except BrokerAuth as error:
        return Finding.of(with_command(error, case.spec))
    where = f"{case.env_file} (mode 600)" if case.env_file.exists() else "the environment"
    until = f", token good until {found.dies:%Y-%m-%d %H:%M} IST" if found.dies else ""
    return Finding("ok", f"from {where}{until}")


def calendar(case: Case) -> Finding:
    """The day trades, it is today, and the holiday list reaches beyond it."""
    spec = case.spec
    hours = session(spec.date)
    if hours is None:
        return Finding(
            "fail",
            f"NSE F&O does not trade on {spec.date} ({closure(spec.date)})",
            f"the next trading day is {next_trading_day(spec.date)}",
        )
    if not spec.simulated:
        today = case.now.date()
        if spec.date != today:
            return Finding(
                "fail", f"the session is of {spec.date}, today is {today}", "start it on its own day"
            )
        if case.now >= hours.close:
            return Finding(
                "fail",
                f"the session ended at {hours.close:%H:%M}",
                f"start on {next_trading_day(spec.date)}",
            )
    expiry = nearest_expiry(spec.params.underlying, spec.date)
    what = f"{hours.open:%H:%M}-{hours.close:%H:%M} IST, {spec.params.underlying} expiry {expiry}"
    last = max(row["date"] for row in table_rows("holidays.csv"))
    reaches = dt.date(int(last[:4]), 12, 31)
    if not spec.simulated and reaches - spec.date < HOLIDAYS_AHEAD:
        return Finding(
            "warn",
            f"{what}; the holiday table ends with {reaches.year}",
            f"add NSE's circular of {reaches.year + 1} to engine/market/tables/holidays.csv",
        )
    return Finding("ok", f"{what}, holidays known until {reaches}")


def lot(case: Case) -> Finding:
    """Lot size and freeze quantity of the contracts of the day."""
    underlying, date = case.spec.params.underlying, case.spec.date
    size = lot_size_fact(underlying, nearest_expiry(underlying, date))
    freeze = freeze_quantity_fact(underlying, date)
    what = f"lot {size.value}, freeze {freeze.value} units"
    if freeze.value < size.value:
        return Finding("fail", f"{what}: not one lot fits into an order", "correct freeze_quantities.csv")
    doubtful = [
        f"{name} ({fact.source})"
        for name, fact in (("lot", size), ("freeze quantity", freeze))
        if fact.certainty == "U"
    ]
    if doubtful and not case.spec.simulated:
        return Finding(
            "warn", f"{what}; uncertain: {', '.join(doubtful)}", "read NSE's circular of this month"
        )
    return Finding("ok", what)


def square_off(case: Case) -> Finding:
    """Our exits are over before the broker closes MIS positions by itself."""
    late = too_late(case.spec)
    if late is not None:
        return Finding("fail" if case.spec.mode == "live" else "warn", *late)
    known = square_off_of(case.spec)
    what = (
        f"forced exit {case.spec.params.forced_exit_time:%H:%M}, the broker closes MIS at {known.value:%H:%M}"
    )
    if known.certainty == "U" and case.spec.mode == "live":
        return Finding(
            "warn",
            f"{what}; uncertain: {known.source}",
            "read Zerodha's page on square-off times, then square_off.csv",
        )
    return Finding("ok", what)


def lease(case: Case) -> Finding:
    """Nobody trades this account yet."""
    path = case.spec.places.database
    if not path.exists():
        return Finding("ok", f"free: account {case.spec.account} has no session yet")
    db = open_read_only(path)
    try:
        with translated(path):
            if version_of(db) != SCHEMA_VERSION:
                return Finding("skipped", "the database has another version; see there")
            held = read_holder(db, case.spec.account)
    finally:
        db.close()
    if held is None or not held.pid or not held.alive():
        return Finding("ok", f"free: nobody trades account {case.spec.account}")
    return Finding(
        "warn",
        f"process {held.pid} runs a session of account {held.account}",
        "use it (a start finds it), or end it: workbench live stop",
    )


def database(case: Case) -> Finding:
    """The log opens, has this version, is whole and equals its tables."""
    path = case.spec.places.database
    if not path.exists():
        return Finding("ok", f"{path.name} will be made in {path.parent}")
    db = open_read_only(path)
    try:
        with translated(path):
            version = version_of(db)
            if version < SCHEMA_VERSION:
                return Finding(
                    "warn",
                    f"{path} has schema version {version}, it becomes {SCHEMA_VERSION} at the start",
                    "nothing: a copy of it is kept",
                )
            check_version(db, path)
            db.execute("BEGIN")  # one moment of a log that may be growing
            verified = verify_log(db, load_state(db))
    finally:
        db.close()
    if verified.problems:
        return Finding(
            "fail", f"{path}: {'; '.join(verified.problems)}", "restore the newest backup beside it"
        )
    if _journal_waits(path):
        return Finding(
            "warn",
            "events of exits wait in the fallback journal",
            "nothing: the next start takes them into the log",
        )
    return Finding("ok", f"{verified.events} events, whole, tables equal the log")


def _journal_waits(database_path: Path) -> bool:
    try:
        with database_path.with_name(f"{database_path.name}.journal").open("rb") as file:
            return file.read(1) not in {b"", b"\0"}
    except FileNotFoundError:
        return False


def filters(case: Case) -> Finding:
    """Every filter that the parameters name compiles."""
    names = case.spec.params.filters
    if not names:
        return Finding("ok", "none are named")
    compile_all([load_filter(name) for name in names])
    return Finding("ok", f"{', '.join(names)} compiled")


def alerts(case: Case) -> Finding:
    """The messengers that the parameters ask for have their addresses and tokens."""
    names = case.spec.session.alerts
    if not names:
        what = "nobody is told anything outside this machine"
        if case.spec.mode == "live":
            return Finding("warn", what, "set alerts: [telegram] in the session's parameters")
        return Finding("ok", what)
    made, unusable = messengers_of(names, case.environ)
    for messenger in made:
        messenger.close()
    if unusable:
        return Finding("fail", *next(iter(unusable.values())).split("; ", 1))
    return Finding("ok", f"by {' and '.join(names)}; addresses set, nothing was sent")


CHECKS = (
    Check("mode", mode),
    Check("secrets", secrets),
    Check("calendar", calendar, 10.0),
    Check("lot", lot),
    Check("square off", square_off),
    Check("lease", lease),
    Check("database", database, 30.0, when_hung="the log is long or locked; look for who holds it: lsof"),
    Check("filters", filters, 60.0),
    Check("alerts", alerts),
)
