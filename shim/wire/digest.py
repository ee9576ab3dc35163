"""Digests that a request declares of its body, and the hash that is taken of it on its way to prove them.

Content-Digest (RFC 9530) with ``sha-256`` and ``sha-512``, and the older Content-MD5 (RFC 1864): both speak
of the bytes of this message. Not Repr-Digest, nor the obsolete Digest: they speak of the representation that
comes of it, which only the server behind can know. Only the head counts: trailers are dropped by the framing.
"""

import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shim.errors import BadRequest, DigestMismatch
from shim.wire.headers import Headers

# By their names in the field: hashlib's name, and the digest's size in bytes. MD5 is registered for the field
# too, as one that proves nothing any more; clients that still declare it do so by the field of its own.
_KNOWN = {b"sha-256": ("sha256", 32), b"sha-512": ("sha512", 64)}
_MD5 = ("md5", 16)

# RFC 9651 section 3.2: what every parser of dictionaries has to take. Nobody has more algorithms than that.
MOST_MEMBERS = 1024
# A member up to its comma (section 4.2.2), of whatever type: only in a string a comma ends nothing. What is
# taken is never given back, so that each octet is looked at once. By atomic groups, for Debian 12's Python
# matches possessive ones wrongly (gh-106052).
_MEMBER = re.compile(
    rb'((?>[a-z*][a-z0-9_.*-]*))((?>(?:[^",]|"(?>(?:[^"\\]|\\["\\])*)")*))(?:,(?>[ \t]*)(?!\Z)|\Z)'
)
# A byte sequence (section 3.3.5); RFC 9530 gives it no parameters, and unknown ones are ignored.
_BYTES = re.compile(rb"=:((?>[A-Za-z0-9+/=]*)):(?:;.*)?")


class Declared(NamedTuple):
    """One digest as a head declares it.

    Attributes:
        field: The field that declares it, for people.
        name: The algorithm, as the field calls it.
        algorithm: The same as hashlib calls it.
        value: The digest itself.
    """

    field: str
    name: str
    algorithm: str
    value: bytes


class BodyDigest:
    """The hashes of one body while it comes in, one for each digest that is declared of it."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        """Take what is to be proved."""
        # Not for security, as some systems call it that forbid MD5: it finds damage, and no forgery.
        self._hashes = [(digest, hashlib.new(digest.algorithm, usedforsecurity=False)) for digest in declared]

    def __repr__(self) -> str:
        names = ", ".join(declared.name for declared, _ in self._hashes)
        return f"<BodyDigest {names}>"

    def update(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Add what comes next; of pieces over 2 KiB other threads are not kept waiting."""
        for piece in pieces:
            for _, running in self._hashes:
                running.update(piece)

    def check(self) -> None:
        """Judge the body, all of which has come.

        Raises:
            DigestMismatch: It is not the one that was declared.
        """
        for declared, running in self._hashes:
            computed = running.digest()
            if computed != declared.value:
                raise DigestMismatch(
                    f"The body did not arrive as it was sent: its {declared.name} is {_encode(computed)}, "
                    f"but {declared.field} declares {_encode(declared.value)}."
                )


def declared_digests(headers: Headers) -> tuple[Declared, ...]:
    """The digests that a head declares, each algorithm once.

    Raises:
        BadRequest: A field is malformed, a value is no digest of its algorithm, or two values contradict each
            other. RFC 9651 section 4.2 lets a malformed field count as a malformed message: to ignore it
            would be to promise a check that is never made.
    """
    dictionaries: list[bytes] = []
    sums: list[bytes] = []
    for name, value in headers:
        if name == b"content-digest":
            dictionaries.append(value)
        elif name == b"content-md5":
            sums.append(value)
    # Nearly always: two comparisons for each field are all that it costs.
    if not dictionaries and not sums:
        return ()
    return _each_once([*_from_dictionary(b", ".join(dictionaries)), *map(_from_sum, sums)])


def _from_dictionary(value: bytes) -> Iterator[Declared]:
    """What Content-Digest declares, in all its lines (RFC 9651 section 4.2); other algorithms are ignored."""
    for name, rest in _members(value):
        if name not in _KNOWN:
            continue
        found = _BYTES.fullmatch(rest.rstrip(b" \t"))
        yield _declare("Content-Digest", name.decode("ascii"), *_KNOWN[name], found[1] if found else b"")


def _from_sum(value: bytes) -> Declared:
    """What one line of Content-MD5 declares: base64 of 16 bytes and nothing else."""
    return _declare("Content-MD5", "md5", *_MD5, value)


def _members(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names of a dictionary, each with what follows it up to the comma."""
    place = count = 0
    while place < len(value):
        member = _MEMBER.match(value, place)
        count += 1
        if member is None or count > MOST_MEMBERS:
            raise BadRequest("Content-Digest is malformed: it must be like sha-256=:BASE64: (RFC 9530).")
        yield member[1], member[2]
        place = member.end()


def _declare(field: str, name: str, algorithm: str, size: int, text: bytes) -> Declared:
    if not text.endswith(b"="):
        # RFC 9651 section 4.2.7: missing padding is no fault.
        text += b"=" * (-len(text) % 4)
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        value = b""
    if len(value) != size:
        raise BadRequest(f"{field} is malformed: its {name} must be {size} bytes in base64.")
    return Declared(field, name, algorithm, value)


def _each_once(digests: Iterable[Declared]) -> tuple[Declared, ...]:
    found: dict[str, Declared] = {}
    for digest in digests:
        if found.setdefault(digest.name, digest).value != digest.value:
            raise BadRequest(f"{digest.field} declares two different values of {digest.name}.")
    return tuple(found.values())


def _encode(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")
