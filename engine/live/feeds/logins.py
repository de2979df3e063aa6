"""Which login a feed uses: the environment's, or the file's once the environment's was refused.

A process keeps the environment it was started with, so a new login of the day can only reach it through the file.
"""

import datetime as dt
import os
from pathlib import Path

from engine.live.brokers.kite_token import ACCESS_TOKEN, TOKEN_DIES, KiteSecrets, read_secrets
from engine.live.spec import SessionSpec
from engine.market.clock import IST


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
        The login to try next.

        Raises
        ------
        SecretsError
            If there is no api key, or others may read the file.
        """
        secrets = read_secrets(self._env_file, os.environ)
        if secrets.access_token in self._refused:
            plain = {
                name: told for name, told in os.environ.items() if name not in {ACCESS_TOKEN, TOKEN_DIES}
            }
            newer = read_secrets(self._env_file, plain)
            dead = newer.dies is not None and newer.dies <= dt.datetime.now(IST)
            if newer.access_token and newer.access_token not in self._refused and not dead:
                return newer
        return secrets

    def refuse(self, token: str) -> None:
        """Remember that a token was refused."""
        self._refused.add(token)

    def has_another(self) -> bool:
        """Whether there is a token that was not refused; errors as `best`."""
        token = self.best().access_token
        return bool(token) and token not in self._refused

    def forgive(self) -> None:
        """Try all again: a refusal in an outage does not tell a good login from a dead one."""
        self._refused.clear()


def env_file_of(spec: SessionSpec) -> Path:
    """Where a new login's token is found: the file that the options name, else the session's."""
    told = spec.feed_options.get("env_file")
    return Path(str(told)) if told else spec.env_file
