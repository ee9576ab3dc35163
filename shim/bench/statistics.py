"""From samples to ratios: divided within a repetition, told as the median with the smallest and the largest.

On a shared machine the same program's seconds move by a factor of two within minutes; what was measured right
after one another moves together, so that only the ratios of such pairs mean anything.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """Several values of one thing.

    Attributes:
        count: How many values there were.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Of some values; None of none."""
        known = list(values)
        if not known:
            return None
        return cls(statistics.median(known), min(known), max(known), len(known))


def paired(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[float]:
    """Our value over theirs in each repetition that has both.

    A value of theirs that is 0 (a CPU time below the clock's tick) makes no ratio.
    """
    pairs = zip(ours, theirs, strict=False)
    return [mine / other for mine, other in pairs if mine is not None and other]


RARE = 100
"""Values that a 99th percentile takes at least: of fewer it would be the largest, under a better name."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long many small things took, in seconds; ``p99`` is None of fewer than ``RARE``."""

    p50: float
    p90: float
    p99: float | None
    worst: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Of some values; None of none."""
        known = sorted(values)
        if not known:
            return None
        p99 = percentile(known, 0.99) if len(known) >= RARE else None
        return cls(percentile(known, 0.5), percentile(known, 0.9), p99, known[-1], len(known))


def percentile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that so large a part does not exceed (nearest rank): one that was measured."""
    return ordered[max(math.ceil(part * len(ordered)), 1) - 1]
