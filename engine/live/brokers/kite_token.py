"""The daily login at Kite: login page, token exchange, and the `.env` file that holds the secrets.

A person logs in once a day in a browser; the request token that comes back is exchanged for an access token, which
dies at 06:00 IST of the next day. Secrets come from the environment or from `.env` with mode 600, in this order;
they are never parameters, never part of an error and never shown. Source: reference `brokers_and_market`, 1.1.
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
            raise BrokerAuth(f"there is no Kite access token ({ACCESS_TOKEN}); log in: workbench login kite")
        if self.dies is not None and now >= self.dies:
            raise BrokerAuth(
                f"the Kite access token died at {self.dies:%Y-%m-%d %H:%M} IST; log in: workbench login kite"
            )
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


def read_secrets(path: Path, environ: Mapping[str, str]) -> KiteSecrets:
    """
    Secrets from the environment, and from a `.env` file where the environment is silent.

    Parameters
    ----------
    path : Path
        May be absent.
    environ : mapping
        `os.environ`.

    Raises
    ------
    SecretsError
        If the file may be read by others, has a line that is not NAME=value, or there is no api key.
    """
    told = {**_read_env(path), **{name: value.strip() for name, value in environ.items() if value.strip()}}
    if not told.get(API_KEY):
        raise SecretsError(f"{API_KEY} is neither in the environment nor in {path}; put it there")
    # a token of the environment has nothing to do with the file's date
    dies = environ.get(TOKEN_DIES) if environ.get(ACCESS_TOKEN) else told.get(TOKEN_DIES)
    return KiteSecrets(
        told[API_KEY], told.get(API_SECRET), told.get(ACCESS_TOKEN), _moment(dies, path) if dies else None
    )


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


def _moment(text: str, path: Path) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SecretsError(
            f"{TOKEN_DIES} in {path} is not a time with its zone, such as 2026-11-21T06:00:00+05:30; log in again"
        )
    return moment.astimezone(IST)
