"""The rate floor: a client at the floor is never refused, one below it always and in time, told any times.

Rates at the floor are powers of two and their times exact, so that no rounding of floats decides.
"""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from shim.admission.limits import BodyPace, RateFloor, RateWindow
from shim.errors import BodyTooSlow

FLOOR = 1024
GRACE = 32
LATEST = GRACE * (1 + 1 / RateWindow.STEPS)

messages = st.lists(st.integers(1, 1 << 18), min_size=1, max_size=80)
message_sizes = st.lists(st.integers(256, 4096), min_size=1, max_size=20)
faster = st.sampled_from([1, 2, 4, 1024])
slower = st.floats(0.01, 0.99)


def floor() -> RateFloor:
    return RateFloor(BodyPace(min_rate=FLOOR, grace=GRACE))


def refused_at(watched: RateFloor, script: list[tuple[float, int]]) -> float | None:
    """How long the watched client had been waited for when it was refused; None where it was not."""
    now = 0.0
    for waited, size in script:
        now += waited
        try:
            watched.add(waited, size)
        except BodyTooSlow:
            return now
    return None


def steady(sizes: list[int], rate: float, for_seconds: float) -> list[tuple[float, int]]:
    """Messages of these sizes over and over, each when the rate says so, for so many seconds and one more."""
    script, now = [], 0.0
    for size in itertools.cycle(sizes):
        script.append((size / rate, size))
        now += size / rate
        if now > for_seconds:
            return script
    raise AssertionError


@given(messages, faster)
def test_a_steady_client_at_the_floor_is_never_refused(sizes, factor):
    # Each message comes when the rate says so, be it of one byte or of many seconds' worth.
    assert refused_at(floor(), [(size / (FLOOR * factor), size) for size in sizes]) is None


@given(messages, st.lists(st.integers(0, 256), min_size=80, max_size=80))
def test_nor_is_one_that_is_early(sizes, hurry):
    # Time saved by a message is no debt: each comes at the floor or sooner.
    script = [(size / FLOOR * (256 - early) / 256, size) for size, early in zip(sizes, hurry, strict=False)]
    assert refused_at(floor(), script) is None


@given(message_sizes, slower)
def test_a_client_below_the_floor_is_refused_in_time(sizes, share):
    longest = max(sizes) / (FLOOR * share)
    at = refused_at(floor(), steady(sizes, FLOOR * share, for_seconds=LATEST + longest))
    assert at is not None
    assert GRACE <= at <= GRACE + longest


@given(st.integers(0, 1 << 40), message_sizes, slower)
def test_nor_does_a_fast_beginning_help_for_longer_than_the_window(first, sizes, share):
    longest = max(sizes) / (FLOOR * share)
    drip = steady(sizes, FLOOR * share, for_seconds=LATEST + 3 * longest)
    at = refused_at(floor(), [(0.5, first), *drip])
    assert at is not None
    # The window begins at a mark, and marks stand at messages: each may be one message late.
    assert at <= 0.5 + LATEST + 2 * longest


@given(st.integers(0, 1 << 40), st.floats(0, GRACE))
def test_silence_is_refused_within_the_window_and_two_steps(first, before):
    watched = floor()
    watched.add(before, max(first, int(before * FLOOR) + 1))
    steps = [(watched.next_check, 0)] * (3 * RateWindow.STEPS)
    at = refused_at(watched, steps)
    assert at is not None
    assert at <= GRACE + 2 * watched.next_check


@given(st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 1 << 16)), max_size=60))
def test_nobody_is_refused_who_was_fast_enough_over_every_window(script):
    watched, history = floor(), [(0.0, 0)]
    for ticks, size in script:
        now, received = history[-1][0] + ticks / 1024, history[-1][1] + size
        windows = [(now - start, received - before) for start, before in history if now - start >= GRACE]
        history.append((now, received))
        try:
            watched.add(ticks / 1024, size)
        except BodyTooSlow:
            assert any(came < FLOOR * length for length, came in windows)
            return
