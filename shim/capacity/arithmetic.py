"""What a load holds: uploads under way, slots, bytes; means by Little's law, peaks by their variance.

Each upload adds a curve over time to what is held. The mean of the sum is the rate of arrivals times the area
under the curve; its variance the rate times the area under the curve's square (Campbell's theorem).
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

from shim.capacity.line import NO_LINE, Line, line_before
from shim.capacity.load import Kind, Load, Way

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Amount:
    """Something that goes up and down: its mean and its variance over time."""

    mean: float
    variance: float

    def peak(self, share: float) -> float:
        """What it does not exceed in this share of the time.

        As if gamma-distributed, by Wilson and Hilferty's cube: never negative, and as skew as many curves of
        unlike size are, which a normal distribution is not.
        """
        if not self.mean or math.isinf(self.mean):
            return self.mean
        spread = self.variance / self.mean**2
        root = 1 - spread / 9 + _NORMAL.inv_cdf(share) * math.sqrt(spread) / 3
        # Where a few large ones make all of it the cube is no guide: then the plain deviation is.
        plain = self.mean + _NORMAL.inv_cdf(share) * math.sqrt(self.variance)
        return max(plain, self.mean * max(root, 0.0) ** 3)

    def part(self, parts: int) -> "Amount":
        """One of so many equal ones, among which what makes it up is dealt out at random."""
        return Amount(self.mean / parts, self.variance / parts)

    def __add__(self, other: "Amount") -> "Amount":
        """Both together, where they are independent."""
        return Amount(self.mean + other.mean, self.variance + other.variance)


@dataclass(frozen=True, slots=True)
class Holding:
    """What a load holds, all machines together.

    Attributes:
        line: Before the slots that uploads may have.
        uploads: Under way: being received, waiting, or going out.
        held: Bytes of bodies (glance_shim_spool_bytes).
        leased: Bytes promised to bodies, which spool.max_total limits.
        forwarding: Bytes a second that go to servers.
    """

    line: Line
    uploads: Amount
    held: Amount
    leased: Amount
    forwarding: float


def holding(load: Load, way: Way, slots: int) -> Holding:
    """What ``load`` holds where uploads take ``way`` and may have so many slots."""
    return holding_behind(load, way, upload_line(load, way, slots))


def holding_behind(load: Load, way: Way, line: Line) -> Holding:
    """The same, where the line before the slots is known."""
    size = load.sizes.moment(1)
    uploads = Amount(0.0, line.excess)
    # Who stands in line before the shim holds and leases all of a body.
    held = leased = Amount(0.0, 0.0 if way is Way.STRAIGHT else line.excess * size**2)
    for kind in load.kinds(way):
        part = _Part(load, kind)
        uploads += part.uploads(line.wait)
        held += part.held(line.wait)
        leased += part.leased(line.wait)
    return Holding(line, uploads, held, leased, load.arrivals * size)


def scale_load(load: Load, at_once: float) -> Load:
    """The load of so many uploads under way at once, if none waits: Little's law, backwards."""
    alone = holding_behind(load, Way.CUT_THROUGH, NO_LINE)
    return replace(load, arrivals=load.arrivals * at_once / alone.uploads.mean)


def upload_line(load: Load, way: Way, slots: int) -> Line:
    """The line that uploads stand in."""
    service, square = 0.0, 0.0
    first, second = load.sizes.moment(1), load.sizes.moment(2)
    for kind in load.kinds(way):
        slot = load.slowness(kind.way)[1]
        # slot * size + answer, and the square of that, over all sizes.
        service += kind.share * (slot * first + load.answer)
        square += kind.share * (slot**2 * second + 2 * slot * load.answer * first + load.answer**2)
    return line_before(slots, load.arrivals, service, square / service**2 - 1)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one kind of a load's uploads holds, where each of them waits so long for its slot."""

    load: Load
    kind: Kind

    def uploads(self, wait: float) -> Amount:
        # A curve of height 1: area and area of the square are the same, as with all Poisson numbers.
        count = self._area(1, self._slowness, wait)
        return Amount(count, count)

    def held(self, wait: float) -> Amount:
        """Rises while the body comes in, then stays: a body is kept until its answer, to be sent again."""
        if self.kind.way is Way.STRAIGHT:
            return Amount(0.0, 0.0)
        receive = 1 / self.load.client_rate
        rest = self._slowness - receive
        return Amount(
            self._area(2, receive / 2 + rest, wait),
            self._area(3, receive / 3 + rest, wait),
        )

    def leased(self, wait: float) -> Amount:
        """A declared length is leased from the start; any other as it comes in."""
        if self.kind.way is Way.STRAIGHT or not self.kind.is_known:
            return self.held(wait)
        return Amount(self._area(2, self._slowness, wait), self._area(3, self._slowness, wait))

    @property
    def _slowness(self) -> float:
        """Seconds a byte, from the first one to the last one taken by the server."""
        return sum(self.load.slowness(self.kind.way))

    def _area(self, power: int, slowness: float, wait: float) -> float:
        """Arrivals times the mean of ``size**(power - 1) * (slowness * size + wait + answer)``."""
        sizes = self.load.sizes
        idle = wait + self.load.answer
        below = sizes.moment(power - 1)
        arrivals = self.load.arrivals * self.kind.share
        return arrivals * (slowness * sizes.moment(power) + idle * below)
