"""Bodies on the wire, decoded from whatever pieces arrive: chunked (RFC 9112 section 7.1) or of known length.

A decoder takes a buffer and gives slices of it, so that nothing is copied: the same code serves the
event loop with 64 KiB pieces and a pump thread with a megabyte. The grammar is strict, and everything
that is not payload is bounded.
"""

import functools
import re
from typing import NamedTuple, Protocol

from shim.errors import BadFraming
from shim.wire.headers import TOKEN, is_token, is_valid_value

# chunk-ext of RFC 9112 section 7.1.1; a quoted value holds no control character.
_QUOTED = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN.pattern, TOKEN.pattern, _QUOTED)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:%b)*" % _EXTENSION)

MAX_LINE = 4096  # with its CRLF, however the line is cut into buffers
# What is looked at first: nearly all lines are shorter, and 4 KiB copied for each was half of what they cost.
SHORT_LINE = 64
MAX_EXTENSIONS = 64 * 1024
MAX_TRAILERS = 16 * 1024
_CRLF = b"\r\n"
# So many chunks of one size are taken one by one, then by an expression made for them. That costs as much as
# they did: a client that changes its sizes gains nothing.
ALIKE = 128
LARGEST_ALIKE = 64 * 1024  # of larger ones a buffer holds few, and an expression cannot count above 4 GiB
# An expression keeps a note of each chunk that it has found: 1024 of them are 100 KiB.
MOST_AT_ONCE = 1024


class Decoded(NamedTuple):
    """What a buffer held: payload slices in order, the bytes used, and whether the body has ended."""

    payload: list[memoryview]
    used: int
    ended: bool


class BodyDecoder(Protocol):
    """One body, fed buffer by buffer; bytes after the end are left alone.

    Attributes:
        left: Bytes of payload that are known to come yet; there may be more.
    """

    left: int

    def decode(self, buffer: memoryview) -> Decoded:
        """Take the next buffer; the payload slices refer into it."""
        ...


class LengthDecoder:
    """A body of ``length`` bytes.

    Attributes:
        left: Those that are still to come.
    """

    def __init__(self, length: int) -> None:
        self.left = length

    def decode(self, buffer: memoryview) -> Decoded:
        """Take what belongs to the body."""
        used = min(self.left, len(buffer))
        self.left -= used
        return Decoded([buffer[:used]] if used else [], used, self.left == 0)


class UntilCloseDecoder:
    """A body that ends with its connection: everything is payload, the end is seen elsewhere."""

    left = 0

    def decode(self, buffer: memoryview) -> Decoded:
        """Take all."""
        return Decoded([buffer] if len(buffer) else [], len(buffer), ended=False)


