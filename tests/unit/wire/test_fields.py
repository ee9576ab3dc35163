"""Field lines: of what is read only names stay in memory, and never more or longer ones than are allowed."""

import pytest

from shim.errors import BadRequest
from shim.wire import fields
from shim.wire.fields import LONGEST_NAME_KEPT, NAMES_KEPT, parse_fields


def test_however_many_names_come_few_are_kept():
    fields._names.clear()
    for number in range(2 * NAMES_KEPT):
        assert parse_fields([b"N%d: a" % number], BadRequest) == ((b"n%d" % number, b"a"),)
        assert len(fields._names) <= NAMES_KEPT


def test_no_long_names_and_no_malformed_ones_are_kept():
    fields._names.clear()
    longest = b"A" * LONGEST_NAME_KEPT
    parse_fields([longest + b": a", longest + b"A: a"], BadRequest)
    for line in (b"a b: c", b": c", b"no colon"):
        with pytest.raises(BadRequest):
            parse_fields([line], BadRequest)
    assert fields._names == {longest: longest.lower()}


def test_what_a_field_says_is_not_kept():
    secret = b"a secret of this test"
    assert parse_fields([b"X-Auth-Token: " + secret], BadRequest) == ((b"x-auth-token", secret),)
    held = {name: value for name, value in vars(fields).items() if not name.startswith("__")}
    assert b"X-Auth-Token" in held["_names"]
    assert secret.decode() not in repr(held)
