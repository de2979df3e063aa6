"""The daily login at Kite: login page, token exchange, and the `.env` file that holds the secrets.

A person logs in once a day in a browser; the request token that comes back is exchanged for an access token, which
dies at 06:00 IST of the next day. Key and secret come from the environment, else from `.env` with mode 600; a token may
stand in both, and which one counts is decided here for every process (`read_logins`). They are never parameters, never
part of an error and never shown. Source: reference `brokers_and_market`, 1.1.
"""

import datetime as dt
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from kiteconnect import KiteConnect  # type: ignore[import-untyped]
from kiteconnect import exceptions as kite

from engine.errors import WorkbenchError
from engine.live.brokers.base import BrokerAuth
from engine.live.brokers.kite_outcomes import outcome_of
from engine.market.clock import IST

LOGIN_PAGE = "https://kite.zerodha.com/connect/login"
KITE_VERSION = "3"
DIES_AT = dt.time(6, 0)  # IST, of the day after the login
PRIVATE = 0o600

API_KEY = "KITE_API_KEY"
API_SECRET = "KITE_API_SECRET"  # noqa: S105 - names of variables
ACCESS_TOKEN = "KITE_ACCESS_TOKEN"  # noqa: S105
TOKEN_DIES = "KITE_TOKEN_DIES"  # noqa: S105


class SecretsError(WorkbenchError):
    """Secrets are missing, unreadable for us or readable for others."""


@dataclass(frozen=True, slots=True)
class KiteSecrets:
    """
    What is known of the Kite app and today's login; secrets are left out of its text.

    Attributes
    ----------
    api_key : str
    api_secret, access_token : str or None
    dies : datetime or None
        When the access token dies, aware IST; None where it was given without.
    """

    api_key: str
    api_secret: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    dies: dt.datetime | None = None

    def token(self, now: dt.datetime) -> str:
        """
        The access token, if it is good for all we know.

        Parameters
        ----------
        now : datetime
            Aware.

        Raises
        ------
        BrokerAuth
            If there is none or it has died.
        """
        if not self.access_token:
            raise BrokerAuth(f"there is no Kite access token ({ACCESS_TOKEN}); log in")
        if self.dies is not None and now >= self.dies:
            raise BrokerAuth(f"the Kite access token died at {self.dies:%Y-%m-%d %H:%M} IST; log in again")
        return self.access_token


def login_url(api_key: str, root: str | None = None) -> str:
    """
    The page a person logs in at; it leads back with a `request_token`, good once and for minutes.

    Parameters
    ----------
    api_key : str
    root : str, optional
        Server that stands in for Kite.
    """
    page = f"{root.rstrip('/')}/connect/login" if root else LOGIN_PAGE
    return f"{page}?{urlencode({'api_key': api_key, 'v': KITE_VERSION})}"


def exchange_request_token(
    api_key: str, api_secret: str, request_token: str, *, now: dt.datetime, root: str | None = None
) -> KiteSecrets:
    """
    Exchange a request token for today's access token.

    Parameters
    ----------
    now : datetime
        Aware; tells when the token dies.
    root : str, optional
        Server that stands in for Kite.

    Raises
    ------
    BrokerAuth
        If key, secret or request token are wrong, or the request token was used.
    BrokerUnknown, BrokerBusy, BrokerRefused
        If Kite did not answer, or otherwise.
    """
    client = KiteConnect(api_key, root=root)
    try:
        session = client.generate_session(request_token, api_secret)
        access_token = session["access_token"]
    except kite.DataException:
        # the answer that could not be read may hold the token, so it is not quoted
        raise outcome_of(kite.DataException("an answer that cannot be read"), "login") from None
    except Exception as error:  # noqa: BLE001 - the client lets everything pass, see outcome_of
        raise outcome_of(error, "login") from None  # its frames hold secrets
    finally:
        client.reqsession.close()
    return KiteSecrets(api_key, api_secret, access_token, dies_after(now))


def dies_after(login: dt.datetime) -> dt.datetime:
    """When a token of a login dies: the next 06:00 IST."""
    local = login.astimezone(IST)
    day = local.date() if local.time() < DIES_AT else local.date() + dt.timedelta(days=1)
    return dt.datetime.combine(day, DIES_AT, IST)


def read_logins(path: Path, environ: Mapping[str, str], now: dt.datetime) -> tuple[KiteSecrets, ...]:
    """
    What there is to log in with, the best first: the newest login that is good for today.

    A process keeps the environment it was started with, so a new login can reach it through the file alone. So a token
    that is known to live goes before one without a date, that before a dead one, the newer before the older, and of
    equals the file's. Key and secret are the environment's where it has them.

    Parameters
    ----------
    path : Path
        May be absent.
    environ : mapping
        `os.environ`.
    now : datetime
        Aware.

    Returns
    -------
    tuple of KiteSecrets
        One for each token; a single one without a token if there is none.

    Raises
    ------
    SecretsError
        If the file may be read by others, has a line that is not NAME=value, or there is no api key.
    """
    file = _read_env(path)
    own = {name: value.strip() for name, value in environ.items() if value.strip()}
    key, secret = (own.get(name) or file.get(name) for name in (API_KEY, API_SECRET))
    if not key:
        raise SecretsError(f"{API_KEY} is neither in the environment nor in {path}; put it there")
    found: dict[str, KiteSecrets] = {}
    for source, place in ((file, str(path)), (own, "the environment")):
        dies = source.get(TOKEN_DIES)
        moment = _moment(dies, place) if dies else None
        if token := source.get(ACCESS_TOKEN):
            found.setdefault(token, KiteSecrets(key, secret, token, moment))
    return tuple(sorted(found.values(), key=lambda one: _age(one, now))) or (KiteSecrets(key, secret),)


def read_secrets(path: Path, environ: Mapping[str, str], now: dt.datetime) -> KiteSecrets:
    """The best of `read_logins`; errors as there."""
    return read_logins(path, environ, now)[0]


def _age(login: KiteSecrets, now: dt.datetime) -> tuple[int, float]:
    """Orders logins, the best first."""
    if login.dies is None:
        return 1, 0.0
    return 0 if login.dies > now else 2, -login.dies.timestamp()


def write_token(path: Path, secrets: KiteSecrets) -> None:
    """
    Put today's token into a `.env` file; other lines stay. The file is replaced whole and gets mode 600.

    Raises
    ------
    SecretsError
        If the file may be read by others or cannot be written, or there is no token.
    """
    if not secrets.access_token or secrets.dies is None:
        raise SecretsError(f"there is no dated token to write to {path}; exchange a request token first")
    _read_env(path)  # refuses what it would not read back
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in old if line.partition("=")[0].strip() not in {ACCESS_TOKEN, TOKEN_DIES}]
    new = [*kept, f"{ACCESS_TOKEN}={secrets.access_token}", f"{TOKEN_DIES}={secrets.dies.isoformat()}"]
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".env.")  # created with mode 600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(new) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise SecretsError(f"{path} cannot be written ({error.strerror}); check its folder") from error


def _read_env(path: Path) -> dict[str, str]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~PRIVATE:
            raise SecretsError(f"{path} has mode {mode:03o} and holds secrets; chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsError(
            f"{path} cannot be read ({type(error).__name__}); make it a text file of yours"
        ) from error
    told = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise SecretsError(f"{path}, line {number}: this is not NAME=value; correct it")
        told[name.strip()] = value.strip().strip("\"'")
    return told


def _moment(text: str, place: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SecretsError(
            f"{TOKEN_DIES} in {place} is not a time with its zone, such as 2026-11-21T06:00:00+05:30; log in again"
        )
    return moment.astimezone(IST)
