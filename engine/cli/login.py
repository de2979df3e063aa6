"""`workbench login kite`: a person logs in at the browser, today's access token goes into `.env`.

Three ways bring the request token here: the browser is redirected to a listener on this machine (where the app's
redirect URL points to it), the person pastes the address the browser was sent to, or gives the token itself. None of
them is ever shown. A practice exchange lets everybody in, so its login needs neither person nor browser; its key and
secret are published. Source: reference `brokers_and_market`, 1.1; Kite Connect v3, "User".
"""

import asyncio
import datetime as dt
import os
import threading
import webbrowser
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import httpx
import typer
from rich.text import Text

from engine.cli.show import console, print_json
from engine.errors import WorkbenchError
from engine.live.brokers.kite import KiteBroker
from engine.live.brokers.kite_token import (
    API_KEY,
    API_SECRET,
    KiteSecrets,
    exchange_request_token,
    login_url,
    read_secrets,
    write_token,
)
from engine.live.places import Places
from engine.live.spec import PRACTICE_ACCOUNT
from engine.market.clock import IST
from engine.params import project_folder
from engine.practice.login import API_KEY as PRACTICE_KEY
from engine.practice.login import API_SECRET as PRACTICE_SECRET

REDIRECT_URL = "KITE_REDIRECT_URL"
LOOPBACK = frozenset({"127.0.0.1", "localhost"})
EXAMPLE = "http://127.0.0.1:5010/"
ANSWER_S = 5.0
_PAGE = "<!doctype html><title>Workbench</title><p style='font:18px sans-serif'>{words}</p>"


class LoginError(WorkbenchError):
    """The login did not come to a token."""


