"""A server on a real socket that stands in for Telegram and for a webhook, and answers as told."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "123456:AbC-dEf_987"  # of no bot
TAKEN = (200, {"ok": True, "result": {}})


class StandIn(ThreadingHTTPServer):
    """
    Keeps what is posted; `answers` are given in turn, then every post is taken.

    An answer is (status, JSON), or "mute" to say nothing for `mute_s`, or "cut" to close the connection.
    """

    daemon_threads = True
    mute_s = 30.0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts = []  # (monotonic s, path, JSON)
        self.answers = []
        self.turn = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def texts(self):
        return [told["text"] for _, _, told in self.posts]

    def wait_for(self, condition, within_s=10.0):
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.posts
            time.sleep(0.01)

    def stop(self):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.turn:
            self.server.posts.append((time.monotonic(), self.path, told))
            answer = self.server.answers.pop(0) if self.server.answers else TAKEN
        if answer == "mute":
            time.sleep(self.server.mute_s)
            return
        if answer == "cut":
            self.connection.close()
            return
        status, content = answer
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
