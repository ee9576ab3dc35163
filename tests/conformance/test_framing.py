"""Framing of requests (cases 1 to 7).

What is accepted arrives with its length, byte for byte; the rest is refused before the upstream hears
of it, and nothing hidden behind it is ever served.
"""

import hashlib
import random

import pytest

from tests.support import replies
from tests.support.client import LAST, chunk, chunked, get, head, put, put_chunked, split
from tests.support.rig import BAD_HEAD, HIDDEN, Rig, each_once, only
from tests.support.series import series
from tests.support.wire import eventually

DELIVERIES = series("delivery", ["whole", "bytes", "thirds"])
KIB, MIB = 1 << 10, 1 << 20
FAST = "http-tcp-plain"

REFUSALS = each_once
"""Refusals never get as far as the upstream."""


def from_chunks(encoded: bytes, *headers: str) -> bytes:
    return put_chunked("/x", encoded, *headers)


# -- accepted -------------------------------------------------------------------------------------

ACCEPTED = [
    # request, body upstream, Content-Length upstream
    pytest.param(from_chunks(chunked(b"foobar")), b"foobar", "6", id="chunked"),
    pytest.param(from_chunks(chunked(b"foobar", 1)), b"foobar", "6", id="chunked in ones"),
    pytest.param(from_chunks(chunked(b"foobar", (2, 3, 1))), b"foobar", "6", id="chunked in several"),
    pytest.param(from_chunks(LAST), b"", "0", id="chunked empty"),
    pytest.param(put_chunked("/x", LAST, method="POST"), b"", "0", id="chunked empty POST"),
    pytest.param(put_chunked("/x", chunked(b"foobar"), method="DELETE"), b"foobar", "6", id="chunked DELETE"),
    pytest.param(put_chunked("/x", chunked(b"foobar"), method="GET"), b"foobar", "6", id="chunked GET"),
    pytest.param(put_chunked("/x", chunked(b"foobar"), method="PATCH"), b"foobar", "6", id="chunked PATCH"),
    pytest.param(get("/x"), b"", None, id="GET without body"),
    pytest.param(head("DELETE", "/x"), b"", None, id="DELETE without body"),
    pytest.param(head("POST", "/x"), b"", None, id="POST without body"),
    pytest.param(put("/x", b""), b"", "0", id="length 0"),
    pytest.param(put("/x", b"foobar"), b"foobar", "6", id="length 6"),
    pytest.param(put("/x", b"foobar", method="GET"), b"foobar", "6", id="length 6 GET"),
    pytest.param(put("/x", HIDDEN), HIDDEN, str(len(HIDDEN)), id="length, body like a request"),
    pytest.param(
        from_chunks(chunked(HIDDEN, 7)), HIDDEN, str(len(HIDDEN)), id="chunked, body like a request"
    ),
    pytest.param(from_chunks(chunked(LAST * 3)), LAST * 3, "15", id="chunked, body like chunks"),
    pytest.param(from_chunks(chunked(bytes(range(256)))), bytes(range(256)), "256", id="chunked, every byte"),
    pytest.param(
        head("PUT", "/x", "content-length:6") + b"foobar", b"foobar", "6", id="length without space"
    ),
    pytest.param(
        head("PUT", "/x", "Content-Length: \t 6 \t") + b"foobar", b"foobar", "6", id="length in space"
    ),
    pytest.param(
        head("PUT", "/x", "TRANSFER-ENCODING: CHUNKED") + chunked(b"foobar"),
        b"foobar",
        "6",
        id="coding in capitals",
    ),
    pytest.param(
        head("PUT", "/x", "Transfer-Encoding:chunked") + chunked(b"foobar"),
        b"foobar",
        "6",
        id="coding without space",
    ),
    pytest.param(
        head("PUT", "/x", "Transfer-Encoding:\t chunked \t") + chunked(b"foobar"),
        b"foobar",
        "6",
        id="coding in space and tabs",
    ),
    pytest.param(from_chunks(b"A\r\n0123456789\r\n" + LAST), b"0123456789", "10", id="size in upper case"),
    pytest.param(from_chunks(b"a\r\n0123456789\r\n" + LAST), b"0123456789", "10", id="size in lower case"),
    pytest.param(from_chunks(b"1C\r\n" + b"x" * 28 + b"\r\n" + LAST), b"x" * 28, "28", id="size 1C"),
    pytest.param(from_chunks(b"006\r\nfoobar\r\n" + LAST), b"foobar", "6", id="leading zeros"),
    pytest.param(
        from_chunks(b"0000000000000006\r\nfoobar\r\n" + LAST), b"foobar", "6", id="size of 16 digits"
    ),
    pytest.param(
        from_chunks(b"6\r\nfoobar\r\n0000000000000000\r\n\r\n"), b"foobar", "6", id="last of 16 zeros"
    ),
    pytest.param(from_chunks(chunked(b"foobar", 3, extension=b";a")), b"foobar", "6", id="extension name"),
    pytest.param(from_chunks(chunked(b"foobar", 3, extension=b";a=b")), b"foobar", "6", id="extension value"),
    pytest.param(
        from_chunks(chunked(b"foobar", 3, extension=b";a=b;c;d=e")), b"foobar", "6", id="extensions"
    ),
    pytest.param(
        from_chunks(chunked(b"foobar", 3, extension=b';a="b c;d=1"')), b"foobar", "6", id="extension quoted"
    ),
    pytest.param(
        from_chunks(chunked(b"foobar", 3, extension=b';a="b\\"c\\\\"')),
        b"foobar",
        "6",
        id="extension quoted pairs",
    ),
    pytest.param(
        from_chunks(b"6\r\nfoobar\r\n0;last=yes\r\n\r\n"), b"foobar", "6", id="extension of the last"
    ),
    pytest.param(
        from_chunks(chunked(b"foobar", trailers=b"X-Sum: 1\r\n"), "Trailer: X-Sum"),
        b"foobar",
        "6",
        id="trailer",
    ),
    pytest.param(
        from_chunks(chunked(b"", trailers=b"X-Sum: 1\r\nX-More:\r\n")), b"", "0", id="trailers, empty"
    ),
]


