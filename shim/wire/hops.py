"""Who a request comes from when proxies stand between: the fields in which they say so, and whom to believe.

X-Forwarded-For and Forwarded (RFC 7239) are read from the right, where the nearest proxy wrote: each hop
is believed as long as all after it are trusted. What is left of the first stranger the stranger wrote.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shim.wire.headers import get_all

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# No chain of proxies has so many; a client that sends more wants them looked at.
MOST_HOPS = 32
# Bytes of a Forwarded field that is read at all: all hops, and what is said of each. Some proxies add to what
# their client wrote, and 64 KiB of that took 200 ms to take apart.
LONGEST_FORWARDED = MOST_HOPS * 128

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*"'
_PAIR = re.compile(rb"(%b)=(%b|%b)" % (_TOKEN, _TOKEN, _QUOTED))
_NODE = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)|([0-9A-Fa-f]*:[0-9A-Fa-f:.]+))(?::[0-9]{1,5})?")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~\-]+)(?::[0-9]{1,5})?")
_PREFIX = re.compile(rb"(?:/[0-9A-Za-z._~!$&'()*+;=:@%\-]+)+")
_SCHEMES = (b"http", b"https")


@dataclass(frozen=True, slots=True)
class Hop:
    """What a proxy says of whom it got a request from; None and empty where it does not say.

    Attributes:
        address: An IP address, or None: it was not said, or hidden (``unknown``, ``_secret``).
    """

    address: str | None
    scheme: bytes = b""
    host: bytes = b""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is believed of the client, beyond the connection the request came on.

    Attributes:
        address: The client's, or None: nobody more is known than the peer.
        hops: The addresses between it and the peer, the client's first, all believed.
        scheme: ``http`` or ``https``, as the client spoke to the outermost trusted proxy; empty: not said.
        host: The name it asked for there; empty: not said.
        prefix: The path that a proxy took away, ``""`` or like ``/outer``.
    """

    address: str | None = None
    hops: tuple[str, ...] = ()
    scheme: bytes = b""
    host: bytes = b""
    prefix: bytes = b""


def find_origin(headers: Iterable[tuple[bytes, bytes]], trusts: Callable[[str], bool]) -> Origin:
    """What the fields of a trusted peer's request say, as far as it can be believed.

    X-Forwarded-For wins over Forwarded where both are there: nearly every proxy writes it and leaves the
    other as it came, so that a Forwarded beside it is the client's own word more often than a proxy's.
    """
    fields = list(headers)
    listed, elements = get_all(fields, b"x-forwarded-for"), get_all(fields, b"forwarded")
    hops = _listed(listed) if listed else _told(b",".join(elements))
    believed = _believed(hops, trusts)
    outermost = believed[-1] if believed else Hop(None)
    addresses = tuple(hop.address for hop in reversed(believed) if hop.address is not None)
    return Origin(
        address=addresses[0] if addresses else None,
        hops=addresses,
        scheme=_scheme(get_all(fields, b"x-forwarded-proto")) or outermost.scheme,
        host=_last(get_all(fields, b"x-forwarded-host"), _HOST) or outermost.host,
        prefix=_last(get_all(fields, b"x-forwarded-prefix"), _PREFIX),
    )


def parse_node(node: bytes) -> str | None:
    """The address of a node: ``192.0.2.1``, ``[2001:db8::1]:4711`` and their kin; None for any other."""
    match = _NODE.fullmatch(node)
    if match is None:
        return None
    try:
        address = ipaddress.ip_address((match[1] or match[2] or match[3]).decode("ascii"))
    except ValueError:
        return None
    return str(unmapped(address))


def unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (RFC 4291 section 2.5.5.2), else the address itself.

    A socket on ``[::]`` sees IPv4 clients so: the same client under another name, and lists name it as IPv4.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_forwarded(value: bytes) -> list[Hop] | None:
    """The elements of a Forwarded field, in order; None where it is malformed anywhere.

    All or nothing: in what is left of a broken quote a client could hide elements of its own.
    """
    hops = []
    for element in _split(value, b","):
        pairs = _parse_element(element)
        if pairs is None:
            return None
        if pairs:
            hops.append(_hop(pairs))
    return hops


def _listed(values: Sequence[bytes]) -> list[Hop]:
    """The nearest hops; of no interest are those before them, of which a client may send thousands."""
    nodes = b",".join(values).split(b",")[-MOST_HOPS:]
    return [Hop(parse_node(node.strip(b" \t"))) for node in nodes]


def _told(value: bytes) -> list[Hop]:
    """All hops, or none: of a part nobody knows where it begins without a look at what is before it."""
    return [] if len(value) > LONGEST_FORWARDED else parse_forwarded(value) or []


def _believed(hops: Sequence[Hop], trusts: Callable[[str], bool]) -> list[Hop]:
    """The hops from the nearest on, up to the first stranger; the peer itself is trusted."""
    believed = []
    for hop in hops[: -MOST_HOPS - 1 : -1]:
        believed.append(hop)
        # Whoever is not known by an address cannot be trusted to tell of others.
        if hop.address is None or not trusts(hop.address):
            break
    return believed


# -- Forwarded ------------------------------------------------------------------------------------


def _split(value: bytes, separator: bytes) -> list[bytes]:
    """Split outside of quotes; a quote without an end stays in its piece, and is refused there."""
    pieces, start, is_quoted, place = [], 0, False, 0
    while place < len(value):
        byte = value[place : place + 1]
        if byte == b"\\" and is_quoted:
            place += 1
        elif byte == b'"':
            is_quoted = not is_quoted
        elif byte == separator and not is_quoted:
            pieces.append(value[start:place].strip(b" \t"))
            start = place + 1
        place += 1
    return [*pieces, value[start:].strip(b" \t")]


def _parse_element(element: bytes) -> dict[bytes, bytes] | None:
    """The pairs of one element by name in lower case; None where it is malformed, or names one twice."""
    pairs: dict[bytes, bytes] = {}
    for text in _split(element, b";"):
        if not text:
            continue  # RFC 7239 section 4 allows empty ones
        match = _PAIR.fullmatch(text)
        if match is None or match[1].lower() in pairs:
            return None
        pairs[match[1].lower()] = _unquote(match[2])
    return pairs


def _unquote(value: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", value[1:-1]) if value.startswith(b'"') else value


def _hop(pairs: dict[bytes, bytes]) -> Hop:
    scheme, host = pairs.get(b"proto", b"").lower(), pairs.get(b"host", b"")
    return Hop(
        parse_node(pairs.get(b"for", b"")),
        scheme if scheme in _SCHEMES else b"",
        host if _HOST.fullmatch(host) else b"",
    )


# -- X-Forwarded-* --------------------------------------------------------------------------------


def _scheme(values: Sequence[bytes]) -> bytes:
    scheme = _member(values).lower()
    # It becomes the worker's URL scheme: nothing but these two may reach it.
    return scheme if scheme in _SCHEMES else b""


def _last(values: Sequence[bytes], form: re.Pattern[bytes]) -> bytes:
    value = _member(values)
    return value if form.fullmatch(value) else b""


def _member(values: Sequence[bytes]) -> bytes:
    """The last member of the last line: the nearest proxy wrote it."""
    return values[-1].rpartition(b",")[2].strip(b" \t") if values else b""
