"""In which order participants are measured."""

from hypothesis import given
from hypothesis import strategies as st

from shim.bench.ordering import order


def test_order_rotates_and_reverses():
    assert ["".join(order("ABC", repetition)) for repetition in range(6)] == [
        "ABC",
        "CBA",
        "BCA",
        "ACB",
        "CAB",
        "BAC",
    ]


@given(st.integers(1, 8))
def test_everybody_has_every_place_equally_often(count):
    rounds = [order(range(count), repetition) for repetition in range(2 * count)]
    for place in range(count):
        holders = [turn[place] for turn in rounds]
        assert sorted(holders) == sorted([*range(count)] * 2)


def test_order_of_nobody():
    assert order([], 3) == []
