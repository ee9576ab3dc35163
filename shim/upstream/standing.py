"""What a server is trusted with after what was seen of it: failures eject it, time and probes bring it back.

Decisions over counts and times, told the time. Several workers may think differently of a server: each
knows what it has seen itself.
"""

import enum
import math
from dataclasses import dataclass

from shim.timing import UNLIMITED, Seconds
from shim.upstream.health import Sign

# One probe may be lost to a busy moment of the network; two in a row are no accident.
PROBES_TO_FALL = 2
# What a server that comes back gets at first, beside one that was always there: enough to be tried, and
# little enough that a cold one is not flooded.
FIRST_SHARE = 0.1
# Each ejection in a row is twice as long as the last, up to this: a server that is mended is found soon.
LONGEST_EJECTION: Seconds = 300.0


class State(enum.StrEnum):
    """How a server stands."""

    UP = "up"
    RETURNING = "returning"
    EJECTED = "ejected"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class StandingOptions:
    """When servers are ejected, and how they come back.

    Attributes:
        eject_after: Failures in a row (``UNLIMITED``: never).
        eject_for: Seconds, the first time.
        slow_return: Seconds until one that is back gets its full part again.
    """

    eject_after: float = 3
    eject_for: Seconds = 10.0
    slow_return: Seconds = 30.0


class Standing:
    """One server's.

    Attributes:
        failures: Failed requests in a row.
    """

    def __init__(self, options: StandingOptions | None = None) -> None:
        self._options = options or StandingOptions()
        self.failures = 0
        self._failed_at: Seconds = -math.inf
        self._failed_probes = 0
        self._ejections = 0
        # Ejected until then; from then on it is coming back.
        self._returns_at: Seconds | None = None

    def state(self, now: Seconds) -> State:
        """How it stands; a failed probe says more than anything that was seen before."""
        if self._failed_probes >= PROBES_TO_FALL:
            return State.DOWN
        if self._returns_at is None:
            return State.UP
        if now < self._returns_at:
            return State.EJECTED
        return State.RETURNING if now < self._returns_at + self._options.slow_return else State.UP

    def is_fit(self, now: Seconds) -> bool:
        """Whether requests go there, as long as there is any server of which that can be said."""
        return self.state(now) in (State.UP, State.RETURNING)

    def share(self, now: Seconds) -> float:
        """The part of its weight that counts: more than 0, at most 1.

        For a while after a failure the next request rather goes elsewhere, before there is reason enough to
        eject; but not for longer, or a server with little to do would never be tried again.
        """
        ramp = 1.0
        if self._returns_at is not None and self.state(now) is not State.UP:
            since = max(0.0, now - self._returns_at)
            ramp = FIRST_SHARE + (1 - FIRST_SHARE) * min(1.0, since / max(self._options.slow_return, 1e-9))
        is_fresh = now - self._failed_at < self._options.eject_for
        return ramp / (1 + self.failures) if is_fresh else ramp

    def fail(self, now: Seconds) -> Seconds:
        """A request failed there; for how long that ejects it, 0 where it does not."""
        state = self.state(now)
        if state in (State.DOWN, State.EJECTED):
            # Tried all the same, for want of a better one: it is no worse than it was known to be.
            return 0.0
        self.failures += 1
        self._failed_at = now
        # One that comes back has no credit: its first failure shows that it is not mended.
        if state is State.RETURNING or self.failures >= self._options.eject_after:
            return self._eject(now)
        return 0.0

    def succeed(self, now: Seconds) -> None:
        """A request was answered there, whatever the answer was."""
        self.failures = 0
        if self._returns_at is None and not self._failed_probes:
            return
        state = self.state(now)
        if state is State.UP:
            # Its return is over, and with it what led there.
            self._ejections, self._returns_at = 0, None
        elif state is not State.RETURNING:
            # It works, whatever was thought of it.
            self._failed_probes, self._returns_at = 0, now

    def probe(self, now: Seconds, sign: Sign) -> None:
        """A probe has come to something (anything but ``UNTRIED``, which says nothing of the server).

        A busy server takes the connection and answers late: that is fine for one that is up. One that was
        out has to answer: after its start uWSGI takes connections long before the application is loaded.
        """
        is_out = not self.is_fit(now)
        if sign in (Sign.DOWN, Sign.FAILS) or (sign is Sign.BUSY and is_out):
            self._failed_probes += 1
            return
        was_down = self.state(now) is State.DOWN
        self._failed_probes = 0
        if was_down:
            self.failures, self._returns_at = 0, now

    def _eject(self, now: Seconds) -> Seconds:
        if self._options.eject_after == UNLIMITED:
            return 0.0
        # Bounded: after a day of ejections the power would be a number of many digits.
        seconds = min(self._options.eject_for * 2.0 ** min(self._ejections, 32), LONGEST_EJECTION)
        self._ejections += 1
        self._returns_at = now + seconds
        self.failures = 0
        return seconds
