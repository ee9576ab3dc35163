"""The gate: it counts large bodies only, refuses at its limit, and gets back every place it gave."""

import math

import pytest

from shim.admission.gate import COUNTED_FROM, UploadGate
from shim.errors import ProjectLimit, UploadsFull
from tests.support.series import series

LARGE = COUNTED_FROM + 1


def cover(ticket, size):
    """Cover without a loop: where there is no cloud nothing is waited for."""
    with pytest.raises(StopIteration):
        ticket.cover(size).send(None)


@series(
    ("sizes", "counted"),
    [
        pytest.param([], 0, id="no body"),
        pytest.param([0], 0, id="empty"),
        pytest.param([64 * 1024], 0, id="64 KiB"),
        pytest.param([64 * 1024 + 1], 1, id="over 64 KiB"),
        pytest.param([2**50], 1, id="a PiB"),
        pytest.param([100, 64 * 1024, LARGE, LARGE + 1, 2**40], 1, id="growing"),
        pytest.param([LARGE, 0], 1, id="counted once, it stays counted"),
    ],
)
def test_what_is_counted(sizes, counted):
    gate = UploadGate(1)
    with gate.ticket() as ticket:
        for size in sizes:
            cover(ticket, size)
        assert gate.under_way == counted
    assert gate.under_way == 0


def test_at_the_limit_large_bodies_are_refused_and_small_ones_pass():
    gate = UploadGate(2)
    with gate.ticket() as one, gate.ticket() as two, gate.ticket() as three:
        cover(one, LARGE)
        cover(two, LARGE)
        cover(three, COUNTED_FROM)
        with pytest.raises(UploadsFull) as refusal:
            cover(three, LARGE)
        assert refusal.value.retry_after == 10
        # Those that are in stay in, also while they grow.
        cover(one, 2 * LARGE)
        assert gate.under_way == 2
        two.release()
        cover(three, LARGE)
        assert gate.under_way == 2
    assert gate.under_way == 0


def test_a_refused_ticket_gives_back_nothing():
    gate = UploadGate(1)
    with gate.ticket() as holder:
        cover(holder, LARGE)
        with pytest.raises(UploadsFull), gate.ticket() as ticket:
            cover(ticket, LARGE)
        assert gate.under_way == 1
    assert gate.under_way == 0


def test_a_place_is_given_back_whatever_happens():
    gate = UploadGate(1)

    def serve() -> None:
        with gate.ticket() as ticket:
            cover(ticket, LARGE)
            assert gate.under_way == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve()
    assert gate.under_way == 0


def test_a_place_is_given_back_once():
    gate = UploadGate(2)
    with gate.ticket() as other:
        cover(other, LARGE)
        with gate.ticket() as ticket:
            cover(ticket, LARGE)
            ticket.release()
            ticket.release()
        assert gate.under_way == 1


def test_a_limit_of_none():
    gate = UploadGate(0)
    with gate.ticket() as ticket, pytest.raises(UploadsFull):
        cover(ticket, LARGE)


def test_no_limit():
    gate = UploadGate(math.inf)
    tickets = [gate.ticket() for _ in range(1000)]
    for ticket in tickets:
        cover(ticket.__enter__(), LARGE)
    assert gate.under_way == 1000
    for ticket in tickets:
        ticket.__exit__(None, None, None)
    assert gate.under_way == 0


def test_a_project_has_a_limit_of_its_own():
    gate = UploadGate(10, 2)
    with gate.ticket("a") as one, gate.ticket("a") as two, gate.ticket("a") as three:
        cover(one, LARGE)
        cover(two, LARGE)
        cover(three, COUNTED_FROM)
        with pytest.raises(ProjectLimit) as refusal:
            cover(three, LARGE)
        assert refusal.value.retry_after == 10
        with gate.ticket("b") as other:
            cover(other, LARGE)
        two.release()
        cover(three, LARGE)
    assert gate.under_way == 0
