"""Heads: gathered from any pieces within their limit, parsed strictly, and written back."""

import pytest

from shim.errors import BadRequest, HeadTooLarge, UnknownMethod, UpstreamInvalid
from shim.wire.http1 import (
    MOST_FIELDS,
    HeadBuffer,
    RequestHead,
    ResponseHead,
    encode_request_head,
    encode_response_head,
    parse_request_head,
    parse_response_head,
)
from tests.support.series import series

HEAD = b"GET /v2/images HTTP/1.1\r\nHost: glance\r\nAccept: */*\r\n\r\n"


def request(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def get(*fields: bytes) -> bytes:
    return request(b"GET / HTTP/1.1", b"Host: a", *fields)


# -- gathering ------------------------------------------------------------------------------------

CUTS = {
    "whole": lambda data: [data],
    "bytes": lambda data: [data[index : index + 1] for index in range(len(data))],
    "lines": lambda data: data.splitlines(keepends=True),
    "before each LF": lambda data: data.replace(b"\n", b"\0\n").split(b"\0"),
    "empty pieces between": lambda data: [b"", *(piece for byte in data for piece in (bytes([byte]), b""))],
}
DELIVERIES = pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)


def gather(pieces: list[bytes], limit: int = 1024) -> tuple[bytes | None, bytes]:
    """The first head in the pieces, and all that came after it."""
    buffer = HeadBuffer(limit)
    for index, piece in enumerate(pieces):
        head = buffer.feed(piece)
        if head is not None:
            return head, buffer.take_rest() + b"".join(pieces[index + 1 :])
    return None, buffer.take_rest()


@DELIVERIES
@series(
    "rest",
    [
        pytest.param(b"", id="nothing after"),
        pytest.param(b"body", id="body after"),
        pytest.param(b"\n\r\n\nbody", id="line ends after"),
        pytest.param(HEAD, id="a head after"),
        pytest.param(b"x" * 2048, id="more than the limit after"),
    ],
)
def test_a_head_and_what_follows_it(cut, rest):
    assert gather(cut(HEAD + rest)) == (HEAD, rest)


@DELIVERIES
def test_one_empty_line_before_a_head_is_passed_over(cut):
    assert gather(cut(b"\r\n" + HEAD)) == (HEAD, b"")


@DELIVERIES
def test_a_second_empty_line_is_not(cut):
    head, _ = gather(cut(b"\r\n\r\n" + HEAD))
    assert head is not None
    assert head.startswith(b"\r\n")
    with pytest.raises(BadRequest):
        parse_request_head(head)


def test_empty_lines_alone_do_not_go_on_for_ever():
    buffer = HeadBuffer(1024)
    assert buffer.feed(b"\r\n") is None
    assert len(buffer) == 0
    assert buffer.feed(b"\r\n") is None
    assert len(buffer) == 2
    assert buffer.feed(b"\r\n") == b"\r\n\r\n"


@DELIVERIES
def test_heads_one_after_the_other(cut):
    buffer = HeadBuffer(1024)
    heads = []
    for piece in cut(HEAD + b"\r\n" + HEAD):
        while (head := buffer.feed(piece)) is not None:
            heads.append(head)
            piece = b""  # noqa: PLW2901 - a piece may hold two heads
    assert heads == [HEAD, HEAD]
    assert len(buffer) == 0


@pytest.mark.parametrize("second", [b"\n", b"\n" + HEAD], ids=["alone", "before a head"])
def test_a_bare_lf_is_refused_also_after_a_head(second):
    buffer = HeadBuffer(1024)
    assert buffer.feed(HEAD) == HEAD
    with pytest.raises(BadRequest):
        buffer.feed(second)


