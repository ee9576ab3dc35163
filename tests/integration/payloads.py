"""Requests that parsers are known to read differently, each with what must come of it.

The kinds are those that http-garden, llhttp's fixtures and PortSwigger's articles tell of. ``S`` in a target
stands for the server that the request is meant for; behind each comes a proper last request (``LAST``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

LAST = "/S/last"
BODY = b"hello"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
HIDDEN = b"GET /S/hidden HTTP/1.1\r\nHost: a\r\n\r\n"
# As a body it leads nowhere, so that its length is the same for all servers.
INSIDE = HIDDEN.replace(b"/S/", b"/T/")


@dataclass(frozen=True)
class Request:
    """One that is forwarded."""

    method: str = "GET"
    target: str = "/S/x"
    body: bytes = b""


@dataclass(frozen=True)
class Payload:
    """Bytes of a client.

    Attributes:
        expected: What is forwarded, in order; a status: that refusal, after which nothing is read any more.
        dropped: Servers that refuse it in their turn, so that no application sees it.
    """

    name: str
    data: bytes
    expected: tuple[Request | int, ...]
    dropped: tuple[str, ...] = ()


def head(*lines: bytes, start: bytes = b"PUT /S/x HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A head, whose lines end properly."""
    return b"\r\n".join([start, *([host] if host else []), *lines]) + b"\r\n\r\n"


def forwarded(name: str, data: bytes, *requests: Request, dropped: tuple[str, ...] = ()) -> Payload:
    """A payload that is taken, and the last request after it."""
    return Payload(name, data, (*requests, Request(target=LAST)), dropped)


def refused(name: str, data: bytes, status: int = 400, *before: Request) -> Payload:
    """A payload that is refused; nothing behind it is served."""
    return Payload(name, data, (*before, status))


PUT = Request("PUT", body=BODY)
EMPTY = Request("PUT")


