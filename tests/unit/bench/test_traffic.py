"""What is counted of small requests; the rest of the traffic is tried over sockets in tests/flows."""

import pytest

from shim.bench.traffic import with_those_unasked
from tests.support.series import series


@series(("seconds", "counted"), [
    (0.0, [0.0]),
    (0.05, [0.05]),
    (0.15, [0.15]),
    (0.25, [0.25, 0.15]),
    (0.45, [0.45, 0.35, 0.25, 0.15]),
])  # fmt: skip
def test_a_long_wait_is_that_of_all_that_were_due(seconds, counted):
    assert with_those_unasked(seconds) == pytest.approx(counted)


def test_two_seconds_are_twenty_waits():
    assert len(with_those_unasked(2.01)) == 20