def test_what_is_taken_away_leaves_nothing_behind():
    buffer = HeadBuffer(1024)
    buffer.feed(b"\r\nGET")
    assert buffer.take_rest() == b"GET"
    with pytest.raises(BadRequest):
        buffer.feed(b"\n")
    assert buffer.take_rest() == b"\n"
    # A new beginning may have its empty line again.
    assert buffer.feed(b"\r\n" + HEAD) == HEAD


def test_bytes_put_back_begin_the_next_head():
    buffer = HeadBuffer(1024)
    buffer.put_back(HEAD[:10])
    assert len(buffer) == 10
    assert buffer.feed(HEAD[10:]) == HEAD


@DELIVERIES
def test_a_head_up_to_the_limit_is_taken(cut):
    assert gather(cut(HEAD), limit=len(HEAD)) == (HEAD, b"")


@DELIVERIES
def test_a_head_over_the_limit_is_refused(cut):
    with pytest.raises(HeadTooLarge, match=f"{len(HEAD) - 1} bytes"):
        gather(cut(HEAD), limit=len(HEAD) - 1)


@DELIVERIES
def test_a_head_without_end_is_refused_at_the_limit(cut):
    assert gather(cut(b"x" * 64), limit=64) == (None, b"x" * 64)
    with pytest.raises(HeadTooLarge):
        gather(cut(b"x" * 65), limit=64)


@pytest.mark.parametrize("count", [MOST_FIELDS, MOST_FIELDS + 1, 13_000])
def test_a_head_of_very_many_fields_is_refused(count):
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * (count - 1) + b"\r\n"
    if count <= MOST_FIELDS:
        assert len(parse_request_head(head).headers) == count
    else:
        with pytest.raises(HeadTooLarge, match="more than 1000 fields"):
            parse_request_head(head)