class ChunkedDecoder:
    """A chunked body.

    Between buffers the state is: payload bytes left in the chunk (``left``), and the part of a line
    seen so far (``_line``). A chunk's closing CRLF is read as the start of the next line, so ``_line``
    always begins where the payload ended.
    """

    def __init__(self) -> None:
        self.left = 0
        self._line = b""
        self._before = b""  # the line ending that must come before the next chunk line
        self._extensions = 0
        self._trailers: int | None = None  # bytes of trailers seen; None until the last chunk
        self._known_line = b""
        self._known_size = 0
        self._alike = 0  # chunks that began with the known line since it is known

    def decode(self, buffer: memoryview) -> Decoded:
        """Take the next buffer.

        Raises:
            BadFraming: The bytes are not a chunked body, or its lines exceed the bounds.
        """
        payload: list[memoryview] = []
        position, end = 0, len(buffer)
        while position < end:
            if self.left:
                taken = min(self.left, end - position)
                payload.append(buffer[position : position + taken])
                position += taken
                self.left -= taken
                continue
            if self._is_known_line(buffer, position):
                position = self._take_alike(buffer, position, payload)
                continue
            position, ended = self._read_line(buffer, position)
            if ended:
                return Decoded(payload, position, ended=True)
        return Decoded(payload, position, ended=False)

    def _take_alike(self, buffer: memoryview, position: int, payload: list[memoryview]) -> int:
        """Begin a chunk like the last one, or take many whole ones at once; gives the new position."""
        line, size = self._known_line, self._known_size
        self._alike += 1
        end = position
        if self._alike > ALIKE and size <= LARGEST_ALIKE:
            # The hottest place there is: a megabyte of 4 KiB chunks would come through here 256 times.
            end = _end_of_alike(line, size, buffer, position)
        if end == position:
            self.left = size
            return position + len(line)
        first, stride = position + len(line), len(line) + size
        payload += [buffer[begin : begin + size] for begin in range(first, end, stride)]
        return end

    def _is_known_line(self, buffer: memoryview, position: int) -> bool:
        # A client's chunks are nearly all of one size: comparing beats parsing (PERFORMANCE figures).
        line = self._known_line
        # After the last chunk the same bytes are the body's end and the beginning of what follows it.
        if not line or self._line or self._trailers is not None:
            return False
        return buffer[position : position + len(line)] == line

    def _read_line(self, buffer: memoryview, position: int) -> tuple[int, bool]:
        """Take one line, or the part that is there; gives the new position and whether the body ended."""
        window = self._window(buffer, position)
        line = self._line + window
        prefix = len(self._before)
        if not self._before.startswith(line[:prefix]):
            raise BadFraming("A chunk is not followed by CRLF.")
        stop = line.find(b"\n", prefix, prefix + MAX_LINE)
        if stop < 0:
            self._keep_part(line, prefix)
            return position + len(window), False
        taken = stop + 1 - len(self._line)
        self._line = b""
        if line[stop - 1 : stop + 1] != _CRLF or stop - 1 < prefix:
            raise BadFraming("A line of a chunked body does not end with CRLF.")
        return position + taken, self._take_line(line[: stop + 1], prefix)

    def _window(self, buffer: memoryview, position: int) -> bytes:
        """What is there of a line, to its end or the bound, and some of what follows it."""
        window = bytes(buffer[position : position + SHORT_LINE])
        # The first LF may end the chunk before.
        if window.find(b"\n", len(self._before)) >= 0:
            return window
        return bytes(buffer[position : position + MAX_LINE])

    def _keep_part(self, line: bytes, prefix: int) -> None:
        if len(line) - prefix >= MAX_LINE:
            raise BadFraming("A line of a chunked body is too long.")
        # A bare CR inside the part is found when its line is whole; a lone part is bounded above.
        self._line = line

    def _take_line(self, line: bytes, prefix: int) -> bool:
        content = line[prefix:-2]
        if self._trailers is not None:
            return self._take_trailer(content)
        match = _CHUNK_LINE.fullmatch(content)
        if match is None:
            raise BadFraming("A chunk size is malformed.")
        size = int(match[1], 16)
        self._count_extensions(len(content) - len(match[1]))
        if size == 0:
            self._trailers, self._before = 0, b""
            return False
        self.left, self._before = size, _CRLF
        if line.startswith(_CRLF) and match.end(1) == len(content):
            self._known_line, self._known_size, self._alike = line, size, 0
        return False

    def _count_extensions(self, size: int) -> None:
        self._extensions += size
        if self._extensions > MAX_EXTENSIONS:
            raise BadFraming("The chunk extensions are too long.")

    def _take_trailer(self, content: bytes) -> bool:
        if not content:
            return True
        assert self._trailers is not None
        self._trailers += len(content)
        name, colon, value = content.partition(b":")
        if not (colon and is_token(name) and is_valid_value(value)):
            raise BadFraming("A trailer is malformed.")
        if self._trailers > MAX_TRAILERS:
            raise BadFraming("The trailers are too long.")
        return False


def _end_of_alike(line: bytes, size: int, buffer: memoryview, position: int) -> int:
    """Where whole chunks of ``size`` bytes, each with ``line`` before it, end; they begin at ``position``."""
    found = _chunks_alike(line, size).match(buffer, position)
    return found.end() if found else position


@functools.lru_cache(maxsize=64)
def _chunks_alike(line: bytes, size: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:%b.{%d}){1,%d}" % (re.escape(line), size, MOST_AT_ONCE), re.DOTALL)


def encode_chunk(data: bytes) -> bytes:
    """One chunk; ``data`` must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