@DELIVERIES
@series(("request_", "body", "length"), ACCEPTED)
def test_accepted_body_arrives_with_its_length(rig: Rig, request_, body, length, delivery):
    answer = rig.ask(request_, pieces=split(request_, delivery))
    assert answer.status == 200, answer
    seen = rig.stub.only()
    assert answer.body == f"{seen.method} /x".encode()
    assert (seen.method, seen.target) == (request_.split(b" ", 1)[0].decode(), "/x")
    assert (seen.body, seen.length) == (body, length)
    assert seen.codings == []
    assert not seen.names & {
        "x-sum",
        "http_x_sum",
        "x-more",
        "http_x_more",
        "http_trailer",
        "http_content_length",
    }
    assert seen.joined("Connection") in (None, "close", "keep-alive")


@series(
    "trailer",
    [
        # No hexadecimal number: request ids may hold any.
        "Content-Length: 100-trailing",
        "Transfer-Encoding: chunked",
        "Host: evil",
        "X-Auth-Token: stolen",
        "Cookie: a=b",
        "X-Forwarded-For: 6.6.6.6",
        "Content-Type: evil/type",
    ],
)
def test_trailers_never_become_headers(rig: Rig, trailer):
    encoded = chunked(b"foobar", trailers=f"{trailer}\r\nX-Sum: 1\r\n".encode())
    answer = rig.ask(from_chunks(encoded, "X-Auth-Token: own", "Content-Type: own/type"))
    assert answer.status == 200
    seen = rig.stub.only()
    assert (seen.body, seen.length, seen.codings) == (b"foobar", "6", [])
    assert (seen.joined("X-Auth-Token"), seen.joined("Content-Type")) == ("own", "own/type")
    assert trailer.split(": ")[1] not in seen.raw.decode("latin-1").replace("chunked", "")
    assert seen.joined("Cookie") is seen.joined("X-Sum") is None


