"""What is noted of each request's head for the access log in Apache's form, and for its trace.

Made only where one of them is on: of a shim that has neither, each request looks at one attribute.
"""

from shim.asgi import Scope
from shim.observe.head import RequestHead
from shim.observe.journal import Record
from shim.observe.trace import begin_trace
from shim.wire.headers import Headers, get_first
from shim.wire.trace_context import read_trace_context, with_trace_context


class Notes:
    """Takes notes of requests at their beginning.

    Attributes:
        share: Of the traces that begin here, how many are recorded (0 to 1); None: there are no traces.
    """

    def __init__(self, share: float | None = None) -> None:
        self.share = share

    def take(self, record: Record, scope: Scope, target: bytes, headers: Headers) -> Headers:
        """Note what the record needs; the fields of the request as its upstream is to see them."""
        server = scope.get("server")
        record.head = RequestHead(
            target=target,
            http_version=scope["http_version"],
            scheme=scope.get("scheme", "http"),
            server=None if server is None else tuple(server),
            referer=get_first(headers, b"referer") or b"",
            user_agent=get_first(headers, b"user-agent") or b"",
        )
        if self.share is None:
            # Somebody else's trace: its context passes like any other field.
            return headers
        record.trace = begin_trace(read_trace_context(headers), self.share)
        return with_trace_context(headers, record.trace.context)
