"""The numbers: which bucket a value falls in, and what a client cannot make them do."""

import math
from collections import Counter

from shim.observe.counters import KNOWN_METHODS, PHASE_BUCKETS, Counters, Histogram
from tests.support.series import series

EDGES = [
    # value, index of its bucket of (0.5, 1.0, 10.0)
    (0.0, 0),
    (0.4999, 0),
    (0.5, 0),
    (math.nextafter(0.5, 1), 1),
    (1.0, 1),
    (1, 1),
    (9.99, 2),
    (10.0, 2),
    (math.nextafter(10.0, 11), 3),
    (1e9, 3),
]


@series(("value", "bucket"), EDGES)
def test_upper_bounds_are_inclusive(value, bucket):
    histogram = Histogram((0.5, 1.0, 10.0))
    histogram.add(value)
    assert histogram.counts == [int(index == bucket) for index in range(4)]
    assert histogram.total == value


def test_a_histogram_adds_up():
    histogram = Histogram((0.5, 1.0))
    for value in (0.25, 0.5, 0.75, 2.0):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.total == 3.5


def test_the_buckets_rise():
    assert list(PHASE_BUCKETS) == sorted(set(PHASE_BUCKETS))


def test_phases_have_histograms_of_their_own():
    counters = Counters()
    counters.add_phases({"receive": 0.001})
    counters.add_phases({"receive": 4000.0})
    counters.add_phases({"send": 0.0})
    assert counters.phases.keys() == {"receive", "send"}
    assert counters.phases["receive"].counts == [1, *[0] * (len(PHASE_BUCKETS) - 1), 1]
    assert counters.phases["send"].counts[0] == 1
    assert Counters().phases == {}


def test_known_methods_are_counted_apart():
    counters = Counters()
    for method in sorted(KNOWN_METHODS):
        counters.add_request("default", method, 200)
    counters.add_request("default", "GET", 200)
    counters.add_request("default", "GET", 404)
    counters.add_request("image-upload", "PUT", 204)
    assert counters.requests["default", "GET", 200] == 2
    assert counters.requests["default", "GET", 404] == 1
    assert len(counters.requests) == len(KNOWN_METHODS) + 2


def test_a_client_cannot_fill_the_memory_with_methods():
    counters = Counters()
    for number in range(1000):
        counters.add_request("default", f"METHOD{number}", 405)
    for method in ("get", "-", "TRACE", "G\u00cbT", ""):
        counters.add_request("default", method, 405)
    assert counters.requests == Counter({("default", "other", 405): 1005})
