"""The feed's process: one feed, one server, a heartbeat each second, a clean end on SIGTERM.

It knows nothing of the runner: it serves whoever reads, and goes on when the reader dies.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import WorkbenchError
from engine.live.brokers.registry import make_feed
from engine.live.control.pulse import BEAT_S, Pulse, own_log
from engine.live.feeds.server import Feed, FeedServer
from engine.live.spec import SessionSpec

log = logging.getLogger(__name__)

HEARTBEAT = "feed"


class Beating:
    """
    The feed's sign of life, from a thread of its own, so that a busy disk never delays a tick.

    Parameters
    ----------
    database : Path
        Need not exist yet.
    status : callable
        Its words, made in this thread.
    """

    def __init__(self, database: Path, status: Callable[[], dict[str, object]]) -> None:
        self._database = database
        self._status = status
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; the last sign stays and grows old."""
        self._ended.set()
        self._thread.join(BEAT_S)

    def _beat(self) -> None:
        pulse = Pulse(self._database, HEARTBEAT)  # its connection belongs to this thread
        told = ""
        while not self._ended.is_set():
            pulse.beat(self._status(), now=True)
            if pulse.failure and pulse.failure != told:  # a full disk is said once, not every second
                log.error("no sign of life: %s", pulse.failure)
            told = pulse.failure
            self._ended.wait(BEAT_S)
        pulse.close()


async def serve(spec: SessionSpec) -> None:
    """
    Serve a session's feed until SIGTERM or SIGINT.

    Raises
    ------
    FeedError
        If another feed of this session runs.
    WorkbenchError
        If the feed is not installed, or its options are wrong.
    """
    feed = make_feed(spec)
    server = FeedServer(spec.places.feed_socket, feed)
    await server.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    feeding = asyncio.create_task(feed.run(server))
    feeding.add_done_callback(lambda task: ended.set() if task.cancelled() or task.exception() else None)
    beating = Beating(spec.places.database, lambda: words(feed, server))
    try:
        await ended.wait()  # a feed with nothing more to come still serves its past
    finally:
        beating.stop()
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding
        await server.close()


def words(feed: Feed, server: FeedServer) -> dict[str, object]:
    """What the heartbeat says."""
    status = server.status
    health: Any = getattr(feed, "health", dict)
    return {
        "feed": feed.hello.feed,
        "simulated": feed.hello.simulated,
        "link": status.link,
        "detail": status.detail,
        "subscribed": status.subscribed,
        "confirmed": status.confirmed,
        "ticks": server.ticks_sent,
        "reader": server.has_reader,
        **health(),
    }


def main(path: str) -> int:
    """Run a session's feed; the exit code."""
    own_log("feeds")
    try:
        asyncio.run(serve(SessionSpec.read(path)))
    except WorkbenchError as error:
        log.error("%s", error)  # noqa: TRY400 - one line says it all
        return 2
    return 0
