"""The story of each request: a record while it lives, one log line and the counters when it ends.

The record is what the live views show; whoever works on a request tells it the phase it enters.
"""

import enum
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeAlias

from shim.errors import ShimError
from shim.observe.counters import Counters
from shim.observe.head import RequestHead
from shim.observe.lines import tell
from shim.observe.trace import Trace
from shim.timing import Clock, Seconds, monotonic

access_log = logging.getLogger("shim.access")


class Phase(enum.StrEnum):
    """What a request waits for; the names of ``glance_shim_phase_seconds``."""

    RECEIVE = "receive"
    QUEUE = "queue"
    CONNECT = "connect"
    SEND = "send"
    WAIT = "wait"
    RESPOND = "respond"

    # Members are keys, some ten times for each request, and the enum's own is a call of Python.
    __hash__ = str.__hash__


if sys.version_info < (3, 12):
    # There each look at a member is a call of Python too, eight times as long.
    for _phase in Phase:
        type.__setattr__(Phase, _phase.name, _phase)


# Whether there was still something to be ended.
Stop: TypeAlias = Callable[[ShimError], bool]

# The three phases of glance_shim_uploads: where the body is.
UPLOAD_PHASES = {
    Phase.RECEIVE: "receiving",
    Phase.QUEUE: "waiting",
    Phase.CONNECT: "forwarding",
    Phase.SEND: "forwarding",
    Phase.WAIT: "forwarding",
    Phase.RESPOND: "forwarding",
}


@dataclass(eq=False, slots=True)
class Record:
    """One request, as far as it has come.

    Attributes:
        started: Clock reading at its head, in seconds.
        serial: Its number in this process; ``id`` may be a client's own, and shared.
        server: Of the upstream, the one that it was given to last.
        length: Declared or final body length in bytes, None while unknown.
        received: Body bytes taken from the client.
        sent: Response body bytes given to the client.
        status: Of the answer, 0 before there is one.
        code: The error's code where the shim itself answered or cut.
        detail: The error's text.
        stop: Ends it from outside with an error of ours; None where it cannot be ended any more.
        upstream_request_id: The upstream's own id for it, where that is another.
        head: More of its head, where somebody asks for it.
        trace: Its part in a trace, where there are traces.
    """

    id: str
    method: str
    path: str
    client: str
    started: Seconds
    serial: int = 0
    route: str = ""
    project: str = ""
    image: str = ""
    mode: str = ""
    upstream: str = ""
    server: str = ""
    has_body: bool = False
    length: int | None = None
    received: int = 0
    sent: int = 0
    status: int = 0
    code: str = ""
    detail: str = ""
    upstream_request_id: str = ""
    head: RequestHead | None = None
    trace: Trace | None = None
    phase: Phase | None = None
    stop: Stop | None = None
    phases: dict[Phase, Seconds] = field(default_factory=dict)
    _entered: Seconds = 0.0

    def enter(self, phase: Phase | None, now: Seconds) -> None:
        """Leave the phase it is in and enter another (None: it is over)."""
        left = self.phase
        if left is not None:
            phases, entered = self.phases, self._entered
            phases[left] = phases.get(left, 0.0) + now - entered
            if self.trace is not None:
                self.trace.note(left, entered, now)
        self.phase = phase
        self._entered = now


TraceEnd = Callable[[Record, Seconds], None]
"""Takes a record that has ended, and when it did, for its spans; nobody else looks at it any more."""


class Journal:
    """The records alive, and the counters of those that have ended."""

    def __init__(
        self,
        counters: Counters,
        *,
        clock: Clock = monotonic,
        access: bool = True,
        number: int = 0,
        trace_end: TraceEnd | None = None,
    ) -> None:
        """Take what to count in, the number of the worker whose requests these are, and who takes traces."""
        self.counters = counters
        self.number = number
        self._clock = clock
        self._access = access
        self._trace_end = trace_end
        self._live: dict[Record, None] = {}
        self._serial = 0

    def live(self) -> list[Record]:
        """The requests under way, oldest first."""
        return list(self._live)

    def age(self, record: Record) -> Seconds:
        """How long ago the request's head came."""
        return self._clock() - record.started

    def uploads(self) -> dict[str, int]:
        """Requests with a body by where the body is: receiving, waiting, forwarding."""
        counts = dict.fromkeys(UPLOAD_PHASES.values(), 0)
        for record in self._live:
            if record.has_body and record.phase is not None:
                counts[UPLOAD_PHASES[record.phase]] += 1
        return counts

    def find(self, serial: int) -> Record | None:
        """The request of that number, where it is still under way."""
        return next((record for record in self._live if record.serial == serial), None)

    def note(self) -> None:
        """Write down in the history how it stands now."""
        bodies = [record for record in self._live if record.has_body]
        # Those that have ended are in the counter already: the sum never falls.
        received = self.counters.body_bytes.total() + sum(record.received for record in bodies)
        self.counters.history.note(
            self._clock(), received=received, uploads=len(bodies), refusals=self.counters.refusals
        )

    def record(self, *, id: str, method: str, path: str, client: str) -> "Recording":  # noqa: A002 - the field's name in the log
        """Keep a record for the time of the block and write it down at its end."""
        return Recording(self, self.make(id=id, method=method, path=path, client=client))

    def make(self, *, id: str, method: str, path: str, client: str) -> Record:  # noqa: A002 - as above
        """A record that nobody keeps yet: ``begin`` it, or forget it."""
        self._serial += 1
        return Record(id, method, path, client, self._clock(), self._serial)

    def kept(self, record: Record) -> "Recording":
        """Keep a record that has begun, for the time of the block, and write it down at its end."""
        return Recording(self, record)

    def begin(self, record: Record) -> None:
        """The record's request is under way; called by its block, or by whoever has none."""
        self._live[record] = None

    def end(self, record: Record) -> None:
        """The request is over: count it and write its line; called by whoever called ``begin``."""
        del self._live[record]
        ended = self._clock()
        record.enter(None, ended)
        self._count(record)
        if self._access and access_log.isEnabledFor(logging.INFO):
            tell(access_log, record, ended - record.started)
        # Last, for it makes the record its own.
        if self._trace_end is not None:
            self._trace_end(record, ended)

    def enter(self, record: Record, phase: Phase | None) -> None:
        """The record enters a phase now."""
        record.enter(phase, self._clock())

    def _count(self, record: Record) -> None:
        counters = self.counters
        counters.add_request(record.route, record.method, record.status)
        if record.code:
            counters.refusals[record.code] += 1
        if record.received:
            counters.body_bytes[record.mode] += record.received
        counters.add_phases(record.phases)


class Recording:
    """The block of one record; a class, because every request passes through it."""

    __slots__ = ("_journal", "_record")

    def __init__(self, journal: Journal, record: Record) -> None:
        self._journal = journal
        self._record = record

    def __enter__(self) -> Record:
        self._journal.begin(self._record)
        return self._record

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.end(self._record)
