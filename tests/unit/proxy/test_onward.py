"""A request as its upstream shall see it: on the short way the same as on the ordinary one, to the byte."""

import pytest

from shim.admission.room import QueueOptions
from shim.proxy.onward import SharedFields, upstream_request
from shim.proxy.request import ClientRequest
from shim.routes.route import Terms
from shim.upstream.address import Protocol
from shim.upstream.message import UpstreamTimeouts
from shim.wire.framing import NOTHING
from shim.wire.headers import Headers
from shim.wire.hops import Origin
from shim.wire.peer import Peer, client_group
from tests.support.series import series

ID = "req-00000000-0000-4000-8000-000000000001"
HOST = (b"host", b"images.example")
FIELDS = {
    "few": (HOST,),
    "of this hop": (HOST, (b"connection", b"x-own"), (b"x-own", b"1"), (b"te", b"trailers")),
    "a proxy's": (
        HOST,
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"via", b"1.1 edge"),
        (b"forwarded", b"for=a"),
    ),
    "an id": (HOST, (b"x-openstack-request-id", ID.encode()), (b"x-request-id", b"other")),
    "repeated": ((b"accept", b"a"), HOST, (b"accept", b"b")),
}
PEERS = {
    "plain": Peer("192.0.2.7", "http"),
    "IPv6 over TLS": Peer("2001:db8::7", "https"),
    "unix": Peer(None, "http"),
    "a trusted proxy": Peer(
        "192.0.2.1", "http", Origin("198.51.100.1", ("198.51.100.1",), b"https", b"public.example")
    ),
}
TERMS = Terms(waits=QueueOptions(), timeouts=UpstreamTimeouts(response=1))


async def receive():
    raise AssertionError("nobody asks for a body here")


def ordinary(fields: Headers, peer: Peer, identity: str, mount: str):
    request = ClientRequest(
        id=identity,
        method="GET",
        target=b"/v2/images/x%2Fy?z",
        http_version="1.1",
        headers=fields,
        framing=NOTHING,
        peer=peer,
        client=peer.client,
        server=("192.0.2.9", 80),
        receive=receive,
    )
    return upstream_request(request, mount, about="x", terms=TERMS)


@series(
    ("fields", "peer"),
    [
        pytest.param(fields, peer, id=f"{fields_id}, {peer_id}")
        for fields_id, fields in FIELDS.items()
        for peer_id, peer in PEERS.items()
    ],
)
def test_both_ways_come_to_the_same(fields, peer):
    shared = SharedFields(fields, peer, ("192.0.2.9", 80))
    # The second one of a mount is made of what was kept of the first.
    for mount in ("", "/image", "", "/image"):
        identity = shared.next_identity()
        short = shared.message(
            "GET", b"/v2/images/x%2Fy?z", identity=identity, mount=mount, about="x", terms=TERMS
        )
        message = ordinary(fields, peer, identity, mount)
        assert short._replace(encoded=b"") == message
        assert message.project == shared.project == client_group(peer.client)
        for keep_alive in (True, False):
            heads = [one.encode_head(Protocol.HTTP, keep_alive=keep_alive) for one in (short, message)]
            assert heads[0] == heads[1]
