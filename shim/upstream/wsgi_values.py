"""What goes into a WSGI application and what comes out of it, as values: environ, errors, status and fields.

PEP 3333 leaves much to the application; what of it could not be sent as HTTP is refused here.
"""

import contextlib
import io
import logging
import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, BinaryIO, TypeAlias

from shim.errors import UpstreamInvalid
from shim.upstream.answer_pipe import AnswerHead
from shim.upstream.message import UpstreamRequest
from shim.wire.framing import response_framing
from shim.wire.headers import HOP_BY_HOP, TOKEN, Headers, get_all, is_valid_value

log = logging.getLogger("shim.application")

Environ: TypeAlias = dict[str, Any]
ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
Write: TypeAlias = Callable[[bytes], None]
WsgiApplication: TypeAlias = Callable[[Environ, Any], Iterable[bytes]]

# PEP 3333 has no way to send an interim answer, so 1xx is a mistake.
_STATUS = re.compile(rb"([2-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")


class ErrorLines(io.TextIOBase):
    """``wsgi.errors``: each line written to it becomes a log line."""

    def __init__(self, fields: dict[str, str]) -> None:
        """Take the fields that the log lines carry."""
        self._fields = fields
        self._rest = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Log what lines are whole, keep the rest."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def flush(self) -> None:
        """Log what is left of a line."""
        rest, self._rest = self._rest, ""
        self._tell(rest)

    def _tell(self, line: str) -> None:
        if line.strip():
            log.error("%s", line, extra={"fields": self._fields})


def environ_of(request: UpstreamRequest, body: BinaryIO, errors: io.TextIOBase) -> Environ:
    """The request as PEP 3333 has it: what uWSGI would get, as latin-1 text, and the ``wsgi.*`` variables."""
    environ: Environ = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in request.variables().items()
    }
    # Not wsgi.input_terminated: WebOb would take it for a body where there is none, and Glance answers 400.
    return environ | {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": body,
        "wsgi.errors": errors,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def parse_answer_head(method: str, status: str, headers: list[tuple[str, str]]) -> AnswerHead:
    """What an application gave to ``start_response``.

    Raises:
        UpstreamInvalid: A status or field that HTTP does not know, or an ambiguous length.
    """
    match = _STATUS.fullmatch(_encode(status, "status"))
    if match is None:
        raise UpstreamInvalid("The application's answer has no valid status.")
    fields = tuple(_parse_field(field) for field in headers)
    # PEP 3333 leaves these to the server. A coding that is already applied cannot be undone, though.
    if get_all(fields, b"transfer-encoding"):
        raise UpstreamInvalid("The application's answer has a Transfer-Encoding of its own.")
    kept: Headers = tuple(field for field in fields if field[0] not in HOP_BY_HOP)
    code = int(match[1])
    return AnswerHead(code, match[2] or b"", kept, response_framing(method, code, kept))


def _parse_field(field: tuple[str, str]) -> tuple[bytes, bytes]:
    with contextlib.suppress(TypeError, ValueError):
        name, value = field
        pair = _encode(name, "header").lower(), _encode(value, "header").strip(b" \t")
        if TOKEN.fullmatch(pair[0]) and is_valid_value(pair[1]):
            return pair
    raise UpstreamInvalid(f"The application's answer has a malformed header field: {field!r:.80}.")


def _encode(text: str, what: str) -> bytes:
    try:
        return text.encode("latin-1")
    except (AttributeError, UnicodeEncodeError):
        raise UpstreamInvalid(f"The application's answer has a {what} that is not latin-1 text.") from None
