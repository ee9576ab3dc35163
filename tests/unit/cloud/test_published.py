"""Lists of uploads: bounded when written, and nothing believed of what is read."""

import json

from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from shim.cloud.published import MOST_BYTES, decode_uploads, encode_uploads
from tests.support.series import series

UPLOAD = {
    "id": "req-1",
    "method": "PUT",
    "path": "/v2/images/x/file",
    "project": "p",
    "image": "x",
    "phase": "receive",
    "bytes": 10,
    "rate": 2.5,
    "age": 4.0,
    "length": None,
}
HEAD = {"shim": "host"}


def test_a_list_comes_back():
    uploads = [UPLOAD, {**UPLOAD, "length": 100, "phase": None}]
    read = decode_uploads(encode_uploads("host", uploads))
    assert read == [HEAD | UPLOAD, HEAD | UPLOAD | {"length": 100, "phase": ""}]
    assert decode_uploads(encode_uploads("host", [])) == []


def test_a_list_is_never_longer_than_agreed():
    long = {**UPLOAD, "path": "/" + "x" * 60_000}
    data = encode_uploads("host", [long] * 1000)
    assert len(data) <= MOST_BYTES
    read = decode_uploads(data)
    assert 50 < len(read) < 1000
    assert len(read[0]["path"]) == 256


@series(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"[3]",
        b"[" * 60_000,
        b'[{"shim": 3}]',
        b'[{"shim": "host"}, ' + b"1" * 5000 + b"]",
        b"\xff\xfe",
        b" " * (MOST_BYTES + 1),
    ],
)
def test_what_is_no_list(data):
    assert decode_uploads(data) == []


@series(
    ("name", "value"),
    [
        ("path", 3),
        ("path", "x" * 257),
        ("path", "\ud800"),
        ("path", "\x1b[2J"),
        ("id", None),
        ("bytes", "1"),
        ("bytes", True),
        ("age", -1),
        ("age", float("nan")),
        ("age", float("inf")),
        ("rate", 10**400),
        ("length", "all"),
    ],
)
def test_an_upload_with_a_field_that_is_none_is_left_out(name, value):
    data = json.dumps([HEAD, {**UPLOAD, name: value}, UPLOAD, 3, None]).encode()
    assert decode_uploads(data) == [HEAD | UPLOAD]


def test_fields_that_nobody_knows_go_no_further():
    data = json.dumps([HEAD, {**UPLOAD, "shim": "other", "more": "<script>"}]).encode()
    assert decode_uploads(data) == [HEAD | UPLOAD]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*UPLOAD]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(
        anything | st.builds(lambda odd: UPLOAD | odd, st.dictionaries(st.sampled_from([*UPLOAD]), anything))
    )
)
def test_whatever_is_read_can_be_shown(entries):
    read = decode_uploads(json.dumps([HEAD, *entries]).encode())
    assert len(read) <= len(entries)
    assert json.loads(JSONResponse(read).body) == read
