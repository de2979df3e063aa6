"""Pre-flight of the machine: Python and packages, clock, disk, proxies, time zone."""

import netrc
import os
import platform
import shutil
import sys
import tempfile
import time
import urllib.request
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from packaging.requirements import Requirement

from engine.live.checks.preflight_case import Case, Check, Finding
from engine.live.messages.messengers import keep_addresses_quiet
from engine.market.clock import IST

DISTRIBUTION = "index-option-workbench"
OLDEST_PYTHON = (3, 11)
FREE_BYTES = 1 << 30
SLOW_SYNC_S = 0.05
CLOCK_OFF_S = 2.0
JUMP_S = 0.02
_WATCHED_S = 0.3
_SYNCS = 5
_BLOCK = 4096


def environment(_: Case) -> Finding:
    """Python and every package the project asks for."""
    if sys.version_info < OLDEST_PYTHON:
        return Finding("fail", f"Python {platform.python_version()}", "use Python 3.11 or newer")
    try:
        asked = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return Finding("fail", f"{DISTRIBUTION} is not installed", "pip install -e . in the project's folder")
    wrong = []
    wanted = [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    for each in wanted:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
            continue
        if not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} {version} is not {each.specifier}")
    if wrong:
        return Finding("fail", "; ".join(wrong), "pip install -e . in the project's folder")
    return Finding("ok", f"Python {platform.python_version()}, {len(wanted)} packages")


def clock(case: Case) -> Finding:
    """The wall clock runs with the monotonic one, and shows what the broker's server shows."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(_WATCHED_S)
    jumped = (time.time() - wall) - (time.monotonic() - steady)
    if abs(jumped) > JUMP_S:
        return Finding(
            "warn",
            f"the wall clock moved {jumped * 1000:+.0f} ms against the steady one within {_WATCHED_S:g} s",
            "let NTP settle: timedatectl timesync-status",
        )
    if not case.asks_broker:
        return Finding("ok", "steady; compared with no server, prices are replayed")
    keep_addresses_quiet()
    try:
        asked = time.time()
        answer = httpx.head(case.root, timeout=4.0)
        answered = time.time()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding(
            "warn",
            f"steady, but {case.root} was not reached to compare ({type(error).__name__})",
            "check the network",
        )
    told = answer.headers.get("Date")
    if told is None:
        return Finding("warn", f"steady, but {case.root} tells no time", "compare the clock by hand")
    # the header has whole seconds, cut off: on average half a second has passed since
    off = (asked + answered) / 2 - (parsedate_to_datetime(told).timestamp() + 0.5)
    if abs(off) > CLOCK_OFF_S:
        return Finding(
            "warn",
            f"this clock is {abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} {case.root}",
            "switch NTP on: sudo timedatectl set-ntp true",
        )
    return Finding("ok", f"steady; within {max(abs(off), 0.5) + (answered - asked) / 2:.1f} s of {case.root}")


def disk(case: Case) -> Finding:
    """Space, and that a file can be written and synced where the log will be."""
    wanted = case.spec.places.folder.resolve()
    folder = next(each for each in (wanted, *wanted.parents) if each.exists())  # the start makes the rest
    try:
        free = shutil.disk_usage(folder).free
        took = [_synced(folder) for _ in range(_SYNCS)]
    except OSError as error:
        return Finding(
            "fail", f"{folder}: {error.strerror or error}", "free space, or choose a folder you may write to"
        )
    if free < FREE_BYTES:
        return Finding(
            "fail",
            f"{free / (1 << 20):.0f} MiB free at {folder}, {FREE_BYTES >> 20} MiB are the reserve",
            "free space: backups and recordings of old days take the most",
        )
    median = sorted(took)[_SYNCS // 2]
    what = f"{free / (1 << 30):.1f} GiB free at {folder}, a sync takes {median * 1000:.1f} ms"
    if median > SLOW_SYNC_S:
        return Finding("warn", what, "use a local disk: every order waits for one sync")
    return Finding("ok", what)


def _synced(folder: Path) -> float:
    """Seconds to write and sync one block; the file is removed."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".check-")
    try:
        begun = time.monotonic()
        os.write(handle, bytes(_BLOCK))
        os.fsync(handle)
        return time.monotonic() - begun
    finally:
        os.close(handle)
        Path(name).unlink()


def proxies(case: Case) -> Finding:
    """Proxies and .netrc, which the broker's client honours silently."""
    if not case.asks_broker:
        return Finding("skipped", "no broker is asked")
    address = urlsplit(case.root)
    host = address.hostname or ""
    found = []
    proxy = {name.lower(): value for name, value in case.environ.items() if name.lower().endswith("_proxy")}
    through = proxy.get(f"{address.scheme}_proxy") or proxy.get("all_proxy")
    if through and not urllib.request.proxy_bypass_environment(host, {"no": proxy.get("no_proxy", "")}):  # type: ignore[attr-defined]
        found.append(
            f"requests to {host} go through the proxy {urlsplit(through).hostname or 'of the environment'}"
        )
    file = Path(case.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        entry = netrc.netrc(str(file)).authenticators(host) if file.exists() else None
    except (netrc.NetrcParseError, OSError) as error:
        found.append(f"{file} cannot be read ({type(error).__name__})")
    else:
        if entry:
            found.append(f"{file} has a login for {host}, which takes the place of the access token")
    if found:
        return Finding(
            "warn", "; ".join(found), f"NO_PROXY={host}, and take {host} and default out of .netrc"
        )
    return Finding("ok", f"none concern {host}")


def timezone(case: Case) -> Finding:
    """What the machine's clock is set to; the session keeps IST by itself."""
    here = case.now.astimezone().tzname()
    offset = case.now.astimezone().utcoffset()
    if offset == case.now.astimezone(IST).utcoffset():
        return Finding("ok", f"{here}, as the exchange")
    opening = case.now.replace(hour=9, minute=0, second=0).astimezone()
    return Finding(
        "ok", f"{here}; the session keeps IST by itself, but for cron 09:00 IST is {opening:%H:%M}"
    )


CHECKS = (
    Check("environment", environment),
    Check("clock", clock, 8.0, when_hung="check the network"),
    Check("disk", disk, 10.0, when_hung="the disk hangs: use another one"),
    Check("proxies", proxies),
    Check("time zone", timezone),
)