def run_login(
    request_token: str | None,
    browser: bool,
    root: str | None,
    redirect_url: str | None,
    env_file: Path | None,
    wait_s: float,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """
    Log in to Kite for today.

    Parameters
    ----------
    request_token : str, optional
        From the address the login page led to; else it is listened or asked for.
    browser : bool
        Open the login page.
    root : str, optional
        Server that stands in for Kite.
    redirect_url : str, optional
        Of the app in Kite's developer console; on 127.0.0.1 this command listens there.
    env_file : Path, optional
        Default: `.env` of the project; with `root` that of the practice account, so that neither sees the other's, and
        the practice exchange's published key is used.
    wait_s : float
        How long the listener waits.
    data_folder : Path, optional
        Whose practice account is meant.

    Raises
    ------
    SecretsError
        If the api key is missing, or `.env` may be read by others.
    LoginError
        If no request token came, or the secret is missing.
    BrokerAuth, BrokerUnknown, BrokerBusy, BrokerRefused
        If Kite does not take it.
    """
    file = env_file or _usual_file(root, data_folder)
    published = root is not None and env_file is None
    now = dt.datetime.now(IST)
    known = _practice_secrets(file, now) if published else read_secrets(file, os.environ, now)
    if not known.api_secret:
        raise LoginError(f"{API_SECRET} is neither in the environment nor in {file}; put it there")
    page = login_url(known.api_key, root)
    token = request_token
    if token is None and published and redirect_url is None:
        token = _token_of_practice(page)
    token = token or _token_of_person(page, browser, redirect_url, wait_s, as_json)
    fresh = exchange_request_token(
        known.api_key, known.api_secret, _token_in(token), now=dt.datetime.now(IST), root=root
    )
    user = asyncio.run(_user(fresh, root))
    write_token(file, fresh)
    if as_json:
        print_json({"user_id": user, "good_until": fresh.dies and fresh.dies.isoformat(), "file": str(file)})
        return
    console.print(
        Text(f"logged in as {user}; good until {fresh.dies:%Y-%m-%d %H:%M} IST", style="bold green"),
        highlight=False,
    )
    console.print(f"token stored in {file}, mode 600", highlight=False)
    if published and os.environ.get(API_KEY):  # at Kite that key is the one just used
        console.print(
            Text(
                f"{API_KEY} of the environment hides the one of the practice exchange; unset that",
                style="bold yellow",
            ),
            highlight=False,
        )


def _usual_file(root: str | None, data_folder: Path | None = None) -> Path:
    """Where a session finds the token (`SessionSpec.env_file`)."""
    if root is None:
        return project_folder() / ".env"
    folder = Places(data_folder or project_folder() / "data", PRACTICE_ACCOUNT).folder
    folder.mkdir(parents=True, exist_ok=True)
    return folder / ".env"


def _practice_secrets(file: Path, now: dt.datetime) -> KiteSecrets:
    """The practice exchange's own key and secret, kept beside the token for the session."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(f"{API_KEY}={PRACTICE_KEY}\n{API_SECRET}={PRACTICE_SECRET}\n", encoding="utf-8")
    return read_secrets(file, {}, now)


def _token_of_practice(page: str) -> str:
    """
    The request token that a practice exchange's login page leads to at once.

    Raises
    ------
    LoginError
        If nobody answers there, or no practice exchange.
    """
    try:
        answer = httpx.get(page, timeout=ANSWER_S)
    except httpx.HTTPError as error:
        raise LoginError(
            f"nobody answers at {page} ({type(error).__name__}); start one: workbench practice serve"
        ) from error
    if not answer.has_redirect_location:
        raise LoginError(f"{page} answers {answer.status_code} and no login; is that a practice exchange?")
    return _token_in(answer.headers["location"])


def _token_of_person(page: str, browser: bool, redirect_url: str | None, wait_s: float, as_json: bool) -> str:
    address = urlsplit(redirect_url) if redirect_url else None
    port = None
    if address is not None and address.scheme == "http" and address.hostname in LOOPBACK:
        port = 80 if address.port is None else address.port
    _say(f"log in at {page}", as_json)
    if port is not None:
        with _Listener(port) as listener:
            _say(f"waiting at {redirect_url} for the browser to come back", as_json)
            if browser:
                webbrowser.open(page)
            return listener.wait(wait_s)
    _say(
        f"next time without pasting: set the app's redirect URL in Kite's developer console to {EXAMPLE} and "
        f"{REDIRECT_URL} to the same",
        as_json,
    )
    if browser:
        webbrowser.open(page)
    told: str = typer.prompt(
        "address the browser was led to, or its request_token (not shown)", hide_input=True, err=as_json
    )
    return told.strip()


def _say(words: str, as_json: bool) -> None:
    """Words for the person; on standard error where a program reads the answer."""
    typer.echo(words, err=as_json)


def _token_in(told: str) -> str:
    """
    The request token of a pasted address, or the token itself.

    Raises
    ------
    LoginError
        If the address holds none, or says that the login failed.
    """
    if "?" not in told and "/" not in told:
        return told
    return _token_of_query(parse_qs(urlsplit(told).query))


def _token_of_query(query: Mapping[str, list[str]]) -> str:
    status = query.get("status", ["success"])[0]
    if status != "success":
        raise LoginError(f"the login page says {status[:40]!r}; log in again")
    tokens = query.get("request_token", [])
    if len(tokens) != 1 or not tokens[0].isalnum():
        raise LoginError("the address holds no request_token; paste the whole address the browser was led to")
    return tokens[0]


async def _user(secrets: KiteSecrets, root: str | None) -> str:
    """Prove the token by asking who we are."""
    broker = KiteBroker(secrets.api_key, secrets.token(dt.datetime.now(IST)), root=root)
    try:
        return await broker.connect()
    finally:
        await broker.close()


class _Listener:
    """Waits on this machine for the browser that Kite sends back."""

    def __init__(self, port: int) -> None:
        try:
            self._server = _Server(("127.0.0.1", port), _Landing)
        except OSError as error:
            raise LoginError(
                f"port {port} cannot be listened on ({error.strerror}); end who holds it, or use --request-token"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, within_s: float) -> str:
        if not self._server.landed.wait(within_s):
            raise LoginError(
                f"nobody came back within {within_s:.0f} s; is the app's redirect URL this address? else use --request-token"
            )
        if self._server.failure is not None:
            raise self._server.failure
        return self._server.token


class _Server(HTTPServer):
    token = ""
    failure: LoginError | None = None

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.landed = threading.Event()


class _Landing(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Take the request token from the address, once."""
        query = parse_qs(urlsplit(self.path).query)
        if self.server.landed.is_set() or not query.keys() & {"request_token", "status"}:
            self._answer(HTTPStatus.NOT_FOUND, "Nothing here.")
            return
        try:
            self.server.token = _token_of_query(query)
            words = "The login reached the workbench. You may close this page."
        except LoginError as error:
            self.server.failure = error
            words = "The login did not come to a token. Look into the terminal."
        self._answer(HTTPStatus.OK, words)
        self.server.landed.set()

    def _answer(self, status: HTTPStatus, words: str) -> None:
        body = _PAGE.format(words=words).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write no line: the address holds the token."""
