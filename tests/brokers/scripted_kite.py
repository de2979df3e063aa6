"""A server that answers every request as told, to be met by the official client."""

import asyncio
import http.server
import threading
import time

from engine.live.brokers.kite import KiteBroker


class Script(http.server.ThreadingHTTPServer):
    """Answers every request alike and keeps what was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.root = f"http://127.0.0.1:{self.server_port}"
        self.asked = []
        self.answer = (200, "application/json", '{"status": "success", "data": {"order_id": "1"}}')
        self.wait_s = 0.0
        self.reads_wait = threading.Event()  # a GET is answered once it is set
        self.reads_wait.set()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.server.asked.append((self.command, self.path, body))
        time.sleep(self.server.wait_s)
        if self.command == "GET":
            self.server.reads_wait.wait(10)
        code, kind, text = self.server.answer
        if code == 0:
            self.close_connection = True
            return
        self.send_response(code)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - named by http.server

    def log_message(self, *_):
        pass


def ask(script, act, timeout_s=10):
    async def asked():
        broker = KiteBroker("key", "token", root=script.root, timeout_s=timeout_s)
        try:
            return await act(broker)
        finally:
            await broker.close()

    return asyncio.run(asked())
