"""Puts together who looks on at requests: the journal, and what only some configurations ask for.

``build`` gets them as one value. With neither traces nor an access log in Apache's form the journal is alone.
"""

from dataclasses import dataclass
from typing import Literal

from shim.app.notes import Notes
from shim.app.tracing import TraceOptions, TraceQueue
from shim.observe.counters import Counters
from shim.observe.journal import Journal

AccessLog = bool | Literal["combined"]


@dataclass(frozen=True, slots=True)
class Onlookers:
    """Those who look on at requests.

    Attributes:
        notes: Looks at heads; None: nobody asks for more of them than the journal has.
        traces: Has spans sent; None: there are no traces.
    """

    journal: Journal
    notes: Notes | None
    traces: TraceQueue | None

    def close(self) -> None:
        """Send what is still to be sent, within some seconds; no request may be under way."""
        if self.traces is not None:
            self.traces.close()


def look_on(access_log: AccessLog, traces: TraceOptions | None, number: int = 0) -> Onlookers:
    """Who looks on, in the worker of that number; with traces that starts a thread."""
    counters = Counters()
    queue = None if traces is None else _queue(traces, counters)
    return Onlookers(
        journal=Journal(
            counters, access=bool(access_log), number=number, trace_end=None if queue is None else queue.put
        ),
        notes=_notes(access_log, traces),
        traces=queue,
    )


def _queue(options: TraceOptions, counters: Counters) -> TraceQueue:
    # Here and not above: who has no traces need not have the library, nor wait for it.
    from shim.app.spans import SpanExport  # noqa: PLC0415

    export = SpanExport(options)
    return TraceQueue(export, counters.traces, end=export.end)


def _notes(access_log: AccessLog, traces: TraceOptions | None) -> Notes | None:
    if traces is not None:
        return Notes(traces.sample)
    return Notes() if access_log == "combined" else None
