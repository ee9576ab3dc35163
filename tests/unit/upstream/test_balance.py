"""Which server is the best: tables of loads, weights and turns; and what hashing keeps where it is."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.upstream.balance import Balance, Balancer, Candidate


def candidates(*loads, weights=None, shares=None):
    weights = weights or [1] * len(loads)
    shares = shares or [1] * len(loads)
    return [
        Candidate(number, f"http://server-{number}:80", *values)
        for number, values in enumerate(zip(loads, weights, shares, strict=True))
    ]


def positions(order):
    return [candidate.position for candidate in order]


LEAST = [
    pytest.param(candidates(0, 0, 0), [0, 1, 2], id="idle: as in the list"),
    pytest.param(candidates(2, 1, 3), [1, 0, 2], id="by what they do"),
    pytest.param(candidates(3, 3, weights=[1, 2]), [1, 0], id="twice the weight, half the load"),
    pytest.param(candidates(1, 3, weights=[1, 2]), [0, 1], id="equal by weight: as in the list"),
    pytest.param(candidates(0, 8, shares=[0.1, 1]), [1, 0], id="one that comes back gets a tenth"),
    pytest.param(candidates(0, 10, shares=[0.1, 1]), [0, 1], id="and that it gets"),
]


@pytest.mark.parametrize(("given", "order"), LEAST)
def test_least_inflight(given, order):
    assert positions(Balancer().order(given, "")) == order


def test_equal_servers_take_turns():
    balancer, chosen = Balancer(), []
    for _ in range(5):
        best = balancer.order(candidates(0, 0, 0), "")[0]
        balancer.note(best)
        chosen.append(best.position)
    assert chosen == [0, 1, 2, 0, 1]


def test_first_available_never_moves_on_by_itself():
    balancer = Balancer(Balance.FIRST_AVAILABLE)
    for _ in range(3):
        order = balancer.order(candidates(9, 0, 0), "")
        balancer.note(order[0])
        assert positions(order) == [0, 1, 2]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_turns_are_by_weight(weights):
    """After any whole round each has had what its weight says, however little it does meanwhile."""
    balancer, had = Balancer(Balance.ROUND_ROBIN), Counter()
    for _ in range(sum(weights)):
        best = balancer.order(candidates(*range(len(weights)), weights=weights), "")[0]
        balancer.note(best)
        had[best.position] += 1
    assert all(abs(had[number] - weight) <= 1 for number, weight in enumerate(weights))


def test_who_was_away_does_not_get_the_turns_it_missed():
    balancer = Balancer(Balance.ROUND_ROBIN)
    one, two = candidates(0, 0)
    for _ in range(100):
        balancer.note(balancer.order([one], "")[0])
    had = Counter()
    for _ in range(10):
        best = balancer.order([one, two], "")[0]
        balancer.note(best)
        had[best.position] += 1
    assert had == {0: 5, 1: 5}


KEYS = [f"image-{number}" for number in range(600)]
STICKY = Balancer(Balance.STICKY)


@given(st.sets(st.integers(0, 11), min_size=1), st.text(min_size=1))
def test_a_key_stays_whatever_the_others_do(present, key):
    """Only the keys of a server that goes move; the rest, and the order of the rest, stay."""
    everybody = candidates(*range(12), weights=[1, 2, 3] * 4, shares=[1, 0.1] * 6)
    order = positions(STICKY.order(everybody, key))
    some = [candidate for candidate in reversed(everybody) if candidate.position in present]
    assert positions(STICKY.order(some, key)) == [position for position in order if position in present]


def test_keys_are_spread_by_weight():
    best = Counter(STICKY.order(candidates(0, 0, weights=[1, 2]), key)[0].position for key in KEYS)
    assert 0.26 < best[0] / len(KEYS) < 0.40


def test_what_is_about_nothing_goes_to_the_one_that_does_least():
    assert positions(STICKY.order(candidates(2, 1), "")) == [1, 0]
    assert not STICKY.sticks("")
    assert STICKY.sticks("x")
    assert not Balancer().sticks("x")


def test_names_that_have_gone_are_forgotten():
    balancer = Balancer(Balance.ROUND_ROBIN)
    for turn in range(999):
        balancer.note(Candidate(0, f"http://pod-{turn // 3}"))
    assert len(balancer._turns._due) <= 2
