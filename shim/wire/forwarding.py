"""What a request's fields become on their way up: dropped, kept, or set by the shim.

Everything an upstream believes about the client is written here, whatever the protocol it is sent
in; RFC 7239 (Forwarded), RFC 9110 section 7.6.3 (Via), and the X-Forwarded-* that WSGI middleware reads.
"""

import ipaddress
import re
import uuid
from dataclasses import dataclass

from shim.wire.headers import TOKEN, Headers, end_to_end, get_all, get_first

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
_REQUEST_ID_NAMES = frozenset({b"x-openstack-request-id", b"x-request-id"})
# Expect is answered by the shim and never passed on; Proxy becomes HTTP_PROXY in WSGI ("httpoxy").
_NEVER_FORWARDED = frozenset({b"expect", b"proxy", b"content-length"})
_REQUEST_ID = re.compile(rb"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

TrustedNetworks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a client connection.

    Attributes:
        address: IP address, or None on a unix socket.
        scheme: ``http`` or ``https``, as the shim was spoken to.
        trusted: Whether what it says about clients further off is believed.
    """

    address: str | None
    scheme: str
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose X-Forwarded-* are believed: networks, and peers on unix sockets."""

    networks: TrustedNetworks = ()
    unix: bool = False

    def trusts(self, address: str | None) -> bool:
        """Whether the peer at ``address`` (None: a unix socket) is one of them."""
        if address is None:
            return self.unix
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return any((mapped or ip) in network for network in self.networks)


def request_id(headers: Headers) -> str:
    """The client's request id where it is well-formed, else a new one (``req-<uuid>``)."""
    for name in (b"x-openstack-request-id", b"x-request-id"):
        value = get_first(headers, name)
        if value is not None and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return f"req-{uuid.uuid4()}"


def client_address(headers: Headers, peer: Peer) -> str:
    """Who asks: the last hop that a trusted proxy names, else the peer (``"unix"`` without an address)."""
    if peer.trusted:
        hops = [hop.strip() for value in get_all(headers, b"x-forwarded-for") for hop in value.split(b",")]
        if hops and hops[-1]:
            return hops[-1].decode("ascii", "replace")
    return peer.address or "unix"


def forwarded_headers(
    headers: Headers, peer: Peer, *, identity: str, prefix: str
) -> list[tuple[bytes, bytes]]:
    """The fields for the upstream, without those of the body's framing.

    Args:
        headers: The client's fields.
        peer: Its connection; what an untrusted one says about itself is dropped.
        identity: The request id.
        prefix: The mount, ``""`` or like ``/image``.
    """
    dropped = _NEVER_FORWARDED | _REQUEST_ID_NAMES | FORWARDED_NAMES
    # A name with "_" would become the same HTTP_* variable as its twin with "-".
    kept = [(name, value) for name, value in end_to_end(headers) if name not in dropped and b"_" not in name]
    via = [value for name, value in kept if name == b"via"]
    kept = [field for field in kept if field[0] != b"via"]
    kept += _forwarding_fields(headers, peer, prefix)
    kept.append((b"via", b", ".join([*via, b"1.1 glance-shim"])))
    kept += [(name, identity.encode("ascii")) for name in sorted(_REQUEST_ID_NAMES)]
    return kept


def _forwarding_fields(headers: Headers, peer: Peer, prefix: str) -> list[tuple[bytes, bytes]]:
    believed = {name: get_all(headers, name) for name in FORWARDED_NAMES} if peer.trusted else {}
    address = (peer.address or "unix").encode("ascii", "replace")
    host = get_first(headers, b"host") or b""
    hops = [*believed.get(b"x-forwarded-for", []), address]
    scheme = (believed.get(b"x-forwarded-proto") or [peer.scheme.encode("ascii")])[-1]
    fields = [
        (b"x-forwarded-for", b", ".join(hops)),
        (b"x-forwarded-proto", scheme),
    ]
    outer_host = (believed.get(b"x-forwarded-host") or [host])[-1]
    if outer_host:
        fields.append((b"x-forwarded-host", outer_host))
    outer = (believed.get(b"x-forwarded-prefix") or [b""])[-1]
    if outer or prefix:
        fields.append((b"x-forwarded-prefix", outer + prefix.encode("ascii")))
    elements = believed.get(b"forwarded", [])
    if elements:
        elements = [*elements, b"for=%b;proto=%b" % (_node(peer.address), peer.scheme.encode("ascii"))]
    else:
        elements = _translated(b", ".join(hops), scheme, outer_host)
    fields.append((b"forwarded", b", ".join(elements)))
    return fields


def _translated(hops: bytes, scheme: bytes, host: bytes) -> list[bytes]:
    """Forwarded elements that say what the X-Forwarded-* fields say (RFC 7239 section 7.4), client first.

    oslo.middleware reads the first element alone, and reads no X-Forwarded-* beside it. It does not know
    quoted values either: a host with a port, which needs quotes, is left to the Host field.
    """
    first, *others = [_node(hop.strip().decode("ascii", "replace")) for hop in hops.split(b",")]
    element = b"for=%b;proto=%b" % (first, scheme)
    if TOKEN.fullmatch(host):
        element += b";host=" + host
    return [element, *(b"for=" + node for node in others)]


def _node(address: str | None) -> bytes:
    """A node identifier of RFC 7239 section 6: IPv6 in quoted brackets; what is no address is unknown."""
    try:
        ip = ipaddress.ip_address((address or "").strip("[]"))
    except ValueError:
        return b"unknown"
    return b'"[%b]"' % str(ip).encode("ascii") if ip.version == 6 else str(ip).encode("ascii")  # noqa: PLR2004 - IPv6
