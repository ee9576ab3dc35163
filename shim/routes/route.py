"""A route: what is done with the requests that match it, as one frozen value.

Paths are matched on the raw path, segment by segment, so that an escaped slash never changes which
route a request takes.
"""

import enum
import functools
import re
import urllib.parse
from dataclasses import dataclass, field

from shim.admission.limits import BodyPace
from shim.admission.room import QueueOptions
from shim.timing import UNLIMITED, Seconds
from shim.upstream.message import UpstreamTimeouts
from shim.wire.headers import Headers, get_all


class BodyMode(enum.StrEnum):
    """When a body goes on to its server (``body``; docs/operating.md, "Body modes")."""

    AUTO = "auto"  # of known length: so that its end goes out as it comes in; else when it is whole
    SPOOL = "spool"  # when it is whole
    STREAM = "stream"  # at once, as it comes
    HANDOFF = "handoff"  # when it is whole, by its file: a server on this host opens that itself


class Miss(enum.Enum):
    """Why a request does not take a route: the first of its conditions that it does not meet."""

    METHOD = "method"
    PATH = "path"
    HEADER = "header"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class HeaderPattern:
    """A field that a request has to have, with a value that matches.

    Attributes:
        name: In lower case.
        value: Pattern: ``*`` is any number of characters; the rest stands for itself.
    """

    name: str
    value: str

    def matches(self, headers: Headers) -> bool:
        """Whether there is such a field; of several of the name one is enough."""
        values = get_all(headers, self.name.encode("ascii"))
        return any(_value_pattern(self.value).fullmatch(value.decode("latin-1")) for value in values)


@dataclass(frozen=True, slots=True)
class Terms:
    """Limits and times of a route that differ from those of the shim as a whole; None: they do not.

    Attributes:
        pace: What is asked of a client that sends a body.
        stall: How long such a client may keep a server waiting after forwarding began, in seconds.
        waits: How long to wait for a slot of the upstream; its count is of no effect here.
        timeouts: How long the server may take.
    """

    pace: BodyPace | None = None
    stall: Seconds | None = None
    waits: QueueOptions | None = None
    timeouts: UpstreamTimeouts | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    Attributes:
        name: For logs and metrics.
        upstream: Name of the upstream that serves it.
        methods: Methods it takes; empty: all.
        path: Pattern: ``*`` is one segment, ``**`` any number, also none.
        body: What happens to a request's body.
        max_body: The longest body it takes, in bytes, where that is less than the spool's own limit.
        headers: Fields that a request has to have, all of them.
        at_least: The least size that its body is declared to have, in bytes.
        at_most: The largest.
        terms: What holds for it alone.
    """

    name: str
    upstream: str
    methods: frozenset[str] = frozenset()
    path: str = "/**"
    body: BodyMode = BodyMode.AUTO
    max_body: float = UNLIMITED
    headers: tuple[HeaderPattern, ...] = ()
    at_least: int | None = None
    at_most: int | None = None
    terms: Terms = field(default_factory=Terms)

    def matches(self, method: str, raw_path: bytes, headers: Headers = (), size: int | None = None) -> bool:
        """Whether a request takes this route; see ``miss``."""
        return self.miss(method, raw_path, headers, size) is None

    def miss(
        self, method: str, raw_path: bytes, headers: Headers = (), size: int | None = None
    ) -> Miss | None:
        """Why a request does not take this route, None where it does.

        Args:
            method: Case-sensitive.
            raw_path: As it came, without its query.
            headers: Names in lower case.
            size: Bytes of the body as declared; 0 without a body, None where nobody has said it: then no
                route takes it that asks for a size.
        """
        if self.methods and method not in self.methods:
            return Miss.METHOD
        if not _path_matches(self.path, _decode_segments(raw_path)):
            return Miss.PATH
        if self.headers and not all(pattern.matches(headers) for pattern in self.headers):
            return Miss.HEADER
        return None if self._fits(size) else Miss.SIZE

    def _fits(self, size: int | None) -> bool:
        if self.at_least is None and self.at_most is None:
            return True
        if size is None:
            return False
        return size >= (self.at_least or 0) and (self.at_most is None or size <= self.at_most)


def _decode_segments(raw_path: bytes) -> str:
    """The path with its escapes decoded, but escaped slashes kept apart from real ones."""
    path = raw_path.decode("latin-1")
    if "%" not in path:
        # Nearly all: there is nothing to decode, and nothing that could be taken for a slash.
        return path
    segments = path.split("/")
    return "/".join(urllib.parse.unquote(segment).replace("/", "%2F") for segment in segments)


def _path_matches(pattern: str, path: str) -> bool:
    # Most paths that do not match do not end as they should, which is seen at a tenth of the time.
    tail, expression = _pattern(pattern)
    return path.endswith(tail) and expression.fullmatch(path) is not None


# What a client sends must not make an expression try every way of dividing it among the stars: so each star
# takes the first place that will do, for good (``(?>...)``). All that could follow a later one can follow it.


@functools.cache
def _pattern(path: str) -> tuple[str, re.Pattern[str]]:
    """What stands behind the last star of a pattern (all of it where there is none), and its expression."""
    return path.rpartition("*")[2], _expression(path)


def _expression(path: str) -> re.Pattern[str]:
    """A pattern of paths: sections, and between each two of them any number of characters or segments."""
    parts = re.split(r"(/\*\*/|/\*\*$|\*\*)", path)
    sections, gaps = parts[::2], ["", *parts[1::2]]
    expression = ""
    for place, (gap, section) in enumerate(zip(gaps, sections, strict=True)):
        following = gaps[place + 1] if place + 1 < len(gaps) else None
        if gap == "/**":
            return re.compile(f"{expression}.*", re.DOTALL)
        expression += _section(gap, section, *_END_OF_SECTION[following])
    return re.compile(expression, re.DOTALL)


# What a section ends with, and where: before each gap, and (None) at the end of the path.
_END_OF_SECTION = {"/**/": ("/", ""), "**": ("", ""), "/**": ("", r"(?=/|\Z)"), None: ("", r"\Z")}


def _section(gap: str, section: str, last: str, where: str) -> str:
    """What finds the first place of a section after a gap."""
    first, *others = [*map(re.escape, f"{section}{last}".split("*"))]
    if not others:
        first += where
    ends = [*[""] * (len(others) - 1), where]
    rest = "".join(f"(?>[^/]+?{text}{end})" for text, end in zip(others, ends, strict=False))
    if not gap:
        return first + rest
    if gap == "/**/" or (rest and not first):
        # Only where a segment begins; and a star takes what comes before any other place in it.
        return f"(?>(?:(?!{first}{rest})[^/]*+/)*){first}{rest}"
    if rest and "/" not in first:
        # Where the rest does not follow in this segment, it does not from a later place in it either.
        found = f"(?>.*?{first})"
        return f"(?>(?:{found}(?!{rest})[^/]*+)*){found}{rest}"
    return f"(?>.*?{first}{rest})"


@functools.cache
def _value_pattern(value: str) -> re.Pattern[str]:
    first, *others = map(re.escape, value.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    inner = "".join(f"(?>.*?{text})" for text in others[:-1] if text)
    return re.compile(f"{first}{inner}.*{others[-1]}", re.DOTALL)
