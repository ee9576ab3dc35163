"""Answers of the upstream, good and bad (cases 15 to 17).

Good ones are relayed unaltered, a cut stays visible, bad ones become a 502, silence a 504, and
nothing that was delivered is sent twice.
"""

import contextlib
import hashlib
import socket
import threading
import time

import pytest

from tests.support import replies
from tests.support.client import chunk, chunked, get, head, put, put_chunked
from tests.support.rig import KEPT, SHORT, Rig, each_once, only, several
from tests.support.series import series
from tests.support.stub import Stub
from tests.support.wire import eventually

KIB, MIB = 1 << 10, 1 << 20
FAST = "http-tcp-plain"
PUT = put_chunked("/x", chunked(b"foobar"))
LARGE_PUT = put_chunked("/x", chunked(bytes(2 * MIB), MIB))
REQUESTS = series("request_", [pytest.param(get("/x"), id="GET"), pytest.param(PUT, id="PUT")])

# -- good answers -------------------------------------------------------------------------------------

GOOD = [
    # reply, status, body
    pytest.param(replies.normal(200, b"hello"), 200, b"hello", id="length"),
    pytest.param(replies.normal(200, b""), 200, b"", id="length 0"),
    pytest.param(replies.normal(201, b"made"), 201, b"made", id="201"),
    pytest.param(replies.normal(204), 204, b"", id="204"),
    pytest.param(replies.normal(304), 304, b"", id="304"),
    pytest.param(replies.normal(302, b"there", "Location: /y"), 302, b"there", id="302"),
    pytest.param(replies.normal(206, b"part", "Content-Range: bytes 0-3/10"), 206, b"part", id="206"),
    pytest.param(replies.normal(300, b"{}"), 300, b"{}", id="300"),
    pytest.param(replies.normal(401, b"who"), 401, b"who", id="401"),
    pytest.param(replies.normal(404, b"where"), 404, b"where", id="404"),
    pytest.param(replies.normal(413, b"too much"), 413, b"too much", id="413"),
    pytest.param(replies.normal(500, b"sorry"), 500, b"sorry", id="500"),
    pytest.param(replies.normal(502, b"behind"), 502, b"behind", id="502"),
    pytest.param(replies.normal(503, b"later", "Retry-After: 7"), 503, b"later", id="503"),
    pytest.param(replies.normal(599, b"odd"), 599, b"odd", id="599"),
    pytest.param(replies.chunked_answer([b"hel", b"lo"]), 200, b"hello", id="chunked"),
    pytest.param(replies.chunked_answer([]), 200, b"", id="chunked empty"),
    pytest.param(
        replies.chunked_answer([b"h", b"e", b"llo"], trailers=b"X-Sum: 1\r\n"),
        200,
        b"hello",
        id="chunked with trailer",
    ),
    pytest.param(
        replies.raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            b'3;a=b;c="d e"\r\nhel\r\n02\r\nlo\r\n0;last\r\n\r\n',
            end="keep",
        ),
        200,
        b"hello",
        id="chunked with extensions",
    ),
    pytest.param(replies.until_close(b"hello"), 200, b"hello", id="until close"),
    pytest.param(replies.until_close(b""), 200, b"", id="until close, empty"),
    pytest.param(replies.unsaid_close(b"hello"), 200, b"hello", id="closes without saying so"),
    pytest.param(replies.raw(b"HTTP/1.0 200 OK\r\n\r\nhello"), 200, b"hello", id="HTTP/1.0"),
    pytest.param(
        replies.raw(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        200,
        b"hello",
        id="HTTP/1.0 with length",
    ),
    pytest.param(
        replies.raw(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"), 200, b"hello", id="no reason"
    ),
    pytest.param(
        replies.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"),
        200,
        b"hello",
        id="says close",
    ),
    pytest.param(
        replies.raw(b"HTTP/1.1 200 OK\r\nconnection:close\r\nCONTENT-LENGTH:5\r\n\r\nhello"),
        200,
        b"hello",
        id="names in any case",
    ),
    pytest.param(
        replies.dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        200,
        b"hello",
        id="length, byte by byte",
    ),
    pytest.param(
        replies.dribble(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        ),
        200,
        b"hello",
        id="chunked, byte by byte",
    ),
    pytest.param(
        replies.raw(replies.answer_head(200, "Content-Length: 5", "X: " + "y" * 32 * KIB), b"hello"),
        200,
        b"hello",
        id="large head",
    ),
]


@REQUESTS
@series(("reply", "status", "body"), GOOD)
def test_good_answers_are_relayed(rig: Rig, request_, reply, status, body):
    rig.stub.answer(reply)
    with rig.client() as client:
        client.send(request_)
        answer = client.answer()
        assert (answer.status, answer.body, answer.complete) == (status, body, True), answer
        if status == 204:
            assert answer.header("Content-Length") is None
        assert answer.all("X-Sum") == []
        if answer.framing != "close":
            client.send(get("/next"))
            assert client.answer().body == b"GET /next"
    assert [seen.target for seen in rig.stub.requests][:1] == ["/x"]
    assert len([seen for seen in rig.stub.requests if seen.target == "/x"]) == 1


@series("framing", ["length", "chunked", "close"])
def test_large_answer_arrives_unaltered(rig: Rig, framing):
    body = bytes(range(256)) * (4 * MIB // 256) + b"end"
    rig.stub.answer(
        {
            "length": replies.normal(200, body),
            "close": replies.until_close(body),
            "chunked": replies.chunked_answer([body[:100_000], body[100_000:]]),
        }[framing]
    )
    answer = rig.ask(get("/x"))
    assert (answer.status, len(answer.body), answer.complete) == (200, len(body), True)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    if framing == "length":
        assert answer.header("Content-Length") == str(len(body))


def test_head_request_keeps_the_length(rig: Rig):
    rig.stub.answer(replies.raw(replies.answer_head(200, "Content-Length: 1234", "X: y"), end="keep"))
    with rig.client() as client:
        client.send(head("HEAD", "/x"))
        answer = client.answer("HEAD")
        assert (answer.status, answer.header("Content-Length"), answer.header("X")) == (200, "1234", "y")
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"


def test_headers_of_the_answer_arrive_in_order(rig: Rig):
    lines = [
        "Set-Cookie: a=1; Path=/",
        "X-One: 1",
        "Set-Cookie: b=2",
        "x-two:  2",
        "WWW-Authenticate: Basic",
        'WWW-Authenticate: Digest x="y"',
        "Server: stub/1",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "Content-Type: application/octet-stream",
        "Content-MD5: x",
        "X-Empty:",
        "X-Openstack-Request-Id: req-of-the-upstream",
        "X-High: \xe9",
    ]
    rig.stub.answer(replies.normal(200, b"ok", *lines))
    answer = rig.ask(get("/x"))
    sent = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
    ours = {name.lower() for name, _ in sent}
    assert [(name.lower(), value) for name, value in answer.headers if name.lower() in ours] == [
        (name.lower(), value) for name, value in sent
    ]


def test_hop_by_hop_headers_of_the_answer_stay_behind(rig: Rig):
    rig.stub.answer(
        replies.normal(
            200,
            b"ok",
            "Connection: X-Private",
            "X-Private: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Upgrade: h2c",
            "X-Public: 1",
        )
    )
    answer = rig.ask(get("/x"))
    assert answer.header("X-Public") == "1"
    for name in ("X-Private", "Proxy-Connection", "Upgrade"):
        assert answer.all(name) == []
    assert "timeout=5" not in answer.all("Keep-Alive")
    assert "X-Private" not in ",".join(answer.all("Connection"))


def test_chunked_answer_to_http_1_0(rig: Rig):
    rig.stub.answer(replies.chunked_answer([b"hel", b"lo"]))
    with rig.client() as client:
        client.send(head("GET", "/x", version="1.0"))
        answer = client.answer()
        assert (answer.status, answer.framing) in ((200, "close"), (200, "length"))
        assert (answer.body, answer.complete) == (b"hello", True)


@series("status", [100, 102, 103])
def test_interim_answers_before_the_final_one(rig: Rig, status):
    interim = f"HTTP/1.1 {status} Wait\r\nLink: </a.css>; rel=preload\r\n\r\n".encode()
    rig.stub.answer(replies.raw(interim, interim, replies.answer_head(200, "Content-Length: 5"), b"hello"))
    answer = rig.ask(PUT)
    assert (answer.status, answer.body, answer.complete) == (200, b"hello", True)
    assert set(answer.interim) <= {status}
    assert answer.all("Link") == []


def test_103_reaches_the_client(rig: Rig):
    early_hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    rig.stub.answer(replies.raw(early_hints, replies.answer_head(200, "Content-Length: 5"), b"hello"))
    with rig.client() as client:
        client.send(get("/x"))
        status, _, headers, _ = client.head()
        assert (status, dict(headers).get("Link", dict(headers).get("link"))) == (
            103,
            "</a.css>; rel=preload",
        )
        assert client.answer().body == b"hello"


def test_http_1_0_client_gets_no_103(rig: Rig):
    early_hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    rig.stub.answer(replies.raw(early_hints, replies.answer_head(200, "Content-Length: 5"), b"hello"))
    answer = rig.ask(head("GET", "/x", version="1.0"))
    assert (answer.status, answer.body, answer.interim) == (200, b"hello", ())


# -- bad answers --------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
INVALID = [
    pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", id="two lengths"),
    pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", id="two equal lengths"),
    pytest.param(OK + b"Content-Length: 5, 6\r\n\r\nhello!", id="list of lengths"),
    pytest.param(OK + b"Content-Length: 5, 5\r\n\r\nhello", id="list of equal lengths"),
    pytest.param(
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length and coding"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="coding and length"
    ),
    pytest.param(OK + b"Content-Length: +5\r\n\r\nhello", id="length +5"),
    pytest.param(OK + b"Content-Length: -5\r\n\r\nhello", id="length -5"),
    pytest.param(OK + b"Content-Length: 0x5\r\n\r\nhello", id="length 0x5"),
    pytest.param(OK + b"Content-Length: five\r\n\r\nhello", id="length five"),
    pytest.param(OK + b"Content-Length:\r\n\r\nhello", id="length empty"),
    pytest.param(OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello", id="length of 30 digits"),
    pytest.param(OK + b"Transfer-Encoding: gzip\r\n\r\nhello", id="coding gzip"),
    pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="coding gzip, chunked"),
    pytest.param(OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", id="chunked, chunked"),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked twice"
    ),
    pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\nhello", id="coding identity"),
    pytest.param(OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="coding xchunked"),
    pytest.param(OK + b"X: a\x00b\r\nContent-Length: 5\r\n\r\nhello", id="NUL in value"),
    pytest.param(OK + b"X: a\rb\r\nContent-Length: 5\r\n\r\nhello", id="CR in value"),
    pytest.param(OK + b"X: a\nb: c\r\nContent-Length: 5\r\n\r\nhello", id="LF in value"),
    pytest.param(OK + b"X: a\r\r\nContent-Length: 5\r\n\r\nhello", id="CR CR LF"),
    pytest.param(OK + b"X\x00: a\r\nContent-Length: 5\r\n\r\nhello", id="NUL in name"),
    pytest.param(OK + b"X Y: a\r\nContent-Length: 5\r\n\r\nhello", id="space in name"),
    pytest.param(OK + b": a\r\nContent-Length: 5\r\n\r\nhello", id="no name"),
    pytest.param(OK + b"X\r\nContent-Length: 5\r\n\r\nhello", id="no colon"),
    pytest.param(b"HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello", id="NUL in reason"),
    pytest.param(b"HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello", id="CR in reason"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", id="LF only"),
    pytest.param(b"Content-Length: 5\r\n\r\nhello", id="no status line"),
    pytest.param(b"hello\r\n\r\n", id="one word"),
    pytest.param(b"<html>hello</html>", id="HTTP/0.9"),
    pytest.param(b"\x15\x03\x03\x00\x02\x02\x46", id="TLS alert"),
    pytest.param(bytes(range(256)) * 16, id="every byte"),
    pytest.param(b"Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello", id="CGI"),
    pytest.param(b"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello", id="ICY"),
    pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", id="HTTP/2.0"),
    pytest.param(b"HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nhello", id="status abc"),
    pytest.param(b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello", id="status 20"),
    pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", id="status 2000"),
    pytest.param(b"HTTP/1.1 000 OK\r\nContent-Length: 5\r\n\r\nhello", id="status 000"),
    pytest.param(b"HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello", id="status -20"),
    pytest.param(b"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello", id="two spaces before status"),
    pytest.param(b"HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", id="no status"),
    pytest.param(OK + b"X: " + b"y" * MIB + b"\r\nContent-Length: 5\r\n\r\nhello", id="head of 1 MiB"),
    pytest.param(OK + b"X: y\r\n" * 200_000, id="head without end"),
    pytest.param(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nhello",
        id="101 nobody asked for",
    ),
    pytest.param(OK + b"Content-Length: 5\r\nContent-Length : 6\r\n\r\nhello!", id="space before colon"),
]


@only("http-tcp", "uwsgi-unix")
@REQUESTS
@series("raw", INVALID)
def test_bad_answers_become_502(rig: Rig, request_, raw):
    def reply(exchange):
        exchange.read_body()
        exchange.send(raw)  # the shim may hang up in the middle of a long one
        exchange.wait_end()

    rig.stub.answer(reply if len(raw) > MIB or raw.startswith(OK) else replies.raw(raw))
    answer = rig.ask(request_)
    closed = () if b"\r\n\r\n" in raw or len(raw) > MIB else ("upstream_closed",)
    rig.assert_problem(answer, "upstream_invalid", *closed)
    assert b"hello" not in answer.body
    assert len(rig.stub.requests) == 1, rig.stub.story()
    # neither what was left of that answer nor its connection has any part in the next one
    assert rig.ask(get("/next")).body == b"GET /next"
    assert rig.stub.requests[1].connection != rig.stub.requests[0].connection


@only("http-tcp", "uwsgi-unix")
@REQUESTS
@series(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 20", id="in the status line"),
        pytest.param(OK, id="after the status line"),
        pytest.param(OK + b"Content-Le", id="in a header"),
        pytest.param(OK + b"Content-Length: 5\r\n", id="before the empty line"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n", id="after a 103"),
    ],
)
@series("end", ["close", "reset"])
def test_no_whole_head_becomes_502(rig: Rig, request_, begun, end):
    rig.stub.answer(*[replies.raw(begun, end=end)] * 2)
    rig.assert_problem(rig.ask(request_), "upstream_closed")
    rig.assert_sent_once()


BYTES_AFTER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@series(
    "answer_",
    [
        pytest.param(OK + b"Content-Length: 5\r\n\r\nhello", id="length"),
        pytest.param(OK + b"Content-Length: 0\r\n\r\n", id="length 0"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\n\r\n", id="304"),
        pytest.param(b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n", id="204 with length"),
    ],
)
def test_bytes_after_the_end_go_with_their_connection(rig_with, answer_):
    rig = rig_with(KEPT)
    if rig.protocol == "http":
        rig.keep_connection()
    rig.stub.answer(replies.raw(answer_ + BYTES_AFTER, end="keep"))
    with rig.client() as client:
        client.send(get("/x"))
        answer = client.answer()
        assert answer.body in (b"hello", b"")
        assert answer.status == int(answer_[9:12])
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"
    assert rig.stub.requests[0].connection != rig.stub.requests[1].connection


def test_bytes_after_the_answer_to_head(rig_with):
    rig = rig_with(KEPT)
    if rig.protocol == "http":
        rig.keep_connection()
    rig.stub.answer(replies.raw(OK + b"Content-Length: 6\r\n\r\npoison", end="keep"))
    with rig.client() as client:
        client.send(head("HEAD", "/x"))
        assert client.answer("HEAD").status == 200
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"
    assert rig.stub.requests[0].connection != rig.stub.requests[1].connection


# -- cut answers ----------------------------------------------------------------------------------------

CUT = [
    pytest.param(OK + b"Content-Length: 10\r\n\r\n", b"", id="length, before the body"),
    pytest.param(OK + b"Content-Length: 10\r\n\r\nhello", b"hello", id="mid-length"),
    pytest.param(
        OK + b"Content-Length: 3000000\r\n\r\n" + bytes(2_000_000), bytes(2_000_000), id="late in 3 MB"
    ),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"", id="chunked, before the body"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5", b"", id="mid-size"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", b"hel", id="mid-chunk"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello", b"hello", id="before a chunk's CRLF"),
    pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"hello", id="after a chunk"),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"hello", id="before the last CRLF"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n", b"hello", id="in the trailers"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", b"hello", id="a bad chunk size"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX", b"hello", id="no CRLF after a chunk"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", b"", id="LF in a chunk line"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=" + b"b" * 2 * MIB, b"", id="a chunk line without end"
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 400_000,
        b"hello",
        id="trailers without end",
    ),
]


def assert_cut(rig: Rig, request: bytes, body: bytes) -> None:
    """The client sees that the answer was cut, or (nothing of it relayed yet) gets a 502."""
    with rig.client() as client:
        client.send(request)
        answer = client.answer()
        if answer.status == 502:
            rig.assert_problem(answer, "upstream_closed", "upstream_invalid")
            return
        assert answer.status == 200
        assert not answer.complete, f"a cut answer looks whole: {answer}"
        assert answer.end in ("fin", "reset")
        assert body.startswith(answer.body)
        assert client.ending() != "open"


@series("end", ["close", "reset"])
@series(("raw", "body"), CUT)
def test_cut_answer_looks_cut(rig: Rig, raw, body, end):
    rig.stub.answer(replies.raw(raw, end=end))
    assert_cut(rig, PUT, body)
    assert len(rig.stub.requests) == 1, "sent again after the answer had begun"


@series(("raw", "body"), CUT)
def test_cut_answer_looks_cut_to_http_1_0(rig: Rig, raw, body):
    # without chunks and, for a chunked answer, without a length, only a reset tells an HTTP/1.0 client
    rig.stub.answer(replies.raw(raw))
    assert_cut(rig, head("GET", "/x", version="1.0"), body)


@only("http-tcp", "uwsgi-tcp")
@series("version", ["1.0", "1.1"])
def test_reset_in_an_answer_until_close_looks_cut(rig: Rig, version):
    begun = threading.Event()

    def reply(exchange):
        exchange.send(OK + b"X: y\r\n\r\nhello")
        exchange.wait(begun)
        exchange.reset()

    rig.stub.answer(reply)
    with rig.client() as client:
        client.send(head("GET", "/x", version=version))
        assert client.head()[0] == 200
        begun.set()
        data, end = client.wire.rest()
    chunks = data.startswith(b"5\r\nhello\r\n") and not data.endswith(b"0\r\n\r\n")
    assert end == "reset" or (version == "1.1" and chunks), f"a reset answer looks whole: {data!r}, {end}"


def test_answer_goes_on_while_the_upstream_still_writes(rig: Rig, gate):
    def reply(exchange):
        exchange.send(OK + b"Content-Length: 10\r\n\r\nhello")
        exchange.wait(gate)
        exchange.send(b"world")

    rig.stub.answer(reply)
    with rig.client() as client:
        client.send(get("/x"))
        assert client.head()[0] == 200
        assert client.wire.exactly(5) == b"hello"
        gate.set()
        assert client.wire.exactly(5) == b"world"


# -- no server, or a dying one ----------------------------------------------------------------------------


@series("body", [b"foobar", bytes(range(256)) * 4096])
def test_refused_goes_to_the_next_server(rig_with, body):
    rig = rig_with(plan=several, ready=None)
    for _ in range(3):
        assert rig.ask(put_chunked("/first/x", chunked(body, 65_521))).status == 200
    assert [seen.sha256 for seen in rig.stub.requests] == [hashlib.sha256(body).hexdigest()] * 3
    assert [seen.length for seen in rig.stub.requests] == [str(len(body))] * 3
    assert rig.ask(get("/first/y")).body == b"GET /first/y"


def test_none_left_becomes_502(rig_with):
    rig = rig_with(plan=several, ready=None)
    start = rig.shim.log_size()
    with rig.client() as one, rig.client() as two:
        one.send(put_chunked("/dead/x", chunked(b"foobar")))
        two.send(get("/dead/x"))
        rig.assert_problem(one.answer(), "upstream_refused")
        rig.assert_problem(two.answer(), "upstream_refused")
    eventually(lambda: "upstream_refused" in rig.shim.log_text(start), "the log says so")
    rig.assert_untouched()


@only("http-tcp", "http-unix")
def test_server_that_comes_back_in_time(rig_with):
    late: list[Stub] = []

    def restarting(stub, folder, others):
        path = folder / "late.sock" if stub.path else None
        others["late"] = Stub(stub.protocol, path, listening=False)
        late.append(others["late"])
        return {"upstreams.main.servers": [others["late"].url], "timeouts.connect_retry": "20s"}, [
            {"path": "/**", "upstream": "main"}
        ]

    rig = rig_with(plan=restarting, ready=None, fresh=True)
    with rig.client() as client:
        client.send(put_chunked("/x", chunked(bytes(MIB))))
        eventually(
            lambda: rig.shim.metric("uploads") == 1 and not rig.shim.metric("uploads", phase="receiving"),
            "the body is there and waits for the server",
        )
        assert client.quiet(0.2)
        late[0].listen()
        assert client.answer().status == 200
    assert late[0].only().sha256 == hashlib.sha256(bytes(MIB)).hexdigest()


@series("after", [0, 1, 3, 6, 100_000, MIB])
def test_dead_after_a_part_of_the_body_is_not_sent_again(rig_with, after):
    rig = rig_with(plan=several, ready=None)
    request = LARGE_PUT if after > 6 else PUT
    for stub in (rig.stub, rig.others["second"]):
        stub.answer(*[replies.vanish(after)] * 10)
    answer = rig.ask(request.replace(b"/x", b"/pair/x"))
    rig.assert_problem(answer, "upstream_closed")
    total = rig.stub.requests + rig.others["second"].requests
    assert len(total) == 1, total


@series(
    "request_",
    [
        pytest.param(get("/x"), id="GET"),
        pytest.param(PUT, id="PUT"),
        pytest.param(LARGE_PUT, id="large PUT"),
        pytest.param(head("POST", "/x"), id="POST"),
        pytest.param(head("DELETE", "/x"), id="DELETE"),
    ],
)
def test_closed_without_an_answer_is_not_sent_again(rig: Rig, request_):
    rig.stub.answer(*[replies.vanish()] * 2)
    rig.assert_problem(rig.ask(request_), "upstream_closed")
    rig.assert_sent_once()
    rig.stub.forget()
    assert rig.ask(PUT).status == 200


# -- a slow server ----------------------------------------------------------------------------------------


@only("http-tcp", "uwsgi-unix")
def test_silence_becomes_504(rig_with):
    rig = rig_with(SHORT)
    rig.stub.answer(*[replies.silence()] * 3)
    with rig.client() as one, rig.client() as two, rig.client() as three:
        for client, request in ((one, get("/x")), (two, PUT), (three, LARGE_PUT)):
            client.send(request)
        for client in (one, two, three):
            rig.assert_problem(client.answer(), "response_timeout")
    seen = rig.stub.wait_requests(3)
    eventually(lambda: all(call.ended for call in seen), "the shim gives up the calls")
    assert {call.ended for call in seen} <= {"fin", "reset"}
    assert len(rig.stub.requests) == 3


@only("http-tcp", "uwsgi-unix")
def test_half_a_head_then_silence_becomes_504(rig_with):
    rig = rig_with(SHORT)
    rig.stub.answer(replies.raw(OK + b"Content-Le", end="wait"))
    rig.assert_problem(rig.ask(PUT), "response_timeout")
    assert len(rig.stub.requests) == 1


PATIENT = {"timeouts.response": "1s", "timeouts.response_idle": "1s"}
"""A busy machine keeps to it where a test has to wait for less."""


@each_once
def test_upload_time_is_not_response_time(rig_with):
    rig = rig_with(PATIENT)
    with rig.client() as declared, rig.client() as coded:
        declared.send(head("PUT", "/x", "Content-Length: 12"))
        coded.send(head("PUT", "/x", "Transfer-Encoding: chunked"))
        for piece in [b"foo", b"bar"] * 2:
            declared.send(piece)
            coded.send(chunk(piece))
            time.sleep(0.3)
        coded.send(b"0\r\n\r\n")
        assert declared.answer().status == coded.answer().status == 200
    assert [seen.body for seen in rig.stub.requests] == [b"foobarfoobar"] * 2


@only("http-tcp", "uwsgi-unix")
def test_stall_in_the_answer_looks_cut(rig_with):
    rig = rig_with(SHORT)
    rig.stub.answer(replies.raw(OK + b"Content-Length: 10\r\n\r\nhello", end="wait"))
    with rig.client() as client:
        client.send(PUT)
        answer = client.answer()
    assert (answer.status, answer.body, answer.complete) == (200, b"hello", False)
    eventually(lambda: rig.stub.requests[0].ended, "the shim gives up the call")


@only("http-tcp", "uwsgi-unix")
def test_slow_answer_that_never_stalls_is_fine(rig_with):
    rig = rig_with(PATIENT)
    begun = replies.answer_head(200, "Content-Length: 20")

    def reply(exchange):
        exchange.read_body()
        exchange.send(begun)
        replies.dribble(b"0123456789" * 2, 1, 0.06)(exchange)

    rig.stub.answer(reply)
    answer = rig.ask(PUT)
    assert (answer.status, answer.body, answer.complete) == (200, b"0123456789" * 2, True)


@only("http-tcp", "uwsgi-unix")
def test_server_that_does_not_read_becomes_504(rig_with, gate):
    rig = rig_with(SHORT)
    rig.stub.answer(replies.deaf(gate))
    rig.assert_problem(rig.ask(put("/x", bytes(16 * MIB))), "send_timeout")
    gate.set()
    assert len(rig.stub.requests) == 1


@pytest.mark.more
@pytest.mark.parametrize("case", ["http-tcp-plain", "http-tcp-fast"])
def test_no_connection_in_time(rig_with):
    """Nobody accepts, and the listen queue is full: the kernel lets whoever comes wait."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        limits = {"timeouts.connect": "300ms", "timeouts.connect_retry": "0s"}
        rig = rig_with({"upstream": url, **limits}, ready=None, fresh=True)
        for request in (get("/x"), put("/x", bytes(MIB))):
            rig.assert_problem(rig.ask(request), "connect_timeout")
