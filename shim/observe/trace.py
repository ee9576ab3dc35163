"""A request's part in a trace: its identity, which the upstream has to know, and the times of its phases.

Plain values without a library, like the counters: they are made while the request lives, and whoever
exports spans reads them when it is over.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from shim.timing import Seconds

SAMPLED = 0x01
RANDOM = 0x02
"""Flags of a context (W3C Trace Context level 2, section 3.2.2.5): it is recorded; its id is random."""

# An attempt has four phases. Of a request that is tried so often the later spans tell no more than the first.
MOST_INTERVALS = 64

# The part of a trace id by which a share of all traces is chosen: the random one (level 2, 3.2.2.3).
_CHOOSING_DIGITS = 14


class TraceContext(NamedTuple):
    """A request's part in a trace: which, and as which step.

    Attributes:
        trace_id: 32 hexadecimal digits, of the whole trace.
        span_id: 16 of them, of one step in it.
        flags: SAMPLED and RANDOM; others mean nothing yet and are not passed on.
        state: What tracing systems have written beside it (``tracestate``), as it came.
    """

    trace_id: str
    span_id: str
    flags: int
    state: bytes = b""

    @property
    def is_sampled(self) -> bool:
        """Whether its spans are recorded."""
        return bool(self.flags & SAMPLED)


class Interval(NamedTuple):
    """One stay in a phase, by the clock of the records."""

    phase: str
    began: Seconds
    ended: Seconds


@dataclass(slots=True)
class Trace:
    """One request's part: its own context, its caller's span, and its stays in phases, in order.

    Attributes:
        parent: Span id of the caller, ``""`` where the trace begins here.
    """

    context: TraceContext
    parent: str = ""
    intervals: list[Interval] = field(default_factory=list)

    def note(self, phase: str, began: Seconds, ended: Seconds) -> None:
        """A stay in a phase is over; of what nobody records, nothing is kept."""
        if self.context.is_sampled and len(self.intervals) < MOST_INTERVALS:
            self.intervals.append(Interval(phase, began, ended))


def begin_trace(
    caller: TraceContext | None, share: float, random: Callable[[int], bytes] = os.urandom
) -> Trace:
    """A request's part in its caller's trace, or in a new one.

    The caller has decided whether its trace is recorded, for half of one tells nothing. Of those that begin
    here ``share`` is, chosen by their ids, so that whoever is asked for the same share chooses the same.
    """
    span_id = random(8).hex()
    if caller is not None:
        return Trace(caller._replace(span_id=span_id), caller.span_id)
    trace_id = random(16).hex()
    chosen = int(trace_id[-_CHOOSING_DIGITS:], 16) < share * 16**_CHOOSING_DIGITS
    return Trace(TraceContext(trace_id, span_id, RANDOM | (SAMPLED if chosen else 0)))
