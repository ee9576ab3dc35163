"""The fields ``traceparent`` and ``tracestate``, read strictly and written anew (W3C Trace Context).

Whatever is malformed counts as not there: a new trace begins, for a wrong one would join strangers'.
"""

import re

from shim.observe.trace import RANDOM, SAMPLED, TraceContext
from shim.wire.headers import Headers, get_all

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
_NAMES = frozenset({TRACEPARENT, TRACESTATE})

# Section 3.2: version, trace id, parent id, flags; later versions may add more after another "-".
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_OWN_VERSION, _NO_VERSION = b"00", b"ff"

# Section 3.3.1: key=value; a value ends in no space, and has no "," or "=" in it.
_MEMBER = re.compile(
    rb"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
MOST_MEMBERS = 32


def read_trace_context(headers: Headers) -> TraceContext | None:
    """The caller's context; None where it sent none, or none that is well-formed."""
    parents = get_all(headers, TRACEPARENT)
    found = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _OWN_VERSION and more is not None):
        return None
    # All zeros is how both say "none" (3.2.2.3 and 3.2.2.4).
    if not trace_id.strip(b"0") or not parent_id.strip(b"0"):
        return None
    known = int(flags, 16) & (SAMPLED | RANDOM)
    return TraceContext(trace_id.decode(), parent_id.decode(), known, _state(get_all(headers, TRACESTATE)))


def with_trace_context(headers: Headers, context: TraceContext) -> Headers:
    """The fields with this context in place of the one that they had."""
    kept = [field for field in headers if field[0] not in _NAMES]
    kept.append((TRACEPARENT, f"00-{context.trace_id}-{context.span_id}-{context.flags:02x}".encode("ascii")))
    if context.state:
        kept.append((TRACESTATE, context.state))
    return tuple(kept)


def _state(values: list[bytes]) -> bytes:
    """What other systems wrote, as one list; nothing where it is malformed: the parent stands (3.3.1.1)."""
    members = [member for value in values for piece in value.split(b",") if (member := piece.strip(b" \t"))]
    keys = {member.partition(b"=")[0] for member in members}
    if len(members) > MOST_MEMBERS or len(keys) < len(members):
        return b""
    return b",".join(members) if all(map(_MEMBER.fullmatch, members)) else b""
