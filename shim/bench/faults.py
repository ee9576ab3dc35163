"""What goes wrong in a run, in words: an answer that refuses, a connection that fails, bytes that differ.

The border to httpx: nothing of its errors is seen beyond it.
"""

import contextlib
import html
import json
import os
import re
from collections.abc import Iterator
from http import HTTPStatus

import httpx

_LONGEST = 300
_READ = 16 * 1024
"""Bytes of an error's body that are looked at: more of it is no reason any more."""
_TAGS = re.compile(r"<(head|script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)

ADVICE = {
    401: "the token is missing, wrong or expired: export OS_TOKEN=$(openstack token issue -f value -c id)",
    403: "not allowed for this token, or over a quota of its project",
    404: "nothing there: is this Glance's own URL, with the path that it lives under?",
    405: "the service does not take this method here",
    408: "the server would not wait any longer for the body",
    409: "the image is not in a state for this, or its name is taken",
    411: "the server takes no chunked body: what glance-shim is for",
    413: "too large: the project's quota (image_size_total), image_size_cap, or a limit of a proxy",
    429: "too much at once: a rate limit, or a quota of uploads",
    500: "the server failed; its log says why",
    502: "the proxy could not reach the server, or not make sense of its answer",
    503: "busy or full; it may be tried again later",
    504: "the server did not answer the proxy in time",
    507: "a disk is full",
}
"""What a status means to a person who measures, where it says more than its name."""


class BenchFault(Exception):
    """Something did not go as it should; the text is for the person.

    Attributes:
        kind: One of refused, unreachable, cut, late, differs; for programs.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind

    @property
    def is_certain(self) -> bool:
        """Whether nothing can have come of the request: it never got there, or was refused for what it is."""
        return self.kind == "unreachable"


class Refused(BenchFault):
    """An answer other than the one asked for."""

    def __init__(self, what: str, status: int, reason: str) -> None:
        advice = ADVICE.get(status, "")
        told = [text for text in (advice, f"it says: {reason}" if reason else "") if text]
        super().__init__("refused", f"{what}: {_status(status)}{': ' if told else ''}{'; '.join(told)}")
        self.status = status

    @property
    def is_certain(self) -> bool:
        """A server that failed may have failed after the work was done."""
        return self.status < HTTPStatus.INTERNAL_SERVER_ERROR


async def refusal(what: str, response: httpx.Response) -> Refused:
    """The refusal that an answer is; reads so much of its body as holds a reason."""
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _READ:
            break
    return Refused(what, response.status_code, reason_in(body[:_READ]))


def reason_in(body: bytes) -> str:
    """The reason that an error's body gives, in one line: of JSON, HTML or plain text, whoever made it."""
    text = body.decode("utf-8", "replace")
    # A title says what the status says already.
    return plain(_detail(text) or html.unescape(_TAGS.sub(" ", text)))


def plain(text: str) -> str:
    """One line of printable characters: what a server says is not to steer a terminal."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _detail(text: str) -> str:
    """Of problem+json, as the shim answers: code and detail."""
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(found, dict) or "detail" not in found:
        return ""
    return ": ".join(str(found[name]) for name in ("code", "detail") if name in found)


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


_TRANSPORT = (
    (httpx.ConnectTimeout, "unreachable", "no connection within {timeout:.0f} s"),
    (httpx.ConnectError, "unreachable", "no connection: {error}"),
    (httpx.ReadTimeout, "late", "no answer in time"),
    (httpx.WriteTimeout, "late", "the server took no more of the body"),
    (httpx.TimeoutException, "late", "it took too long"),
    (httpx.ReadError, "cut", "the connection was cut before the answer was whole"),
    (httpx.WriteError, "cut", "the connection was cut while the body was being sent"),
    (httpx.RemoteProtocolError, "cut", "the server closed the connection without a whole answer: {error}"),
)
"""From the particular to the general: the first that fits tells it."""


@contextlib.contextmanager
def in_words(what: str, connect: float) -> Iterator[None]:
    """Make a ``BenchFault`` of what httpx raises in the block.

    Args:
        what: What was being done, for the text.
        connect: Seconds that a connection may take.
    """
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError) as error:
        for kind, name, text in _TRANSPORT:
            if isinstance(error, kind):
                told = text.format(error=_cause(error), timeout=connect)
                raise BenchFault(name, f"{what}: {told}") from error
        raise BenchFault("cut", f"{what}: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """The system's own words where they are there: httpx says only that all attempts failed."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            # asyncio puts a text of its own into its place.
            is_asyncio = seen.strerror.startswith("Connect call failed") and seen.errno
            return plain(os.strerror(seen.errno) if is_asyncio and seen.errno else seen.strerror)
        seen = seen.__cause__ or seen.__context__
    return plain(str(error) or type(error).__name__)
