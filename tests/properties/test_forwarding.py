"""Who a client is: whatever the fields say, an address, believed from the right, told the same everywhere."""

from ipaddress import ip_address, ip_network

from hypothesis import example, given
from hypothesis import strategies as st

from shim.wire.forwarding import forwarded_headers
from shim.wire.headers import get_first
from shim.wire.hops import MOST_HOPS, parse_forwarded
from shim.wire.peer import TrustedProxies, peer_of

ID = "req-00000000-0000-4000-8000-000000000001"
PROXIES = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))

trusted = st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="2001:db8::/32")
addresses = (trusted | st.ip_addresses()).map(lambda ip: str(ip).encode())
garbage = st.sampled_from(
    [b"", b"unknown", b"_x", b'"', b"\\", b"a,b", b";", b"=", b"[::1", b"1.2.3.4:x", b"\xff"]
)
nodes = addresses | garbage | st.binary(max_size=12)
lists = st.lists(nodes, max_size=6).map(b", ".join)
elements = st.lists(
    st.builds(
        lambda node, quote, more: b"for=" + (b'"[%b]"' % node if quote else node) + more,
        nodes,
        st.booleans(),
        st.sampled_from([b"", b";proto=https", b';host="a, for=6.6.6.6"', b';by="', b";for=1.1.1.1"]),
    ),
    max_size=4,
).map(b",".join)
fields = st.lists(
    st.tuples(st.just(b"x-forwarded-for"), lists)
    | st.tuples(st.just(b"forwarded"), elements)
    | st.tuples(st.sampled_from([b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix"]), nodes),
    max_size=5,
).map(tuple)
peers = st.none() | (trusted | st.ip_addresses()).map(str)


@given(fields, peers)
@example((), "::ffff:192.0.2.1")
@example((), "::ffff:0:0")
def test_whatever_is_said_the_client_is_an_address(said, address):
    peer = peer_of(address, "http", said, PROXIES)
    assert peer.client == "unix" or ip_address(peer.client)
    told = forwarded_headers(said, peer, identity=ID, prefix="")
    hops = (get_first(told, b"x-forwarded-for") or b"").decode().split(", ")
    assert hops == [*peer.origin.hops, peer.name]
    assert not peer.client.startswith("::ffff:")
    # Both fields tell the same way, in a grammar that everybody reads alike.
    listed = parse_forwarded(get_first(told, b"forwarded") or b"")
    assert listed is not None
    assert [hop.address for hop in listed] == [
        None if hop == "unix" else str(ip_address(hop)) for hop in hops
    ]
    assert get_first(told, b"x-forwarded-proto") in (b"http", b"https")


@given(fields, st.ip_addresses().map(str).filter(lambda address: not PROXIES.trusts(address)))
def test_a_stranger_is_only_itself(said, address):
    peer = peer_of(address, "http", said, PROXIES)
    without = peer_of(address, "http", (), PROXIES)
    assert peer == without
    told = forwarded_headers(said, peer, identity=ID, prefix="")
    assert told == forwarded_headers((), without, identity=ID, prefix="")


@given(st.lists(st.ip_addresses(), min_size=1, max_size=2 * MOST_HOPS))
def test_the_client_is_the_last_stranger(chain):
    hops = [str(ip) for ip in chain]
    said = ((b"x-forwarded-for", ", ".join(hops).encode()),)
    peer = peer_of("10.0.0.1", "http", said, PROXIES)
    strangers = [hop for hop in hops[-MOST_HOPS:] if not PROXIES.trusts(hop)]
    expected = strangers[-1] if strangers else hops[-MOST_HOPS:][0]
    mapped = getattr(ip_address(expected), "ipv4_mapped", None)
    assert peer.client == str(mapped or ip_address(expected))
