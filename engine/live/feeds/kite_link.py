"""The official Kite ticker in its own thread: one connection at a time, what it hears handed to the event loop.

Its reactor starts once in a process and runs for ever, so every connection is a new ticker on the same reactor. The
ticker's own reconnecting is switched off: with which login, when, and what is asked for again is decided by
`engine.live.feeds.kite`. It gets no `on_ticks`, so it parses nothing. Source: reference `brokers_and_market`, 1.6.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kiteconnect import KiteTicker  # type: ignore[import-untyped]
from twisted.internet import reactor as _reactor

log = logging.getLogger(__name__)

CONNECT_S = 10
NO_RETRIES = -1
"""`on_noreconnect` is then called after every lost or failed connection, the only sign of a failed one."""
START_S = 5.0
UNREACHED = "the vendor cannot be reached"

reactor: Any = _reactor
_starting = threading.Lock()


class Listener(Protocol):
    """Who is told, in the event loop."""

    def opened(self) -> None:
        """The connection stands."""

    def heard(self, payload: bytes, *, binary: bool, receive_ns: int) -> None:
        """A frame came, at `receive_ns` UTC."""

    def over(self, reason: str) -> None:
        """The connection has ended, or never came to be."""


def start_reactor() -> None:
    """Run the reactor in a thread of its own, if it does not run yet."""
    with _starting:
        if reactor.running:
            return
        threading.Thread(
            target=reactor.run, kwargs={"installSignalHandlers": False}, name="kite-ticker", daemon=True
        ).start()
        until = time.monotonic() + START_S
        while not reactor.running and time.monotonic() < until:
            time.sleep(0.001)


class Connection:
    """
    One connection of the official ticker; not used again once it is over.

    Parameters
    ----------
    listener : Listener
    root : str or None
        Address of the ticker; None = Kite's own.
    """

    def __init__(self, listener: Listener, root: str | None) -> None:
        self._listener = listener
        self._root = root
        self._loop = asyncio.get_running_loop()
        self._events: deque[tuple[str, bytes, bool, int]] = deque()
        self._turn = threading.Lock()
        self._awake = False
        self._reason = UNREACHED
        self._is_over = False
        self._ticker: Any = None

    def open(self, api_key: str, access_token: str) -> None:
        """Begin to connect."""
        start_reactor()
        reactor.callFromThread(self._open, api_key, access_token)

    def ask(self, modes: Mapping[str, Sequence[int]]) -> None:
        """Subscribe to tokens, each in its mode."""
        reactor.callFromThread(self._ask, {mode: list(tokens) for mode, tokens in modes.items() if tokens})

    def cut(self, reason: str) -> None:
        """End the connection at once, without a handshake that a mute peer would never answer."""
        reactor.callFromThread(self._cut, reason)

    # in the reactor's thread

    def _open(self, api_key: str, access_token: str) -> None:
        ticker = KiteTicker(
            api_key, access_token, root=self._root, reconnect_max_tries=NO_RETRIES, connect_timeout=CONNECT_S
        )
        ticker.on_open = lambda _: self._pass("open")
        ticker.on_message = lambda _, payload, binary: self._pass("frame", payload, binary)
        ticker.on_error = lambda _, __, reason: self._note(reason)
        ticker.on_close = lambda _, __, reason: self._note(reason)
        ticker.on_noreconnect = lambda _: self._end()
        self._ticker = ticker
        try:
            ticker.connect(threaded=True)
        except Exception as error:  # noqa: BLE001 - e.g. an address that is none; told as the connection's end
            self._note(f"{type(error).__name__}: {error}")
            self._end()

    def _ask(self, modes: dict[str, list[int]]) -> None:
        if self._is_over:
            return
        try:
            for mode, tokens in modes.items():
                self._ticker.subscribe(tokens)
                self._ticker.set_mode(mode, tokens)
        except Exception as error:  # noqa: BLE001 - whatever it is, this connection is of no more use
            self._cut(f"instruments could not be asked for ({type(error).__name__}: {error})")

    def _cut(self, reason: str) -> None:
        if self._is_over:
            return
        self._note(reason)
        ws = self._ticker.ws
        if ws is None:
            self._ticker.factory.stopTrying()
            self._end()
        else:
            ws.dropConnection(abort=True)

    def _note(self, reason: object) -> None:
        if reason and self._reason == UNREACHED:
            self._reason = str(reason)

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._pass("over", self._reason.encode())

    def _pass(self, what: str, payload: bytes = b"", binary: bool = False) -> None:
        self._events.append((what, payload, binary, time.time_ns()))
        with self._turn:
            if self._awake:
                return
            self._awake = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            log.debug("the event loop has ended; %s is dropped", what)

    # in the event loop

    def _deliver(self) -> None:
        with self._turn:
            self._awake = False
        while self._events:
            what, payload, binary, receive_ns = self._events.popleft()
            if what == "frame":
                self._listener.heard(payload, binary=binary, receive_ns=receive_ns)
            elif what == "open":
                self._listener.opened()
            else:
                self._listener.over(payload.decode(errors="replace"))
