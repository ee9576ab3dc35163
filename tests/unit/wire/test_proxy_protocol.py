"""PROXY headers in both versions: what is taken, what is refused, and that what follows is left alone."""

import struct

import pytest

from shim.wire.proxy_protocol import MOST_V1, SIGNATURE, BadProxyHeader, ProxyHeader, ProxyHeaderReader
from tests.support.series import series

NOBODY = ProxyHeader()
FROM_V4 = ProxyHeader(("203.0.113.9", 51234), ("10.0.0.5", 443))
FROM_V6 = ProxyHeader(("2001:db8::9", 51234), ("2001:db8::5", 443))
V4 = bytes([203, 0, 113, 9, 10, 0, 0, 5]) + struct.pack(">HH", 51234, 443)
V6 = bytes.fromhex("20010db800000000000000000000000920010db8000000000000000000000005") + V4[-4:]
TLV = b"\x04\x00\x03abc"


def v2(command: int, family: int, content: bytes = b"", size: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(content) if size is None else size) + content


GOOD = [
    pytest.param(b"PROXY TCP4 203.0.113.9 10.0.0.5 51234 443\r\n", FROM_V4, id="v1"),
    pytest.param(b"PROXY TCP6 2001:db8::9 2001:DB8::5 51234 443\r\n", FROM_V6, id="v1, IPv6"),
    pytest.param(
        b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:10.0.0.5 51234 443\r\n", FROM_V4, id="v1, IPv4 in IPv6"
    ),
    pytest.param(b"PROXY UNKNOWN\r\n", NOBODY, id="v1, unknown"),
    pytest.param(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", NOBODY, id="v1, unknown, with what is ignored"),
    pytest.param(
        b"PROXY TCP6 " + b" ".join(2 * [b":".join(8 * [b"ffff"])] + 2 * [b"65535"]) + b"\r\n",
        ProxyHeader(*2 * [(":".join(8 * ["ffff"]), 65535)]),
        id="v1, as long as addresses get",
    ),
    pytest.param(b"PROXY UNKNOWN " + b"x" * (MOST_V1 - 16) + b"\r\n", NOBODY, id="v1, as long as it may be"),
    pytest.param(v2(0x21, 0x11, V4), FROM_V4, id="v2"),
    pytest.param(v2(0x21, 0x21, V6), FROM_V6, id="v2, IPv6"),
    pytest.param(v2(0x21, 0x11, V4 + TLV), FROM_V4, id="v2, with more"),
    pytest.param(v2(0x21, 0x11, V4 + bytes(65535 - len(V4))), FROM_V4, id="v2, as long as it may be"),
    pytest.param(v2(0x20, 0x00), NOBODY, id="v2, local"),
    pytest.param(v2(0x20, 0x11, V4), NOBODY, id="v2, local with addresses"),
    pytest.param(v2(0x20, 0xFF, b"x"), NOBODY, id="v2, local with anything"),
    pytest.param(v2(0x21, 0x00), NOBODY, id="v2, unspecified"),
    pytest.param(v2(0x21, 0x31, bytes(216)), NOBODY, id="v2, a unix socket"),
]


@series("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 6.6.6.6 6.6.6.6 6 6\r\n", SIGNATURE])
@series(("data", "header"), GOOD)
def test_a_header(data, header, rest):
    reader = ProxyHeaderReader()
    assert reader.feed(data + rest) == header
    assert reader.take_rest() == rest


@series(("data", "header"), GOOD)
def test_a_header_byte_by_byte(data, header):
    reader = ProxyHeaderReader()
    for place in range(len(data) - 1):
        assert reader.feed(data[place : place + 1]) is None
    assert reader.feed(data[-1:]) == header
    assert reader.take_rest() == b""


BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXX",
    b"\r\n\r\nGET",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
    b"PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
    b"PROXY TCP4 1.2.3.4\t1.2.3.4 1 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n",
    b"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY TCP6 fe80::1%lo fe80::1 1 1\r\n",
    b"PROXY TCP6 ::1::2 ::1 1 1\r\n",
    b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN a\x00b\r\n",
    b"PROXY UNKNOWN a\nb\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"x" * (MOST_V1 - 15) + b"\r\n",
    b"PROXY " + b"x" * MOST_V1,
    v2(0x11, 0x11, V4),
    v2(0x22, 0x11, V4),
    v2(0x21, 0x12, V4),
    v2(0x21, 0x22, V6),
    v2(0x21, 0x11, V4[:-1]),
    v2(0x21, 0x21, V6[:-1]),
    v2(0x21, 0x31, bytes(215)),
    # Refused before its content is there.
    v2(0x21, 0x11, b"", size=11),
    v2(0x21, 0x41, b"", size=65535),
]


def feed_all(reader: ProxyHeaderReader, pieces: list[bytes]) -> None:
    for piece in pieces:
        assert reader.feed(piece) is None


@pytest.mark.parametrize("pieces", [1, 1000], ids=["bytes", "whole"])
@series("data", BAD)
def test_what_is_no_header_is_refused(data, pieces):
    with pytest.raises(BadProxyHeader) as refused:
        feed_all(ProxyHeaderReader(), [data[start : start + pieces] for start in range(0, len(data), pieces)])
    # The text goes into the log: nothing of what a client sent does.
    assert str(refused.value).isprintable()