def blocks(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(min(size, MIB)) * max(1, size // MIB)


LARGE = [
    pytest.param(100_000, 1, "chunks", id="100,000 chunks of one byte"),
    pytest.param(64 * MIB, 64 * MIB, "chunks", id="one chunk of 64 MiB"),
    pytest.param(8 * MIB, MIB, "chunks", id="chunks of 1 MiB"),
    pytest.param(8 * MIB, 65_521, "chunks", id="chunks of 65,521 bytes"),
    pytest.param(8 * MIB, 0, "length", id="length 8 MiB"),
]


@pytest.mark.parametrize(("size", "chunk_size", "framing"), LARGE)
def test_large_bodies_arrive_unaltered(rig: Rig, size, chunk_size, framing):
    body = blocks(size, 2)[:size]
    pieces = (
        [put("/large", body)]
        if framing == "length"
        else [head("PUT", "/large", "Transfer-Encoding: chunked"), chunked(body, chunk_size)]
    )
    answer = rig.ask(b"", "PUT", pieces=pieces)
    assert answer.status == 200
    seen = rig.stub.only()
    assert (seen.length, seen.received) == (str(size), size)
    assert seen.sha256 == hashlib.sha256(body).hexdigest()


@only("http-tcp")
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_only_bodies_above_the_memory_limit_become_files(rig_with, gate, beyond, framing):
    rig = rig_with({"spool.memory_limit": "256KiB"})
    body = blocks(MIB, 3)[: 256 * KIB + beyond]
    whole = put("/memory", body) if framing == "length" else put_chunked("/memory", chunked(body, 16 * KIB))
    rig.stub.answer(replies.held(gate, replies.normal()))
    with rig.client() as client:
        client.send(whole[:-1])
        if framing == "chunked" and beyond > 0:
            eventually(rig.shim.spool_files, "a spool file while the body comes")
        client.send(whole[-1:])
        rig.stub.wait_requests()
        assert len(rig.shim.spool_files()) == rig.shim.metric("spool_files") == (1 if beyond > 0 else 0)
        gate.set()
        assert client.answer().status == 200
    seen = rig.stub.only()
    assert (seen.length, seen.body) == (str(len(body)), body)


# -- refused --------------------------------------------------------------------------------------

CODING = ("bad_framing", "bad_request", "unknown_coding")
BOTH_CODINGS = "Transfer-Encoding: chunked"
BODY = chunked(b"foobar")

REFUSED_CODINGS = [
    pytest.param([BOTH_CODINGS, "Content-Length: 6"], BAD_HEAD, id="coding then length"),
    pytest.param(["Content-Length: 6", BOTH_CODINGS], BAD_HEAD, id="length then coding"),
    pytest.param(["Content-Length: 0", BOTH_CODINGS], BAD_HEAD, id="length 0 and coding"),
    pytest.param(["Content-Length:", BOTH_CODINGS], BAD_HEAD, id="empty length and coding"),
    pytest.param(
        [f"Content-Length: {len(BODY)}", "Transfer-Encoding: identity"], CODING, id="length and identity"
    ),
    pytest.param(
        [f"Content-Length: {len(BODY)}", "Transfer-Encoding: nonsense"], CODING, id="length and nonsense"
    ),
    pytest.param(["Transfer-Encoding: identity"], CODING, id="identity"),
    pytest.param(["Transfer-Encoding: identity", "Content-Length: 6"], CODING, id="identity and length"),
    pytest.param(["Transfer-Encoding: gzip"], ("unknown_coding",), id="gzip"),
    pytest.param(["Transfer-Encoding: gzip, chunked"], ("unknown_coding",), id="gzip, chunked"),
    pytest.param(["Transfer-Encoding: gzip", BOTH_CODINGS], CODING, id="gzip and chunked, two lines"),
    pytest.param(["Transfer-Encoding: chunked, gzip"], CODING, id="chunked, gzip"),
    pytest.param(["Transfer-Encoding: chunked, identity"], CODING, id="chunked, identity"),
    pytest.param(["Transfer-Encoding: identity, chunked"], CODING, id="identity, chunked"),
    pytest.param(["Transfer-Encoding: chunked, chunked"], CODING, id="chunked, chunked"),
    pytest.param([BOTH_CODINGS, BOTH_CODINGS], CODING, id="chunked twice"),
    pytest.param([BOTH_CODINGS, "Transfer-Encoding: identity"], CODING, id="chunked and identity, two lines"),
    pytest.param([BOTH_CODINGS, "Transfer-Encoding:"], CODING, id="chunked and empty, two lines"),
    pytest.param(["Transfer-Encoding:"], CODING, id="empty"),
    pytest.param(["Transfer-Encoding: ,chunked"], CODING, id="comma first"),
    pytest.param(["Transfer-Encoding: chunked,"], CODING, id="comma last"),
    pytest.param(["Transfer-Encoding: , chunked"], CODING, id="empty member"),
    pytest.param([b"Transfer-Encoding: \xa0chunked"], CODING, id="NBSP before"),
    pytest.param([b"Transfer-Encoding: chunked\xa0"], CODING, id="NBSP after"),
    pytest.param([b"Transfer-Encoding: \x0bchunked"], CODING, id="VT before"),
    pytest.param([b"Transfer-Encoding: chunked\x0c"], CODING, id="FF after"),
    pytest.param([b"Transfer-Encoding: chunked\x00"], CODING, id="NUL after"),
    pytest.param([b"Transfer-Encoding: \x00chunked"], CODING, id="NUL before"),
    pytest.param([b"Transfer-Encoding: chunked\x7f"], CODING, id="DEL after"),
    pytest.param([b"Transfer-Encoding: chunked\r"], CODING, id="CR after"),
    pytest.param([b"Transfer-Encoding: chunked\rX: y"], CODING, id="CR inside"),
    pytest.param(["Transfer-Encoding: chunked;q=1"], CODING, id="parameter"),
    pytest.param(['Transfer-Encoding: "chunked"'], CODING, id="quoted"),
    pytest.param(["Transfer-Encoding: 'chunked'"], CODING, id="single quotes"),
    pytest.param(["Transfer-Encoding: xchunked"], CODING, id="xchunked"),
    pytest.param(["Transfer-Encoding: chunkedx"], CODING, id="chunkedx"),
    pytest.param(["Transfer-Encoding: chunk"], CODING, id="chunk"),
    pytest.param(["Transfer-Encoding: chunked chunked"], CODING, id="chunked, space, chunked"),
    pytest.param([b"Transfer-Encoding: chun\xc4\xb7ed"], CODING, id="letters beyond ASCII"),
    pytest.param([b"Transfer-Encoding: chun\xe2\x84\xaaed"], CODING, id="Kelvin sign for k"),
    pytest.param(["Transfer-Encoding:\r\n chunked"], CODING, id="folded"),
    pytest.param(["Transfer-Encoding: chunked\r\n ,gzip"], CODING, id="folded list"),
    pytest.param(["X: y\r\n Transfer-Encoding: chunked"], BAD_HEAD, id="as folded line"),
    pytest.param(["Transfer-Encoding : chunked"], BAD_HEAD, id="space before colon"),
    pytest.param(["Transfer-Encoding\t: chunked"], BAD_HEAD, id="tab before colon"),
    pytest.param([b"Transfer-Encoding\x00: chunked"], BAD_HEAD, id="NUL in name"),
    pytest.param(
        ["Transfer-Encoding : chunked", "Content-Length: 6"], BAD_HEAD, id="space before colon, and length"
    ),
]


@REFUSALS
@series(("headers", "codes"), REFUSED_CODINGS)
def test_refused_codings(rig: Rig, headers, codes):
    rig.assert_refused(head("PUT", "/x", *headers) + BODY, *codes)


@REFUSALS
@series(
    "headers",
    [
        pytest.param([BOTH_CODINGS], id="chunked"),
        pytest.param(["Transfer-Encoding: identity"], id="identity"),
        pytest.param([BOTH_CODINGS, "Content-Length: 6"], id="chunked and length"),
        pytest.param([BOTH_CODINGS, "Connection: keep-alive"], id="chunked, kept alive"),
    ],
)
def test_no_coding_on_http_1_0(rig: Rig, headers):
    rig.assert_refused(head("PUT", "/x", *headers, version="1.0") + BODY, *CODING)


LENGTH = BAD_HEAD
REFUSED_LENGTHS = [
    pytest.param(["Content-Length: +6"], id="plus"),
    pytest.param(["Content-Length: -6"], id="minus"),
    pytest.param(["Content-Length: -0"], id="minus 0"),
    pytest.param(["Content-Length:"], id="empty"),
    pytest.param(["Content-Length:  \t "], id="blank"),
    pytest.param(["Content-Length: 0x6"], id="hex"),
    pytest.param(["Content-Length: 0x10"], id="0x10"),
    pytest.param(["Content-Length: 6_0"], id="underscore"),
    pytest.param(["Content-Length: 6.0"], id="fraction"),
    pytest.param(["Content-Length: 6e0"], id="exponent"),
    pytest.param(["Content-Length: six"], id="word"),
    pytest.param(["Content-Length: 6 0"], id="space inside"),
    pytest.param(["Content-Length: 6;"], id="semicolon"),
    pytest.param(["Content-Length: 6,"], id="comma"),
    pytest.param(["Content-Length: ,6"], id="comma first"),
    pytest.param(["Content-Length: 5, 6"], id="list of two"),
    pytest.param(["Content-Length: 6, 6"], id="list of equals"),
    pytest.param(["Content-Length: 6", "Content-Length: 5"], id="two different"),
    pytest.param(["Content-Length: 5", "Content-Length: 6"], id="two different, lower first"),
    pytest.param(["Content-Length: 6", "Content-Length: 6"], id="two equal"),
    pytest.param(["Content-Length: 6", "content-length: 06"], id="two equal in value"),
    pytest.param(["Content-Length: 6", "Content-Length:"], id="one and empty"),
    pytest.param(["Content-Length: " + "9" * 30], id="30 digits"),
    pytest.param(["Content-Length: 18446744073709551622"], id="6 modulo 2^64"),
    pytest.param(["Content-Length: 4294967296" + "0" * 15], id="25 digits"),
    pytest.param(["Content-Length: " + "0" * 29 + "6"], id="30 digits, zeros"),
    pytest.param([b"Content-Length: \xd9\xa6"], id="Arabic digit"),
    pytest.param([b"Content-Length: \xb9"], id="superscript digit"),
    pytest.param([b"Content-Length: 6\xa0"], id="NBSP after"),
    pytest.param([b"Content-Length: \x0b6"], id="VT before"),
    pytest.param([b"Content-Length: 6\x00"], id="NUL after"),
    pytest.param([b"Content-Length: 6\rX: y"], id="CR inside"),
    pytest.param(["Content-Length:\r\n 6"], id="folded"),
    pytest.param(["Content-Length: 6\r\n 0"], id="folded, 60"),
    pytest.param(["Content-Length : 6"], id="space before colon"),
    pytest.param([" Content-Length: 6"], id="space before name"),
    pytest.param(['Content-Length: "6"'], id="quoted"),
]


@REFUSALS
@series("headers", REFUSED_LENGTHS)
def test_refused_lengths(rig: Rig, headers):
    rig.assert_refused(head("PUT", "/x", *headers) + b"foobar", *LENGTH)


REFUSED_CHUNKS = [
    # the size
    pytest.param(b"0x6\r\nfoobar\r\n" + LAST, id="size 0x6"),
    pytest.param(b"+6\r\nfoobar\r\n" + LAST, id="size +6"),
    pytest.param(b"-6\r\nfoobar\r\n" + LAST, id="size -6"),
    pytest.param(b"-0\r\n\r\n", id="size -0"),
    pytest.param(b"5_0\r\n" + b"x" * 80 + b"\r\n" + LAST, id="size 5_0"),
    pytest.param(b"\r\nfoobar\r\n" + LAST, id="size empty"),
    pytest.param(b";a=b\r\nfoobar\r\n" + LAST, id="size empty with extension"),
    pytest.param(b"6h\r\nfoobar\r\n" + LAST, id="size 6h"),
    pytest.param(b"g\r\nfoobar\r\n" + LAST, id="size g"),
    pytest.param(b"6.0\r\nfoobar\r\n" + LAST, id="size 6.0"),
    pytest.param(b"6,6\r\nfoobar\r\n" + LAST, id="size 6,6"),
    pytest.param(b" 6\r\nfoobar\r\n" + LAST, id="space before size"),
    pytest.param(b"6 \r\nfoobar\r\n" + LAST, id="space after size"),
    pytest.param(b"6\t\r\nfoobar\r\n" + LAST, id="tab after size"),
    pytest.param(b"6 6\r\nfoobar\r\n" + LAST, id="two sizes"),
    pytest.param(b"\n6\r\nfoobar\r\n" + LAST, id="LF before size"),
    pytest.param(b"\r\n6\r\nfoobar\r\n" + LAST, id="CRLF before size"),
    pytest.param(b"6\x00\r\nfoobar\r\n" + LAST, id="NUL after size"),
    pytest.param(b"\x006\r\nfoobar\r\n" + LAST, id="NUL before size"),
    pytest.param(b"\xd9\xa6\r\nfoobar\r\n" + LAST, id="Arabic digit"),
    pytest.param(b"00000000000000006\r\nfoobar\r\n" + LAST, id="17 digits, zeros"),
    pytest.param(b"1" + b"0" * 15 + b"6\r\nfoobar\r\n" + LAST, id="6 modulo 2^64"),
    pytest.param(b"f" * 17 + b"\r\nfoobar\r\n" + LAST, id="17 digits"),
    pytest.param(b"0" * 200 + b"6\r\nfoobar\r\n" + LAST, id="200 zeros"),
    # line ends
    pytest.param(b"6\nfoobar\r\n" + LAST, id="LF after size"),
    pytest.param(b"6\rfoobar\r\n" + LAST, id="CR after size"),
    pytest.param(b"6\rXfoobar\r\n" + LAST, id="CR X after size"),
    pytest.param(b"6\r\r\nfoobar\r\n" + LAST, id="CR CR LF after size"),
    pytest.param(b"6\n\nfoobar\r\n" + LAST, id="LF LF after size"),
    pytest.param(b"6\r\nfoobar\n" + LAST, id="LF after data"),
    pytest.param(b"6\r\nfoobar\r" + LAST, id="CR after data"),
    pytest.param(b"6\r\nfoobar\rX" + LAST, id="CR X after data"),
    pytest.param(b"6\r\nfoobar\n\r" + LAST, id="LF CR after data"),
    pytest.param(b"6\r\nfoobarXX" + LAST, id="two other bytes after data"),
    pytest.param(b"6\r\nfoobar" + LAST, id="nothing after data"),
    pytest.param(b"5\r\nfoobar\r\n" + LAST, id="data longer than size"),
    pytest.param(b"7\r\nfoobar\r\n" + LAST, id="data shorter than size"),
    pytest.param(b"6\r\nfoobar\r\n0\n\r\n", id="LF after last"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n\n", id="LF at the end"),
    pytest.param(b"6\r\nfoobar\r\n0\r\r\n", id="CR after last"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n\rX", id="CR X at the end"),
    pytest.param(b"6\r\nfoobar\r\n0\n\n", id="LF LF at the end"),
    # extensions
    pytest.param(b"6;\r\nfoobar\r\n" + LAST, id="extension without name"),
    pytest.param(b"6;;a\r\nfoobar\r\n" + LAST, id="two semicolons"),
    pytest.param(b"6;a=\r\nfoobar\r\n" + LAST, id="extension without value"),
    pytest.param(b"6;a=b=c\r\nfoobar\r\n" + LAST, id="extension with two values"),
    pytest.param(b"6;=b\r\nfoobar\r\n" + LAST, id="extension of value only"),
    pytest.param(b"6;a b\r\nfoobar\r\n" + LAST, id="extension of two words"),
    pytest.param(b'6;a="b\r\nfoobar\r\n' + LAST, id="quote left open"),
    pytest.param(b'6;a="b"c\r\nfoobar\r\n' + LAST, id="after the quote"),
    pytest.param(b'6;a="b\r\nfoobar\r\n0\r\n\r\n"\r\n' + LAST, id="quote over lines"),
    pytest.param(b"6;a\nfoobar\r\n" + LAST, id="LF ends extension"),
    pytest.param(b"6;a\n\r\nfoobar\r\n" + LAST, id="LF in extension"),
    pytest.param(b"6;a\rb\r\nfoobar\r\n" + LAST, id="CR in extension"),
    pytest.param(b"6;a\r\r\nfoobar\r\n" + LAST, id="CR CR LF ends extension"),
    pytest.param(b'6;a="\r"\r\nfoobar\r\n' + LAST, id="CR in quotes"),
    pytest.param(b'6;a="\n"\r\nfoobar\r\n' + LAST, id="LF in quotes"),
    pytest.param(b"6;a\x00\r\nfoobar\r\n" + LAST, id="NUL in extension"),
    pytest.param(b'6;a="\x00"\r\nfoobar\r\n' + LAST, id="NUL in quotes"),
    pytest.param(b"6;a\x7f\r\nfoobar\r\n" + LAST, id="DEL in extension"),
    pytest.param(b"6,a\r\nfoobar\r\n" + LAST, id="comma for semicolon"),
    pytest.param(b"6#a\r\nfoobar\r\n" + LAST, id="hash for semicolon"),
    pytest.param(b"6\r\nfoobar\r\n0;a\n\r\n", id="LF in the extension of the last"),
    # trailers
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum\r\n\r\n", id="trailer without colon"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n: 1\r\n\r\n", id="trailer without name"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum : 1\r\n\r\n", id="trailer, space before colon"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n X-Sum: 1\r\n\r\n", id="trailer, space before name"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: 1\r\n 2\r\n\r\n", id="trailer folded"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: 1\n\r\n", id="trailer ended by LF"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: 1\r\n\n", id="trailers ended by LF"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: 1\rX: 2\r\n\r\n", id="CR in trailer"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: \x00\r\n\r\n", id="NUL in trailer"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX(Sum): 1\r\n\r\n", id="trailer's name not a token"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n" + HIDDEN, id="request in place of trailers"),
]


@REFUSALS
@series("delivery", ["whole", "bytes"])
@series("encoded", REFUSED_CHUNKS)
def test_refused_chunks(rig: Rig, encoded, delivery):
    rig.assert_refused(split(from_chunks(encoded), delivery), "bad_framing")


@REFUSALS
@series("size", [b"f" * 16, b"8" + b"0" * 15, b"7" + b"f" * 15])
def test_sizes_that_overflow(rig: Rig, size):
    """Far less comes than was announced: at the latest the client's end shows that it is not whole."""
    with rig.client() as client:
        client.send(from_chunks(size + b"\r\nfoobar\r\n" + LAST), HIDDEN)
        client.finish()
        if raw := client.wire.rest()[0]:
            assert raw[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 413 "), raw
    rig.assert_untouched()


ENDLESS = [
    pytest.param(b"6;a=" + b"b" * MIB + b"\r\nfoobar\r\n" + LAST, id="extension value"),
    pytest.param(b'6;a="' + b"b" * MIB + b'"\r\nfoobar\r\n' + LAST, id="extension quoted"),
    pytest.param(b"6" + b";a" * (MIB // 2) + b"\r\nfoobar\r\n" + LAST, id="extensions"),
    pytest.param(b"0" * MIB + b"6\r\nfoobar\r\n" + LAST, id="zeros"),
    pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: " + b"1" * MIB + b"\r\n\r\n", id="trailer value"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n" + b"X" * MIB + b": 1\r\n\r\n", id="trailer name"),
    pytest.param(b"6\r\nfoobar\r\n0\r\n" + b"X-Sum: 1\r\n" * (MIB // 10) + b"\r\n", id="trailers"),
    pytest.param(b"6\r\nfoobar\r\n0;a=" + b"b" * MIB + b"\r\n\r\n", id="extension of the last"),
]


@REFUSALS
@series("encoded", ENDLESS)
def test_what_surrounds_the_data_is_bounded(rig: Rig, encoded):
    rig.assert_refused(from_chunks(encoded), "bad_framing", "head_too_large")


@REFUSALS
@series(
    "encoded",
    [
        pytest.param(b"6;a=" + b"b" * MIB, id="extension"),
        pytest.param(b"0" * MIB, id="zeros"),
        pytest.param(b"6\r\nfoobar\r\n0\r\nX-Sum: " + b"1" * MIB, id="trailer"),
        pytest.param(b"6\r\nfoobar\r\n0\r\n" + b"X-Sum: 1\r\n" * (MIB // 10), id="trailers"),
    ],
)
def test_lines_without_end_are_not_waited_for(rig: Rig, encoded):
    rig.assert_refused(from_chunks(encoded), "bad_framing", "head_too_large", hidden=False)


EITHER = [
    # RFC 9112 has recipients parse these, though nobody should send them: taken rightly, or refused
    pytest.param(from_chunks(chunked(b"foobar", 3, extension=b" ;a=b")), id="space before semicolon"),
    pytest.param(from_chunks(chunked(b"foobar", 3, extension=b"; a=b")), id="space after semicolon"),
    pytest.param(from_chunks(chunked(b"foobar", 3, extension=b";a = b")), id="space around equals"),
    pytest.param(head("PUT", "/x", "Content-Length: 006") + b"foobar", id="length with leading zeros"),
    pytest.param(b"\r\n" + put("/x", b"foobar"), id="empty line before the request"),
]


@REFUSALS
@series("request_", EITHER)
def test_taken_rightly_or_refused(rig: Rig, request_):
    with rig.client() as client:
        client.offer(request_)
        answer = client.answer()
    if answer.status == 200:
        seen = rig.stub.only()
        assert (seen.body, seen.length, seen.codings) == (b"foobar", "6", [])
    else:
        rig.assert_problem(answer, *BAD_HEAD)
        rig.assert_untouched()


# -- heads ------------------------------------------------------------------------------------------

METHOD = (*BAD_HEAD, "unknown_method")
HOST_LINE = b"Host: glance.example\r\n"

REFUSED_HEADS = [
    # the request line
    pytest.param(b"GET /x HTTP/2.0\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/2.0"),
    pytest.param(b"GET /x HTTP/1.10\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/1.10"),
    pytest.param(b"GET /x HTTP/1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/1"),
    pytest.param(b"GET /x HTTP/01.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/01.1"),
    pytest.param(b"GET /x HTTP/0.9\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/0.9"),
    pytest.param(b"GET /x http/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="http/1.1"),
    pytest.param(b"GET /x HTTP/1.1x\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/1.1x"),
    pytest.param(b"GET /x HTTP/1,1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/1,1"),
    pytest.param(b"GET /x HTTP/+1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTP/+1.1"),
    pytest.param(b"GET /x HTTPS/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="HTTPS/1.1"),
    pytest.param(b"GET /x RTSP/1.0\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="RTSP/1.0"),
    pytest.param(b"GET /x\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="no version"),
    pytest.param(b"GET HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="no target"),
    pytest.param(b"GET\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="method only"),
    pytest.param(b"GET  /x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="two spaces"),
    pytest.param(b"GET /x  HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="two spaces before version"),
    pytest.param(b"GET\t/x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="tab"),
    pytest.param(b"GET /x\tHTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="tab before version"),
    pytest.param(b"GET /x HTTP/1.1 \r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="space at the end"),
    pytest.param(b" GET /x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", METHOD, id="space first"),
    pytest.param(b"GET /x y HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="space in target"),
    pytest.param(b"GET /x\x00y HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="NUL in target"),
    pytest.param(b"GET /x\x01y HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="control in target"),
    pytest.param(b"GET /x\x7fy HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="DEL in target"),
    pytest.param(b"GET /x\xffy HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="byte 255 in target"),
    pytest.param(b"GET /x\xc3\xa9 HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="UTF-8 in target"),
    pytest.param(b"GET /x\ry HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="CR in target"),
    pytest.param(b"GET /x#y HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="fragment"),
    pytest.param(b"GET x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="target without slash"),
    pytest.param(
        b"GET glance.example:80 HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="authority as target"
    ),
    pytest.param(b"GET ?x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="query as target"),
    pytest.param(b"GET * HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="asterisk with GET"),
    pytest.param(b"G@T /x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", METHOD, id="method not a token"),
    pytest.param(b"G\x00T /x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", METHOD, id="NUL in method"),
    pytest.param(b"/x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", METHOD, id="no method"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", METHOD, id="HTTP/2 preface"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", METHOD, id="TLS hello"),
    pytest.param(
        b"PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\n" + get("/x"), METHOD, id="PROXY line nobody asked for"
    ),
    pytest.param(
        b"CONNECT glance.example:80 HTTP/1.1\r\n" + HOST_LINE + b"\r\n", ("unknown_method",), id="CONNECT"
    ),
    pytest.param(b"CONNECT /x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", METHOD, id="CONNECT with a path"),
    pytest.param(b"GET http:///x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="absolute without host"),
    pytest.param(
        b"GET http://user@a/x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="absolute with user"
    ),
    pytest.param(b"GET http:/x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="absolute with one slash"),
    pytest.param(b"GET ftp://a/x HTTP/1.1\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="absolute, other scheme"),
    # Host
    pytest.param(b"GET /x HTTP/1.1\r\n\r\n", BAD_HEAD, id="no Host"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE * 2 + b"\r\n", BAD_HEAD, id="two equal Hosts"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"Host: evil\r\n\r\n", BAD_HEAD, id="two Hosts"),
    pytest.param(b"GET /x HTTP/1.0\r\n" + HOST_LINE + b"Host: evil\r\n\r\n", BAD_HEAD, id="two Hosts on 1.0"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", BAD_HEAD, id="space in Host"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n", BAD_HEAD, id="list in Host"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD_HEAD, id="slash in Host"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: user@a\r\n\r\n", BAD_HEAD, id="user in Host"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a:b\r\n\r\n", BAD_HEAD, id="port of Host not a number"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD_HEAD, id="bracket left open in Host"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a\xff\r\n\r\n", BAD_HEAD, id="byte 255 in Host"),
    # header lines
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X\r\n\r\n", BAD_HEAD, id="no colon"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b": y\r\n\r\n", BAD_HEAD, id="no name"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X : y\r\n\r\n", BAD_HEAD, id="space before colon"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X\t: y\r\n\r\n", BAD_HEAD, id="tab before colon"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X Y: y\r\n\r\n", BAD_HEAD, id="space in name"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X(Y): y\r\n\r\n", BAD_HEAD, id="bracket in name"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X\xe9: y\r\n\r\n", BAD_HEAD, id="byte 233 in name"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X\x00: y\r\n\r\n", BAD_HEAD, id="NUL in name"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: y\x00z\r\n\r\n", BAD_HEAD, id="NUL in value"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: y\rZ: z\r\n\r\n", BAD_HEAD, id="CR in value"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: y\r\r\n\r\n", BAD_HEAD, id="CR CR LF"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: y\nZ: z\r\n\r\n", BAD_HEAD, id="LF ends a header"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: \x01\r\n\r\n", BAD_HEAD, id="control in value"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: \x7f\r\n\r\n", BAD_HEAD, id="DEL in value"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: y\r\n z\r\n\r\n", BAD_HEAD, id="folded"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X: y\r\n\tz\r\n\r\n", BAD_HEAD, id="folded by tab"),
    pytest.param(b"GET /x HTTP/1.1\r\n" + HOST_LINE + b"X:\r\n \r\n\r\n", BAD_HEAD, id="folded, blank"),
    pytest.param(b"GET /x HTTP/1.1\r\n X: y\r\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="first line folded"),
    pytest.param(b"GET /x HTTP/1.1\n" + HOST_LINE + b"\r\n", BAD_HEAD, id="LF after the request line"),
    pytest.param(b"GET /x HTTP/1.1\r" + HOST_LINE + b"\r\n", BAD_HEAD, id="CR after the request line"),
    pytest.param(b"GET /x HTTP/1.1\nHost: a\n\n", BAD_HEAD, id="LF only"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a\r\n\n", BAD_HEAD, id="LF ends the head"),
    pytest.param(
        b"PUT /x HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 6\r\n\nfoobar",
        BAD_HEAD,
        id="LF ends the head, then a body",
    ),
]


@REFUSALS
@series("delivery", ["whole", "bytes"])
@series(("request_", "codes"), REFUSED_HEADS)
def test_refused_heads(rig: Rig, request_, codes, delivery):
    rig.assert_refused(split(request_, delivery), *codes)


LARGE_HEADS = [
    pytest.param(get("/" + "x" * 65 * KIB), id="target"),
    pytest.param(get("/x", "X: " + "y" * 65 * KIB), id="value"),
    pytest.param(get("/x", "X" * 65 * KIB + ": y"), id="name"),
    pytest.param(get("/x", *["X: y"] * 12_000), id="many lines"),
    pytest.param(b"GET /" + b"x" * 128 * KIB, id="request line without end"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 128 * KIB, id="header without end"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 24_000, id="head without end"),
    pytest.param(get("/x", "X: " + "y" * 2 * MIB), id="value of 2 MiB"),
    pytest.param(put("/x", b"foobar", "X: " + "y" * 65 * KIB), id="before a body"),
]


@REFUSALS
@series("request_", LARGE_HEADS)
def test_head_over_the_limit(rig: Rig, request_):
    rig.assert_refused(request_, "head_too_large")


@REFUSALS
def test_method_without_end(rig: Rig):
    rig.assert_refused(b"G" * 128 * KIB, "head_too_large", *METHOD)


@series(
    "request_",
    [
        pytest.param(get("/x", "X: " + "y" * 60 * KIB), id="value"),
        pytest.param(get("/x?" + "x" * 24 * KIB), id="target"),
    ],
)
def test_head_below_the_limit(rig: Rig, request_):
    assert rig.ask(request_).status == 200
    seen = rig.stub.only()
    assert seen.target == request_.split(b" ")[1].decode()
    assert seen.joined("X") == ("y" * 60 * KIB if b"X: y" in request_ else None)


@series("method", ["GET", "OPTIONS", "PROPFIND", "get", "X-!#$%&'*+.^_`|~9"])
def test_methods_arrive_unaltered_or_not_at_all(rig: Rig, method):
    with rig.client() as client:
        client.send(head(method, "/x"))
        answer = client.answer()
    if answer.status == 200:
        assert rig.stub.only().method == method
    else:
        assert method not in ("GET", "OPTIONS")
        rig.assert_problem(answer, "unknown_method")
        rig.assert_untouched()


def test_http_1_0_without_host(rig: Rig):
    with rig.client() as client:
        client.send(head("GET", "/x", host=None, version="1.0"))
        assert client.answer().status == 200
        assert client.ending() == "fin"
    seen = rig.stub.only()
    assert seen.target == "/x"
    if rig.protocol == "http":  # HTTP/1.1 goes up, and that has a Host
        assert len(seen.all("Host")) == 1


# -- several requests on a connection ----------------------------------------------------------------


@only("http-tcp", "uwsgi-unix")
@series("delivery", ["whole", "bytes", "thirds"])
@series(
    "requests",
    [
        pytest.param([put_chunked("/1", chunked(b"foobar")), get("/2")], id="chunked PUT, GET"),
        pytest.param([put("/1", b"foobar"), get("/2")], id="PUT, GET"),
        pytest.param([get("/1"), get("/2"), get("/3")], id="three GETs"),
        pytest.param(
            [put_chunked("/1", LAST), put_chunked("/2", chunked(b"foo", 1)), put("/3", b"bar"), get("/4")],
            id="three PUTs, GET",
        ),
        pytest.param(
            [put_chunked("/1", chunked(b"foobar", trailers=b"X-Sum: 1\r\n")), get("/2")], id="trailer, GET"
        ),
        pytest.param(
            [put_chunked("/1", chunked(bytes(MIB))), get("/2"), put_chunked("/3", chunked(bytes(MIB)))],
            id="large PUT, GET, large PUT",
        ),
    ],
)
def test_pipelined_requests_are_answered_in_order(rig: Rig, requests, delivery):
    whole = b"".join(requests)
    slow = len(whole) > MIB and delivery == "bytes"
    with rig.client() as client:
        client.send(*split(whole, "thirds" if slow else delivery))
        for number, request in enumerate(requests, 1):
            answer = client.answer()
            assert answer.status == 200
            assert answer.body == b"%b /%d" % (request.split(b" ", 1)[0], number)
    assert [seen.target for seen in rig.stub.requests] == [f"/{n}" for n in range(1, len(requests) + 1)]
    assert all(seen.complete for seen in rig.stub.requests)


def test_pipelined_answers_are_not_mixed(rig: Rig, gate):
    rig.stub.on("/slow", replies.held(gate, replies.chunked_answer([b"slow", b" answer"])))
    with rig.client() as client:
        client.send(put_chunked("/slow", chunked(b"foobar")), get("/fast"))
        rig.stub.wait_requests(1)
        gate.set()
        assert client.answer().body == b"slow answer"
        assert client.answer().body == b"GET /fast"


def test_good_request_before_a_bad_one_is_served(rig: Rig):
    with rig.client() as client:
        client.send(
            put_chunked("/good", chunked(b"foobar")), from_chunks(b"0x6\r\nfoobar\r\n" + LAST), HIDDEN
        )
        assert client.answer().status == 200
        rig.assert_problem(client.answer(), "bad_framing")
        assert client.wire.rest() == (b"", "fin")
    assert rig.stub.only().target == "/good"


@series("after", [b"6\r\nfoobar\r\n", b"6\r\nfoobar\r\n" * 2 + LAST, b"\r\n6\r\nfoobar\r\n"])
def test_chunks_behind_the_last_are_no_part_of_the_body(rig: Rig, after):
    with rig.client() as client:
        client.send(from_chunks(chunked(b"foobar" * 3, 6)) + after + HIDDEN)
        assert client.answer().status == 200
        rig.assert_problem(client.answer(), *BAD_HEAD)
        assert client.wire.rest() == (b"", "fin")
    assert rig.stub.only().body == b"foobar" * 3


@series(
    "smuggled",
    [
        pytest.param(put("/x", b"foobar" + HIDDEN)[: -len(HIDDEN)], id="length too long by a request"),
        pytest.param(
            from_chunks(chunk(b"foobar" + HIDDEN)[: -len(HIDDEN) - 2]), id="chunk too long by a request"
        ),
    ],
)
def test_request_behind_a_body_too_short_is_part_of_it(rig: Rig, smuggled):
    with rig.client() as client:
        client.send(smuggled, HIDDEN, LAST if b"chunked" in smuggled else b"")
        if b"chunked" in smuggled:
            rig.assert_problem(client.answer(), "bad_framing")  # no CRLF after the data
            client.close()
            rig.assert_untouched()
        else:
            assert client.answer().status == 200
            assert rig.stub.only().body == b"foobar" + HIDDEN
