"""The time by which a live day runs on the wall clock, and which no jump of that clock carries along.

Small steps are followed. After a jump the counted time goes on, so a wrong clock closes no minute and sells nothing
out early or late; the exchange's own time, as ticks bring it, decides who is right (a machine that slept counts
nothing meanwhile). Rule R7 and fault 33 of the reference `reliability`.
"""

from engine.live.clocks import NS_PER_SECOND, Clock

JUMP_NS = 2 * NS_PER_SECOND


class DayTime:
    """
    Steady wall time.

    Parameters
    ----------
    clock : Clock
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._seen = clock.wall_ns() - clock.monotonic_ns()

    def read(self, exchange_ns: int = 0) -> tuple[int, int]:
        """
        The time, and by how much the wall clock has jumped since the call before.

        Parameters
        ----------
        exchange_ns : int
            What the exchange's clock must show by the newest tick and its age, ns UTC; 0 where not known.

        Returns
        -------
        (int, int)
            ns UTC; ns, 0 = it has not.
        """
        counted, wall = self._clock.monotonic_ns(), self._clock.wall_ns()
        moved = wall - counted - self._seen
        self._seen += moved
        if abs(moved) <= JUMP_NS:
            self._offset += moved
            moved = 0
        steady = counted + self._offset
        if (
            exchange_ns
            and abs(wall - steady) > JUMP_NS
            and abs(wall - exchange_ns) < abs(steady - exchange_ns)
        ):
            self._offset, steady = wall - counted, wall
        return steady, moved
