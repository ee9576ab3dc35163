"""Who speaks to the shim: the other end of a connection, and whether it may speak for a client behind it.

What a trusted proxy says is read by ``hops``; what the upstream is told of it all is ``forwarding``'s.
"""

import functools
import ipaddress
from dataclasses import dataclass

from shim.wire.headers import Headers
from shim.wire.hops import Origin, find_origin, unmapped

NOTHING_SAID = Origin()

# The same clients come again and again, and taking an address apart costs more than a look-up.
ADDRESSES_KEPT = 4096

TrustedNetworks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose X-Forwarded-* are believed: networks, and peers on unix sockets."""

    networks: TrustedNetworks = ()
    unix: bool = False

    def trusts(self, address: str | None) -> bool:
        """Whether the peer at ``address`` (None: a unix socket) is one of them."""
        if address is None:
            return self.unix
        if not self.networks:
            return False
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(unmapped(ip) in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a client connection, and what it is believed to say of clients further off.

    Attributes:
        address: IP address, or None on a unix socket.
        scheme: ``http`` or ``https``, as the shim was spoken to.
        origin: Of whom it passes on a request; of a peer that is not trusted, nothing.
    """

    address: str | None
    scheme: str
    origin: Origin = NOTHING_SAID

    @property
    def name(self) -> str:
        """Its address, or ``"unix"``."""
        return self.address or "unix"

    @property
    def client(self) -> str:
        """Who asks: whom trusted proxies name, else the peer itself."""
        return self.origin.address or self.name


def peer_of(address: str | None, scheme: str, headers: Headers, proxies: TrustedProxies) -> Peer:
    """The peer at ``address`` (None: a unix socket), with what it says of the client where it is trusted."""
    if not proxies.trusts(address):
        return _stranger(address, scheme)
    origin = find_origin(headers, proxies.trusts)
    return Peer(address if address is None else plain_address(address), scheme, origin)


@functools.lru_cache(ADDRESSES_KEPT)
def _stranger(address: str | None, scheme: str) -> Peer:
    return Peer(address if address is None else plain_address(address), scheme)


@functools.lru_cache(ADDRESSES_KEPT)
def plain_address(address: str) -> str:
    """An IPv4 address where IPv6 hides one: a listener on ``[::]`` sees such clients under both names."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    plain = unmapped(ip)
    return address if plain is ip else str(plain)


@functools.lru_cache(ADDRESSES_KEPT)
def client_group(client: str) -> str:
    """Whom limits take for one client: an address, or the /64 of an IPv6 one, which is one customer's."""
    try:
        ip = unmapped(ipaddress.ip_address(client.partition("%")[0]))
    except ValueError:
        return client
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ipaddress.ip_network((ip, 64), strict=False))
