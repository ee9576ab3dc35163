"""The judgement on a soak: what may be a little more at its end, and what must be the same."""

import pytest

from tests.soak.holdings import SLACK, Holdings, judge, table

BEFORE = {
    "processes": 4,
    "descriptors": 80,
    "threads": 30,
    "memory, MiB": 100.0,
    "uploads": 0,
    "free": 1 << 28,
}


def reading(**changes):
    return Holdings({**BEFORE, **{name.replace("_", ", "): value for name, value in changes.items()}})


@pytest.mark.parametrize(
    "changes",
    [{}, {"descriptors": 70, "threads": 9}, {"descriptors": 86, "threads": 54, "memory_MiB": 172.0}],
)
def test_all_is_back(changes):
    assert judge(reading(), reading(**changes), workers=3) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"processes": 5}, "processes: 4 before, 5 after"),
        ({"processes": 3}, "processes: 4 before, 3 after"),
        ({"uploads": 1}, "uploads: 0 before, 1 after"),
        ({"free": 0}, "free: 2.68435e+08 before, 0 after"),
        ({"descriptors": 87}, "descriptors: 80 before, 87 after"),
        ({"threads": 55}, "threads: 30 before, 55 after"),
        ({"memory_MiB": 172.5}, "memory, MiB: 100 before, 172.5 after"),
    ],
)
def test_what_is_not_back_is_told(changes, told):
    assert judge(reading(), reading(**changes), workers=3) == [told]


def test_only_what_is_known_has_slack():
    assert SLACK.keys() < BEFORE.keys()


def test_a_column_for_each_reading():
    head, *rows = table([("before", reading()), ("after", reading(uploads=2))])
    assert head == ("held", "before", "after")
    assert ("uploads", "0", "2") in rows
    assert len(rows) == len(BEFORE)
