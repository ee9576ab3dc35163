"""Who keeps up with an answer: judged by bytes for the time in which the client was waited for alone."""

import pytest

from shim.proxy.lag import KEEPING_UP, LOOK, Lag
from tests.support.series import series

MIB = 1 << 20


@series(
    ("steps", "behind"),
    [
        pytest.param([(0, 0.99 * LOOK)], False, id="too early to say"),
        pytest.param([(0, LOOK)], True, id="takes nothing"),
        pytest.param([(KEEPING_UP * LOOK + 1, LOOK)], False, id="just fast enough"),
        pytest.param([(KEEPING_UP * LOOK - 1, LOOK)], True, id="just too slow"),
        pytest.param([(1 << 40, LOOK), (1 << 40, 2 * LOOK)], True, id="what it took before buys it no time"),
        pytest.param([(8 * MIB, 0.05), (8 * MIB, 0.24)], False, id="what buffers took at once counts for it"),
        pytest.param([(MIB, 0.0)] * 1000, False, id="a slow server makes no client slow"),
        pytest.param([(MIB * 5 * n, LOOK * n) for n in range(1, 50)], False, id="for as long as it likes"),
    ],
)
def test_who_is_behind(steps, behind):
    lag = Lag()
    *before, last = [lag.is_behind(int(taken), waited) for taken, waited in steps]
    assert not any(before)
    assert last is behind


def test_looking_on_anew():
    lag = Lag()
    assert lag.is_behind(0, 10)
    lag.begin(5, 10)
    assert not lag.is_behind(5, 10 + LOOK / 2)
    assert lag.is_behind(5, 10 + 2 * LOOK)
