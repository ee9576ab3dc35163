"""How large images are: one size, a list of sizes with weights, or a log-normal distribution cut at its end.

The arithmetic asks for moments, a plan and a simulation for sizes that a given part does not exceed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

_NORMAL = NormalDist()
# Of a log-normal distribution, where an operator's second figure lies: "19 of 20 are no larger".
UPPER_SHARE = 0.95


class Sizes(Protocol):
    """A distribution of sizes in bytes."""

    def moment(self, power: int) -> float:
        """The mean of the size to this power."""
        ...

    def quantile(self, share: float) -> float:
        """The size, in bytes, that this share of all images does not exceed (0 to 1)."""
        ...


@dataclass(frozen=True, slots=True)
class ListedSizes:
    """Sizes in bytes, and how often each of them comes, relative to the others."""

    sizes: Sequence[float]
    weights: Sequence[float]

    def moment(self, power: int) -> float:
        """The mean of the size to this power."""
        pairs = zip(self.sizes, self.weights, strict=True)
        return sum(weight * size**power for size, weight in pairs) / sum(self.weights)

    def quantile(self, share: float) -> float:
        """The size, in bytes, that this share of all images does not exceed."""
        left = share * sum(self.weights)
        for size, weight in sorted(zip(self.sizes, self.weights, strict=True)):
            left -= weight
            # Sums of weights are off by roundings, which must not ask for a size beyond the largest.
            if left <= 1e-9:  # noqa: PLR2004
                return size
        return max(self.sizes)


@dataclass(frozen=True, slots=True)
class LogNormalSizes:
    """Sizes whose logarithm is normal, as files of all kinds are; none is larger than ``largest``.

    Without an end its third moment, which the peaks of a spool rest on, would be made by images that no
    cloud takes.

    Attributes:
        middle: Bytes that half of the images exceed, before the cut.
        sigma: Spread of the natural logarithm.
        largest: Bytes; spool.max_body, or Glance's image_size_cap.
    """

    middle: float
    sigma: float
    largest: float

    @classmethod
    def between(cls, middle: float, upper: float, largest: float) -> "LogNormalSizes":
        """Half of the images exceed ``middle`` bytes, one of twenty ``upper``, none ``largest``."""
        return cls(middle, math.log(upper / middle) / _NORMAL.inv_cdf(UPPER_SHARE), largest)

    def moment(self, power: int) -> float:
        """The mean of the size to this power, of a log-normal distribution cut at its upper end."""
        whole = math.exp(power * math.log(self.middle) + (power * self.sigma) ** 2 / 2)
        end = self._deviation(self.largest)
        # The size to a power is log-normal too, moved by power * sigma: what the cut leaves of it.
        return whole * _NORMAL.cdf(end - power * self.sigma) / _NORMAL.cdf(end)

    def quantile(self, share: float) -> float:
        """The size, in bytes, that this share of all images does not exceed."""
        within = share * _NORMAL.cdf(self._deviation(self.largest))
        return self.largest if within >= 1 else self._size(_NORMAL.inv_cdf(within))

    def _deviation(self, size: float) -> float:
        return math.log(size / self.middle) / self.sigma

    def _size(self, deviation: float) -> float:
        return min(self.largest, self.middle * math.exp(self.sigma * deviation))
