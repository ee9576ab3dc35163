"""Which body a message has: each combination of version, coding and length, for requests and for answers."""

import pytest

from shim.errors import BadFraming, UnknownCoding, UpstreamInvalid
from shim.wire.framing import (
    CHUNKED,
    MOST_CODINGS,
    NOTHING,
    UNTIL_CLOSE,
    BodyKind,
    Framing,
    declared_size,
    request_framing,
    response_framing,
)
from tests.support.series import series


def coded(*values: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"transfer-encoding", value) for value in values)


def long(*values: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"content-length", value) for value in values)


def of(length: int) -> Framing:
    return Framing(BodyKind.LENGTH, length)


# -- requests -------------------------------------------------------------------------------------

TAKEN = [
    # version, fields, framing
    pytest.param("1.1", (), NOTHING, id="nothing"),
    pytest.param("1.0", (), NOTHING, id="nothing on HTTP/1.0"),
    pytest.param("1.1", ((b"content-type", b"a/b"),), NOTHING, id="a type alone"),
    pytest.param("1.1", long(b"0"), of(0), id="length 0"),
    pytest.param("1.1", long(b"6"), of(6), id="length 6"),
    pytest.param("1.0", long(b"6"), of(6), id="length 6 on HTTP/1.0"),
    pytest.param("1.1", long(b"0006"), of(6), id="leading zeros"),
    pytest.param("1.1", long(b"9223372036854775807"), of(2**63 - 1), id="length 2**63 - 1"),
    pytest.param("1.1", coded(b"chunked"), CHUNKED, id="chunked"),
    pytest.param("1.1", coded(b"Chunked"), CHUNKED, id="capital"),
    pytest.param("1.1", coded(b"CHUNKED"), CHUNKED, id="upper case"),
    pytest.param("1.1", coded(b" chunked\t"), CHUNKED, id="white space around"),
]


@series(("version", "headers", "framing"), TAKEN)
def test_request_framing(version, headers, framing):
    assert request_framing(version, headers) == framing