def _codings() -> Iterator[Payload]:
    """Transfer-Encoding, with and without a length beside it."""
    for line in (b"chunked", b"ChunKed", b"\tchunked\t ", b"chunked"):
        yield forwarded(f"TE {line!r}", head(b"Transfer-Encoding:" + line) + CHUNKS, PUT)
    yield forwarded("TE name in any case", head(b"tRANSFER-eNCODING: chunked") + CHUNKS, PUT)
    for value in (b"", b",chunked", b"chunked,", b"chunked, chunked", b"\xa0chunked", b"\x0bchunked"):
        yield refused(f"TE {value!r}", head(b"Transfer-Encoding: " + value) + CHUNKS)
    for value in (b"chunked\x00", b"chunked\x0c", b'"chunked"', b"chunked;q=1", b"chunked 0", b"ch\xb5nked"):
        yield refused(f"TE {value!r}", head(b"Transfer-Encoding: " + value) + CHUNKS)
    for value in (b"identity", b"xchunked", b"gzip, chunked", b"chunked, identity", b"x-chunked"):
        yield refused(f"TE {value!r}", head(b"Transfer-Encoding: " + value) + CHUNKS, 501)
    for second in (b"chunked", b"identity", b"x", b""):
        lines = (b"Transfer-Encoding: chunked", b"Transfer-Encoding: " + second)
        yield refused(f"TE twice, {second!r}", head(*lines) + CHUNKS)
        yield refused(f"TE twice, {second!r} first", head(*reversed(lines)) + CHUNKS)
    for size in (b"0", b"4", b"5", b"15", b"60"):
        length = b"Content-Length: " + size
        yield refused(f"CL {size!r}, then TE", head(length, b"Transfer-Encoding: chunked") + CHUNKS + HIDDEN)
        yield refused(f"TE, then CL {size!r}", head(b"Transfer-Encoding: chunked", length) + CHUNKS + HIDDEN)
    for coding in (b"identity", b"x"):
        both = head(b"Content-Length: 5", b"Transfer-Encoding: " + coding)
        yield refused(f"CL, then TE {coding!r}", both + BODY)
    for name in (
        b"Transfer-Encoding ",
        b"Transfer-Encoding\t",
        b" Transfer-Encoding",
        b"Transfer-Encoding\x00",
    ):
        yield refused(f"name {name!r}", head(name + b": chunked") + CHUNKS)
        yield refused(f"name {name!r} after CL", head(b"Content-Length: 5", name + b": chunked") + BODY)
    for name in (b"Transfer\rEncoding", b"Transfer\xadEncoding", b"Transfer Encoding", b"Transfer-Encoding:"):
        yield refused(f"name {name!r}", head(b"Content-Length: 5", name + b": chunked") + BODY)
    yield refused("TE on HTTP/1.0", head(b"Transfer-Encoding: chunked", start=b"PUT /S/x HTTP/1.0") + CHUNKS)
    yield refused("TE folded", head(b"Transfer-Encoding:\r\n chunked") + CHUNKS)
    yield refused("TE in a fold", head(b"X: a\r\n\tTransfer-Encoding: chunked", b"Content-Length: 5") + BODY)
    yield refused("TE after LF", head(b"X: a\nTransfer-Encoding: chunked", b"Content-Length: 5") + BODY)
    yield refused("TE after CR", head(b"X: a\rTransfer-Encoding: chunked", b"Content-Length: 5") + BODY)
    # With "_" it is another field, and not passed on: then these chunks are no body, and no request either.
    yield refused("Transfer_Encoding", head(b"Transfer_Encoding: chunked") + CHUNKS, 400, EMPTY)
    yield forwarded(
        "Transfer_Encoding and CL", head(b"Transfer_Encoding: chunked", b"Content-Length: 5") + BODY, PUT
    )
    yield forwarded(
        "X-Transfer-Encoding", head(b"X-Transfer-Encoding: chunked", b"Content-Length: 5") + BODY, PUT
    )
    yield forwarded(
        "TE named in Connection",
        head(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked") + CHUNKS,
        PUT,
    )
    yield forwarded("TE: chunked", head(b"TE: chunked", b"Content-Length: 5") + BODY, PUT)


def _lengths() -> Iterator[Payload]:
    """Content-Length."""
    for value in (b"5", b" 5", b"5 ", b"\t5\t", b"05", b"0005"):
        yield forwarded(f"CL {value!r}", head(b"Content-Length:" + value) + BODY, PUT)
    for value in (
        b"",
        b"+5",
        b"-5",
        b"-0",
        b"5 5",
        b"5,5",
        b"5, 5",
        b"5,",
        b"0x5",
        b"5_0",
        b"5.0",
        b"5e0",
        b"5h",
    ):
        yield refused(f"CL {value!r}", head(b"Content-Length: " + value) + BODY + HIDDEN)
    for value in (
        b"5\x00",
        b"\x0b5",
        b"5\x0c",
        b"\xa05",
        b"\xd9\xa5",
        b"'5'",
        b"9" * 30,
        b"18446744073709551621",
    ):
        yield refused(f"CL {value!r}", head(b"Content-Length: " + value) + BODY + HIDDEN)
    for second in (b"5", b"0", b"50", b""):
        lines = (b"Content-Length: 5", b"Content-Length: " + second)
        yield refused(f"CL twice, {second!r}", head(*lines) + BODY + HIDDEN)
        yield refused(f"CL twice, {second!r} first", head(*reversed(lines)) + BODY + HIDDEN)
    for name in (b"Content-Length ", b"Content-Length\x0b", b"Content Length", b"\x00Content-Length"):
        yield refused(f"name {name!r}", head(name + b": 5") + BODY + HIDDEN)
    yield refused("CL folded", head(b"Content-Length: 1\r\n 0") + BODY + BODY)
    yield refused("Content_Length", head(b"Content_Length: 5") + BODY + b"\r\n\r\n", 400, EMPTY)
    yield forwarded("Content_Length and CL", head(b"Content_Length: 0", b"Content-Length: 5") + BODY, PUT)
    yield forwarded(
        "CL named in Connection", head(b"Connection: content-length", b"Content-Length: 5") + BODY, PUT
    )
    yield forwarded(
        "CL 0 and a request", head(b"Content-Length: 0") + HIDDEN, EMPTY, Request(target="/S/hidden")
    )
    inside = head(b"Content-Length: %d" % len(INSIDE)) + INSIDE
    yield forwarded("a request as body", inside, Request("PUT", body=INSIDE))
    # The body never comes to its end, though all that follows was taken for a part of it.
    yield refused("CL beyond all", head(b"Content-Length: 1000") + BODY + HIDDEN, 408)


def _chunks() -> Iterator[Payload]:
    """What stands in a chunked body."""
    coded = head(b"Transfer-Encoding: chunked")
    for line in (
        b"05",
        b"0000000000000005",
        b"5;a",
        b"5;a=b",
        b'5;a="b;c"',
        b'5;a="\\"\\\\"',
        b"5 ;a",
        b"5\t; a = b",
    ):
        yield forwarded(f"chunk line {line!r}", coded + line + b"\r\nhello\r\n0\r\n\r\n", PUT)
    for line in (
        b"",
        b"+5",
        b"-5",
        b" 5",
        b"5 ",
        b"\t5",
        b"0x5",
        b"5_0",
        b"5h",
        b"5.",
        b"5,",
        b"\x005",
        b"5\x00",
    ):
        yield refused(f"chunk line {line!r}", coded + line + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN)
    for line in (
        b"5;",
        b"5;;a",
        b"5;a=",
        b'5;a="b',
        b"5;a\x00",
        b"5;a\rb",
        b"5;a\nb",
        b"5 a",
        b"00000000000000005",
    ):
        yield refused(f"chunk line {line!r}", coded + line + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN)
    for size in (b"10000000000000005", b"5" * 17, b"-1", b"%d" % (1 << 70)):
        yield refused(f"chunk size {size!r}", coded + size + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN)
    # Larger than any body may be: not malformed, but too large.
    yield refused("chunk size of 64 bits", coded + b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n" + HIDDEN, 408)
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"X\r\n", b""):
        yield refused(f"after a chunk {end!r}", coded + b"5\r\nhello" + end + b"0\r\n\r\n" + HIDDEN)
        if end:
            yield refused(f"after a size {end!r}", coded + b"5" + end + b"hello\r\n0\r\n\r\n" + HIDDEN)
    for end in (
        b"0\n\n",
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\r\n\r\n",
        b"0\r\n \r\n",
        b"0\r\n\x00\r\n\r\n",
        b"-0\r\n\r\n",
    ):
        yield refused(f"the end {end!r}", coded + b"5\r\nhello\r\n" + end + HIDDEN)
    for end in (
        b"0\r\n\r\n",
        b"000\r\n\r\n",
        b"0;a=b\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"0\r\nContent-Length: 50\r\n\r\n",
    ):
        yield forwarded(f"the end {end!r}", coded + b"5\r\nhello\r\n" + end, PUT)
    for trailer in (
        b"X : y",
        b": y",
        b"X",
        b" X: y",
        b"X: a\nY: b",
        b"X: a\r b",
        b"X: \x00",
        b"X: a\r\n folded",
    ):
        yield refused(f"trailer {trailer!r}", coded + b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n" + HIDDEN)
    trailers = b"Transfer-Encoding: chunked\r\nHost: b\r\nX-A: 1\r\n"
    yield forwarded("trailers that would be fields", coded + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n", PUT)
    yield refused("no end of the trailers", coded + b"5\r\nhello\r\n0\r\n" + HIDDEN)
    yield forwarded("an empty body", coded + b"0\r\n\r\n", EMPTY)
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INSIDE), INSIDE)
    yield forwarded("a request as a chunk", coded + chunk, Request("PUT", body=INSIDE))
    get = head(b"Transfer-Encoding: chunked", start=b"GET /S/x HTTP/1.1") + CHUNKS
    yield forwarded("GET with chunks", get, Request(body=BODY))
    both = coded + CHUNKS + head(b"Content-Length: 5") + BODY + HIDDEN
    yield forwarded("three in a row", both, PUT, PUT, Request(target="/S/hidden"))


def _lines() -> Iterator[Payload]:
    """The request line, and how lines end."""
    for target in (
        "/S/x?y?z",
        "/S//x",
        "/S/x/../y",
        "/S/x%2Fy",
        "/S/x%0d%0aX:%20y",
        "/S/x\\y",
        '/S/"',
        "/S/x?",
        "/S/{|}^`",
    ):
        yield forwarded(
            f"target {target}", head(start=f"GET {target} HTTP/1.1".encode()), Request(target=target)
        )
    for target in (
        b"x",
        b"",
        b"/S/\x00",
        b"/S/x#y",
        b"/S/\x80",
        b"/S/x y",
        b"/S/\t",
        b"*",
        b"a:80",
        b"http://",
        b"ftp://a/S/x",
    ):
        yield refused(f"target {target!r}", head(start=b"GET %b HTTP/1.1" % target) + HIDDEN)
    for target in (b"http://a@b/S/x", b"http://a b/S/x", b"http://a:b:c/S/x", b"http://a\\@b/S/x"):
        yield refused(f"target {target!r}", head(start=b"GET %b HTTP/1.1" % target) + HIDDEN)
    yield forwarded("absolute form", head(start=b"GET http://b/S/x HTTP/1.1"), Request())
    for version in (
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"http/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1,1",
        b"HTTP/11",
        b"ICY/1.1",
    ):
        yield refused(f"version {version!r}", head(start=b"GET /S/x " + version) + HIDDEN)
    yield refused("HTTP/0.9", b"GET /S/x\r\n\r\n" + HIDDEN)
    for start in (
        b" GET /S/x HTTP/1.1",
        b"GET  /S/x HTTP/1.1",
        b"GET\t/S/x HTTP/1.1",
        b"GET /S/x  HTTP/1.1",
        b"\x00GET /S/x HTTP/1.1",
    ):
        yield refused(f"line {start!r}", head(start=start) + HIDDEN)
    for method in (b"G@T", b"GET:", b"G\xe9T", b"(GET)", b'"GET"', b"G\x0bT"):
        yield refused(f"method {method!r}", head(start=b"%b /S/x HTTP/1.1" % method) + HIDDEN)
    yield refused("CONNECT", head(start=b"CONNECT a:80 HTTP/1.1") + HIDDEN, 501)
    yield refused("CONNECT with a path", head(start=b"CONNECT /S/x HTTP/1.1") + HIDDEN, 501)
    for method in ("get", "PATCH", "M-SEARCH", "PRI", "GETX", "%"):
        dropped = ("gunicorn",) if method in ("get", "%") else ()
        yield forwarded(
            f"method {method}",
            head(start=f"{method} /S/x HTTP/1.1".encode()),
            Request(method),
            dropped=dropped,
        )
    yield forwarded("an empty line first", b"\r\n" + head(start=b"GET /S/x HTTP/1.1"), Request())
    yield refused("two empty lines first", b"\r\n\r\n" + HIDDEN)
    yield refused("LF first", b"\n" + HIDDEN)
    whole = b"GET /S/x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    for place in (b"HTTP/1.1\r\n", b"a\r\n", b"y\r\n", b"\r\n\r\n"):
        yield refused(
            f"LF for CRLF after {place!r}", whole.replace(place, place.replace(b"\r\n", b"\n")) + HIDDEN
        )
        yield refused(
            f"CR for CRLF after {place!r}", whole.replace(place, place.replace(b"\r\n", b"\r")) + HIDDEN
        )
        yield refused(
            f"CR CR LF after {place!r}", whole.replace(place, place.replace(b"\r\n", b"\r\r\n")) + HIDDEN
        )
    yield Payload("HTTP/1.0 ends its connection", head(start=b"GET /S/x HTTP/1.0") + HIDDEN, (Request(),))
    ten = head(b"Connection: keep-alive", start=b"GET /S/x HTTP/1.0") + HIDDEN
    yield Payload("HTTP/1.0 with keep-alive too", ten, (Request(),))
    yield Payload("close", head(b"Connection: x, CLOSE", start=b"GET /S/x HTTP/1.1") + HIDDEN, (Request(),))


def _fields() -> Iterator[Payload]:
    """Fields: names, values, Host."""
    get = b"GET /S/x HTTP/1.1"
    for line in (
        b"X : y",
        b"X\t: y",
        b": y",
        b"X",
        b"X\x00: y",
        b"X(a): y",
        b"X/a: y",
        b"X\xe9: y",
        b"X@a: y",
        b"{X}: y",
        b'"X": y',
    ):
        yield refused(f"line {line!r}", head(line, start=get) + HIDDEN)
    for value in (b"a\x00b", b"a\x0bb", b"a\x7fb", b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb", b"\x08"):
        yield refused(f"value {value!r}", head(b"X: " + value, start=get) + HIDDEN)
    yield refused("a folded first line", b"GET /S/x HTTP/1.1\r\n Host: a\r\n\r\n" + HIDDEN)
    for host in (
        b"",
        b"Host: a\r\nHost: a",
        b"Host: a\r\nHost: b",
        b"Host: a\r\nhost: a",
        b"Host : a",
        b"Host: a b",
        b"Host: a@b",
        b"Host: a/b",
    ):
        yield refused(f"host {host!r}", head(start=get, host=host) + HIDDEN)
    for host in (
        b"Host: a, b",
        b"Host: a\\b",
        b"Host: a:b",
        b"Host: a#b",
        b"Host: a?b",
        b"Host: [::1",
        b"Host: \xe9",
    ):
        yield refused(f"host {host!r}", head(start=get, host=host) + HIDDEN)
    yield refused(
        "two hosts beside an absolute form", head(b"Host: b", start=b"GET http://c/S/x HTTP/1.1") + HIDDEN
    )
    for line in (
        b"X-A: a\r\nX-A: b",
        b"X-A: \xff",
        b"X-A:",
        b"!#$%&'*+.^`|~: y",
    ):
        yield forwarded(f"line {line[:40]!r}", head(line, start=get), Request())
    for line in (
        b"X_A: y",
        b"Proxy: y",
        b"Host_: y",
        b"Connection: host, x-a\r\nX-A: 1",
        b"Upgrade: h2c\r\nConnection: upgrade",
    ):
        yield forwarded(f"line {line!r}", head(line, start=get), Request())
    long = head(b"X: " + b"y" * 20_000, start=get)
    yield forwarded("a long field", long, Request(), dropped=("gunicorn", "apache"))
    many = [b"X-Many-%d: y" % number for number in range(90)]
    yield forwarded("90 fields", head(*many, start=get), Request())
    yield forwarded(
        "a field that holds a request", head(b"X-A: GET /S/hidden HTTP/1.1", start=get), Request()
    )
    yield forwarded("Expect met", head(b"Content-Length: 5", b"Expect: 100-continue") + BODY, PUT)
    yield refused("Expect unknown", head(b"Content-Length: 5", b"Expect: x") + BODY, 417)
    yield refused("a huge head", head(b"X: " + b"y" * 70_000, start=get), 431)


PAYLOADS = [*_codings(), *_lengths(), *_chunks(), *_lines(), *_fields()]
