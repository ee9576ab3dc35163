"""Moments and quantiles of the sizes, against what numbers in bulk come to."""

import statistics

import pytest

from shim.capacity.sizes import ListedSizes, LogNormalSizes
from tests.support.series import series

GIB = 1 << 30
SPREAD = 20_000

DISTRIBUTIONS = {
    "one size": ListedSizes((GIB,), (1,)),
    "a list": ListedSizes((5 * GIB, GIB, 3 * GIB), (1, 7, 2)),
    "log-normal": LogNormalSizes.between(GIB, 4 * GIB, 100 * GIB),
    "log-normal, cut within its bulk": LogNormalSizes.between(GIB, 20 * GIB, 20 * GIB),
}


@pytest.mark.parametrize("sizes", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("power", [0, 1, 2])
def test_moments_are_those_of_its_own_quantiles(sizes, power: int):
    places = [(place + 0.5) / SPREAD for place in range(SPREAD)]
    mean = statistics.fmean(sizes.quantile(place) ** power for place in places)
    assert sizes.moment(power) == pytest.approx(mean, rel=0.02)


@series(("share", "size"), [(0.0, 1), (0.7, 1), (0.71, 3), (0.9, 3), (0.91, 5), (1.0, 5)])
def test_a_list_is_asked_in_order_of_size(share: float, size: int):
    assert DISTRIBUTIONS["a list"].quantile(share) == size * GIB


def test_a_log_normal_is_what_was_said_of_it():
    sizes = LogNormalSizes.between(GIB, 4 * GIB, 10**6 * GIB)
    assert sizes.quantile(0.5) == pytest.approx(GIB, rel=1e-6)
    assert sizes.quantile(0.95) == pytest.approx(4 * GIB, rel=1e-6)
    assert DISTRIBUTIONS["log-normal"].quantile(1.0) == 100 * GIB
