"""Logging in: which of the logins there are is tried, and whose account it must be.

The newest login that is good for today is tried first (`kite_token.read_logins`), the others only once it was refused:
a login does not tell that another one made later has ended it. Runner, watchdog, kill, reset and pre-flight log in
through `log_in`; a feed, which cannot ask who it is, through `Logins`.
"""

import datetime as dt
import os
from collections.abc import Iterable
from pathlib import Path

from engine.live.brokers.base import Broker, BrokerAuth
from engine.live.brokers.kite import KiteBroker
from engine.live.brokers.kite_token import KiteSecrets, read_logins
from engine.live.spec import SessionSpec
from engine.market.clock import IST


async def log_in(broker: Broker, spec: SessionSpec) -> KiteSecrets | None:
    """
    Bring a session's broker to a login that is good, and is that of the session's account.

    Parameters
    ----------
    broker : Broker
        At Kite it goes on with the token found; it keeps its own while none is.
    spec : SessionSpec

    Returns
    -------
    KiteSecrets or None
        None for a broker that is not Kite.

    Raises
    ------
    SecretsError
        If there is no api key, or others may read the file.
    BrokerAuth
        If no login is good; what the best one was told, and the command that helps.
    BrokerError
        If the broker does not answer.
    """
    account = spec.account if spec.mode == "live" else None
    try:
        if isinstance(broker, KiteBroker):
            return (await find_login(broker, known_logins(spec), account))[0]
        _check_user(await broker.connect(), account)
    except BrokerAuth as error:
        raise with_command(error, spec) from error
    return None


def with_command(error: BrokerAuth, spec: SessionSpec) -> BrokerAuth:
    """A refused login with what a person types: its line ends in "log in" and knows no session."""
    return BrokerAuth(f"{error}: {spec.login_command}", error.code, error.message)


async def find_login(
    broker: KiteBroker, logins: Iterable[KiteSecrets], account: str | None
) -> tuple[KiteSecrets, str]:
    """
    The first of the logins that is good, with its user's id; the broker goes on with it.

    Parameters
    ----------
    broker : KiteBroker
    logins : iterable of KiteSecrets
        The best first, not empty.
    account : str or None
        The user whose login it must be; None = any.

    Raises
    ------
    BrokerAuth
        If none is good.
    BrokerError
        If the broker does not answer.
    """
    refusals: list[BrokerAuth] = []
    for login in logins:
        try:
            token = login.token(dt.datetime.now(IST))
            user = await broker.user_of(token)
            _check_user(user, account)
        except BrokerAuth as error:
            refusals.append(error)
        else:
            broker.use_token(token)
            return login, user
    raise refusals[0]


def known_logins(spec: SessionSpec) -> tuple[KiteSecrets, ...]:
    """The logins a process of the session knows now, the best first; errors as `read_logins`."""
    return read_logins(spec.env_file, os.environ, dt.datetime.now(IST))


def _check_user(user: str, account: str | None) -> None:
    if account is not None and user != account:
        raise BrokerAuth(f"the login is of user {user}, the session of {account}; log in as the latter")


class Logins:
    """
    The logins there are, and those that were refused.

    Parameters
    ----------
    env_file : Path
        Where a new login's token is found; need not exist.
    """

    def __init__(self, env_file: Path) -> None:
        self._env_file = env_file
        self._refused: set[str] = set()

    def best(self) -> KiteSecrets:
        """
        The login to try next: the best that was not refused, else the best.

        Raises
        ------
        SecretsError
            If there is no api key, or others may read the file.
        """
        known = self._known()
        return next((login for login in known if login.access_token not in self._refused), known[0])

    def refuse(self, token: str) -> None:
        """Remember that a token was refused."""
        self._refused.add(token)

    def has_another(self) -> bool:
        """Whether there is a token that is not dead and was not refused; errors as `best`."""
        now = dt.datetime.now(IST)
        return any(
            login.access_token
            and login.access_token not in self._refused
            and (login.dies is None or login.dies > now)
            for login in self._known()
        )

    def forgive(self) -> None:
        """Try all again: a refusal in an outage does not tell a good login from a dead one."""
        self._refused.clear()

    def _known(self) -> tuple[KiteSecrets, ...]:
        return read_logins(self._env_file, os.environ, dt.datetime.now(IST))
