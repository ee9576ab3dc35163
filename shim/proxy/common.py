"""What requests with the same fields on one connection have in common, worked out once for all of them.

Most clients that stay ask again and again with the same fields; what differs is the request line, and the id
of each request.
"""

from shim.routes.route import Terms
from shim.upstream.message import UpstreamRequest
from shim.wire.forwarding import (
    Peer,
    client_group,
    forwarded_fields,
    given_request_id,
    identity_fields,
)
from shim.wire.headers import Headers
from shim.wire.http1 import encode_fields
from shim.wire.identity import new_request_id

# Fields that speak of a body, or ask something of the shim: what, the ordinary way finds out.
_UNUSUAL = frozenset({b"content-digest", b"content-md5", b"expect", b"x-openstack-image-size"})


def is_usual(headers: Headers) -> bool:
    """Whether nothing in a request's fields asks for more than to be forwarded."""
    return not any(name in _UNUSUAL for name, _ in headers)


class Common:
    """What they have in common.

    Attributes:
        headers: The fields as they came.
        client: Who asks.
        project: Whom limits count it for.
    """

    __slots__ = ("_given_id", "_onward", "_peer", "_server", "client", "headers", "project")

    def __init__(self, headers: Headers, peer: Peer, server: tuple[str, int | None]) -> None:
        """Take the fields, the other end of the connection, and the name and port that it was made to."""
        self.headers = headers
        self._peer = peer
        self._server = server
        self.client = peer.client
        self.project = client_group(self.client)
        self._given_id = given_request_id(headers)
        self._onward: dict[str, tuple[list[tuple[bytes, bytes]], bytes]] = {}

    def next_identity(self) -> str:
        """The id of the next request."""
        return self._given_id or new_request_id()

    def message(
        self, method: str, target: bytes, *, identity: str, mount: str, about: str, terms: Terms
    ) -> UpstreamRequest:
        """A request as its upstream shall see it: what ``upstream_request`` makes of all of it."""
        onward = self._onward.get(mount)
        if onward is None:
            fields = forwarded_fields(self.headers, self._peer, prefix=mount)
            onward = self._onward[mount] = fields, encode_fields(fields)
        fields, encoded = onward
        own = identity_fields(identity)
        return UpstreamRequest(
            method,
            target,
            [*fields, *own],
            mount=mount,
            scheme=self._peer.scheme,
            remote=self._peer.address,
            server=self._server,
            project=self.project,
            about=about,
            waits=terms.waits,
            timeouts=terms.timeouts,
            encoded=encoded + encode_fields(own),
        )
