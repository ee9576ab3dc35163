"""PROXY headers: however they are cut, whoever they name comes out, and what follows is left alone."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from shim.wire.proxy_protocol import SIGNATURE, BadProxyHeader, ProxyHeader, ProxyHeaderReader
from tests.properties.cutting import cuts, mutated

ports = st.integers(0, 65535)
pairs = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(
    st.ip_addresses(v=6), st.ip_addresses(v=6)
)


def _told(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, ProxyHeader]:
    """A header of either version, and what it says."""
    (source, target), first, second = draw(pairs), draw(ports), draw(ports)
    header = ProxyHeader((_told(source), first), (_told(target), second))
    if draw(st.booleans()):
        line = f"PROXY TCP{source.version} {source} {target} {first} {second}\r\n"
        return line.encode(), header
    more = draw(st.binary(max_size=300))
    content = source.packed + target.packed + struct.pack(">HH", first, second) + more
    family = 0x11 if source.version == 4 else 0x21
    return SIGNATURE + struct.pack(">BBH", 0x21, family, len(content)) + content, header


@given(headers(), st.binary(max_size=40), st.data())
def test_any_split_gives_the_same(sample, rest, data):
    raw, header = sample
    reader, found = ProxyHeaderReader(), None
    pieces = data.draw(cuts(raw + rest))
    for number, piece in enumerate(pieces):
        found = reader.feed(piece)
        if found is not None:
            left = b"".join(pieces[number + 1 :])
            assert reader.take_rest() + left == rest
            break
    assert found == header


@given(headers().flatmap(lambda sample: mutated(sample[0])), st.data())
def test_what_is_altered_is_refused_or_names_addresses(raw, data):
    whole = ProxyHeaderReader()
    cut = ProxyHeaderReader()
    outcomes = []
    for reader, pieces in ((whole, [raw]), (cut, data.draw(cuts(raw)))):
        found: ProxyHeader | str | None = None
        try:
            for piece in pieces:
                found = reader.feed(piece)
                if found is not None:
                    break
        except BadProxyHeader:
            found = "refused"
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]
    if isinstance(outcomes[0], ProxyHeader) and outcomes[0].client is not None:
        assert ip_address(outcomes[0].client[0])
        assert 0 <= outcomes[0].client[1] <= 65535
