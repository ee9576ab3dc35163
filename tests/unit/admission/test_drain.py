"""The drain: readiness goes first, requests are refused later, and there is no way back."""

import pytest

from shim.admission.drain import Drain, Life
from shim.errors import Draining
from tests.support.series import series

SERVING, LEAVING, DRAINING = Life.SERVING, Life.LEAVING, Life.DRAINING


@series(
    ("calls", "life", "taken"),
    [
        pytest.param([], SERVING, True, id="at first"),
        pytest.param(["leave"], LEAVING, True, id="leaving, not ready but serving"),
        pytest.param(["leave", "leave"], LEAVING, True, id="leaving twice"),
        pytest.param(["begin"], DRAINING, False, id="draining at once"),
        pytest.param(["leave", "begin"], DRAINING, False, id="leaving, then draining"),
        pytest.param(["begin", "leave"], DRAINING, False, id="draining never ends in leaving"),
        pytest.param(["begin", "begin"], DRAINING, False, id="draining twice"),
    ],
)
def test_it_only_moves_forward(calls, life, taken):
    drain = Drain()
    for call in calls:
        getattr(drain, call)()
    assert drain.life is life
    if taken:
        drain.check()
    else:
        with pytest.raises(Draining) as refusal:
            drain.check()
        assert refusal.value.retry_after == 5


def test_the_states_come_in_their_order():
    assert [life.value for life in Life] == ["serving", "leaving", "draining"]
