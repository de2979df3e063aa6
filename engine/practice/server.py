"""The practice exchange as a server: one port of this machine for REST and ticker, in a thread of its own.

The exchange lives in the server's event loop and is touched from nowhere else; tests and commands steer it through
`PracticeServer`. It listens on the loopback address only: it has no secret worth the name.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn

from engine.errors import WorkbenchError
from engine.execution import resting
from engine.practice.exchange import Exchange
from engine.practice.faults import Fault, Faults
from engine.practice.journal import Journal
from engine.practice.kite_rest import DROP, KiteRest, build_app
from engine.practice.kite_ticker import Ticker
from engine.practice.login import API_KEY, API_SECRET, Login
from engine.practice.market import Market, PracticeDay
from engine.practice.pace import CLOSE, Beat, Pacer, PaceSettings
from engine.practice.postback import Postbacks
from engine.practice.settings import ExchangeSettings

HOST = "127.0.0.1"
START_S = 15.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class ServerSettings:
    """
    Everything a practice server is started with, beside its day.

    Attributes
    ----------
    port : int
        0 takes a free one.
    path : str
        How bars are played, a name of `bar_path.PATHS`.
    quote_lots : int
        Lots at the best bid and ask.
    seed : int
        Of the faults.
    order_limits : bool
        Whether Kite's order rates are kept (10 a second of exchange time).
    redirect_url, postback_url : str or None
        Addresses of the app; without the first the login page shows the request token itself.
    journal : Path or None
        File in which requests are written down; a server that is started with the file of a killed one goes on
        where that ended.
    """

    port: int = 0
    path: str = "worst"
    quote_lots: int = 20
    pace: PaceSettings = field(default_factory=PaceSettings)
    exchange: ExchangeSettings = field(default_factory=ExchangeSettings)
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    order_limits: bool = True
    redirect_url: str | None = None
    postback_url: str | None = None
    journal: Path | None = None


class PracticeServer:
    """
    A running practice exchange; use it as a context manager, or `start` and `stop` it.

    Parameters
    ----------
    day : PracticeDay
    settings : ServerSettings, optional

    Attributes
    ----------
    exchange : Exchange
        For reading; change it only through requests or `call`.
    rest_url, ticker_url : str
        Roots for `KiteConnect(root=...)` and `KiteTicker(root=...)`; set once started.
    api_key, api_secret : str
    """

    api_key = API_KEY
    api_secret = API_SECRET

    def __init__(self, day: PracticeDay, settings: ServerSettings | None = None) -> None:
        self.settings = settings or ServerSettings()
        market = Market(day, path=self.settings.path, quote_lots=self.settings.quote_lots)
        faults = Faults(self.settings.seed, self.settings.faults)
        self.exchange = Exchange(market, self.settings.exchange, faults)
        self.login = Login(self.settings.exchange.user_id)
        self.ticker = Ticker(self.exchange)
        self.pacer = Pacer(self.exchange, self.ticker, self.settings.pace)
        self.rest = KiteRest(self.exchange, self.ticker, self.pacer, self.login, self.settings.redirect_url)
        self.rest.rates.orders_limited = self.settings.order_limits
        path = self.settings.journal
        self._journal = self._open_journal(path, day) if path is not None else None
        self.rest.journal = self._journal
        self.rest_url = ""
        self.ticker_url = ""
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """
        Listen and begin to play the day.

        Raises
        ------
        WorkbenchError
            If the port is taken or the server does not come up.
        """
        resting.warm()  # else the first order would wait for a compiler, and its sender give up
        # asyncio turns Nagle's delay off only for sockets that say they are TCP
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, self.settings.port))
        except OSError as error:
            listening.close()
            raise WorkbenchError(
                f"port {self.settings.port} cannot be opened ({error.strerror}); choose another or 0"
            ) from error
        port = listening.getsockname()[1]
        self.rest_url = f"http://{HOST}:{port}"
        self.ticker_url = f"ws://{HOST}:{port}"
        self._thread = threading.Thread(
            target=self._run, args=(listening,), name="practice-exchange", daemon=True
        )
        self._thread.start()
        if not self._started.wait(START_S):
            raise WorkbenchError(f"the practice exchange did not come up within {START_S:.0f} s")
        self._check()

    def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True  # readers are cut off, not waited for
        if self._thread is not None:
            self._thread.join(START_S)
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._check()

    def grant_token(self) -> str:
        """An access token without the way through the login page."""

        def granted() -> str:
            token = self.login.grant()
            self.rest.note(what="token", token=token)
            return token

        return self.call(granted)

    def step(self, moments: int = 1, timeout_s: float = 30.0) -> Beat | None:
        """In manual mode play so many moments, five to a minute; the last one."""
        self.wait(self.pacer.step(moments), timeout_s)
        return self.pacer.beat

    def call(self, act: Callable[[], Result], timeout_s: float = 30.0) -> Result:
        """Do something inside the server's loop, where the exchange lives."""

        async def acted() -> Result:
            return act()

        return self.wait(acted(), timeout_s)

    def wait(self, work: Coroutine[Any, Any, Result], timeout_s: float = 30.0) -> Result:
        """Run a coroutine in the server's loop and wait for it."""
        assert self._loop is not None, "start the server first"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def wait_finished(self, timeout_s: float | None = None) -> bool:
        """Wait until the day has been played; False when the time is up first or the server has ended."""
        assert self._loop is not None, "start the server first"
        done = asyncio.run_coroutine_threadsafe(self.pacer.finished.wait(), self._loop)
        try:
            return done.result(timeout_s)
        except (TimeoutError, asyncio.CancelledError):
            return False

    def _open_journal(self, path: Path, day: PracticeDay) -> Journal:
        bars, settings = day.bars, self.settings
        journal = Journal(
            path,
            {
                "underlying": bars.underlying,
                "date": str(bars.date),
                "source": bars.source,
                "contracts": bars.contracts,
                "path": settings.path,
                "quote_lots": settings.quote_lots,
                "seed": settings.seed,
                "faults": [repr(fault) for fault in settings.faults],
                "exchange": asdict(settings.exchange),
                "start_minute": settings.pace.start_minute,
            },
        )
        self.pacer.recover = lambda: journal.replay(self.exchange, self.login)
        self.pacer.on_beat.append(
            lambda seq, minute, moment: journal.note(
                what="beat", seq=seq, minute=minute, moment=moment, closes=moment == CLOSE
            )
        )
        return journal

    @property
    def is_over(self) -> bool:
        """Whether the day has been played, or the server has failed."""
        return self.pacer.finished.is_set() or self._failure is not None

    def _check(self) -> None:
        if self._failure is not None:
            raise WorkbenchError(f"the practice exchange has failed: {self._failure}") from self._failure

    def _run(self, listening: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listening))
        except Exception as error:  # noqa: BLE001 - told in the thread that started the server
            self._failure = error
        finally:
            self._started.set()
            listening.close()

    async def _serve(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        config = uvicorn.Config(
            self._wire, interface="asgi3", proxy_headers=False, http="h11", ws="websockets-sansio", lifespan="off", log_level="warning",
            access_log=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._app = build_app(self.rest)
        tasks = [asyncio.create_task(self.ticker.heartbeats()), asyncio.create_task(self._play())]
        if self.settings.postback_url:
            posts = Postbacks(self.exchange, self.settings.postback_url, self.api_secret)
            tasks.append(asyncio.create_task(posts.run()))
        up = asyncio.create_task(self._announce())
        try:
            await self._server.serve(sockets=[listening])
        finally:
            for task in (*tasks, up):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _announce(self) -> None:
        assert self._server is not None
        while not self._server.started:  # noqa: ASYNC110 - uvicorn tells it by a flag only
            await asyncio.sleep(0.005)
        self._started.set()

    async def _play(self) -> None:
        try:
            await self.pacer.run()
        except Exception as error:
            self._failure = error
            self.pacer.finished.set()
            assert self._server is not None
            self._server.should_exit = True
            raise

    async def _wire(self, scope: Any, receive: Any, send: Any) -> None:
        """Around every request: exchange time comes up to date, the pacer counts, faults cut the connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        self.pacer.catch_up()
        self.pacer.requests += 1

        async def answer(message: Any) -> None:
            if not scope.get(DROP):
                await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self.pacer.requests -= 1
            self.pacer.last_request = loop.time()
        if scope.get(DROP):
            send.__self__.transport.abort()  # the request cycle of uvicorn's h11 protocol
            for _ in range(2):
                await asyncio.sleep(0)  # lets the connection learn that it is lost
