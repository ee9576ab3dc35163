"""The questions asked of header fields: lists, Connection's options, what goes on to the next hop."""

import pytest

from shim.wire.headers import (
    FORWARDED_PREFIX,
    HOP_BY_HOP,
    KEPT_DESPITE_CONNECTION,
    connection_options,
    end_to_end,
    get_all,
    get_first,
    is_valid_value,
    list_members,
)
from tests.support.series import series

FIELDS = ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))


def test_all_values_in_order():
    assert get_all(FIELDS, b"a") == [b"1", b"3"]
    assert get_all(FIELDS, b"c") == []


def test_the_first_value():
    assert get_first(FIELDS, b"a") == b"1"
    assert get_first(FIELDS, b"c") is None


@series(
    ("values", "members"),
    [
        pytest.param([], [], id="no field"),
        pytest.param([b""], [b""], id="an empty field has one empty member"),
        pytest.param([b"a"], [b"a"], id="one"),
        pytest.param([b"A, b"], [b"a", b"b"], id="lower case"),
        pytest.param([b" a\t,\tb "], [b"a", b"b"], id="white space"),
        pytest.param([b"a,,b,"], [b"a", b"", b"b", b""], id="empty members stay"),
        pytest.param([b"a", b"b"], [b"a", b"b"], id="two fields"),
        pytest.param([b"\x0ba\xa0"], [b"\x0ba\xa0"], id="only space and tab are white space"),
    ],
)
def test_list_members(values, members):
    assert list_members(values) == members


def test_connection_options():
    headers = ((b"connection", b"Keep-Alive, X-One"), (b"x-one", b"close"), (b"connection", b"close"))
    assert connection_options(headers) == {b"keep-alive", b"x-one", b"close"}


HOPS = [
    pytest.param((), id="no Connection"),
    pytest.param(((b"connection", b"close"),), id="close"),
    pytest.param(((b"connection", b"keep-alive, te"), (b"keep-alive", b"5")), id="keep-alive"),
    pytest.param(((b"connection", b"X-Hop"), (b"x-hop", b"1"), (b"x-hop", b"2")), id="named"),
    pytest.param(((b"connection", b"x-hop"), (b"x-hop", b"1"), (b"connection", b"x-more")), id="two fields"),
    *(pytest.param(((name, b"1"),), id=name.decode()) for name in sorted(HOP_BY_HOP)),
]


@series("of_this_hop", HOPS)
def test_fields_of_this_hop_stay_behind(of_this_hop):
    kept = [(b"accept", b"*/*"), (b"x-many", b"1"), (b"x-many", b"2")]
    headers = (kept[0], *of_this_hop, *kept[1:])
    assert end_to_end(headers) == kept


FORWARDED = [FORWARDED_PREFIX + name for name in (b"for", b"host", b"prefix", b"proto", b"port")]


@series("name", [*sorted(KEPT_DESPITE_CONNECTION), *FORWARDED])
def test_connection_cannot_remove_what_others_rely_on(name):
    assert end_to_end(((b"connection", name.title()), (name, b"1"))) == [(name, b"1")]


@series("octet", range(256))
def test_valid_values(octet):
    valid = octet == 0x09 or (octet >= 0x20 and octet != 0x7F)
    assert is_valid_value(b"a%cb" % octet) is valid
