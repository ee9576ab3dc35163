"""The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before its first byte.

Read as HAProxy's ``proxy-protocol.txt`` has it, and strictly: whoever may write this header chooses the
address that logs and limits go by, so what is not exactly in its grammar is refused.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias

from shim.wire.hops import unmapped

# 107 bytes with the CRLF: two IPv6 addresses and two ports, each as long as they get (section 2.1).
MOST_V1 = 107
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_START = b"PROXY "
_V2_FIXED = len(SIGNATURE) + 4

_V1_LINE = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
)
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?")

_LOCAL, _PROXY = 0x20, 0x21
# Family and transport to bytes of one address; a datagram has no place on a stream.
_V2_ADDRESSES = {0x11: 4, 0x21: 16}
_V2_UNKNOWN = {0x00: 0, 0x31: 216}

Place: TypeAlias = tuple[str, int]
"""An IP address and a port."""


class BadProxyHeader(Exception):
    """The connection does not begin with a PROXY header; the text says how, without the client's bytes."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who connected to whom, as the sender saw it.

    Attributes:
        client: Address and port, or None where the connection is the sender's own (LOCAL, UNKNOWN).
        server: What the client connected to; None together with ``client``.
    """

    client: Place | None = None
    server: Place | None = None


class ProxyHeaderReader:
    """Gathers one header from pieces; holds no more than the header may have."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Add a piece; gives the header once it is whole. What follows it is kept: ``take_rest``.

        Raises:
            BadProxyHeader: It is none, as soon as that can be seen.
        """
        self._data += data
        if _begins(self._data, SIGNATURE):
            return self._read_v2()
        if _begins(self._data, _V1_START):
            return self._read_v1()
        raise BadProxyHeader("it begins with no PROXY header")

    def take_rest(self) -> bytes:
        """The bytes after the header: they are the client's."""
        rest = bytes(self._data)
        self._data.clear()
        return rest

    def _read_v1(self) -> ProxyHeader | None:
        end = self._data.find(b"\r\n", 0, MOST_V1)
        if end < 0:
            if len(self._data) >= MOST_V1:
                raise BadProxyHeader(f"its PROXY line has no end within {MOST_V1} bytes")
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 2]
        return _parse_v1(line)

    def _read_v2(self) -> ProxyHeader | None:
        if len(self._data) < _V2_FIXED:
            return None
        # The length is 16 bits, so that no sender makes this hold more than 64 KiB.
        size = int.from_bytes(self._data[14:16], "big")
        _check_v2(self._data[12], self._data[13], size)
        if len(self._data) < _V2_FIXED + size:
            return None
        command, family = self._data[12], self._data[13]
        content = bytes(self._data[_V2_FIXED : _V2_FIXED + size])
        del self._data[: _V2_FIXED + size]
        return _parse_v2(command, family, content)


def _begins(data: bytearray, start: bytes) -> bool:
    """Whether ``data`` begins like ``start``, as far as it has come."""
    return data[: len(start)] == start[: len(data)]


def _parse_v1(line: bytes) -> ProxyHeader:
    if _V1_UNKNOWN.fullmatch(line):
        # "The receiver must ignore anything presented before the CRLF" (section 2.1).
        return ProxyHeader()
    match = _V1_LINE.fullmatch(line)
    if match is None:
        raise BadProxyHeader("its PROXY line is malformed")
    kind = ipaddress.IPv4Address if match[1] == b"TCP4" else ipaddress.IPv6Address
    places = []
    for address, port in ((match[2], match[4]), (match[3], match[5])):
        try:
            ip = kind(address.decode("ascii"))
        except ValueError:
            raise BadProxyHeader("its PROXY line names no valid address") from None
        if int(port) > 0xFFFF:  # noqa: PLR2004 - 16 bits
            raise BadProxyHeader("its PROXY line names no valid port")
        places.append((str(unmapped(ip)), int(port)))
    return ProxyHeader(*places)


def _check_v2(command: int, family: int, size: int) -> None:
    """Refuse what cannot be right before its content is waited for."""
    if command not in (_LOCAL, _PROXY):
        raise BadProxyHeader("its PROXY header has an unknown version or command")
    # A LOCAL one is the sender's own, whatever its family says (section 2.2).
    if command == _LOCAL:
        return
    if family in _V2_ADDRESSES:
        least = 2 * _V2_ADDRESSES[family] + 4
    elif family in _V2_UNKNOWN:
        least = _V2_UNKNOWN[family]
    else:
        raise BadProxyHeader("its PROXY header is of an unknown family, or of datagrams")
    if size < least:
        raise BadProxyHeader("its PROXY header is shorter than its addresses")


def _parse_v2(command: int, family: int, content: bytes) -> ProxyHeader:
    width = _V2_ADDRESSES.get(family)
    # A unix socket has no address that logs or limits could go by: the sender's own stands.
    if command == _LOCAL or width is None:
        return ProxyHeader()
    # What follows the ports are TLVs: nothing here asks for any.
    source, target, ports = content[:width], content[width : 2 * width], content[2 * width : 2 * width + 4]
    return ProxyHeader(
        (str(unmapped(ipaddress.ip_address(source))), int.from_bytes(ports[:2], "big")),
        (str(unmapped(ipaddress.ip_address(target))), int.from_bytes(ports[2:], "big")),
    )
