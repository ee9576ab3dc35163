"""Header fields as an ordered tuple of byte pairs, names in lower case, and the questions asked of them.

ASGI, HTTP/1.1 and the uwsgi protocol all start from this form; RFC 9110 section 5 is the source.
"""

import re
from collections.abc import Collection, Iterable
from typing import TypeAlias

from shim.wire.bounded_cache import BoundedCache

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

# RFC 9110 section 7.6.1, with the obsolete names that deployed software still sends.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# Fields in which proxies speak of the client; there are more of them than the shim sets (-Port, -Ssl, -User).
FORWARDED_PREFIX = b"x-forwarded-"

# What a Connection header may not remove, with all of FORWARDED_PREFIX: others rely on these (a client could
# hide its address).
KEPT_DESPITE_CONNECTION = frozenset(
    {
        b"content-digest",
        b"content-length",
        b"content-md5",
        b"content-type",
        b"forwarded",
        b"host",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-auth-token",
        b"x-openstack-image-size",
        b"x-openstack-request-id",
        b"x-request-id",
    }
)

# What clients of OpenStack send, and proxies add, nearly always. What follows from these names is worked out
# beforehand, and not kept as names come: for a client that makes them up that took up to half as long again.
USUAL_NAMES = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"cache-control",
        b"content-type",
        b"cookie",
        b"forwarded",
        b"host",
        b"if-modified-since",
        b"if-none-match",
        b"openstack-api-version",
        b"origin",
        b"range",
        b"referer",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"via",
        b"x-auth-token",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-openstack-image-size",
        b"x-openstack-request-id",
        b"x-request-id",
        b"x-service-token",
    }
)

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Octets rather than expressions where every field of every message passes: a fifth of the time, and never
# more than one look at each octet, whatever a client makes of its white space.
_TOKEN_OCTETS = bytes(octet for octet in range(256) if TOKEN.fullmatch(bytes([octet])))
_VALUE_OCTETS = bytes(octet for octet in range(256) if octet == 0x09 or (octet >= 0x20 and octet != 0x7F))  # noqa: PLR2004 - tab; all but controls

_NO_OPTIONS: frozenset[bytes] = frozenset()


def get_all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """All values of a field, in order; ``name`` in lower case."""
    # A loop, for it is asked some ten times for each request: as a comprehension it is two calls.
    values = []
    for key, value in headers:
        if key == name:
            values.append(value)
    return values


def get_first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a field, or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def list_members(values: Iterable[bytes]) -> list[bytes]:
    """The members of a comma-separated field, in lower case; empty ones are kept for the caller to refuse."""
    return [member.strip(b" \t").lower() for value in values for member in value.split(b",")]


def connection_options(headers: Collection[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """What the Connection header names: options such as ``close``, and fields of this hop only."""
    said = get_all(headers, b"connection")
    return _OPTIONS[b",".join(said)] if said else _NO_OPTIONS


def fields_of_this_hop(headers: Collection[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The names of fields that do not go on to the next hop: some always, others as Connection says."""
    said = get_all(headers, b"connection")
    return _FIELDS_OF_THIS_HOP[b",".join(said)] if said else HOP_BY_HOP


def end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The fields that go on to the next hop: without hop-by-hop fields and those named in Connection."""
    dropped = fields_of_this_hop(headers)
    return [field for field in headers if field[0] not in dropped]


def _options(said: bytes) -> frozenset[bytes]:
    return frozenset(list_members((said,)))


def _fields_of_this_hop(said: bytes) -> frozenset[bytes]:
    removable = _options(said) - KEPT_DESPITE_CONNECTION
    return HOP_BY_HOP | {name for name in removable if not name.startswith(FORWARDED_PREFIX)}


# All that is said in nearly all of them is close or keep-alive: to read that anew, some five times for each
# request, took 0.6 us each time.
_OPTIONS = BoundedCache(_options, most=64, longest=64)
_FIELDS_OF_THIS_HOP = BoundedCache(_fields_of_this_hop, most=64, longest=64)


def is_token(name: bytes) -> bool:
    """Whether it can be the name of a field, or of anything else (RFC 9110 section 5.6.2)."""
    return bool(name) and not name.translate(None, _TOKEN_OCTETS)


def is_valid_value(value: bytes) -> bool:
    """No control character but tab (RFC 9110 section 5.5): CR, LF and NUL are how headers are smuggled."""
    return not value.translate(None, _VALUE_OCTETS)
