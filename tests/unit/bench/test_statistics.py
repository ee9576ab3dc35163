"""Ratios of pairs, spreads, percentiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.bench.statistics import RARE, Latency, Spread, paired, percentile
from tests.support.series import series


@series(
    ("ours", "theirs", "ratios"),
    [
        ([1.0, 3.0], [2.0, 2.0], [0.5, 1.5]),
        ([1.0, None, 3.0], [2.0, 2.0, 4.0], [0.5, 0.75]),
        ([1.0, 2.0], [None, 4.0], [0.5]),
        ([1.0], [0.0], []),
        ([0.0], [2.0], [0.0]),
        ([1.0, 2.0], [2.0], [0.5]),
        ([], [], []),
    ],
)
def test_paired(ours, theirs, ratios):
    assert paired(ours, theirs) == ratios


def test_spread():
    spread = Spread.of([3.0, 1.0, 2.0])
    assert (spread.median, spread.low, spread.high, spread.count) == (2.0, 1.0, 3.0, 3)
    assert Spread.of([]) is None


@given(st.lists(st.floats(0.1, 10), min_size=1), st.floats(1.5, 4))
def test_drift_that_hits_both_alike_leaves_ratios_alone(values, drift):
    slower = [value * drift**place for place, value in enumerate(values[:6])]
    twice = [2 * value for value in slower]
    assert paired(twice, slower) == pytest.approx([2.0] * len(slower))


# -- percentiles ------------------------------------------------------------------------------------------


@series(
    ("values", "part", "found"),
    [([7.0], 0.5, 7.0), ([1.0, 2.0], 0.5, 1.0), ([1.0, 2.0, 3.0], 0.5, 2.0), ([1.0, 2.0, 3.0], 1.0, 3.0),
     ([float(n) for n in range(1, 101)], 0.99, 99.0), ([1.0, 2.0], 0.0, 1.0)],
)  # fmt: skip
def test_percentile(values, part, found):
    assert percentile(values, part) == found


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_was_measured_and_is_not_exceeded_by_so_many(values, part):
    found = percentile(sorted(values), part)
    assert found in values
    assert sum(value <= found for value in values) >= part * len(values) - 1e-9


def test_few_values_have_no_99th_percentile():
    few = Latency.of(float(value) for value in range(RARE - 1))
    enough = Latency.of(float(value) for value in range(RARE))
    assert few is not None
    assert enough is not None
    assert (few.p50, few.p99, few.worst, few.count) == (49.0, None, 98.0, 99)
    assert enough.p99 == 98.0
    assert Latency.of([]) is None
