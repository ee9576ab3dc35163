"""The workers of a plan: by the shim's own rule, which of several slots has an exact inverse."""

import pytest

from shim.admission.slots import upload_limit
from shim.capacity.plan import workers_for
from tests.support.series import series


@pytest.mark.parametrize("share", [0.01, 0.1, 0.29, 0.3, 1 / 3, 0.5, 0.57, 0.75, 0.9, 0.99, 1.0])
def test_as_many_workers_as_needed_and_no_more(share: float):
    for slots in range(2, 300):
        workers = workers_for(slots, share)
        assert upload_limit(workers, share) >= slots > upload_limit(workers - 1, share), slots


@series(("share", "workers"), [(0.1, 10), (0.3, 3), (0.5, 2), (0.75, 1), (1.0, 1)])
def test_one_slot_is_planned_by_the_share(share: float, workers: int):
    assert workers_for(1, share) == workers
    assert upload_limit(1, share) == 1, "of any number"
