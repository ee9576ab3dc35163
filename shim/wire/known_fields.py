"""Reads a request's head by the one before it: on a connection that stays, the fields are mostly the same.

Same bytes have the same meaning, so that only the request line is read anew (a chunk's header is read in the
same way); whatever differs is for ``http1``.
"""

from typing import NamedTuple

from shim.wire.headers import Headers
from shim.wire.http1 import RequestHead, parse_request_line


class KnownFields(NamedTuple):
    """The fields of a request of HTTP/1.1.

    Attributes:
        block: What they were read from: all of the head behind its first line.
        headers: What they are.
    """

    block: bytes
    headers: Headers

    @classmethod
    def of(cls, head: bytes, request: RequestHead) -> "KnownFields | None":
        """Those of a head that was read as ``request``; None where they are not worth keeping."""
        line, _, block = head.partition(b"\r\n")
        # A target in absolute-form has had its part in the fields.
        if parse_request_line(line) is None:
            return None
        return cls(block, request.headers)

    def read(self, data: bytes) -> RequestHead | None:
        """The request whose head these bytes are, no more and no less; None where that is not to be seen."""
        line, _, block = data.partition(b"\r\n")
        if block != self.block:
            return None
        parsed = parse_request_line(line)
        return None if parsed is None else RequestHead(*parsed, "1.1", self.headers)
