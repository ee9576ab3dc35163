"""One call of a WSGI application, by the rules of PEP 3333: what happens on its thread, up to the closing.

Knows no event loop: the request's body is a file, and the answer goes into an ``AnswerPipe``. Whatever the
application does wrong ends there as an error of the upstream, with its traceback in the log.
"""

import io
import logging
from typing import Any, BinaryIO

from shim.errors import UpstreamClosed, UpstreamFault, UpstreamInvalid
from shim.upstream.answer_pipe import Abandoned, AnswerHead, AnswerPipe
from shim.upstream.message import UpstreamRequest
from shim.upstream.wsgi_values import (
    ErrorLines,
    ExceptionInfo,
    Write,
    WsgiApplication,
    environ_of,
    parse_answer_head,
)
from shim.wire.headers import get_all

log = logging.getLogger("shim.application")


class ApplicationCall:
    """One request to the application; ``run`` is a job for a thread."""

    def __init__(
        self, application: WsgiApplication, request: UpstreamRequest, body: BinaryIO, pipe: AnswerPipe
    ) -> None:
        """Take the request, its whole body (which is closed at the end), and where the answer goes."""
        self._application = application
        self._request = request
        self._body = body
        self._pipe = pipe
        self._head: AnswerHead | None = None
        self._is_head_sent = False
        # Bytes of the body that may still be given; None: no length was declared.
        self._left: int | None = None

    def run(self) -> None:
        """Call the application and hand its answer over; never raises."""
        with self._body:
            if self._pipe.begin():
                self._pipe.end(self._failure())

    def drop(self) -> None:
        """Give the body back, where the call will never run."""
        self._body.close()

    def _failure(self) -> UpstreamFault | None:
        """Go through with the call; what went wrong, or None."""
        try:
            self._converse()
        except Abandoned:
            return None
        except BaseException as error:
            # Also SystemExit: a thread would end of it without a word, and its request never.
            log.exception("The application failed: %s", self._name, extra={"fields": self._fields})
            return _fault_of(error)
        return None

    def _converse(self) -> None:
        environ = environ_of(self._request, self._body, ErrorLines(self._fields))
        result = self._application(environ, self._start_response)
        try:
            for piece in result:
                if not self._give(piece):
                    break
            self._finish()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    # -- what the application calls -----------------------------------------------------------------

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExceptionInfo | None = None
    ) -> Write:
        """Take the head; it is sent with the first byte of the body, so until then it can be replaced."""
        if exc_info is not None:
            try:
                if self._is_head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the traceback holds this frame: a ring, as PEP 3333 warns
        elif self._head is not None:
            raise UpstreamInvalid("The application called start_response twice.")
        self._head = parse_answer_head(self._request.method, status, headers)
        return self._write

    def _write(self, data: bytes) -> None:
        self._give(data)

    # -- the answer ---------------------------------------------------------------------------------

    def _give(self, piece: bytes) -> bool:
        """Hand over a part of the body; False where nothing more is wanted."""
        if not isinstance(piece, bytes):
            raise UpstreamInvalid(f"The application's answer holds {type(piece).__name__} instead of bytes.")
        if self._pipe.is_abandoned:
            raise Abandoned("nobody waits for this answer any more")
        if not piece:
            return True
        self._send_head()
        if self._left is None:
            self._pipe.send(piece)
            return True
        return self._give_within(self._left, piece)

    def _give_within(self, left: int, piece: bytes) -> bool:
        """Hand over what fits the declared length; bytes after the end are dropped, as of any server."""
        if left:
            self._pipe.send(piece[:left])
            self._left = max(0, left - len(piece))
        if self._left == 0:
            # The client has it all. The application may go on: Glance notifies after the last byte.
            self._pipe.end()
        return len(piece) <= left

    def _send_head(self) -> None:
        if self._is_head_sent:
            return
        if self._head is None:
            raise UpstreamInvalid("The application answered without calling start_response.")
        self._is_head_sent = True
        framing = self._head.framing
        self._left = framing.length if framing.has_body else 0
        self._pipe.send_head(self._head)

    def _finish(self) -> None:
        """The application has given all. Said before its ``close``, which the client need not wait for."""
        self._send_head()
        if self._left:
            raise UpstreamClosed(f"The application's answer ended {self._left} bytes before its length.")
        self._pipe.end()

    # -- for the log --------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"{self._request.method} {self._request.target.decode('ascii', 'backslashreplace')}"

    @property
    def _fields(self) -> dict[str, str]:
        found = get_all(self._request.headers, b"x-openstack-request-id")
        return {"request_id": found[0].decode("latin-1")} if found else {}


class BodyFile(io.FileIO):
    """A body in a file, with an offset of its own; reading fails once nobody waits for the answer.

    So an application that hashes gigabytes for a client that has left stops, as it would at a socket.
    """

    def __init__(self, descriptor: int, pipe: AnswerPipe) -> None:
        """Open anew what ``descriptor`` has open: a duplicate would share its offset with other attempts."""
        super().__init__(f"/proc/self/fd/{descriptor}", "rb")
        self._pipe = pipe

    def readinto(self, buffer: Any) -> int | None:
        """Read as a file does."""
        self._check()
        return super().readinto(buffer)

    def readall(self) -> bytes:
        """Read the rest as a file does."""
        self._check()
        return super().readall()

    def _check(self) -> None:
        if self._pipe.is_abandoned:
            raise Abandoned("nobody waits for this request's answer any more")


def _fault_of(error: BaseException) -> UpstreamFault:
    if isinstance(error, UpstreamFault):
        return error
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return UpstreamClosed(
        "The application failed before its answer was whole.",
        for_operator=f"The application failed before its answer was whole: {told}.",
    )
