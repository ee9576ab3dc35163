"""A connection whose body a pump reads: what the application gets in place of ``receive()``.

When it is over, on whatever path, the connection gets its socket back together with what came after the
body, and goes on as if it had read the body itself.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from shim.asgi import BodySink
from shim.errors import ClientGone
from shim.server.pump import Ended, Intake
from shim.timing import Seconds

if TYPE_CHECKING:
    from shim.server.protocol import ClientConnection


class Takeover:
    """The rest of one body, read by a pump; a ``BodyPump`` of ``shim.asgi``."""

    def __init__(self, connection: "ClientConnection", intake: Intake, pending: bytes) -> None:
        """Take the connection, which reads no more, and bytes of the body that it has read already."""
        self._connection = connection
        self._intake = intake
        self._pending = pending
        self._rest: bytes | None = None
        self._is_gone = False

    @property
    def waited(self) -> Seconds:
        """Seconds that the client was waited for."""
        return self._intake.waited

    @property
    def quiet(self) -> Seconds:
        """Seconds of them since its last byte."""
        return self._intake.quiet

    async def fill(self, sink: BodySink) -> tuple[bool, bytes]:
        """Read until the body ends or the sink is full; gives whether it ended, and what did not fit.

        Raises:
            ClientGone: The connection ended before the body did.
            BadFraming: The body is malformed.
            DiskFull, DiskError: It could not be written.
        """
        if self._pending:
            # It came while the connection changed hands; the sink's file is no place for the loop to write.
            pending, self._pending = self._pending, b""
            return False, pending
        outcome = await self._intake.run(sink)
        if outcome.ended is Ended.GONE:
            self._is_gone = True
            raise ClientGone("The client closed the connection in the middle of the body.")
        if outcome.ended is Ended.WHOLE:
            self._rest = outcome.rest
        return self._rest is not None, outcome.overflow

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._intake.close()
        if self._is_gone:
            self._connection.stream.abort()
        else:
            self._connection.body.take_back(self._rest)
