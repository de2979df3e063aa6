"""The ticker of the practice exchange: Kite's WebSocket with subscriptions, modes, heartbeats and text frames.

Every socket has its own queue and writer, so a slow reader holds up nobody but itself. After the frames of a moment
a text frame `{"type": "clock", ...}` tells where the played day stands; the official client ignores it, a session
that plays faster than the clock needs it.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.practice.exchange import Exchange
from engine.practice.kite_packets import HEARTBEAT, OPTION_PACKETS, frame, index_packet, option_packets
from engine.practice.orders import Order
from engine.practice.pace import Beat

MAX_INSTRUMENTS = 3000
MAX_SOCKETS = 3
MAX_QUEUED = 20_000
HEARTBEAT_SECONDS = 1.0
APP_ID = 1


@dataclass(eq=False)
class Socket:
    """One connected reader and what it subscribed to."""

    ws: WebSocket
    modes: dict[int, str] = field(default_factory=dict)  # token -> mode
    queue: asyncio.Queue[bytes | str | None] = field(default_factory=asyncio.Queue)
    places: dict[str, np.ndarray] = field(default_factory=dict)
    held: bytes = b""  # a frame kept back by the fault late_ticks
    mute: bool = False  # the fault mute_socket, judged anew at each moment
    mute_until_ms: int = 0

    def put(self, message: bytes | str | None) -> None:
        """Queue a message unless the socket is mute; a reader too far behind is disconnected."""
        if self.mute and message is not None:
            return
        if self.queue.qsize() >= MAX_QUEUED:
            message = None
        self.queue.put_nowait(message)


def _request(text: str) -> tuple[list[int], str]:
    """Tokens and the mode asked for them, "" to unsubscribe."""
    request = json.loads(text)
    action, value = request["a"], request["v"]
    if action in {"subscribe", "unsubscribe"}:
        return [int(token) for token in value], "quote" if action == "subscribe" else ""
    mode, tokens = value
    if action != "mode" or mode not in OPTION_PACKETS:
        raise ValueError(text)
    return [int(token) for token in tokens], mode


class Ticker:
    """All sockets of an exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.sockets: list[Socket] = []
        self.beat: Beat | None = None
        self._waiting: list[str] | None = None
        exchange.listeners.append(self._on_order)

    async def serve(self, ws: WebSocket) -> None:
        """Serve one socket until it closes."""
        if len(self.sockets) >= MAX_SOCKETS:
            await ws.close(1008)
            return
        await ws.accept()
        socket = Socket(ws)
        self.sockets.append(socket)
        writer = asyncio.create_task(self._write(socket))
        if self.beat is not None:
            socket.put(self._clock_text())
        try:
            while True:
                message = await ws.receive()
                if message["type"] == "websocket.disconnect":
                    break
                self._read(socket, message.get("text") or (message.get("bytes") or b"").decode())
        except WebSocketDisconnect:
            pass
        finally:
            self.sockets.remove(socket)
            writer.cancel()
            while not socket.queue.empty():
                socket.queue.get_nowait()
                socket.queue.task_done()

    def begin(self) -> None:
        """Hold order updates back until the ticks of the moment have gone out."""
        self._waiting = []

    def finish(self, beat: Beat) -> None:
        """Send the ticks of a moment, then its order updates, then the clock."""
        updates, self._waiting = self._waiting or [], None
        self.beat = beat
        faults = self.exchange.faults
        if faults.strike("outage"):
            self.close_all()
            return
        told = self._clock_text()
        for socket in self.sockets:
            fault = faults.strike("mute_socket")
            if fault:
                socket.mute_until_ms = beat.ms + fault.seconds * 1000
            socket.mute = fault is not None or beat.ms < socket.mute_until_ms
            ticks = b"" if beat.closes else self._ticks(socket, only_traded=True)
            if ticks:
                self._send_ticks(socket, ticks)
            for update in updates:
                socket.put(update)
            socket.put(told)

    async def drained(self, timeout_s: float) -> None:
        """Wait until every queue is empty; a reader that is not done in time is disconnected."""
        for socket in list(self.sockets):
            try:
                await asyncio.wait_for(socket.queue.join(), timeout_s)
            except TimeoutError:
                socket.put(None)

    async def heartbeats(self) -> None:
        """One byte a second to every socket, for ever."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for socket in self.sockets:
                socket.put(HEARTBEAT)

    def close_all(self) -> None:
        """Disconnect every reader."""
        for socket in self.sockets:
            socket.put(None)

    def tell_all(self, message: dict[str, Any]) -> None:
        """Send a text frame to every socket."""
        text = json.dumps(message)
        if self._waiting is not None:
            self._waiting.append(text)
            return
        for socket in self.sockets:
            socket.put(text)

    def _clock_text(self) -> str:
        assert self.beat is not None
        return json.dumps({"type": "clock", "data": self.beat._asdict() | {"closes": self.beat.closes}})

    def _on_order(self, order: Order, status: str) -> None:
        data = order.postback(self.exchange.clock, status=status, app_id=APP_ID, checksum="")
        self.tell_all({"type": "order", "data": data})

    def _send_ticks(self, socket: Socket, ticks: bytes) -> None:
        faults = self.exchange.faults
        late, socket.held = socket.held, b""
        if not late and faults.strike("late_ticks"):
            socket.held = ticks
            return
        socket.put(ticks)
        if late:
            socket.put(late)
        if faults.strike("duplicate_ticks"):
            socket.put(ticks)

    def _ticks(self, socket: Socket, *, only_traded: bool, tokens: list[int] | None = None) -> bytes:
        market = self.exchange.market
        parts = []
        for mode, places in socket.places.items():
            wanted = places[market.last[places] > 0]
            if only_traded:
                wanted = wanted[market.traded[wanted]]
            if tokens is not None:
                wanted = wanted[np.isin(market.tokens[wanted], tokens)]
            if len(wanted):
                parts.append(option_packets(market, wanted, mode))
        index = socket.modes.get(market.index.token)
        if index is not None and (tokens is None or market.index.token in tokens):
            parts.append(index_packet(market, index))
        return frame(parts)

    def _read(self, socket: Socket, text: str) -> None:
        market = self.exchange.market
        try:
            tokens, mode = _request(text)
        except (ValueError, KeyError, TypeError, IndexError):
            socket.put(json.dumps({"type": "error", "data": f"Invalid request: {text[:80]}"}))
            return
        unknown = [token for token in tokens if token not in market.by_token]
        if unknown:
            socket.put(json.dumps({"type": "error", "data": f"Invalid instrument token {unknown[0]}"}))
        known = [token for token in tokens if token in market.by_token]
        for token in known:
            if mode:
                socket.modes[token] = mode
            else:
                socket.modes.pop(token, None)
        if len(socket.modes) > MAX_INSTRUMENTS:
            socket.put(json.dumps({"type": "error", "data": "More than 3000 instruments subscribed"}))
            for token in known:
                socket.modes.pop(token, None)
        socket.places = {
            kind: np.array(
                sorted(
                    market.by_token[token].place
                    for token, its in socket.modes.items()
                    if its == kind and market.by_token[token].place >= 0
                ),
                np.int64,
            )
            for kind in OPTION_PACKETS
        }
        if mode:
            snapshot = self._ticks(socket, only_traded=False, tokens=known)
            if snapshot:
                socket.put(snapshot)

    async def _write(self, socket: Socket) -> None:
        while True:
            message = await socket.queue.get()
            try:
                if message is None:
                    with suppress(RuntimeError, WebSocketDisconnect):
                        await socket.ws.close(1001)
                elif isinstance(message, bytes):
                    await socket.ws.send_bytes(message)
                else:
                    await socket.ws.send_text(message)
            except (RuntimeError, WebSocketDisconnect):
                return  # the reader has gone; `serve` takes the socket away
            finally:
                socket.queue.task_done()
