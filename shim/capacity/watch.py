"""What is held while a simulation runs: areas under the curves, exact, and samples of them at even times."""

import bisect
import math
from dataclasses import dataclass, field

from shim.timing import Seconds

NAMES = ("uploads", "slots", "held", "leased")
"""What is watched."""


@dataclass(slots=True)
class Watch:
    """Follows four amounts from event to event: between them bytes grow evenly, and the rest stands still.

    Attributes:
        begin: Nothing before it counts.
        end: Nor anything after it.
        step: Seconds between two samples.
        now: The time of the last event.
        leased: Bytes; those of a declared length at once, others as they come in.
        filling: Bytes a second that all bodies together grow by.
        leasing: Of them those that lease as they grow.
    """

    begin: Seconds
    end: Seconds
    step: Seconds
    now: Seconds = 0.0
    uploads: float = 0.0
    slots: float = 0.0
    held: float = 0.0
    leased: float = 0.0
    filling: float = 0.0
    leasing: float = 0.0
    samples: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    _areas: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))

    def advance(self, to: Seconds) -> None:
        """Let time pass until ``to``."""
        since, until = max(self.now, self.begin), min(to, self.end)
        if until > since:
            self._count(since, until)
        self.held += self.filling * (to - self.now)
        self.leased += self.leasing * (to - self.now)
        self.now = to

    def mean(self, name: str) -> float:
        """The mean over the time watched so far."""
        return self._areas[name] / (min(self.now, self.end) - self.begin)

    def quantile(self, name: str, share: float) -> float:
        """What it did not exceed in this share of the samples."""
        ordered = sorted(self.samples[name])
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]

    def share_above(self, name: str, limit: float) -> float:
        """The share of the samples in which it exceeded ``limit``."""
        ordered = sorted(self.samples[name])
        return 1 - bisect.bisect_right(ordered, limit) / len(ordered)

    def _count(self, since: Seconds, until: Seconds) -> None:
        length = until - since
        for name in NAMES:
            # A line: its middle is its mean.
            self._areas[name] += self._at(name, (since + until) / 2) * length
            self._sample(name, since, until)

    def _sample(self, name: str, since: Seconds, until: Seconds) -> None:
        series = self.samples[name]
        while (time := self.begin + len(series) * self.step) < until:
            series.append(self._at(name, max(time, since)))

    def _at(self, name: str, time: Seconds) -> float:
        value: float = getattr(self, name)
        growth = {"held": self.filling, "leased": self.leasing}.get(name, 0.0)
        return value + growth * (time - self.now)
