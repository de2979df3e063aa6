"""The clocks of a machine, moved by hand."""

NS = 1_000_000_000


class Machine:
    """Counts from anywhere; `wall` is UTC, and may be set apart from the count."""

    def __init__(self, wall):
        self.counted, self.wall = 1000 * NS, wall

    def monotonic_ns(self):
        return self.counted

    def wall_ns(self):
        return self.wall

    def passes(self, seconds):
        self.counted += round(seconds * NS)
        self.wall += round(seconds * NS)
