"""How long a slow client is left alone: for a small part of its upload, and never for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.server.lull import LONGEST, MUCH, SHARE, SHORTEST, SLOW, WINDOW, Lull

KIB = 1024


def pauses(rate, step, *, seconds, lull=None, since=0.0):
    """What each read of a steady client gives that sends ``rate`` bytes a second, ``step`` seconds apart."""
    lull = lull or Lull()
    return [
        lull.after(int(rate * step), since + number * step) for number in range(1, int(seconds / step) + 1)
    ]


def test_a_slow_client():
    given_pauses = pauses(20 * KIB, 0.1, seconds=20)
    assert given_pauses[:9] == [0.0] * 9, "too early to be worth it"
    assert given_pauses[19] == pytest.approx(2 * SHARE)
    assert given_pauses[-1] == LONGEST


@pytest.mark.parametrize("step", [0.001, 0.1, 1.0], ids="every {} s".format)
def test_a_fast_client_never_feels_it(step):
    """However small its packets are, and however old its upload."""
    assert not any(pauses(SLOW + KIB, step, seconds=30))


def test_one_that_becomes_fast_is_believed_at_once():
    lull = Lull()
    assert pauses(KIB, 0.5, seconds=20, lull=lull)[-1] == LONGEST
    assert lull.after(MUCH, 20.5) == 0.0
    assert lull.after(KIB, 20.5) == 0.0, "what comes behind is small, but says nothing"


def test_one_that_becomes_slow_is_believed_after_a_while():
    lull = Lull()
    assert not any(pauses(KIB * KIB, 0.01, seconds=20, lull=lull))
    slow = pauses(KIB, 0.1, seconds=2, lull=lull, since=20.0)
    assert slow[0] == 0.0
    assert slow[-1] == LONGEST


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 1 << 20)), max_size=60))
def test_bounds(reads):
    """Never longer than a share of the time so far; and never where so much comes that it might wait."""
    lull, waited, since, came = Lull(), 0.0, 0.0, 0
    for gap, size in reads:
        waited += gap
        came += size
        pause = lull.after(size, waited)
        assert pause == 0.0 or SHORTEST <= pause <= min(LONGEST, waited * SHARE)
        if size >= MUCH or waited - since >= WINDOW:
            if size >= MUCH or came >= SLOW * (waited - since):
                assert pause == 0.0
            since, came = waited, 0
