"""`python -m engine.live.feeds SPEC`: the feed process of the session that SPEC describes."""

import sys

from engine.live.feeds.process import main

if len(sys.argv) != 2:
    sys.exit("usage: python -m engine.live.feeds SESSION.json")
sys.exit(main(sys.argv[1]))
