"""How a server stands after what was seen of it: a script of times and events, and the state after each."""

from hypothesis import given
from hypothesis import strategies as st

from shim.timing import UNLIMITED
from shim.upstream.health import Sign
from shim.upstream.standing import FIRST_SHARE, LONGEST_EJECTION, Standing, StandingOptions, State
from tests.support.series import series

OPTIONS = StandingOptions(eject_after=3, eject_for=10, slow_return=30)

FAIL, OK, LOOK = "fails", "answers", "looked at"
DEAD, ALIVE, BUSY = "probe fails", "probe is answered", "probe finds it busy"
SIGNS = {DEAD: Sign.DOWN, ALIVE: Sign.ANSWERS, BUSY: Sign.BUSY}


def do(standing, event, now):
    if event == FAIL:
        standing.fail(now)
    elif event == OK:
        standing.succeed(now)
    elif event in SIGNS:
        standing.probe(now, SIGNS[event])


EJECTED = [(0, FAIL, "up"), (0, FAIL, "up"), (0, FAIL, "ejected")]

STORIES = {
    "two failures are none": [
        (0, FAIL, "up"), (1, FAIL, "up"), (2, OK, "up"), (3, FAIL, "up"), (4, FAIL, "up"),
    ],
    "the third ejects": [(0, FAIL, "up"), (0, FAIL, "up"), (5, FAIL, "ejected"), (14.9, LOOK, "ejected")],
    "time brings it back": [
        *EJECTED,
        (10, LOOK, "returning"), (39.9, LOOK, "returning"), (40, LOOK, "up"),
    ],
    "who returns has no credit, and stays out twice as long": [
        *EJECTED,
        (10, FAIL, "ejected"), (29.9, LOOK, "ejected"), (30, LOOK, "returning"),
    ],
    "a success while it returns gives none either": [
        *EJECTED, (10, OK, "returning"), (11, FAIL, "ejected"),
    ],
    "after its return all is forgotten": [
        *EJECTED, (40, OK, "up"),
        (41, FAIL, "up"), (41, FAIL, "up"), (41, FAIL, "ejected"), (51, LOOK, "returning"),
    ],
    "failures while it is out do not keep it out": [
        *EJECTED, (5, FAIL, "ejected"), (10, LOOK, "returning"),
    ],
    "tried as the last resort, it answers": [
        *EJECTED, (1, OK, "returning"), (31, LOOK, "up"),
    ],
    "one lost probe is an accident": [(0, DEAD, "up"), (10, ALIVE, "up"), (20, DEAD, "up")],
    "two are not": [(0, DEAD, "up"), (10, DEAD, "down"), (1000, LOOK, "down")],
    "the first good probe brings it back": [
        (0, DEAD, "up"), (10, DEAD, "down"), (20, ALIVE, "returning"), (50, LOOK, "up"),
    ],
    "one that is busy is up": [
        (0, BUSY, "up"), (10, BUSY, "up"), (20, DEAD, "up"), (30, BUSY, "up"), (40, DEAD, "up"),
    ],
    "one that starts is busy, and not back yet": [
        (0, DEAD, "up"), (10, DEAD, "down"), (20, BUSY, "down"), (30, BUSY, "down"), (40, ALIVE, "returning"),
    ],
    "one that is ejected and starts is down": [
        *EJECTED, (2, BUSY, "ejected"), (4, BUSY, "down"), (12, LOOK, "down"), (20, ALIVE, "returning"),
    ],
    "one that returns may be busy": [
        *EJECTED, (10, BUSY, "returning"), (20, BUSY, "returning"), (40, LOOK, "up"),
    ],
    "down and yet answers": [(0, DEAD, "up"), (10, DEAD, "down"), (15, OK, "returning")],
    "down says more than ejected": [
        *EJECTED, (1, DEAD, "ejected"), (2, DEAD, "down"), (60, LOOK, "down"),
    ],
    "a good probe does not end an ejection": [
        *EJECTED, (5, ALIVE, "ejected"), (10, LOOK, "returning"),
    ],
}  # fmt: skip


@series("story", STORIES.values())
def test_stories(story):
    standing = Standing(OPTIONS)
    for now, event, expected in story:
        do(standing, event, now)
        assert standing.state(now) == expected, (now, event)
        assert standing.is_fit(now) is (expected in ("up", "returning"))


def test_the_way_back_is_slow():
    standing = Standing(OPTIONS)
    for _ in range(3):
        standing.fail(0)
    shares = [round(standing.share(now), 3) for now in (10, 25, 40, 100)]
    assert shares == [FIRST_SHARE, 0.55, 1, 1]


def test_one_failure_makes_others_the_better_choice_for_a_while():
    standing = Standing(OPTIONS)
    standing.fail(0)
    assert (standing.share(0), standing.share(9.9), standing.share(10)) == (0.5, 0.5, 1)
    standing.succeed(1)
    assert standing.share(1) == 1


def test_without_a_limit_nothing_is_ejected():
    standing = Standing(StandingOptions(eject_after=UNLIMITED))
    assert [standing.fail(0) for _ in range(100)] == [0] * 100
    assert standing.state(0) is State.UP


def test_a_return_at_once():
    standing = Standing(StandingOptions(eject_after=1, eject_for=5, slow_return=0))
    assert standing.fail(0) == 5
    assert (standing.state(5), standing.share(5)) == (State.UP, 1)


@given(st.lists(st.tuples(st.floats(0, 500), st.sampled_from([FAIL, OK, DEAD, ALIVE, BUSY])), max_size=60))
def test_nobody_is_left_out_for_ever(events):
    """Whatever happened: a good probe, and time, bring it back; and its share is always a share."""
    standing, now = Standing(OPTIONS), 0.0
    for pause, event in events:
        now += pause
        do(standing, event, now)
        assert 0 < standing.share(now) <= 1
    standing.probe(now, Sign.ANSWERS)
    assert standing.is_fit(now + LONGEST_EJECTION)
    assert standing.state(now + LONGEST_EJECTION + OPTIONS.slow_return) is State.UP
