"""A client's request as its upstream shall see it: made of it alone, or of what many have in common.

Most clients that stay ask again and again with the same fields; what differs is the request line, and the id
of each request. So the short way has all else worked out once, and comes to the same as the ordinary one.
"""

from shim.proxy.request import ClientRequest
from shim.routes.route import Terms
from shim.upstream.message import UpstreamRequest
from shim.wire.forwarding import forwarded_fields, forwarded_headers
from shim.wire.headers import Headers, get_first
from shim.wire.http1 import encode_fields
from shim.wire.identity import given_request_id, identity_fields, new_request_id
from shim.wire.peer import Peer, client_group


def upstream_request(
    request: ClientRequest, mount: str, *, about: str = "", terms: Terms | None = None
) -> UpstreamRequest:
    """The request as its upstream shall see it; the body is added once it is there.

    Args:
        request: The client's.
        mount: SCRIPT_NAME of the application.
        about: The image that it speaks of, where it does.
        terms: Those of its route.
    """
    terms = terms or Terms()
    headers = forwarded_headers(
        request.headers, request.peer, identity=request.id, prefix=mount, http_version=request.http_version
    )
    if get_first(headers, b"host") is None:
        # HTTP/1.0 may leave it out, HTTP/1.1 goes up: the place that was asked is the best name there is.
        headers.insert(0, (b"host", request.server[0].encode("ascii", "replace")))
    return UpstreamRequest(
        method=request.method,
        target=request.target,
        headers=headers,
        http_version=request.http_version,
        mount=mount,
        scheme=request.peer.scheme,
        remote=request.peer.address,
        server=request.server,
        project=client_group(request.client),
        about=about,
        waits=terms.waits,
        timeouts=terms.timeouts,
    )


class SharedFields:
    """What requests with the same fields on one connection have in common.

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
        """What ``upstream_request`` makes of a request, with its fields encoded.

        Written out a second time, and not by way of it: the short way has no call to spare.
        """
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
