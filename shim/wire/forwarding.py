"""What a request's fields become on their way up: dropped, kept, or set by the shim.

Everything an upstream believes about the client is written here, whatever the protocol it is sent
in; RFC 7239 (Forwarded), RFC 9110 section 7.6.3 (Via), and the X-Forwarded-* that WSGI middleware reads.
Who the client is, and whose word on that counts, ``peer`` says.
"""

import functools
import ipaddress
from collections.abc import Sequence

from shim.wire.headers import (
    FORWARDED_PREFIX,
    TOKEN,
    USUAL_NAMES,
    Headers,
    fields_of_this_hop,
    get_all,
    get_first,
)
from shim.wire.hops import Origin
from shim.wire.identity import REQUEST_ID_NAMES, identity_fields
from shim.wire.peer import ADDRESSES_KEPT, NOTHING_SAID, Peer

FORWARDED_NAMES = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-real-ip",
    }
)
# Expect is answered by the shim and never passed on; Proxy becomes HTTP_PROXY in WSGI ("httpoxy").
_NEVER_FORWARDED = frozenset({b"expect", b"proxy", b"content-length"})
_NOT_THE_CLIENTS = _NEVER_FORWARDED | REQUEST_ID_NAMES | FORWARDED_NAMES | {b"via"}

# Where clients come again, so does what is said of them; a name longer than this is nobody's.
LONGEST_HOST_KEPT = 256


def forwarded_headers(
    headers: Headers, peer: Peer, *, identity: str, prefix: str, http_version: str = "1.1"
) -> list[tuple[bytes, bytes]]:
    """The fields for the upstream, without those of the body's framing: ``forwarded_fields``, with the id."""
    fields = forwarded_fields(headers, peer, prefix=prefix, http_version=http_version)
    return [*fields, *identity_fields(identity)]


def forwarded_fields(
    headers: Headers, peer: Peer, *, prefix: str, http_version: str = "1.1"
) -> list[tuple[bytes, bytes]]:
    """What a client's fields become on their way up, but for the request's id.

    Args:
        headers: The client's fields.
        peer: Its connection; of what the fields say of the way here, only what it believes goes on.
        prefix: The mount, ``""`` or like ``/image``.
        http_version: Which the client spoke; Via says so (RFC 9110 section 7.6.3).
    """
    goes_on = _may_a_stranger_say if peer.origin is NOTHING_SAID else _may_a_client_say
    dropped = fields_of_this_hop(headers)
    kept = [
        field
        for field in headers
        if (field[0] in _USUALLY_SAID or goes_on(field[0])) and field[0] not in dropped
    ]
    kept += _forwarding_fields(peer, get_first(headers, b"host") or b"", prefix)
    passed = get_all(headers, b"via")
    kept.append((b"via", b", ".join([*passed, b"%b glance-shim" % http_version.encode("ascii")])))
    return kept


def _may_a_client_say(name: bytes) -> bool:
    # A name with "_" would become the same HTTP_* variable as its twin with "-".
    return name not in _NOT_THE_CLIENTS and b"_" not in name


def _may_a_stranger_say(name: bytes) -> bool:
    # Whatever else goes by such a name would be a proxy's word, for whoever reads it.
    return _may_a_client_say(name) and not name.startswith(FORWARDED_PREFIX)


_USUALLY_SAID = frozenset(filter(_may_a_stranger_say, USUAL_NAMES))


def _forwarding_fields(peer: Peer, host: bytes, prefix: str) -> Sequence[tuple[bytes, bytes]]:
    if peer.origin is NOTHING_SAID and len(host) <= LONGEST_HOST_KEPT:
        return _fields_of_stranger(peer.name, peer.scheme, host, prefix)
    return _fields_of(peer.origin, peer.name, peer.scheme, host, prefix)


@functools.lru_cache(ADDRESSES_KEPT)
def _fields_of_stranger(name: str, scheme: str, host: bytes, prefix: str) -> Sequence[tuple[bytes, bytes]]:
    return _fields_of(NOTHING_SAID, name, scheme, host, prefix)


def _fields_of(
    origin: Origin, name: str, peer_scheme: str, peer_host: bytes, prefix: str
) -> Sequence[tuple[bytes, bytes]]:
    """What is said of a client: by the peer as far as it is believed, else of the peer."""
    scheme = origin.scheme or peer_scheme.encode("ascii")
    host = origin.host or peer_host
    hops = [*origin.hops, name]
    fields = [
        (b"x-forwarded-for", ", ".join(hops).encode("ascii", "replace")),
        (b"x-forwarded-proto", scheme),
    ]
    if host:
        fields.append((b"x-forwarded-host", host))
    if origin.prefix or prefix:
        fields.append((b"x-forwarded-prefix", origin.prefix + prefix.encode("ascii")))
    fields.append((b"forwarded", b", ".join(_elements(hops, scheme, host))))
    return tuple(fields)


def _elements(hops: Sequence[str], scheme: bytes, host: bytes) -> list[bytes]:
    """Forwarded elements that say what the X-Forwarded-* fields say (RFC 7239 section 7.4), client first.

    oslo.middleware reads the first element alone, and reads no X-Forwarded-* beside it. It does not know
    quoted values either: a host with a port, which needs quotes, is left to the Host field.
    """
    first, *others = map(_node, hops)
    element = b"for=%b;proto=%b" % (first, scheme)
    if TOKEN.fullmatch(host):
        element += b";host=" + host
    return [element, *(b"for=" + node for node in others)]


@functools.lru_cache(ADDRESSES_KEPT)
def _node(address: str) -> bytes:
    """A node of RFC 7239 section 6: IPv6 bracketed and quoted; what is no address is unknown."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return b"unknown"
    return b'"[%b]"' % str(ip).encode("ascii") if ip.version == 6 else str(ip).encode("ascii")  # noqa: PLR2004 - IPv6
