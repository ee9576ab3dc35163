"""Heads that are read by the one before: never another request than the grammar's own, whatever comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import ShimError
from shim.wire.http1 import HeadBuffer, RequestHead, parse_request_head
from shim.wire.known_fields import KnownFields
from tests.support.examples import examples

BLOCK = b"Host: a\r\nX-Auth-Token: t\r\nAccept: */*\r\n\r\n"
TARGETS = [b"/", b"/v2/images?a=b", b"*", b"http://b/c", b"//", b"/a b", b"/a\x00", b"/\xff", b"#"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2", b"HTTP/1.1 ", b"HTTP/1.1\r"]
LINES = st.one_of(
    st.builds(
        lambda method, target, version: b" ".join((method, target, version)),
        st.sampled_from([b"GET", b"HEAD", b"PUT", b"CONNECT", b"get", b"G(T", b""]),
        st.sampled_from(TARGETS),
        st.sampled_from(VERSIONS),
    ),
    st.binary(max_size=20),
)
# The same fields, others, more, less, and what makes of two heads one.
BLOCKS = st.binary(max_size=40) | st.sampled_from(
    [
        BLOCK,
        BLOCK[:-2],
        BLOCK[:-1],
        BLOCK + b"x",
        BLOCK + b"GET / HTTP/1.1\r\n" + BLOCK,
        b"\r\n" + BLOCK,
        BLOCK.replace(b"\r\n", b"\n"),
        BLOCK.replace(b"*/*", b"*/* "),
        BLOCK.replace(b"Host", b"host"),
    ]
)


def read_plainly(data: bytes) -> RequestHead | None:
    """What the grammar says of bytes that are one head, no more and no less; None of all others."""
    buffer = HeadBuffer(10_000)
    try:
        head = buffer.feed(data)
        if head is None or len(buffer) or head != data:
            return None
        return parse_request_head(head)
    except ShimError:
        return None


@given(line=LINES, block=BLOCKS)
@examples(400)
def test_it_is_the_request_that_the_grammar_says(line, block):
    head = b"GET /first HTTP/1.1\r\n" + BLOCK
    known = KnownFields.of(head, parse_request_head(head))
    assert known is not None
    data = line + b"\r\n" + block
    found = known.read(data)
    assert found is None or found == read_plainly(data)


@pytest.mark.parametrize("target", [b"/", b"/v2/images?limit=1", b"/a%20b"])
def test_the_same_fields_are_known(target):
    head = b"GET / HTTP/1.1\r\n" + BLOCK
    known = KnownFields.of(head, parse_request_head(head))
    assert known is not None
    other = b"HEAD %b HTTP/1.1\r\n" % target + BLOCK
    assert known.read(other) == parse_request_head(other)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0", b"GET http://b/ HTTP/1.1", b"OPTIONS * HTTP/1.1"])
def test_unusual_lines_leave_nothing(line):
    """Of a target in absolute-form the fields have been changed; HTTP/1.0 has other rules."""
    head = line + b"\r\n" + BLOCK
    assert KnownFields.of(head, parse_request_head(head)) is None
