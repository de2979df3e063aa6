"""The official ticker in a process of its own (its reactor starts once only); prints what it hears as JSON lines.

Arguments: root, api key, access token, mode, seconds, tokens...
"""

import json
import sys
import threading

from kiteconnect import KiteTicker
from twisted.internet import reactor

root, api_key, access_token, mode, seconds, *tokens = sys.argv[1:]
tokens = [int(token) for token in tokens]


def say(what, data):
    sys.stdout.write(json.dumps({"what": what, "data": data}, default=str) + "\n")
    sys.stdout.flush()


ticker = KiteTicker(api_key, access_token, root=root, reconnect=False)


def connected(ws, response):
    ws.subscribe(tokens)
    ws.set_mode(mode, tokens)
    say("connected", None)


def heard(ws, payload, binary):
    if binary and len(payload) == 1:
        say("heartbeat", None)
    elif not binary:
        say("text", json.loads(payload))


ticker.on_connect = connected
ticker.on_message = heard
ticker.on_ticks = lambda _, ticks: say("ticks", ticks)
ticker.on_order_update = lambda _, order: say("order", order)
ticker.on_error = lambda _, code, reason: say("error", [code, str(reason)])
ticker.on_close = lambda _, code, reason: say("closed", [code, str(reason)])
threading.Timer(float(seconds), lambda: reactor.callFromThread(reactor.stop)).start()
ticker.connect()
