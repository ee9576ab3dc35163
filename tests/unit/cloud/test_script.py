"""What the script is given, and how its answer is read; what it does is tried on a real server."""

import pytest

from shim.cloud.script import Keys, arguments, field_name, read_outcome
from shim.cloud.values import Change, CloudLimits, Outcome, Turn, Verdict
from tests.support.series import series

KEYS = Keys("prod", "host-1")
CHANGE = Change("p", 1, 10)


def test_all_keys_of_a_cloud_lie_on_one_server_of_a_cluster():
    keys = [KEYS.members, KEYS.row, KEYS.published, KEYS.rows]
    assert all(key.startswith("glance-shim:{prod}:") for key in keys)
    assert KEYS.row == KEYS.rows + "host-1"
    assert len({*keys}) == 4


def test_a_turn_as_arguments():
    turn = Turn(7, [CHANGE], [Change("q", 0, 5), Change("q", -1, -15)], b"[]")
    assert arguments(turn, KEYS, CloudLimits(3, bytes_of_project=1e20), 1.5) == [
        *(KEYS.members, KEYS.row, KEYS.published),
        *(KEYS.rows, "host-1", 7, 1500),
        *("3", "", str(1 << 53)),
        b"[]",
        1,
        *("p", 1, 10),
        *("q", 0, 5),
        *("q", -1, -15),
    ]
    assert arguments(Turn(8, None), KEYS, CloudLimits(), 1)[-2:] == [b"", -1]


def test_an_answer():
    assert read_outcome([0], []) == Outcome(is_known=False)
    read = read_outcome([1, 2, 3, 0, 1, 2, 3], [CHANGE] * 4)
    assert read == Outcome(True, 2, 3, (Verdict.FITS, Verdict.TOTAL, Verdict.UPLOADS, Verdict.BYTES))


@series(
    "reply",
    [
        None,
        b"OK",
        1,
        [],
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 3, 0, 0],
        [1, 2, 3, 9],
        [1, 2, 3, b"0"],
        [2, 2, 3, 0],
    ],
)
def test_what_is_no_answer(reply):
    with pytest.raises(ValueError, match=r"malformed|not a valid Verdict"):
        read_outcome(reply, [CHANGE])


def test_a_project_is_a_short_field():
    assert field_name("2001:db8:1:2") == "2001:db8:1:2"
    odd = ["é", "p" * 65, "p" * 66, "\ud800", "\n" * 100]
    assert all(len(field_name(name)) == 32 for name in odd)
    assert len({field_name(name) for name in odd}) == len(odd)
