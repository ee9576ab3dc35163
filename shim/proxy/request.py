"""A client's request and the answer to it, as the proxy's steps see them.

Made from an ASGI scope by ``app``; below here nobody knows the scope, only ``receive`` and ``send``.
"""

from typing import NamedTuple

from shim.asgi import MoveAnswer, Receive, ReceiveNow, Send, TakeOver, WatchClient
from shim.errors import ClientFault, ExpectationFailed, SizeMismatch
from shim.wire.digest import BodyDigest, declared_digests
from shim.wire.framing import Framing, declared_size
from shim.wire.headers import Headers, get_first
from shim.wire.peer import Peer


class ClientRequest(NamedTuple):
    """One request, its head read and its body still with the client; a tuple, for there are many.

    Attributes:
        id: ``req-<uuid>``, the client's own where it is well-formed.
        target: Byte for byte as it came.
        peer: The connection it came on.
        client: Who asks: the peer, or whom a trusted proxy names.
        server: Name and port that the client connected to.
        receive: ASGI's; the first call asks the client for the body.
        take_over: The server's fast way for bodies, where it has one.
        watch_client: Tells of the client's leaving, where the server does so by itself.
        receive_now: Gives what is here of the body already, where the server can say so.
    """

    id: str
    method: str
    target: bytes
    http_version: str
    headers: Headers
    framing: Framing
    peer: Peer
    client: str
    server: tuple[str, int | None]
    receive: Receive
    take_over: TakeOver | None = None
    watch_client: WatchClient | None = None
    receive_now: ReceiveNow | None = None

    @property
    def raw_path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    def declared_length(self) -> int | None:
        """The length of the body as far as the head tells, in bytes.

        Raises:
            BadFraming: ``x-openstack-image-size`` is no number.
            SizeMismatch: It differs from Content-Length, or there is no body; Glance would say so after the
                whole body.
        """
        size, length = declared_size(self.headers), self.framing.length
        if size is not None and not self.framing.has_framing:
            raise SizeMismatch(f"x-openstack-image-size is {size}, but the request has no body.")
        if size is not None and length is not None and size != length:
            raise SizeMismatch(f"x-openstack-image-size is {size}, but Content-Length is {length}.")
        return size if length is None else length

    def declared_digest(self) -> BodyDigest | None:
        """What the body has to prove; None where the head declares no digest of it.

        Raises:
            BadRequest: A digest is malformed.
            DigestMismatch: There is no body, and what is declared is not the digest of nothing.
        """
        declared = declared_digests(self.headers)
        if not declared:
            return None
        digest = BodyDigest(declared)
        if not self.framing.has_body:
            digest.check()
        return digest

    @property
    def routed_size(self) -> int | None:
        """The size that routes go by; None where it is not declared, or not as it should be."""
        if not self.framing.has_framing:
            return 0
        try:
            return self.declared_length()
        except ClientFault:
            # It is refused a step later, as a request of the route that it takes without one.
            return None

    def check_expectation(self) -> None:
        """Raise ExpectationFailed for an Expect other than 100-continue; HTTP/1.0 knows none."""
        if self.http_version == "1.0":
            return
        for name, value in self.headers:
            if name == b"expect" and value.lower() != b"100-continue":
                raise ExpectationFailed("Only 'Expect: 100-continue' is understood.")


class Answer:
    """The answer to one request, written through ASGI's ``send``.

    Attributes:
        has_begun: Whether its head was sent.
        move: The server's fast way for the rest of its body, where it has one.
    """

    def __init__(self, send: Send, move: MoveAnswer | None = None) -> None:
        self._send = send
        self.move = move
        self.has_begun = False
        self._length: int | None = None
        self._has_ended = False

    def is_given(self, sent: int) -> bool:
        """Whether the client was given all that it waits for, with so many bytes of the answer's body.

        That may be so before the end is declared: one that knows the length leaves when it has so much.
        """
        return self._has_ended or (self._length is not None and sent >= self._length)

    async def hint(self, links: list[bytes]) -> None:
        """Pass on a 103: Link values that the client may fetch early."""
        await self._send({"type": "http.response.early_hint", "links": links})

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head; from here on the only error left is to cut the answer."""
        self.has_begun = True
        length = get_first(headers, b"content-length")
        self._length = None if length is None else int(length)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes | memoryview) -> None:
        """Send a part of the body, at the client's pace."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Declare the answer whole, with ``data`` as its last part."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        self._has_ended = True
