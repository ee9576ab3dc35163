"""The measured side of docs/capacity.md, at its smallest: a real shim between clients and a paced server."""

import pytest

from benchmarks.capacity.__main__ import simulated_means
from benchmarks.capacity.measure import measure
from shim.capacity.load import Way
from shim.capacity.simulation import Arrival, Rules

pytestmark = pytest.mark.servers

MIB = 1 << 20


def test_a_run_of_three_uploads_is_watched_to_its_end():
    trace = [
        Arrival(0.0, 4 * MIB),
        Arrival(0.1, 4 * MIB, is_known=False),
        Arrival(0.2, MIB + 1),
    ]
    # Slow enough for a worker to be seen at work by a few looks a second.
    rules = Rules(Way.CUT_THROUGH, 1, 8 * MIB, 8 * MIB)
    # All three have to be answered with 204, or it raises.
    measured = measure(trace, rules)
    simulated = simulated_means(trace, rules, measured)
    assert measured.means.keys() == simulated.keys()
    # The samples saw what three uploads are; how near to the simulation is no matter for a busy machine.
    for name, mean in measured.means.items():
        assert 0 < mean < 20 * simulated[name]
