"""Where prices come from: a process of its own that speaks to the vendor and passes on what it hears.

`wire` is what feed and runner say to each other, `server` the feed's side; `kite`, `practice` and `replay` are the
sources. The feed outlives the runner and the runner outlives the feed.
"""
