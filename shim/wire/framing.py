"""Which body a message has: one rule for requests and one for responses, in the steps of RFC 9112 section 6.

Nobody else looks at Transfer-Encoding or Content-Length. Whatever the RFC lets a server refuse is
refused: two parties that disagree about a body's end are how requests are smuggled.
"""

import enum
from typing import NamedTuple

from shim.errors import BadFraming, UnknownCoding, UpstreamInvalid
from shim.wire.headers import Headers, get_all, is_token, list_members

# RFC 9110 section 8.6: digits only. 19 digits hold 2**63 - 1, more than any file system.
MOST_DIGITS = 19
# Nobody applies more. In a head of 64 KiB are 32,000 of them, and telling that each is a name took 70 ms.
MOST_CODINGS = 8
NO_CONTENT = 204
NOT_MODIFIED = 304


class BodyKind(enum.Enum):
    """How the end of a body is found."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until-close"


# Python 3.11 looks a member up in 0.1 us, and a body is asked after at each step of a request.
_NONE, _LENGTH = BodyKind.NONE, BodyKind.LENGTH


class Framing(NamedTuple):
    """How a body is delimited; ``length`` in bytes for ``BodyKind.LENGTH`` only.

    A tuple, because one is made for every answer, and a frozen dataclass takes three times as long to make.
    """

    kind: BodyKind
    length: int | None = None

    @property
    def has_framing(self) -> bool:
        """Whether the head says anything of a body, if only that it is empty."""
        return self.kind is not _NONE

    @property
    def has_body(self) -> bool:
        """Whether any byte of a body can follow the head."""
        return self.kind is not _NONE and self.length != 0


NOTHING = Framing(_NONE)
CHUNKED = Framing(BodyKind.CHUNKED)
UNTIL_CLOSE = Framing(BodyKind.UNTIL_CLOSE)

_FRAMING_NAMES = frozenset({b"content-length", b"transfer-encoding"})


def request_framing(http_version: str, headers: Headers) -> Framing:
    """Decide a request's body.

    Args:
        http_version: ``"1.0"`` or ``"1.1"``.
        headers: The request's fields, names in lower case.

    Raises:
        BadFraming: Both fields, a repeated or malformed one, or a coding on HTTP/1.0.
        UnknownCoding: A coding other than ``chunked`` alone.
    """
    codings, lengths = _framing_fields(headers)
    if codings:
        # RFC 9112 section 6.1: a coding on HTTP/1.0, or beside a length, may be refused; so it is.
        if http_version != "1.1":
            raise BadFraming("Transfer-Encoding is not part of HTTP/1.0.")
        if lengths:
            raise BadFraming("Transfer-Encoding and Content-Length may not come together.")
        _check_coding(codings)
        return CHUNKED
    if not lengths:
        return NOTHING
    return Framing(_LENGTH, _parse_length(lengths, BadFraming))


def response_framing(method: str, status: int, headers: Headers) -> Framing:
    """Decide an upstream answer's body (RFC 9112 section 6.3).

    Raises:
        UpstreamInvalid: Two lengths, a length beside a coding, or another coding than ``chunked``.
    """
    codings, lengths = _framing_fields(headers)
    if codings and lengths:
        raise UpstreamInvalid("The upstream sent Transfer-Encoding and Content-Length together.")
    if codings and list_members(codings) != [b"chunked"]:
        raise UpstreamInvalid("The upstream sent a transfer coding other than chunked.")
    length = _parse_length(lengths, UpstreamInvalid) if lengths else None
    if method == "HEAD" or status in (NO_CONTENT, NOT_MODIFIED):
        return NOTHING
    if codings:
        return CHUNKED
    return UNTIL_CLOSE if length is None else Framing(_LENGTH, length)


def belies_its_status(status: int, headers: Headers) -> bool:
    """Whether an answer of 204 says that a body comes, which it must not (RFC 9110 section 8.6).

    Whoever says so may well send one: a piece later, when its bytes would be the next answer's.
    """
    if status != NO_CONTENT:
        return False
    codings, lengths = _framing_fields(headers)
    return bool(codings) or any(length.strip(b"0") for length in lengths)


def declared_size(headers: Headers) -> int | None:
    """Glance's ``x-openstack-image-size``: a length declared beside a chunked body; None where unknown (0).

    Raises:
        BadFraming: Not a number, or more than one, if only the same twice (WSGI makes ``6,6`` of that):
            Glance answers 400 too, but after the body.
    """
    values = get_all(headers, b"x-openstack-image-size")
    if not values:
        return None
    if len(values) > 1 or not _is_length(value := values[0]):
        raise BadFraming("x-openstack-image-size must be one number of bytes.")
    return int(value) or None


def _framing_fields(headers: Headers) -> tuple[list[bytes], list[bytes]]:
    """All values of Transfer-Encoding, and all of Content-Length."""
    codings: list[bytes] = []
    lengths: list[bytes] = []
    for name, value in headers:
        # One look into a set for nearly all of them, and not a comparison with each name.
        if name in _FRAMING_NAMES:
            (lengths if name == b"content-length" else codings).append(value)
    return codings, lengths


def _check_coding(codings: list[bytes]) -> None:
    members = list_members(codings)
    if members == [b"chunked"]:
        return
    is_list = len(codings) == 1 and len(members) <= MOST_CODINGS
    if is_list and all(map(is_token, members)):
        unknown = [member for member in members if member != b"chunked"]
        if unknown:
            raise UnknownCoding(
                f"Transfer coding {unknown[0].decode('ascii')!r} is not supported, only chunked."
            )
    raise BadFraming("Transfer-Encoding must be 'chunked', once.")


def _parse_length(values: list[bytes], error: type[BadFraming] | type[UpstreamInvalid]) -> int:
    # RFC 9112 section 6.3 lets "5, 5" pass; refusing it costs no known client anything.
    if len(values) > 1:
        raise error("Content-Length may not be repeated.")
    if not _is_length(values[0]):
        raise error("Content-Length must be one plain number.")
    return int(values[0])


def _is_length(value: bytes) -> bool:
    # Of bytes, ``isdigit`` takes the ten of ASCII alone, and not an empty value.
    return len(value) <= MOST_DIGITS and value.isdigit()
