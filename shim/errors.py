"""The shim's own errors, in three families: the client's fault, our limits, the upstream's fault.

Every room raises these and nothing foreign leaves a room; ``app/answers.py`` holds the one table
that turns a code into an HTTP status. A code is stable: it is the same in answer, log and metric.
"""

from typing import ClassVar


class ShimError(Exception):
    """Base of all our errors.

    Attributes:
        code: Stable name, used in the answer, the log line and ``glance_shim_refusals_total``.
        detail: One sentence for the person at the client: what happened and what to do.
        retry_after: Seconds after which a repetition may succeed, or None where it is of no use.
        for_operator: The same with what clients need not know (addresses, paths), for the log.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str, *, retry_after: int | None = None, for_operator: str = "") -> None:
        super().__init__(for_operator or detail)
        self.detail = detail
        self.retry_after = retry_after
        self.for_operator = for_operator or detail


# -- the client's fault ---------------------------------------------------------------------------


class ClientFault(ShimError):
    """The request is wrong; the upstream has not seen it whole."""


class BadRequest(ClientFault):
    """The head is malformed."""

    code = "bad_request"


class BadFraming(ClientFault):
    """The body's framing is malformed or ambiguous (RFC 9112 sections 6 and 7)."""

    code = "bad_framing"


class SizeMismatch(ClientFault):
    """The body is not as long as its head declared."""

    code = "size_mismatch"


class DigestMismatch(SizeMismatch):
    """The body is not the one whose digest its head declared: altered on its way, and no less wrong."""


class HeaderTimeout(ClientFault):
    """The head did not arrive within ``timeouts.header``."""

    code = "header_timeout"


class BodyIdleTimeout(ClientFault):
    """No byte of the body came for ``timeouts.body_idle``."""

    code = "body_idle_timeout"


class BodyTotalTimeout(ClientFault):
    """The body took longer than ``timeouts.body_total``."""

    code = "body_total_timeout"


class BodyTooSlow(ClientFault):
    """The body came slower than ``limits.min_rate``."""

    code = "body_too_slow"


class ServerKeptWaiting(BodyTooSlow):
    """The client fell behind after the forwarding of its body began (``timeouts.cut_through_stall``)."""


class ExpectationFailed(ClientFault):
    """An Expect other than 100-continue (RFC 9110 section 10.1.1)."""

    code = "expectation_failed"


class HeadTooLarge(ClientFault):
    """The head exceeds ``limits.max_head``, has too many fields, or does not fit the uwsgi packet."""

    code = "head_too_large"


class UnknownCoding(ClientFault):
    """A transfer coding other than chunked (RFC 9112 section 6.1)."""

    code = "unknown_coding"


class UnknownMethod(ClientFault):
    """CONNECT, or a method that HTTP does not know."""

    code = "unknown_method"


class ImageConflict(ClientFault):
    """The image is in a state that takes no data: the service behind would refuse the body unread."""

    code = "image_conflict"


class TokenExpired(ClientFault):
    """The token was good when the body began, and is refused now that it has come."""

    code = "token_expired"

    def __init__(self, detail: str, *, challenge: bytes | None = None) -> None:
        """Take also the service's own WWW-Authenticate, which says where tokens come from."""
        super().__init__(detail)
        self.challenge = challenge


class ClientGone(ClientFault):
    """The client closed its connection: there is nobody to answer."""

    code = "client_gone"

    def __init__(
        self, detail: str = "The client closed the connection while its request was under way."
    ) -> None:
        """Take where it was, if that is known better; nobody but the log is ever told."""
        super().__init__(detail)


class ClientTooSlow(ClientFault):
    """The client took nothing of its answer for ``timeouts.send``, or less than ``limits.min_rate``."""

    code = "client_too_slow"


# -- our limits -----------------------------------------------------------------------------------


class LimitReached(ShimError):
    """A limit that the operator set, or the machine has, is reached."""


class BodyTooLarge(LimitReached):
    """The body exceeds ``spool.max_body``, or could never fit ``spool.max_total``."""

    code = "body_too_large"


class ProjectLimit(LimitReached):
    """The project holds its share already."""

    code = "project_limit"


class SpoolFull(LimitReached):
    """All bodies together hold ``spool.max_total``."""

    code = "spool_full"


class UploadsFull(LimitReached):
    """``limits.max_uploads`` bodies are under way."""

    code = "uploads_full"


class QueueFull(LimitReached):
    """As many requests wait, or connections are open, as are allowed."""

    code = "queue_full"


class QueueTimeout(LimitReached):
    """No upstream slot came free within ``timeouts.queue``."""

    code = "queue_timeout"


class Draining(LimitReached):
    """The shim is shutting down."""

    code = "draining"


# Told of requests that a drain did not wait for any longer.
CUT_OFF = "Cut off: timeouts.drain had passed."


class Cancelled(LimitReached):
    """An operator ended the request."""

    code = "cancelled"


class DiskFull(LimitReached):
    """Free space is below ``spool.min_free``, or the write failed with ENOSPC."""

    code = "disk_full"


class DiskError(LimitReached):
    """The spool's disk failed (EIO and its kind)."""

    code = "disk_error"


# -- the upstream's fault -------------------------------------------------------------------------


class UpstreamFault(ShimError):
    """The server behind did not do its part."""


class NoUpstream(UpstreamFault):
    """No server is configured for, or up in, the upstream of the route."""

    code = "no_upstream"


class UpstreamRefused(UpstreamFault):
    """The connection was refused, or the unix socket is missing: nothing was delivered."""

    code = "upstream_refused"


class NoDescriptor(UpstreamRefused):
    """No connection could be tried, for the process has no descriptor left: no word of the server's."""


class UpstreamClosed(UpstreamFault):
    """The connection ended before the answer did."""

    code = "upstream_closed"


class UpstreamInvalid(UpstreamFault):
    """The answer is not HTTP, or its framing is ambiguous."""

    code = "upstream_invalid"


class ConnectTimeout(UpstreamFault):
    """No connection within ``timeouts.connect``."""

    code = "connect_timeout"


class SendTimeout(UpstreamFault):
    """The upstream took no byte for ``timeouts.send``."""

    code = "send_timeout"


class ResponseTimeout(UpstreamFault):
    """No head within ``timeouts.response``, or nothing more of a body within ``timeouts.response_idle``."""

    code = "response_timeout"
