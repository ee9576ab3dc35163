"""How slow a body may be: pure arithmetic on what has come, told the time.

Kept apart from whoever reads the socket, so that the plain and the fast way in obey the same rule.
"""

from collections import deque
from dataclasses import dataclass

from shim.errors import BodyTooSlow
from shim.timing import UNLIMITED, Seconds


@dataclass(frozen=True, slots=True)
class BodyPace:
    """What is asked of a client that sends a body.

    Attributes:
        idle: Longest time without a byte, in seconds (``timeouts.body_idle``).
        total: Longest time for the whole body (``timeouts.body_total``).
        min_rate: Bytes per second over the last ``grace`` seconds (``limits.min_rate``).
        grace: The time that the rate is averaged over (``limits.min_rate_grace``).
    """

    idle: Seconds = 60.0
    total: Seconds = UNLIMITED
    min_rate: float = 1024.0
    grace: Seconds = 30.0


class RateFloor:
    """Watches that a body does not come slower than its floor.

    Time runs only while the shim waits for the client: when the shim itself held the client back, its
    clock is not moved on, so a slow disk never makes a client look slow.
    """

    # The window is kept in so many steps: enough to see a drip, few enough to cost nothing.
    STEPS = 16

    def __init__(self, pace: BodyPace) -> None:
        self._pace = pace
        self._waited: Seconds = 0.0
        self._received = 0
        self._marks: deque[tuple[Seconds, int]] = deque([(0.0, 0)])

    def add(self, waited: Seconds, size: int) -> None:
        """Tell that ``size`` bytes came after ``waited`` seconds of waiting for them.

        Raises:
            BodyTooSlow: Over the last ``grace`` seconds less came than the floor asks for.
        """
        self._waited += waited
        self._received += size
        self._move_window()
        start, before = self._marks[0]
        elapsed = self._waited - start
        if elapsed >= self._pace.grace and self._received - before < self._pace.min_rate * elapsed:
            raise BodyTooSlow(
                f"The body came slower than {self._pace.min_rate:.0f} bytes per second"
                f" over the last {elapsed:.0f} s."
            )

    @property
    def next_check(self) -> Seconds:
        """How long to wait for bytes at most before telling ``add`` that none came.

        Told at each step, the floor sees silence for what it is; a burst long ago buys no time.
        """
        return self._pace.grace / self.STEPS if self._pace.min_rate > 0 else UNLIMITED

    def _move_window(self) -> None:
        """Keep the newest mark that is at least ``grace`` old as the start, and marks a step apart."""
        while len(self._marks) > 1 and self._waited - self._marks[1][0] >= self._pace.grace:
            self._marks.popleft()
        if self._waited - self._marks[-1][0] >= self._pace.grace / self.STEPS:
            self._marks.append((self._waited, self._received))