REFUSED = [
    # version, fields, error
    pytest.param("1.1", coded(b"chunked") + long(b"6"), BadFraming, id="coding and length"),
    pytest.param("1.1", long(b"6") + coded(b"chunked"), BadFraming, id="length and coding"),
    pytest.param("1.1", long(b"0") + coded(b"chunked"), BadFraming, id="length 0 and coding"),
    pytest.param("1.1", long(b"") + coded(b"chunked"), BadFraming, id="empty length and coding"),
    pytest.param("1.1", long(b"6") + coded(b"identity"), BadFraming, id="length and identity"),
    pytest.param("1.0", coded(b"chunked"), BadFraming, id="coding on HTTP/1.0"),
    pytest.param("1.0", coded(b"gzip"), BadFraming, id="unknown coding on HTTP/1.0"),
    pytest.param("1.0", coded(b"chunked") + long(b"6"), BadFraming, id="both on HTTP/1.0"),
    pytest.param("1.1", coded(b"identity"), UnknownCoding, id="identity"),
    pytest.param("1.1", coded(b"gzip"), UnknownCoding, id="gzip"),
    pytest.param("1.1", coded(b"gzip, chunked"), UnknownCoding, id="gzip, chunked"),
    pytest.param("1.1", coded(b"gzip,chunked"), UnknownCoding, id="gzip,chunked"),
    pytest.param("1.1", coded(b"chunked, gzip"), UnknownCoding, id="chunked, gzip"),
    pytest.param("1.1", coded(b"chunked, identity"), UnknownCoding, id="chunked, identity"),
    pytest.param("1.1", coded(b"xchunked"), UnknownCoding, id="xchunked"),
    pytest.param("1.1", coded(b"chunkedx"), UnknownCoding, id="chunkedx"),
    pytest.param("1.1", coded(b"'chunked'"), UnknownCoding, id="single quotes are token characters"),
    pytest.param("1.1", coded(b",".join([b"a"] * MOST_CODINGS)), UnknownCoding, id="most codings"),
    pytest.param("1.1", coded(b",".join([b"a"] * (MOST_CODINGS + 1))), BadFraming, id="too many codings"),
    pytest.param("1.1", coded(b"chunked, chunked"), BadFraming, id="chunked, chunked"),
    pytest.param("1.1", coded(b"chunked", b"chunked"), BadFraming, id="chunked twice"),
    pytest.param("1.1", coded(b"gzip", b"chunked"), BadFraming, id="gzip and chunked in two lines"),
    pytest.param("1.1", coded(b"chunked", b""), BadFraming, id="chunked and empty in two lines"),
    pytest.param("1.1", coded(b""), BadFraming, id="empty"),
    pytest.param("1.1", coded(b" "), BadFraming, id="blank"),
    pytest.param("1.1", coded(b","), BadFraming, id="a comma"),
    pytest.param("1.1", coded(b",chunked"), BadFraming, id="comma first"),
    pytest.param("1.1", coded(b"chunked,"), BadFraming, id="comma last"),
    pytest.param("1.1", coded(b"gzip,,chunked"), BadFraming, id="two commas"),
    pytest.param("1.1", coded(b"\xa0chunked"), BadFraming, id="NBSP before"),
    pytest.param("1.1", coded(b"chunked\xa0"), BadFraming, id="NBSP after"),
    pytest.param("1.1", coded(b"\x0bchunked"), BadFraming, id="VT before"),
    pytest.param("1.1", coded(b"chunked\x0c"), BadFraming, id="FF after"),
    pytest.param("1.1", coded(b"chunked\x00"), BadFraming, id="NUL after"),
    pytest.param("1.1", coded(b"chunked\r"), BadFraming, id="CR after"),
    pytest.param("1.1", coded(b"chun\xe2\x84\xaaed"), BadFraming, id="Kelvin sign for k"),
    pytest.param("1.1", coded(b"chunked;q=1"), BadFraming, id="parameter"),
    pytest.param("1.1", coded(b'"chunked"'), BadFraming, id="quoted"),
    pytest.param("1.1", coded(b"chunked chunked"), BadFraming, id="space between"),
    pytest.param("1.1", long(b"5", b"5"), BadFraming, id="length twice"),
    pytest.param("1.1", long(b"5", b"6"), BadFraming, id="two lengths"),
    pytest.param("1.1", long(b"5", b""), BadFraming, id="length and empty"),
    *(
        pytest.param("1.1", long(value), BadFraming, id=f"length {value!r}")
        for value in (
            b"",
            b" ",
            b" 5",
            b"5 ",
            b"+5",
            b"-5",
            b"-0",
            b"5, 5",
            b"5,6",
            b"5,",
            b"0x10",
            b"1e3",
            b"5.0",
            b"5_0",
            b"five",
            b"5\x00",
            b"5\n",
            b"\xb2",
            "\u0665".encode(),
            b"1" * 20,
            b"9" * 30,
        )
    ),
]


@series(("version", "headers", "error"), REFUSED)
def test_request_framing_refused(version, headers, error):
    with pytest.raises(error) as refusal:
        request_framing(version, headers)
    assert type(refusal.value) is error


def test_an_unknown_coding_is_named():
    with pytest.raises(UnknownCoding, match="'gzip'"):
        request_framing("1.1", coded(b"GZIP, chunked"))


@series(
    ("framing", "has_framing", "has_body"),
    [
        pytest.param(NOTHING, False, False, id="nothing"),
        pytest.param(of(0), True, False, id="length 0"),
        pytest.param(of(1), True, True, id="length 1"),
        pytest.param(CHUNKED, True, True, id="chunked"),
        pytest.param(UNTIL_CLOSE, True, True, id="until close"),
    ],
)
def test_what_a_framing_says(framing, has_framing, has_body):
    assert (framing.has_framing, framing.has_body) == (has_framing, has_body)


# -- answers --------------------------------------------------------------------------------------

