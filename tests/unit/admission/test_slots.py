"""Whose turn it is: small before uploads, projects in turn, the first of each, nobody is left out."""

import math

from shim.admission.slots import (
    MOST_PASSED_OVER,
    Capacity,
    Held,
    Holder,
    Kind,
    Waiter,
    choose,
    project_key,
    upload_limit,
)
from tests.support.series import series

ANNA, BERTA, CAESAR = 1, 2, 3


def small(number, project=ANNA, **more):
    return Waiter(number, Kind.SMALL, project, **more)


def upload(number, project=ANNA, **more):
    return Waiter(number, Kind.UPLOAD, project, **more)


def held(*holders, servers=1, turns=()):
    made = Held(servers)
    for number, (kind, project, server) in enumerate(holders):
        made.add(Holder(1000 + number, kind, project, server))
    made.turns |= dict(turns)
    return made


def next_one(waiters, holders=None, slots=(4,), share=0.75, passed_over=0):
    """The number of the one chosen, and its server."""
    holders = holders or held(servers=len(slots))
    choice = choose(waiters, holders, Capacity.of(slots, share), passed_over)
    return choice and (choice.waiter.number, choice.server)


S, U = Kind.SMALL, Kind.UPLOAD

CASES = [
    ("nobody", [], None, None),
    ("alone", [upload(1)], None, (1, 0)),
    ("the first of one project", [small(1), small(2)], None, (1, 0)),
    ("small before uploads", [upload(1), upload(2, BERTA), small(3)], None, (3, 0)),
    ("who holds least", [upload(1), upload(2, BERTA)], held((U, ANNA, 0)), (2, 0)),
    ("small ones are counted apart", [upload(1), upload(2, BERTA)], held((S, ANNA, 0)), (1, 0)),
    ("the longest without a turn", [upload(1), upload(2, BERTA)], held(turns={(U, ANNA): 7}), (2, 0)),
    (
        "of two that had turns",
        [upload(1), upload(2, BERTA), upload(3, CAESAR)],
        held(turns={(U, ANNA): 7, (U, BERTA): 8, (U, CAESAR): 6}),
        (3, 0),
    ),
    ("all slots are held", [small(1)], held(*[(S, BERTA, 0)] * 4), None),
    ("uploads hold their share", [upload(1)], held(*[(U, BERTA, 0)] * 3), None),
    ("beside their share", [upload(1), small(2)], held(*[(U, BERTA, 0)] * 3), (2, 0)),
    ("small ones are no uploads", [upload(1)], held(*[(S, BERTA, 0)] * 3), (1, 0)),
]


@series(("waiters", "holders", "expected"), [case[1:] for case in CASES])
def test_the_next_one(waiters, holders, expected):
    assert next_one(waiters, holders) == expected
    assert next_one(waiters[::-1], holders) == expected, "the order in which they are given says nothing"


@series(
    ("waiter", "holders", "expected"),
    [
        (upload(1), [(S, BERTA, 0)], (1, 1)),
        (upload(1), [(S, BERTA, 0), (U, BERTA, 1)], (1, 0)),
        (upload(1), [(U, BERTA, 0), (S, BERTA, 1), (S, BERTA, 1)], (1, 1)),
        (upload(1), [(U, BERTA, 0), (U, BERTA, 1)], None),
        (small(1), [(U, BERTA, 0), (U, BERTA, 1), (S, BERTA, 0)], (1, 1)),
    ],
)
def test_one_upload_in_each_server(waiter, holders, expected):
    capacity = Capacity.of((4, 4), 0.75, uploads_each=1)
    choice = choose([waiter], held(*holders, servers=2), capacity, 0)
    assert (choice and (choice.waiter.number, choice.server)) == expected


@series("servers", [((2, 2), 0), ((1, 2), 1), ((2, 1), 0), ((0, 2), 1), ((math.inf, 9), 0)])
def test_the_server_that_does_least(servers):
    slots, expected = servers
    holders = held((S, BERTA, 0), servers=2) if slots == (1, 2) else held(servers=2)
    assert next_one([small(1)], holders, slots) == (1, expected)


def test_a_server_that_refused_is_avoided():
    assert next_one([small(1, avoided=0b01)], slots=(4, 4)) == (1, 1)
    assert next_one([small(1, avoided=0b11)], slots=(4, 4)) is None
    full = held((S, BERTA, 1), servers=2)
    assert next_one([small(1, avoided=0b01), small(2)], full, (1, 1)) == (2, 0)


def test_who_was_passed_over_long_enough():
    waiters = [upload(1), small(2), small(3, BERTA)]
    assert next_one(waiters, passed_over=MOST_PASSED_OVER - 1) == (2, 0)
    assert next_one(waiters, passed_over=MOST_PASSED_OVER) == (1, 0)
    # Only among those that there is a slot for.
    assert next_one(waiters, held(*[(U, BERTA, 0)] * 3), passed_over=MOST_PASSED_OVER) == (2, 0)


@series(
    ("slots", "share", "expected"),
    [
        (1, 0.75, 1),
        (2, 0.75, 1),
        (3, 0.75, 2),
        (4, 0.75, 3),
        (8, 0.75, 6),
        (8, 1.0, 7),
        (8, 0.01, 1),
        (2, 1.0, 1),
        (0, 0.75, 1),
        (math.inf, 0.75, math.inf),
    ],
)
def test_the_share_of_uploads(slots, share, expected):
    assert upload_limit(slots, share) == expected


def test_the_share_is_of_all_servers_together():
    assert Capacity.of((1, 1), 0.75).uploads == 1
    assert Capacity.of((4, 4), 0.75).uploads == 6


def test_counts_leave_nothing_behind():
    holders = [Holder(number, kind, number % 3, number % 2) for number, kind in enumerate([S, U] * 5)]
    made = Held(2)
    for holder in holders:
        made.add(holder)
    assert (made.servers, made.kinds[U]) == ([5, 5], 5)
    for holder in holders:
        made.remove(holder)
    assert (made.servers, made.kinds[S], made.kinds[U], dict(made.shares)) == ([0, 0], 0, 0, {})


def test_a_project_has_one_key_everywhere():
    # Written down: processes of different versions may share a table.
    assert project_key("192.0.2.1") == 0xC874FACE288B2811 >> 1
    assert len({project_key(f"project-{number}") for number in range(1000)}) == 1000
