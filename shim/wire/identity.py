"""Request ids as OpenStack writes them: ``req-`` and a random UUID (RFC 9562 section 5.4).

A client's own is kept where it is well-formed, so that its log and ours name the same request; a request
without one gets a new one.
"""

import os
import re

from shim.wire.headers import Headers, get_first

REQUEST_ID_NAMES = frozenset({b"x-openstack-request-id", b"x-request-id"})
_REQUEST_ID_FIELDS = tuple(sorted(REQUEST_ID_NAMES))
_REQUEST_ID = re.compile(rb"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# They are made by the hundred: with a call of the kernel for each, one took 1.6 us instead of 0.5 (measured).
# 4 KiB of random bytes, and 0.12 ms to write so many ids: as long as the loop may well stand still.
IDS_AT_ONCE = 256

# The sizes of a UUID's five parts in octets, and what becomes of the first octet of each: four bits of the
# third say version 4, two of the fourth which variant.
_PARTS = (
    (4, None),
    (2, None),
    (2, bytes(octet & 0x0F | 0x40 for octet in range(256))),
    (2, bytes(octet & 0x3F | 0x80 for octet in range(256))),
    (6, None),
)

_ready: list[str] = []
# A worker must not go on with those of the process that it was forked from: its sisters would, too.
os.register_at_fork(after_in_child=_ready.clear)


def request_id(headers: Headers) -> str:
    """The client's request id where it is well-formed, else a new one (``req-<uuid>``)."""
    return given_request_id(headers) or new_request_id()


def given_request_id(headers: Headers) -> str | None:
    """The client's own, where it is well-formed."""
    for name, _ in headers:
        if name in REQUEST_ID_NAMES:
            return _own_request_id(headers)
    return None


def _own_request_id(headers: Headers) -> str | None:
    for name in _REQUEST_ID_FIELDS:
        value = get_first(headers, name)
        if value is not None and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return None


def identity_fields(identity: str) -> list[tuple[bytes, bytes]]:
    """The fields that name a request."""
    name = identity.encode("ascii")
    return [(field, name) for field in _REQUEST_ID_FIELDS]


def new_request_id() -> str:
    """One that nobody else has."""
    while True:
        try:
            # In one step, so that of two threads none gets the other's.
            return _ready.pop()
        except IndexError:
            _ready.extend(_make(IDS_AT_ONCE))


def _make(count: int) -> list[str]:
    parts = []
    for size, fixed in _PARTS:
        octets = bytearray(os.urandom(count * size))
        octets[::size] = octets[::size].translate(fixed)
        parts.append(octets.hex(" ", size).split())
    return ["req-" + "-".join(digits) for digits in zip(*parts, strict=True)]
