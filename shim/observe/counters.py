"""Numbers that only grow: requests, refusals, bytes, and how long each phase took.

Plain Python values without a library, so that nothing below ``app`` knows how they are exported.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from shim.observe.history import History

Name = TypeVar("Name", bound=str)

# Seconds; from a small call on loopback to an upload of hours.
PHASE_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0)

# A method is the client's to choose: what is not known is counted together, or it would fill the memory.
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"


class Histogram:
    """Counts values by the first bucket they fit in (upper bounds inclusive)."""

    def __init__(self, buckets: tuple[float, ...] = PHASE_BUCKETS) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.buckets, value)] += 1
        self.total += value

    def include(self, other: "Histogram") -> None:
        """Count what another histogram of the same buckets has counted."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass
class Counters:
    """All counters of a process.

    Attributes:
        requests: By (route, method, status); methods that are not known are one.
        refusals: The shim's own answers, by code.
        body_bytes: Request body bytes received, by body mode.
        phases: Seconds spent, by phase.
        history: What of it happened lately, by the moment.
        failures: Attempts that a server failed, by (upstream, server).
        traces: Requests of recorded traces, by what became of their spans; empty where there are no traces.
    """

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    body_bytes: Counter[str] = field(default_factory=Counter)
    phases: dict[str, Histogram] = field(default_factory=dict)
    history: History = field(default_factory=History)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    traces: Counter[str] = field(default_factory=Counter)

    def add_failure(self, upstream: str, server: str) -> None:
        """Count one attempt that a server failed."""
        self.failures[upstream, server] += 1

    def add_request(self, route: str, method: str, status: int) -> None:
        """Count one request that has ended."""
        self.requests[route, method if method in KNOWN_METHODS else OTHER_METHOD, status] += 1

    def add_phases(self, stays: Mapping[Name, float]) -> None:
        """Count the time one request spent in each of its phases."""
        histograms = self.phases
        for phase, seconds in stays.items():
            if phase not in histograms:
                histograms[phase] = Histogram()
            histograms[phase].add(seconds)
