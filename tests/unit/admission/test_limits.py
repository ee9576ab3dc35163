"""The rate floor, told the time: scripts of what came when, and when the verdict falls."""

import math

import pytest

from shim.admission.limits import BodyPace, RateFloor, RateWindow
from shim.errors import BodyTooSlow
from tests.support.series import series

GRACE = 32.0
FLOOR = 1024.0


def floor(min_rate: float = FLOOR, grace: float = GRACE) -> RateFloor:
    return RateFloor(BodyPace(min_rate=min_rate, grace=grace))


def verdict(script: list[tuple[float, int]], watched: RateFloor) -> float | None:
    """When the script is refused, in seconds from its beginning; None where it passes."""
    now = 0.0
    for waited, size in script:
        now += waited
        try:
            watched.add(waited, size)
        except BodyTooSlow:
            return now
    return None


KIB = 1024
SCRIPTS = [
    # (waited, size) and so on, when it is refused
    pytest.param([], None, id="nothing yet"),
    pytest.param([(0, KIB)] * 10, None, id="all at once"),
    pytest.param([(1, KIB)] * 200, None, id="at the floor"),
    pytest.param([(1, KIB - 1)] * 200, 32, id="a byte a second below it"),
    pytest.param([(1, 2 * KIB)] * 200, None, id="at twice the floor"),
    pytest.param([(1, 0)] * 200, 32, id="nothing comes"),
    pytest.param([(31.9, 0)], None, id="within the grace nothing is judged"),
    pytest.param([(32, 0)], 32, id="at its end it is"),
    pytest.param([(32, 32 * KIB)], None, id="all of it at the very end of the grace"),
    pytest.param([(32, 32 * KIB - 1)], 32, id="all but a byte"),
    pytest.param([(0, 32 * KIB), (32, 0)], None, id="all of it at the beginning"),
    pytest.param([(0, 32 * KIB), (32.5, 0)], 32.5, id="the beginning is not enough for ever"),
    pytest.param([(1, 1)] * 31 + [(1, 32 * KIB)], None, id="a slow start is caught up with"),
    pytest.param([(16, 16 * KIB)] * 20, None, id="few large messages at the floor"),
    pytest.param([(0.001, 2)] * 50_000, None, id="many small messages above the floor"),
    pytest.param([(0.001, 1)] * 50_000, 32, id="a drip that is never idle"),
    pytest.param([(2, 1 << 30), *[(2, 1)] * 100], 34, id="the window leaves a fast beginning behind"),
    pytest.param([(2, 1 << 30), (40, 1)], 42, id="also where nothing else came since"),
    pytest.param([(100, 100 * KIB)], None, id="one message that took long, but brought enough"),
    pytest.param([(100, 99 * KIB)], 100, id="one message that took long and brought too little"),
]


@series(("script", "refused"), SCRIPTS)
def test_verdicts(script, refused):
    at = verdict(script, floor())
    assert (at is None) is (refused is None)
    if refused is not None:
        assert at == pytest.approx(refused, abs=0.01)


def test_a_fast_beginning_does_not_pay_for_a_drip_later():
    at = verdict([(0.1, 1 << 30), *[(0.1, 1)] * 1000], floor())
    assert at is not None
    assert GRACE <= at <= GRACE * (1 + 1 / RateWindow.STEPS) + 0.2


def test_a_client_may_be_slow_again_and_again_within_the_grace():
    # Twenty seconds of silence, then all of it: never below the floor over any 32 s.
    assert verdict([(20, 0), (0, 40 * KIB)] * 50, floor()) is None


def test_time_that_is_not_told_does_not_count():
    watched = floor()
    for _ in range(1000):
        watched.add(0, 0)
    assert verdict([(GRACE - 0.1, 0)], watched) is None


@series("burst", [0, 1, 32 * KIB, 1 << 40])
def test_silence_is_refused_however_much_came_before(burst):
    watched = floor()
    watched.add(0.5, burst)
    assert watched.next_check == GRACE / RateWindow.STEPS
    at = verdict([(watched.next_check, 0)] * 40, watched)
    assert at is not None
    assert GRACE - 0.5 <= at <= GRACE + 2 * watched.next_check


def test_without_a_floor_nothing_is_ever_judged():
    watched = floor(min_rate=0)
    assert watched.next_check == math.inf
    assert verdict([(1e6, 0)] * 10, watched) is None


def test_a_floor_of_one_byte_is_one():
    watched = floor(min_rate=1)
    assert watched.next_check == GRACE / RateWindow.STEPS
    assert verdict([(33, 32)], watched) == 33


def test_the_answer_says_what_was_asked_for():
    with pytest.raises(BodyTooSlow, match=r"slower than 1024 bytes per second over the last 32 s"):
        floor().add(32, 5)


def test_memory_stays_bounded():
    watched = floor()
    verdict([(0.001, 2)] * 100_000, watched)
    assert len(watched._window._marks) <= RateWindow.STEPS + 2
