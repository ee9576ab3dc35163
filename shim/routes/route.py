"""A route: what is done with the requests that match it, as one frozen value.

Paths are matched on the raw path, segment by segment, so that an escaped slash never changes which
route a request takes.
"""

import enum
import functools
import re
import urllib.parse
from dataclasses import dataclass

from shim.timing import UNLIMITED


class BodyMode(enum.StrEnum):
    """What happens to a body (SPEC: "Body modes")."""

    AUTO = "auto"
    SPOOL = "spool"
    STREAM = "stream"
    HANDOFF = "handoff"


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
    """

    name: str
    upstream: str
    methods: frozenset[str] = frozenset()
    path: str = "/**"
    body: BodyMode = BodyMode.AUTO
    max_body: float = UNLIMITED

    def matches(self, method: str, raw_path: bytes) -> bool:
        """Whether a request takes this route."""
        if self.methods and method not in self.methods:
            return False
        return _pattern(self.path).fullmatch(_decode_segments(raw_path)) is not None


def _decode_segments(raw_path: bytes) -> str:
    """The path with its escapes decoded, but escaped slashes kept apart from real ones."""
    segments = raw_path.decode("latin-1").split("/")
    return "/".join(urllib.parse.unquote(segment).replace("/", "%2F") for segment in segments)


@functools.cache
def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*/|/\*\*$|\*\*|\*)", path)
    kinds = {"/**/": "/(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]+"}
    return re.compile("".join(kinds.get(part) or re.escape(part) for part in parts), re.DOTALL)
