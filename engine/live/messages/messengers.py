"""Where alerts go: a Telegram chat, a plain webhook. One delivery, its rate, and what a failure means.

Addresses and tokens come from the environment only and stand in no error and no log: a bot's token is part of the
address it posts to, so an address is never quoted. Nothing here is on the order path (`reference: reliability R9`).
Source: Telegram Bot API, `sendMessage`, and its FAQ on limits (1 message a second in a chat, 20 a minute in a group).
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, Protocol

import httpx

from engine.errors import WorkbenchError
from engine.live.messages.alert_texts import Message
from engine.market.clock import from_ns

TELEGRAM_API = "WORKBENCH_TELEGRAM_API"
TELEGRAM_TOKEN = "WORKBENCH_TELEGRAM_TOKEN"  # noqa: S105 - name of a variable
TELEGRAM_CHAT = "WORKBENCH_TELEGRAM_CHAT"
WEBHOOK_URL = "WORKBENCH_WEBHOOK_URL"
TELEGRAM_HOME = "https://api.telegram.org"
LONGEST_TEXT = 4096  # characters of one Telegram message

MessengerName = Literal["telegram", "webhook"]
NAMES: tuple[MessengerName, ...] = ("telegram", "webhook")

_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
_TIMEOUT = httpx.Timeout(10, connect=5)
_WORDS = 200


class MessengerError(WorkbenchError):
    """
    A message could not be delivered.

    Attributes
    ----------
    wait_s : float
        Seconds the messenger asked to be left alone; 0 where it did not.
    message_at_fault : bool
        It will never take this message, however often it is sent.
    """

    def __init__(self, line: str, wait_s: float = 0.0, *, message_at_fault: bool = False) -> None:
        super().__init__(line)
        self.wait_s = wait_s
        self.message_at_fault = message_at_fault


@dataclass
class Allowance:
    """
    How often a messenger may be spoken to; failed attempts count too. Times are monotonic seconds.

    Attributes
    ----------
    apart_s : float
        Least time from one to the next.
    per_minute : int
    """

    apart_s: float
    per_minute: int
    _spent: deque[float] = field(default_factory=deque)

    def wait_s(self, now: float) -> float:
        """Seconds until the next may go; 0 = at once."""
        while self._spent and self._spent[0] <= now - 60:
            self._spent.popleft()
        apart = self._spent[-1] + self.apart_s - now if self._spent else 0.0
        full = self._spent[-self.per_minute] + 60 - now if len(self._spent) >= self.per_minute else 0.0
        return max(apart, full, 0.0)

    def spend(self, now: float) -> None:
        """Count one."""
        self._spent.append(now)


class Messenger(Protocol):
    """
    A way to reach a person or a program.

    Attributes
    ----------
    name : str
    allowance : Allowance
    room : int
        Characters that fit into one delivery; messages that wait are bundled up to it. 0 = one message at a time.
    """

    name: MessengerName
    allowance: Allowance
    room: int

    def deliver(self, messages: Sequence[Message]) -> None:
        """
        Send messages as one delivery, once.

        Raises
        ------
        MessengerError
            If they were not provably taken.
        """

    def close(self) -> None:
        """Release the connection."""


class Telegram:
    """
    A chat with a bot.

    Parameters
    ----------
    token, chat : str
        Of the bot, and the chat's id.
    api : str
        Address of the Bot API or its stand-in.
    allowance : Allowance, optional
        By default Telegram's own limits.

    Raises
    ------
    MessengerError
        If the token has not a token's form.
    """

    name: MessengerName = "telegram"
    room = LONGEST_TEXT

    def __init__(
        self, token: str, chat: str, api: str = TELEGRAM_HOME, allowance: Allowance | None = None
    ) -> None:
        if not _TOKEN.fullmatch(token):
            raise MessengerError(f"{TELEGRAM_TOKEN} has not the form of a bot's token; ask @BotFather for it")
        self.allowance = allowance or Allowance(apart_s=1.0, per_minute=20)
        self._address = f"{api.rstrip('/')}/bot{token}/sendMessage"
        self._token = token
        self._chat = chat
        self._client = httpx.Client(timeout=_TIMEOUT)

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send the texts as one message, cut at Telegram's longest."""
        text = "\n".join(message.text for message in messages)
        answer = _post(
            self._client,
            self.name,
            self._address,
            {
                "chat_id": self._chat,
                "text": text[:LONGEST_TEXT],
                "link_preview_options": {"is_disabled": True},
            },
        )
        told = _json(answer)
        if answer.status_code == HTTPStatus.OK and told.get("ok") is True:
            return
        words = " ".join(str(told.get("description", "no words")).replace(self._token, "...").split())[
            :_WORDS
        ]
        parameters = told.get("parameters")
        asked = parameters.get("retry_after", 0) if isinstance(parameters, dict) else 0
        raise _failed(self.name, answer.status_code, words, asked)

    def close(self) -> None:
        """Release the connection."""
        self._client.close()