BARE_LF = [
    pytest.param(b"\n", id="alone"),
    pytest.param(b"GET / HTTP/1.1\n", id="request line"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\n", id="field"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\n", id="empty line"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\n\r\n", id="last field"),
    pytest.param(b"GET / HTTP/1.1\r\nX: a\nb\r\n", id="inside a value"),
    pytest.param(b"\n" + HEAD, id="before a head"),
    pytest.param(b"\r\n\n" + HEAD, id="after an empty line"),
    pytest.param(HEAD.replace(b"\r\n", b"\n"), id="everywhere"),
]


@DELIVERIES
@series("data", BARE_LF)
def test_a_bare_lf_is_refused_at_once(cut, data):
    with pytest.raises(BadRequest, match="LF instead of CRLF"):
        gather(cut(data))


def test_an_empty_line_is_passed_over_before_each_head():
    buffer = HeadBuffer(1024)
    for _ in range(2):
        assert buffer.feed(b"\r\n") is None
        assert buffer.feed(HEAD) == HEAD


# -- requests -------------------------------------------------------------------------------------

A = ((b"host", b"a"),)

PARSED = [
    # head, what it says
    pytest.param(get(), RequestHead("GET", b"/", "1.1", A), id="least"),
    pytest.param(
        request(b"GET / HTTP/1.0"), RequestHead("GET", b"/", "1.0", ()), id="HTTP/1.0 needs no Host"
    ),
    pytest.param(
        request(b"GET / HTTP/1.0", b"Host: a"), RequestHead("GET", b"/", "1.0", A), id="HTTP/1.0 with Host"
    ),
    pytest.param(
        request(b"OPTIONS * HTTP/1.1", b"Host: a"), RequestHead("OPTIONS", b"*", "1.1", A), id="OPTIONS *"
    ),
    pytest.param(
        request(b"M!#$%&'*+-.^_`|~9 / HTTP/1.1", b"Host: a"),
        RequestHead("M!#$%&'*+-.^_`|~9", b"/", "1.1", A),
        id="any token is a method",
    ),
    pytest.param(
        request(b"get / HTTP/1.1", b"Host: a"), RequestHead("get", b"/", "1.1", A), id="lower-case method"
    ),
    pytest.param(
        request(b"PUT /a%2Fb/../%zz//c?d=e?f&\"<>\\^`{|}' HTTP/1.1", b"Host: a"),
        RequestHead("PUT", b"/a%2Fb/../%zz//c?d=e?f&\"<>\\^`{|}'", "1.1", A),
        id="the target stays as it is",
    ),
    pytest.param(
        get(b"X-A:1", b"x-b:\t 2 \t", b"X-C:", b"X-D: \t", b"X-A: a\tb  c", b"X-E: \x80\xff"),
        RequestHead(
            "GET",
            b"/",
            "1.1",
            (
                *A,
                (b"x-a", b"1"),
                (b"x-b", b"2"),
                (b"x-c", b""),
                (b"x-d", b""),
                (b"x-a", b"a\tb  c"),
                (b"x-e", b"\x80\xff"),
            ),
        ),
        id="fields in order, names lower, values stripped",
    ),
    pytest.param(
        request(b"GET http://b:80/p?q HTTP/1.1", b"X: 1", b"Host: a"),
        RequestHead("GET", b"/p?q", "1.1", ((b"host", b"b:80"), (b"x", b"1"))),
        id="absolute form replaces Host",
    ),
    pytest.param(
        request(b"GET HTTPS://b HTTP/1.1", b"Host: a"),
        RequestHead("GET", b"/", "1.1", ((b"host", b"b"),)),
        id="absolute form without path",
    ),
    pytest.param(
        request(b"GET http://b?q/r HTTP/1.1", b"Host: a"),
        RequestHead("GET", b"/?q/r", "1.1", ((b"host", b"b"),)),
        id="absolute form with query only",
    ),
    pytest.param(
        request(b"GET http://b/p HTTP/1.0"),
        RequestHead("GET", b"/p", "1.0", ((b"host", b"b"),)),
        id="absolute form on HTTP/1.0",
    ),
]


@series(("head", "parsed"), PARSED)
def test_parse_request_head(head, parsed):
    assert parse_request_head(head) == parsed


@series(
    "host",
    [
        b"",
        b"a",
        b"a.b-c",
        b"a_b",
        b"a:",
        b"a:9292",
        b"127.0.0.1:80",
        b"[::1]",
        b"[::ffff:1.2.3.4]:80",
        b"a%20b",
    ],
)
def test_hosts(host):
    parsed = parse_request_head(request(b"GET / HTTP/1.1", b"Host: " + host))
    assert parsed.headers == ((b"host", host),)


MALFORMED = [
    *(
        pytest.param(request(line, b"Host: a"), id=f"line {line!r}")
        for line in (
            b"",
            b"GET",
            b"GET /",
            b"GET / ",
            b"GET HTTP/1.1",
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b" GET / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET\t/ HTTP/1.1",
            b"GET / HTTP/1.1\r",
            b"GET\r / HTTP/1.1",
            b"GET /\x00 HTTP/1.1",
            b"GET /\x7f HTTP/1.1",
            b"GET /\x80 HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"GET /#a HTTP/1.1",
            b"G\xc3\x8bT / HTTP/1.1",
            b"G(T / HTTP/1.1",
            b"G,T / HTTP/1.1",
            b"GET / http/1.1",
            b"GET / HTTP/1",
            b"GET / HTTP/11",
            b"GET / HTTP/1.10",
            b"GET / HTTP/01.1",
            b"GET / HTTP/0.9",
            b"GET / HTTP/1.2",
            b"GET / HTTP/2.0",
            b"GET / HTTP/1,1",
            b"GET / RTSP/1.0",
            b"GET images HTTP/1.1",
            b"GET * HTTP/1.1",
            b"OPTIONS ** HTTP/1.1",
            b"GET a:80 HTTP/1.1",
            b"GET ftp://a/ HTTP/1.1",
            b"GET http:/a HTTP/1.1",
            b"GET http:// HTTP/1.1",
            b"GET http:///a HTTP/1.1",
            b"GET http://:80/ HTTP/1.1",
            b"GET http://user@a/ HTTP/1.1",
            b"GET http://user:secret@a/ HTTP/1.1",
            b"GET http://a:b/ HTTP/1.1",
            b"GET http://a,b/ HTTP/1.1",
            b"GET http://[::1/ HTTP/1.1",
            b"PRI * HTTP/2.0",
        )
    ),
    *(
        pytest.param(get(field), id=f"field {field!r}")
        for field in (
            b"X",
            b"X 1",
            b": 1",
            b" : 1",
            b"X : 1",
            b"X\t: 1",
            b" X: 1",
            b"\tX: 1",
            b"X Y: 1",
            b"X\x00: 1",
            b"X\xff: 1",
            b"(X): 1",
            b"X,Y: 1",
            b'"X": 1',
            b"X/Y: 1",
            b"X@Y: 1",
            b"X: a\rb",
            b"X: a\r",
            b"X: \r",
            b"X\r: a",
            b"X: a\x00b",
            b"X: a\x0bb",
            b"X: \x0b",
            b"X: a\x0c",
            b"X: a\x1bb",
            b"X: a\x7fb",
            b"X: 1\r\n 2",
            b"X: 1\r\n\t2",
            b"X:\r\n 1",
            b"X: 1\r\n ",
        )
    ),
    *(
        pytest.param(request(b"GET / HTTP/1.1", b"Host: " + host), id=f"Host {host!r}")
        for host in (
            b"a b",
            b"a/b",
            b"a,b",
            b"a@b",
            b"a:b",
            b"a:80:80",
            b"::1",
            b"[::1",
            b"[a b]",
            b"[]",
            b"a?b",
            b'a"b',
            b"a\\b",
            b"\xc3\xa4",
        )
    ),
    # As an expression with two ways of dividing the white space this took half a minute.
    pytest.param(get(b"X:" + b" " * 60_000 + b"\x00"), id="much white space"),
    pytest.param(request(b"GET / HTTP/1.1"), id="no Host"),
    pytest.param(request(b"GET / HTTP/1.1", b"X-Host: a"), id="nothing that is Host"),
    pytest.param(get(b"Host: a"), id="Host twice"),
    pytest.param(get(b"host: b"), id="two Hosts"),
    pytest.param(request(b"GET / HTTP/1.0", b"Host: a", b"Host: a"), id="two Hosts on HTTP/1.0"),
    pytest.param(request(b"GET http://b/ HTTP/1.1"), id="absolute form without Host"),
    pytest.param(request(b"GET http://b/ HTTP/1.1", b"Host: a", b"Host: b"), id="absolute form, two Hosts"),
    pytest.param(request(b"GET http://b/ HTTP/1.1", b"Host: a b"), id="absolute form, malformed Host"),
]


@series("head", MALFORMED)
def test_malformed_requests_are_refused(head):
    with pytest.raises(BadRequest) as refusal:
        parse_request_head(head)
    assert type(refusal.value) is BadRequest
    assert refusal.value.detail.isprintable()


@series(
    ("field", "told"),
    [
        pytest.param(b"X-Name: \x01secret", "The header field 'X-Name' is malformed.", id="value"),
        pytest.param(b"X-Name\x01: secret", "The header field 'X-Name' is malformed.", id="name"),
        pytest.param(b"X" * 100 + b": \x01", f"The header field {'X' * 40!r} is malformed.", id="long"),
        pytest.param(b" secret: of the line before", "A header field is malformed.", id="folded"),
        pytest.param(b"\x1b[31m: secret", "A header field is malformed.", id="control"),
        pytest.param(b"secret", "A header field is malformed.", id="no colon"),
    ],
)
def test_a_malformed_field_is_named_but_never_quoted(field, told):
    with pytest.raises(BadRequest) as refusal:
        parse_request_head(get(field))
    assert refusal.value.detail == told


@series("target", [b"a:443", b"/", b"*", b"http://a/"])
def test_connect_is_refused(target):
    with pytest.raises(UnknownMethod):
        parse_request_head(request(b"CONNECT " + target + b" HTTP/1.1", b"Host: a"))


# -- answers --------------------------------------------------------------------------------------

ANSWERS = [
    pytest.param(request(b"HTTP/1.1 200 OK"), ResponseHead(200, b"OK", "1.1", ()), id="least"),
    pytest.param(request(b"HTTP/1.0 404 Not Found"), ResponseHead(404, b"Not Found", "1.0", ()), id="1.0"),
    pytest.param(request(b"HTTP/1.1 200 "), ResponseHead(200, b"", "1.1", ()), id="empty reason"),
    pytest.param(request(b"HTTP/1.1 200"), ResponseHead(200, b"", "1.1", ()), id="no reason"),
    pytest.param(
        request(b"HTTP/1.1 599 \xc3\xa4\t!"), ResponseHead(599, b"\xc3\xa4\t!", "1.1", ()), id="odd reason"
    ),
    pytest.param(
        request(b"HTTP/1.1 100 Continue", b"X-A:1", b"x-A: 2 "),
        ResponseHead(100, b"Continue", "1.1", ((b"x-a", b"1"), (b"x-a", b"2"))),
        id="fields",
    ),
]


@series(("head", "parsed"), ANSWERS)
def test_parse_response_head(head, parsed):
    assert parse_response_head(head) == parsed


BAD_ANSWERS = [
    *(
        pytest.param(request(line), id=f"line {line!r}")
        for line in (
            b"",
            b"HTTP/1.1",
            b"HTTP/1.1 ",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 099 No",
            b"HTTP/1.1 600 No",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b"HTTP/1.1 200\tOK",
            b"HTTP/1.1 200OK",
            b"HTTP/2 200",
            b"HTTP/1.2 200 OK",
            b"http/1.1 200 OK",
            b"ICY 200 OK",
            b"<html>",
            b"HTTP/1.1 200 O\rK",
            b"HTTP/1.1 200 O\x00K",
        )
    ),
    pytest.param(request(b"HTTP/1.1 200 OK", b"X"), id="field without colon"),
    pytest.param(request(b"HTTP/1.1 200 OK", b"X : 1"), id="space before colon"),
    pytest.param(request(b"HTTP/1.1 200 OK", b"X: 1", b" 2"), id="folded"),
    pytest.param(request(b"HTTP/1.1 200 OK", b"X: a\rb"), id="CR in a value"),
    pytest.param(request(b"HTTP/1.1 200 OK", b"X: a\x00b"), id="NUL in a value"),
]


@series("head", BAD_ANSWERS)
def test_malformed_answers_are_refused(head):
    with pytest.raises(UpstreamInvalid):
        parse_response_head(head)


# -- writing --------------------------------------------------------------------------------------


def test_encode_request_head():
    fields = [(b"host", b"a"), (b"x", b"")]
    assert encode_request_head("PUT", b"/p?q", fields) == b"PUT /p?q HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n"
    assert encode_request_head("GET", b"/", ()) == b"GET / HTTP/1.1\r\n\r\n"


def test_encode_response_head():
    assert encode_response_head(200, b"OK", [(b"a", b"b")]) == b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"
    assert encode_response_head(599, b"", []) == b"HTTP/1.1 599 \r\n\r\n"


def test_what_is_written_is_read_back():
    fields = ((b"host", b"a"), (b"x", b"1"), (b"x", b"2"))
    assert parse_request_head(encode_request_head("PUT", b"/p", fields)) == RequestHead(
        "PUT", b"/p", "1.1", fields
    )
    assert parse_response_head(encode_response_head(204, b"", list(fields))) == ResponseHead(
        204, b"", "1.1", fields
    )
