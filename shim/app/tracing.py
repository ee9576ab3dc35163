"""Requests that have ended, on their way to a collector: a bounded queue, and a thread that empties it.

The event loop puts a record into the queue and goes on; spans are made, and sent, on the thread. So a
collector that is slow or gone costs spans, which are counted, and never a request its time.
"""

import contextlib
import importlib.util
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shim.observe.journal import Record
from shim.observe.trace import Trace
from shim.timing import Seconds

log = logging.getLogger("shim.app")

# At most some 8 KiB each, mostly 2: what seconds of a busy worker have, and an end to it.
MOST_WAITING = 8192
# A head may be as long as limits.max_head, a line of a log too; what waits here must not.
LONGEST_TEXT = 1024
LONGEST_STATE = 512
# Some seven spans each: a message of some hundred KiB.
BATCH = 256
# How old a trace is at most when it is sent.
EVERY: Seconds = 1.0
# How long the end of a worker waits for the last ones to be taken.
FLUSH: Seconds = 3.0

EXPORTED, FAILED, DROPPED = "exported", "failed", "dropped"


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """Where traces go, and how many of them.

    Attributes:
        endpoint: The collector's URL; None: what OTEL_EXPORTER_OTLP_ENDPOINT says.
        sample: The part of all traces that is recorded, of those that begin here.
        service_name: None: what OTEL_SERVICE_NAME says, else glance-shim.
    """

    endpoint: str | None = None
    sample: float = 1.0
    service_name: str | None = None


class Ended(NamedTuple):
    """A record, and when it ended, by its own clock."""

    record: Record
    ended: Seconds


Export = Callable[[Sequence[Ended]], bool]
"""Sends spans of these, and says whether they were taken; may take its time, on the thread."""


def is_available() -> bool:
    """Whether OpenTelemetry (the extra ``traces``) is installed."""
    with contextlib.suppress(ModuleNotFoundError):
        needed = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
        return all(importlib.util.find_spec(name) for name in needed)
    return False


class TraceQueue:
    """Has ended requests exported by a thread, which is made with it: after the fork, not before."""

    def __init__(
        self, export: Export, counts: Counter[str], *, end: Callable[[], None] = lambda: None
    ) -> None:
        """Take who exports, where outcomes are counted, and what makes an export under way give up."""
        self._export = export
        self._end = end
        # All from the start: while the thread counts, others read, and the table must not grow under them.
        self._counts = counts
        self._counts.update(dict.fromkeys((EXPORTED, FAILED, DROPPED), 0))
        self._waiting: deque[Ended] = deque()
        self._some = threading.Event()
        self._enough = threading.Event()
        self._is_ending = False
        # A daemon: a collector that never answers must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def put(self, record: Record, ended: Seconds) -> None:
        """A request has ended; never waits."""
        if record.trace is None or not record.trace.context.is_sampled:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._counts[DROPPED] += 1
            return
        _shorten(record, record.trace)
        self._waiting.append(Ended(record, ended))
        if not self._some.is_set():
            self._some.set()
        if len(self._waiting) >= BATCH:
            self._enough.set()

    def close(self, patience: Seconds = FLUSH) -> None:
        """Send what waits, for at most so long, and end the thread; no request may be under way."""
        self._is_ending = True
        self._some.set()
        self._enough.set()
        self._thread.join(patience)
        # Taken from the thread: what it still has in hand is given up, and no more follows.
        lost = len(self._waiting)
        self._waiting.clear()
        self._end()
        if lost:
            log.warning("Traces of %d requests were not taken in time, and are lost", lost)
            self._counts[DROPPED] += lost

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while not (self._is_ending and not self._waiting):
            self._some.wait()
            # More come together: one message for all of them.
            self._enough.wait(EVERY)
            self._some.clear()
            if not self._is_ending:
                self._enough.clear()
            while batch := self._batch():
                self._send(batch)

    def _batch(self) -> list[Ended]:
        batch: list[Ended] = []
        # close() may take what waits away at any moment.
        with contextlib.suppress(IndexError):
            while len(batch) < BATCH:
                batch.append(self._waiting.popleft())
        return batch

    def _send(self, batch: list[Ended]) -> None:
        try:
            is_taken = self._export(batch)
        except Exception:
            # The border to a foreign library: whatever it fails with must not end the thread.
            log.exception("Traces could not be exported")
            is_taken = False
        self._counts[EXPORTED if is_taken else FAILED] += len(batch)


def _shorten(record: Record, trace: Trace) -> None:
    """Keep of the client's words what a span is to tell, so that a number of records is a number of bytes."""
    record.method, record.path = record.method[:LONGEST_TEXT], record.path[:LONGEST_TEXT]
    record.detail = record.detail[:LONGEST_TEXT]
    # Of one that was ended by an operator: leads to the error, and by its traceback to all of the request.
    record.stop = None
    if record.head is not None:
        agent = record.head.user_agent[:LONGEST_TEXT]
        record.head = record.head._replace(target=b"", referer=b"", user_agent=agent)
    if len(trace.context.state) > LONGEST_STATE:
        # A part of it would be malformed; the upstream had it whole.
        trace.context = trace.context._replace(state=b"")
