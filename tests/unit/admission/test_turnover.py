"""When to come again: by how fast slots came free while somebody waited, within bounds."""

from shim.admission.turnover import LONGEST_RETRY, MOST_REMEMBERED, Turnover
from tests.support.series import series


def told(*freed, since=0.0):
    turnover = Turnover()
    turnover.begin(since)
    for now in freed:
        turnover.add(now)
    return turnover


@series(
    ("freed", "place", "now", "expected"),
    [
        ([2, 4, 6, 8], 1, 8, 2),
        ([2, 4, 6, 8], 5, 8, 10),
        # That nothing has come free since is known too.
        ([2, 4, 6, 8], 5, 16, 20),
        ([0.01, 0.02, 0.03], 1, 0.03, 1),
        ([0.01] * 10, 1000, 0.02, 2),
        ([], 3, 30, 90),
        ([], 1, 0, 1),
        ([1000], 10, 1000, LONGEST_RETRY),
        ([], 10**9, 10**9, LONGEST_RETRY),
    ],
)
def test_retry_after(freed, place, now, expected):
    assert told(*freed).retry_after(place, now) == expected


def test_before_anybody_waited():
    assert Turnover().retry_after(5, 100) == 1


def test_only_of_late():
    """A slow beginning is forgotten once enough have come free fast."""
    turnover = told(*range(1000, 1000 + 2 * MOST_REMEMBERED))
    assert turnover.retry_after(10, 1000 + 2 * MOST_REMEMBERED - 1) == 10


def test_a_new_line_begins_anew():
    turnover = told(100, 200, 300)
    turnover.begin(1000)
    turnover.add(1001)
    assert turnover.retry_after(3, 1001) == 3
