"""HTTP/1.1 heads: bytes to ``RequestHead`` and ``ResponseHead`` and back, in the grammar of RFC 9112.

The grammar is ours and strict because a proxy's parser must refuse what the parser behind it could
read otherwise (``docs/decisions/0003-our-own-head-grammar.md``): CRLF only, no folding, one Host.
"""

import re
from typing import NamedTuple

from shim.errors import BadRequest, HeadTooLarge, UnknownMethod, UpstreamInvalid
from shim.wire.bounded_cache import BoundedCache
from shim.wire.fields import parse_fields
from shim.wire.headers import TOKEN, Headers, get_all

_REQUEST_LINE = re.compile(rb"(%b) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])" % TOKEN.pattern)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_ABSOLUTE = re.compile(rb"https?://([^/?:][^/?]*)(/[^?]*)?(\?.*)?", re.IGNORECASE)
# RFC 3986 section 3.2: a name, an address, or a bracketed one, with a port; never user@.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~!$&'()*+;=%\-]*)(?::[0-9]*)?")

# As nginx has it. In the smallest fields a head of 64 KiB is 13,000 of them, and 35 ms of the loop's time.
MOST_FIELDS = 1000

_END = b"\r\n\r\n"
_CR = ord("\r")


class RequestHead(NamedTuple):
    """A request line and its fields; a tuple, because one is made for every request.

    Attributes:
        method: As it came; methods are case-sensitive.
        target: The origin-form target, byte for byte (an absolute-form one is reduced to it), or ``*``.
        http_version: ``"1.0"`` or ``"1.1"``.
        headers: Names in lower case, values without surrounding white space, in order.
    """

    method: str
    target: bytes
    http_version: str
    headers: Headers


class ResponseHead(NamedTuple):
    """A status line and its fields, in the form of ``RequestHead``."""

    status: int
    reason: bytes
    http_version: str
    headers: Headers


class HeadBuffer:
    """Gathers a head from pieces: bounded, and refused at the first bare LF instead of at a timeout."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._seen = 0
        self._may_pass_over = True  # an empty line before the head

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> bytes | None:
        """Add a piece; gives the head with its closing empty line once it is whole.

        What follows the head is kept; ``take_rest`` gives it.

        Raises:
            HeadTooLarge: More than the limit without an end.
            BadRequest: A line ends with LF alone.
        """
        if not self._data and (end := self._end_of_whole(data)):
            self._may_pass_over = True
            if end == len(data):
                return data
            # Of an answer, what came of its body with its head.
            self._data += memoryview(data)[end:]
            return data[:end]
        self._data += data
        # Old clients send an empty line after a body (RFC 9112 section 2.2): one is passed over.
        if self._may_pass_over and self._data.startswith(b"\r\n"):
            del self._data[:2]
            self._seen, self._may_pass_over = 0, False
        end = self._data.find(_END, max(0, self._seen - len(_END)))
        self._check_lines(end if end >= 0 else len(self._data))
        if end < 0:
            self._seen = len(self._data)
            if self._seen > self._limit:
                raise HeadTooLarge(f"The request head exceeds {self._limit} bytes.")
            return None
        if end + len(_END) > self._limit:
            raise HeadTooLarge(f"The request head exceeds {self._limit} bytes.")
        head = bytes(self._data[: end + len(_END)])
        del self._data[: len(head)]
        self._seen, self._may_pass_over = 0, True
        return head

    def _end_of_whole(self, data: bytes) -> int:
        """Where a head ends that this begins with and nothing is the matter with; 0: have a closer look."""
        end = data.find(_END) + len(_END)
        if (
            len(_END) < end <= self._limit
            and data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end)
            and data[0] != _CR
        ):
            return end
        return 0

    def take_rest(self) -> bytes:
        """The bytes that came after the head; the buffer is empty afterwards."""
        if not self._data:
            self._may_pass_over = True
            return b""
        rest = bytes(self._data)
        self._data.clear()
        self._seen, self._may_pass_over = 0, True
        return rest

    def put_back(self, data: bytes) -> None:
        """Keep bytes that came after a body: they begin the next head."""
        self._data += data

    def _check_lines(self, end: int) -> None:
        # A CR seen before may have its LF in this piece, so pairs are looked for one byte further back.
        ended = self._data.count(b"\n", self._seen, end)
        if ended != self._data.count(b"\r\n", max(0, self._seen - 1), end):
            raise BadRequest("A line of the head ends with LF instead of CRLF.")


def parse_request_head(head: bytes) -> RequestHead:
    """Parse a head that ends with its empty line.

    Raises:
        BadRequest: Malformed, or without exactly one Host on HTTP/1.1.
        UnknownMethod: CONNECT; the shim is no tunnel.
        HeadTooLarge: More than ``MOST_FIELDS``.
    """
    lines = head[: -len(_END)].split(b"\r\n", MOST_FIELDS + 1)
    if len(lines) > MOST_FIELDS + 1:
        raise HeadTooLarge(f"The request head has more than {MOST_FIELDS} fields.")
    match = _REQUEST_LINE.fullmatch(lines.pop(0))
    if match is None:
        raise BadRequest("The request line is malformed.")
    name, target, minor = match.groups()
    method = name.decode("ascii")
    if method == "CONNECT":
        raise UnknownMethod("CONNECT is not supported: this is a reverse proxy.")
    headers = parse_fields(lines, BadRequest)
    version = "1.1" if minor == b"1" else "1.0"
    _check_host(version, headers)
    if not target.startswith(b"/"):
        target, headers = _origin_form(method, target, headers)
        # Again, now that an absolute-form target has replaced it: a second Host was refused all the same.
        _check_host(version, headers)
    return RequestHead(method, target, version, headers)


def parse_request_line(line: bytes) -> tuple[str, bytes] | None:
    """Method and target of a line as nearly all are: HTTP/1.1, in origin-form; None where it is another."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or match[3] != b"1" or not match[2].startswith(b"/") or match[1] == b"CONNECT":
        return None
    return match[1].decode("ascii"), match[2]


