"""The line of a request that has ended, as ``logging`` has it: for all but our own JSON (``json_line``)."""

import logging
import time
from typing import TYPE_CHECKING, Any

from shim.timing import Seconds

if TYPE_CHECKING:
    from shim.observe.head import RequestHead
    from shim.observe.journal import Record

# What logging's own constructor finds out of a caller: of access lines it is always the same.
_OF_ALL_LINES: dict[str, Any] = vars(
    logging.LogRecord("shim.access", logging.INFO, "", 0, "%s %s %d", (), None)
) | {"thread": None, "threadName": None, "processName": None, "process": None}


class AccessLine(logging.LogRecord):
    """A line of the access log; its own constructor took four times as long.

    Attributes:
        fields: What it says beside its message, by name.
        head: What the combined format shows of the request's head; None where nobody asked for it.
    """

    fields: dict[str, Any]
    head: "RequestHead | None"

    def __init__(self, record: "Record", seconds: Seconds) -> None:
        """Take a request that has ended, and how long it took."""
        created = time.time()  # noqa: TID251 - a log's
        vars(self).update(
            _OF_ALL_LINES,
            args=(record.method, record.path, record.status),
            created=created,
            msecs=created % 1 * 1000,
            # Now, and not when somebody asks: foreign formatters look through what a record has, and a
            # request with a trace is cut for it right after its line.
            fields=_fields(record, seconds),
            head=record.head,
        )


def _fields(record: "Record", seconds: Seconds) -> dict[str, Any]:
    fields = {
        "request_id": record.id,
        "client": record.client,
        "project": record.project,
        "image": record.image,
        "method": record.method,
        "path": record.path,
        "route": record.route,
        "mode": record.mode,
        "upstream": record.upstream,
        "server": record.server,
        "status": record.status,
        "received": record.received,
        "sent": record.sent,
        "seconds": round(seconds, 4),
        "phases": {phase: round(seconds, 4) for phase, seconds in record.phases.items()},
        "end": record.code or "ok",
    }
    if record.detail:
        fields["detail"] = record.detail
    if record.upstream_request_id:
        fields["upstream_request_id"] = record.upstream_request_id
    if record.trace is not None:
        fields["trace_id"], fields["span_id"] = record.trace.context[:2]
    return fields