ANSWERS = [
    # method, status, fields, framing
    pytest.param("GET", 200, (), UNTIL_CLOSE, id="nothing"),
    pytest.param("GET", 200, long(b"0"), of(0), id="length 0"),
    pytest.param("GET", 200, long(b"6"), of(6), id="length 6"),
    pytest.param("GET", 200, coded(b"chunked"), CHUNKED, id="chunked"),
    pytest.param("GET", 200, coded(b"Chunked"), CHUNKED, id="capital"),
    pytest.param("GET", 500, (), UNTIL_CLOSE, id="an error without length"),
    pytest.param("HEAD", 200, (), NOTHING, id="HEAD"),
    pytest.param("HEAD", 200, long(b"6"), NOTHING, id="HEAD with length"),
    pytest.param("HEAD", 200, coded(b"chunked"), NOTHING, id="HEAD with coding"),
    pytest.param("HEAD", 404, long(b"6"), NOTHING, id="HEAD, 404"),
    pytest.param("GET", 204, (), NOTHING, id="204"),
    pytest.param("DELETE", 204, long(b"6"), NOTHING, id="204 with length"),
    pytest.param("GET", 204, coded(b"chunked"), NOTHING, id="204 with coding"),
    pytest.param("GET", 304, long(b"6"), NOTHING, id="304 with length"),
    pytest.param("GET", 304, (), NOTHING, id="304"),
    pytest.param("get", 200, long(b"6"), of(6), id="methods are case-sensitive"),
]


@series(("method", "status", "headers", "framing"), ANSWERS)
def test_response_framing(method, status, headers, framing):
    assert response_framing(method, status, headers) == framing


BAD_ANSWERS = [
    pytest.param(long(b"6") + coded(b"chunked"), id="length and coding"),
    pytest.param(coded(b"chunked") + long(b"6"), id="coding and length"),
    pytest.param(long(b"6", b"6"), id="length twice"),
    pytest.param(long(b"6", b"7"), id="two lengths"),
    pytest.param(long(b"6, 6"), id="6, 6"),
    pytest.param(long(b""), id="empty length"),
    pytest.param(long(b"+6"), id="+6"),
    pytest.param(long(b"-6"), id="-6"),
    pytest.param(long(b"0x6"), id="0x6"),
    pytest.param(long(b"9" * 30), id="30 digits"),
    pytest.param(coded(b"gzip"), id="gzip"),
    pytest.param(coded(b"gzip, chunked"), id="gzip, chunked"),
    pytest.param(coded(b"identity"), id="identity"),
    pytest.param(coded(b"chunked", b"chunked"), id="chunked twice"),
    pytest.param(coded(b"chunked, chunked"), id="chunked, chunked"),
    pytest.param(coded(b"\x0bchunked"), id="VT before"),
    pytest.param(coded(b""), id="empty coding"),
]


@series("method", ["GET", "HEAD"])
@series("status", [200, 204, 304, 404])
@series("headers", BAD_ANSWERS)
def test_response_framing_refused(method, status, headers):
    # Also where no body can follow: whoever sends such a head is not to be trusted with the next one.
    with pytest.raises(UpstreamInvalid):
        response_framing(method, status, headers)


# -- Glance's declared size -----------------------------------------------------------------------


def sized(*values: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((b"x-openstack-image-size", value) for value in values)


@series(
    ("headers", "size"),
    [
        pytest.param((), None, id="nothing"),
        pytest.param(sized(b"0"), None, id="0 is unknown"),
        pytest.param(sized(b"6"), 6, id="6"),
        pytest.param(sized(b"007"), 7, id="leading zeros"),
    ],
)
def test_declared_size(headers, size):
    assert declared_size(headers) == size


@series(
    "headers",
    [
        pytest.param(sized(b""), id="empty"),
        pytest.param(sized(b"six"), id="a word"),
        pytest.param(sized(b"-1"), id="-1"),
        pytest.param(sized(b"+6"), id="+6"),
        pytest.param(sized(b"6.0"), id="6.0"),
        pytest.param(sized(b"0x6"), id="0x6"),
        pytest.param(sized(b"6, 6"), id="6, 6"),
        pytest.param(sized(b"6", b"7"), id="two sizes"),
        pytest.param(sized(b"6", b"6"), id="twice the same"),
        pytest.param(sized(b"9" * 20), id="20 digits"),
    ],
)
def test_declared_size_refused(headers):
    with pytest.raises(BadFraming):
        declared_size(headers)