def parse_response_head(head: bytes) -> ResponseHead:
    """Parse an upstream's head that ends with its empty line.

    Raises:
        UpstreamInvalid: No status line of HTTP/1, or a malformed field.
    """
    lines = head[: -len(_END)].split(b"\r\n")
    status, reason, version = _STATUS_LINES[lines.pop(0)]
    return ResponseHead(status, reason, version, parse_fields(lines, UpstreamInvalid))


def _status_line(line: bytes) -> tuple[int, bytes, str]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise UpstreamInvalid("The upstream's answer has no valid status line.")
    return int(match[2]), match[3] or b"", "1." + match[1].decode("ascii")


# A server has a handful of them.
_STATUS_LINES = BoundedCache(_status_line, most=128, longest=64)


def encode_request_head(method: str, target: bytes, headers: Headers | list[tuple[bytes, bytes]]) -> bytes:
    """The bytes of an HTTP/1.1 request head; the fields must be valid already."""
    return _encode_head(b"%b %b HTTP/1.1" % (method.encode("ascii"), target), headers)


def encode_response_head(status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The bytes of an HTTP/1.1 response head; the fields must be valid already."""
    return _encode_head(b"HTTP/1.1 %d %b" % (status, reason), headers)


def _encode_head(line: bytes, headers: Headers | list[tuple[bytes, bytes]]) -> bytes:
    return b"\r\n".join([line, *map(b": ".join, headers), b"", b""])


def encode_fields(headers: Headers | list[tuple[bytes, bytes]]) -> bytes:
    """The lines of some fields, each with its end; they must be valid already."""
    return b"".join([b"%b: %b\r\n" % field for field in headers])


def _origin_form(method: str, target: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """Reduce an absolute-form target (RFC 9112 section 3.2.2): its authority replaces Host."""
    if target == b"*" and method == "OPTIONS":
        return target, headers
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest("The request target is malformed.")
    others = tuple(field for field in headers if field[0] != b"host")
    return (match[2] or b"/") + (match[3] or b""), ((b"host", match[1]), *others)


def _check_host(version: str, headers: Headers) -> None:
    hosts = get_all(headers, b"host")
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        raise BadRequest("A request needs exactly one Host field.")
    if hosts and not _HOSTS[hosts[0]]:
        raise BadRequest("The Host field is malformed.")


def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


# As many as clients have names for us; a longer one is nobody's.
_HOSTS = BoundedCache(_is_host, most=256, longest=64)
