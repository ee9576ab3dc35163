"""How slow a client may be with its body and its answer: pure arithmetic on what has come, told the time.

Kept apart from whoever has the socket, so that the plain and the fast ways obey the same rules.
"""

from collections import deque
from dataclasses import dataclass

from shim.errors import BodyTooSlow, ClientTooSlow
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


@dataclass(frozen=True, slots=True)
class AnswerPace:
    """What is asked of a client that takes an answer.

    Attributes:
        idle: Longest time without taking a byte, in seconds (``timeouts.send``).
        min_rate: Bytes per second over the last ``grace`` seconds (``limits.min_rate``).
        grace: The time that the rate is averaged over (``limits.min_rate_grace``).
    """

    idle: Seconds = 60.0
    min_rate: float = 1024.0
    grace: Seconds = 30.0


class RateWindow:
    """The bytes of the last ``grace`` seconds in which somebody was waited for.

    Time runs only while the shim waits: when the shim itself held a client back, its clock is not moved on,
    so a slow disk never makes a client look slow.
    """

    # The window is kept in so many steps: enough to see a drip, few enough to cost nothing.
    STEPS = 16

    def __init__(self, min_rate: float, grace: Seconds) -> None:
        """Take the least rate in bytes per second, and what it is averaged over in seconds."""
        self._min_rate = min_rate
        self._grace = grace
        self._waited: Seconds = 0.0
        self._moved = 0
        self._marks: deque[tuple[Seconds, int]] = deque([(0.0, 0)])

    def add(self, waited: Seconds, size: int) -> Seconds | None:
        """Tell that ``size`` bytes came after ``waited`` seconds of waiting.

        Gives the seconds over which they are too few, or None.
        """
        self._waited += waited
        self._moved += size
        self._move_window()
        start, before = self._marks[0]
        elapsed = self._waited - start
        too_few = elapsed >= self._grace and self._moved - before < self._min_rate * elapsed
        return elapsed if too_few else None

    @property
    def next_check(self) -> Seconds:
        """How long to wait for bytes at most before telling ``add`` that none came.

        Told at each step, the window sees silence for what it is; a burst long ago buys no time.
        """
        return self._grace / self.STEPS if self._min_rate > 0 else UNLIMITED

    def _move_window(self) -> None:
        """Keep the newest mark that is at least ``grace`` old as the start, and marks a step apart."""
        while len(self._marks) > 1 and self._waited - self._marks[1][0] >= self._grace:
            self._marks.popleft()
        if self._waited - self._marks[-1][0] >= self._grace / self.STEPS:
            self._marks.append((self._waited, self._moved))


class RateFloor:
    """Watches that a body does not come slower than its floor; time is as ``RateWindow`` has it."""

    def __init__(self, pace: BodyPace) -> None:
        self._min_rate = pace.min_rate
        self._window = RateWindow(pace.min_rate, pace.grace)

    def add(self, waited: Seconds, size: int) -> None:
        """Tell that ``size`` bytes came after ``waited`` seconds of waiting for them.

        Raises:
            BodyTooSlow: Over the last ``grace`` seconds less came than the floor asks for.
        """
        elapsed = self._window.add(waited, size)
        if elapsed is not None:
            raise BodyTooSlow(
                f"The body came slower than {self._min_rate:.0f} bytes per second"
                f" over the last {elapsed:.0f} s."
            )

    @property
    def next_check(self) -> Seconds:
        """How long to wait for bytes at most before telling ``add`` that none came."""
        return self._window.next_check


class AnswerFloor:
    """Watches that a client takes its answers: something now and then, and no slower than its floor."""

    def __init__(self, pace: AnswerPace) -> None:
        self._pace = pace
        self._window = RateWindow(pace.min_rate, pace.grace)
        self._quiet: Seconds = 0.0

    def add(self, waited: Seconds, size: int) -> None:
        """Tell that the client took ``size`` bytes in ``waited`` seconds in which it was waited for.

        Raises:
            ClientTooSlow: It took none for too long, or too few.
        """
        self._quiet = 0.0 if size > 0 else self._quiet + waited
        elapsed = self._window.add(waited, size)
        if self._quiet >= self._pace.idle:
            raise ClientTooSlow(f"The client took nothing of its answer for {self._pace.idle:g} s.")
        if elapsed is not None:
            raise ClientTooSlow(
                f"The client took its answer slower than {self._pace.min_rate:.0f} bytes per second"
                f" over the last {elapsed:.0f} s."
            )

    @property
    def next_check(self) -> Seconds:
        """How long to wait at most before telling ``add`` how little was taken."""
        return max(0.0, min(self._pace.idle - self._quiet, self._window.next_check))
