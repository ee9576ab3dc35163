"""What a server behind looks like to whoever sends to it: one exchange, one answer.

``pool`` reaches it by connections, ``application`` calls it in this process; nobody above needs to know.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Protocol

from shim.asgi import BodySink, MoveAnswer, Moved, Movement
from shim.upstream.address import UpstreamAddress
from shim.upstream.answer import Interim
from shim.upstream.connection import EnterPhase
from shim.upstream.message import UpstreamRequest
from shim.upstream.sent import SentRequest
from shim.wire.framing import Framing
from shim.wire.headers import Headers


class Response(Protocol):
    """An answer whose head is there and whose body comes.

    Attributes:
        status: 200 to 599.
        reason: What stands behind the status; may be empty.
        headers: Its fields, names in lower case.
        framing: How long its body is, as far as the head says.
        is_complete: Whether its body has ended as it should.
    """

    status: int
    reason: bytes
    headers: Headers
    framing: Framing
    is_complete: bool

    def take_whole(self) -> bytes | None:
        """The body, where all of it is here already; None: it is to be had by ``pieces``."""
        ...

    def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """The body, to be run through once; raises UpstreamFault where it breaks off."""
        ...

    async def lend(self, move: MoveAnswer, moved: Moved) -> Movement | None:
        """Have what is left of the body moved by the client's server; None where it stays with ``pieces``.

        Asked between two pieces; where the client falls behind they go on after what was taken. Raises as
        they do, or what ``move`` raises.
        """
        ...

    async def pour(self, sink: BodySink) -> int | None:
        """Have what is left of the body written to a sink by threads, until it is full; how many bytes were.

        None where it stays with ``pieces``. Asked, gone on with, and raising as ``lend``.
        """
        ...


class UpstreamServer(Protocol):
    """One server of an upstream."""

    @property
    def address(self) -> UpstreamAddress:
        """Where it is."""
        ...

    @property
    def inflight(self) -> int:
        """Requests that it has not done with."""
        ...

    @property
    def drain_rate(self) -> float | None:
        """Bytes per second in which it takes bodies, None where that is not known."""
        ...

    def send_now(self, request: UpstreamRequest) -> SentRequest | None:
        """Send a request where that takes no wait; None where it would, and nothing was delivered.

        Raises:
            HeadTooLarge: It does not fit the server's protocol.
        """
        ...

    def exchange(
        self,
        request: UpstreamRequest,
        *,
        interim: Interim,
        enter: EnterPhase,
        sent: SentRequest | None = None,
    ) -> contextlib.AbstractAsyncContextManager[Response]:
        """Send a request, if ``send_now`` has not, and give its answer.

        Raises:
            UpstreamRefused, ConnectTimeout: Nothing was delivered.
            UpstreamFault: The exchange failed after that.
        """
        ...

    async def close(self) -> None:
        """Give back what is kept for later requests."""
        ...