class Webhook:
    """
    An address that takes one JSON object for each message: text, level, kind, mode, seq, at.

    Parameters
    ----------
    url : str
    """

    name: MessengerName = "webhook"
    room = 0

    def __init__(self, url: str) -> None:
        self.allowance = Allowance(apart_s=0.05, per_minute=600)
        self._url = url
        self._client = httpx.Client(timeout=_TIMEOUT)

    def deliver(self, messages: Sequence[Message]) -> None:
        """Post each message."""
        for message in messages:
            answer = _post(self._client, self.name, self._url, _plain(message))
            if not answer.is_success:
                raise _failed(
                    self.name, answer.status_code, answer.reason_phrase, answer.headers.get("Retry-After", 0)
                )

    def close(self) -> None:
        """Release the connection."""
        self._client.close()


def messengers_of(
    names: Sequence[MessengerName], environ: Mapping[str, str]
) -> tuple[list[Messenger], dict[str, str]]:
    """
    The messengers asked for, and why some of them cannot be used.

    Parameters
    ----------
    names : sequence of "telegram", "webhook"
    environ : mapping
        `os.environ`.
    """
    made: list[Messenger] = []
    unusable: dict[str, str] = {}
    for name in names:
        needed = (TELEGRAM_TOKEN, TELEGRAM_CHAT) if name == "telegram" else (WEBHOOK_URL,)
        absent = [variable for variable in needed if not environ.get(variable)]
        if absent:
            unusable[name] = f"{' and '.join(absent)} not in the environment; set it or leave out {name}"
        elif name == "webhook":
            made.append(Webhook(environ[WEBHOOK_URL]))
        else:
            api = environ.get(TELEGRAM_API) or TELEGRAM_HOME
            try:
                made.append(Telegram(environ[TELEGRAM_TOKEN].strip(), environ[TELEGRAM_CHAT].strip(), api))
            except MessengerError as error:
                unusable[name] = str(error)
    return made, unusable


def configured(environ: Mapping[str, str]) -> tuple[MessengerName, ...]:
    """The messengers of which the environment says anything."""
    speaks = {"telegram": TELEGRAM_TOKEN, "webhook": WEBHOOK_URL}
    return tuple(name for name in NAMES if environ.get(speaks[name]))


def deliver_now(messengers: Sequence[Messenger], message: Message, within_s: float) -> dict[str, str]:
    """
    Send one message by every messenger side by side, with a few attempts, and come back in time whatever happens.

    Returns
    -------
    dict
        Why a messenger failed, by name; empty when all took it.
    """
    failed: dict[str, str] = {each.name: f"no answer within {within_s:g} s" for each in messengers}

    def attempt(messenger: Messenger) -> None:
        deadline = time.monotonic() + within_s
        for wait_s in (1.0, 2.0, 4.0, 0.0):
            try:
                messenger.deliver([message])
            except MessengerError as error:
                failed[messenger.name] = str(error)
                pause = max(wait_s, error.wait_s)
                if error.message_at_fault or not wait_s or time.monotonic() + pause > deadline:
                    break
                time.sleep(pause)
            else:
                del failed[messenger.name]
                break
        messenger.close()

    threads = [threading.Thread(target=attempt, args=(each,), daemon=True) for each in messengers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    return dict(failed)


def keep_addresses_quiet() -> None:
    """Stop the HTTP library from logging the addresses it posts to: they hold secrets."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _post(client: httpx.Client, name: str, address: str, content: Mapping[str, object]) -> httpx.Response:
    keep_addresses_quiet()
    try:
        return client.post(address, json=content)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        # its words may quote the address, so only its kind is told
        raise MessengerError(f"{name}: no answer ({type(error).__name__}); is the network up?") from None


def _failed(name: str, code: int, words: str, asked: object) -> MessengerError:
    try:
        wait_s = max(float(str(asked)), 0.0)
    except ValueError:
        wait_s = 0.0  # a date is allowed too; our own patience serves
    at_fault = code in {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    return MessengerError(f"{name}: not taken: {words} (HTTP {code})", wait_s, message_at_fault=at_fault)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _plain(message: Message) -> dict[str, object]:
    return {
        "text": message.text,
        "level": message.level,
        "kind": message.kind,
        "mode": message.mode,
        "seq": message.seq,
        "at": from_ns(message.ts_ns).isoformat(timespec="seconds"),
    }
