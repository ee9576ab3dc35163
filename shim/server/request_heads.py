"""Reads the heads of one connection's requests, and keeps of each what the next may have in common with it.

A client that stays sends nearly the same head again and again (``KnownFields``); what the application makes
of its fields is asked once for as long as they stay the same.
"""

from collections.abc import Mapping
from typing import Any

from shim.short_way import ShortTerms, ShortWay
from shim.wire.framing import Framing
from shim.wire.headers import Headers
from shim.wire.http1 import HeadBuffer, RequestHead, parse_request_head
from shim.wire.known_fields import KnownFields

# What a connection keeps of its last request, in bytes of its head and in fields; one with more is read anew
# each time. Kept, a head of 64 KiB in small fields was 1 MiB, for as long as its connection is idle.
LONGEST_KEPT = 4096
MOST_KEPT = 64


class RequestHeads:
    """The heads of one connection."""

    def __init__(self, limit: int, short_way: ShortWay | None) -> None:
        """Take the bytes that a head may have, and the application's short way (None: it has none)."""
        self._limit = limit
        self._short_way = short_way
        self._buffer = HeadBuffer(limit)
        self._head = b""
        self._known: KnownFields | None = None
        self._headers: Headers | None = None
        self._terms: ShortTerms | None = None

    def __len__(self) -> int:
        """Bytes of a head that is not whole yet."""
        return len(self._buffer)

    def read(self, data: bytes) -> RequestHead | None:
        """Add bytes; gives the request once its head is whole, and keeps what follows (``take_rest``).

        Raises:
            BadRequest, UnknownMethod, HeadTooLarge: It is no head that is served.
        """
        if self._known is not None and not len(self._buffer) and len(data) <= self._limit:
            request = self._known.read(data)
            if request is not None:
                return request
        head = self._buffer.feed(data)
        if head is None:
            return None
        self._head = head if len(head) <= LONGEST_KEPT else b""
        return parse_request_head(head)

    def take_rest(self) -> bytes:
        """The bytes that came after the head, or of one that is given up."""
        return self._buffer.take_rest()

    def terms(self, request: RequestHead, framing: Framing, ends: Mapping[str, Any]) -> ShortTerms | None:
        """What the application says of requests with these fields; None: the short way is not for them.

        Args:
            request: As ``read`` gave it last.
            framing: How its body is delimited.
            ends: The scope's ``client``, ``server`` and ``scheme``.
        """
        if self._short_way is None or request.http_version != "1.1":
            return None
        if request.headers != self._headers:
            terms = self._short_way.terms(request.headers, ends)
            if not self._head or len(request.headers) > MOST_KEPT:
                # An idle connection would hold all that was made of it.
                return terms
            self._headers, self._terms = request.headers, terms
            # What comes with a body is no head alone, and has more to be looked at.
            is_regular = terms is not None and not framing.has_framing
            self._known = KnownFields.of(self._head, request) if is_regular else None
        return self._terms
