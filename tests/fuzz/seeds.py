"""What fuzzing begins with: the payloads of the smuggling tests, answers of all forms, headers of proxies."""

from collections.abc import Mapping, Sequence

from shim.wire.chunked import ALIKE, LAST_CHUNK
from shim.wire.proxy_protocol import SIGNATURE
from tests.integration.payloads import PAYLOADS

ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 199 Hm\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
)
PROXY_HEADERS = (
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\nGET /",
    b"PROXY TCP6 2001:db8::1 ::1 80 443\r\n",
    b"PROXY UNKNOWN\r\n",
    SIGNATURE + b"\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x02\x00\x50\x01\xbbGET",
    SIGNATURE + b"\x21\x21\x00\x24" + bytes(36),
    SIGNATURE + b"\x20\x00\x00\x00",
    SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
)
HOPS = (
    b"\x00192.0.2.1, 10.0.0.2, [2001:db8::1]:80",
    b'\x01for="[2001:db8::1]:4711";proto=https;host="a:80", for=unknown;by=_x',
    b"\x02https\n\x03glance.example:443\n\x04/image",
)
CONTEXTS = (
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nvendor=1,t@v=x;y:z/~!",
    b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more\n" + b"a=" + b"v" * 257,
)
# So many of one size that they are taken together.
MANY_CHUNKS = b"1\r\nx\r\n" * (ALIKE + 20) + LAST_CHUNK
PIECES = b"\x06"
"""The first byte: pieces of seven bytes."""


def seeds() -> Mapping[str, Sequence[bytes]]:
    """By target."""
    payloads = [payload.data for payload in PAYLOADS if len(payload.data) < 2000]
    bodies = [data.partition(b"\r\n\r\n")[2] for data in payloads if b"ransfer-Encoding: chunked" in data]
    by_target = {
        "requests": payloads,
        "answers": ANSWERS,
        "chunks": [*bodies, MANY_CHUNKS],
        "head": payloads,
        "proxy_header": PROXY_HEADERS,
    }
    whole = {"hops": HOPS, "trace_context": CONTEXTS}
    return {name: [PIECES + data for data in given] for name, given in by_target.items()} | whole
