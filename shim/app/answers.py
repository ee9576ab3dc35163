"""The answers the shim itself gives: one table from error codes to HTTP statuses, in three forms.

problem+json (RFC 9457) for programs, HTML for browsers, one plain line for ``Accept: */*``: that is what
the glance command sends, and it shows a plain text's words but breaks on a JSON object like ours.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from shim.errors import ShimError, TokenExpired
from shim.wire.headers import Headers, get_all, list_members

CLIENT_GONE = 499  # nginx's number; it stands in logs and metrics only, for nobody reads the answer

STATUSES: Mapping[str, int] = {
    "bad_request": 400,
    "bad_framing": 400,
    "size_mismatch": 400,
    "token_expired": 401,
    "cancelled": 403,
    "header_timeout": 408,
    "body_idle_timeout": 408,
    "body_total_timeout": 408,
    "body_too_slow": 408,
    "image_conflict": 409,
    "body_too_large": 413,
    "expectation_failed": 417,
    "project_limit": 429,
    "head_too_large": 431,
    "client_gone": CLIENT_GONE,
    "client_too_slow": CLIENT_GONE,
    "internal_error": 500,
    "unknown_coding": 501,
    "unknown_method": 501,
    "upstream_refused": 502,
    "upstream_closed": 502,
    "upstream_invalid": 502,
    "spool_full": 503,
    "uploads_full": 503,
    "queue_full": 503,
    "queue_timeout": 503,
    "draining": 503,
    "no_upstream": 503,
    "connect_timeout": 504,
    "send_timeout": 504,
    "response_timeout": 504,
    "disk_full": 507,
    "disk_error": 507,
}

TYPE_PREFIX = "urn:problem-type:glance-shim:"
"""What a code stands behind in the ``type`` of problem+json (RFC 9457 section 3.1.1): a name and no address.

An address would have to be reachable for clients, and the manual lies wherever the operator puts it.
"""

# The statuses that say "come back later" say when, also where the error does not know better.
_RETRY_AFTER = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_DEFAULT_RETRY_AFTER = 10


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """A complete answer of the shim's own."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def answer_error(error: ShimError, headers: Headers, request_id: str) -> OwnAnswer:
    """The answer to a request that failed with ``error``, in the form that its Accept field asks for.

    The connection is to be closed after it: what the client still sends belongs to no request.
    """
    status = STATUSES[error.code]
    content_type, body = _render(error, status, headers, request_id)
    fields = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-openstack-request-id", request_id.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    retry_after = error.retry_after
    if retry_after is None and status in _RETRY_AFTER:
        retry_after = _DEFAULT_RETRY_AFTER
    if isinstance(error, TokenExpired) and error.challenge is not None:
        fields.append((b"www-authenticate", error.challenge))
    if retry_after is not None:
        fields.append((b"retry-after", b"%d" % retry_after))
    return OwnAnswer(status, fields, body)


def title_of(status: int) -> str:
    """The status's standard phrase."""
    return "Client Closed Request" if status == CLIENT_GONE else HTTPStatus(status).phrase


def _render(error: ShimError, status: int, headers: Headers, request_id: str) -> tuple[bytes, bytes]:
    accepted = {member.partition(b";")[0].strip() for member in list_members(get_all(headers, b"accept"))}
    title = title_of(status)
    if any(b"json" in kind for kind in accepted) or not accepted:
        problem = {
            "type": TYPE_PREFIX + error.code,
            "status": status,
            "title": title,
            "detail": error.detail,
            "code": error.code,
            "request_id": request_id,
        }
        return b"application/problem+json", json.dumps(problem).encode()
    # openstacksdk uploads with an empty Accept, and shows a person nothing but the lines of an HTML page.
    if b"text/html" in accepted or accepted == {b""}:
        return b"text/html; charset=utf-8", _page(error, f"{status} {title}", request_id).encode()
    return b"text/plain; charset=utf-8", f"{status} {error.code}: {error.detail}\n".encode()


def _page(error: ShimError, heading: str, request_id: str) -> str:
    # A line an element: the glance command shows the lines of an HTML answer joined by colons.
    return (
        "<!doctype html>\n"
        f"<title>{heading}</title>\n"
        f"<h1>{heading}</h1>\n"
        f"<p>{html.escape(error.code)}: {html.escape(error.detail)}</p>\n"
        f"<p>{html.escape(request_id)}</p>\n"
    )
