"""A request that has ended as one line of JSON, put together from its record by hand.

Every request has such a line: the encoder, and a record of logging's for it, took four times as long.
"""

import datetime as dt
import functools
import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quote
from typing import TYPE_CHECKING, TypeVar

from shim.observe.access import AccessLine
from shim.timing import Seconds

if TYPE_CHECKING:
    from shim.observe.journal import Record

Name = TypeVar("Name", bound=str)

# Below it a float tells four decimals apart, and has no exponent.
_LONGEST: Seconds = 1e9

_encode = json.JSONEncoder(default=str).encode


def json_line(record: "Record", seconds: Seconds, created: float) -> str:
    """The line, byte for byte as the ``json`` module writes it.

    Args:
        record: A request that has ended.
        seconds: How long it took.
        created: When it ended, by the wall clock.
    """
    if not (
        type(record.status) is type(record.received) is type(record.sent) is int
        # Its phases are parts of it.
        and type(seconds) is float
        and 0 <= seconds < _LONGEST
    ):
        return _encoded(record, seconds, created)
    try:
        return (
            f'{{"time": "{moment(created)}", "level": "info", "logger": "shim.access", '
            f'"message": {quote(f"{record.method} {record.path} {record.status}")}, '
            f'"request_id": {quote(record.id)}, "client": {quote(record.client)}, '
            f'"project": {quote(record.project)}, "image": {quote(record.image)}, '
            f'"method": {quote(record.method)}, "path": {quote(record.path)}, '
            f'"route": {quote(record.route)}, "mode": {quote(record.mode)}, '
            f'"upstream": {quote(record.upstream)}, "server": {quote(record.server)}, '
            f'"status": {record.status}, "received": {record.received}, "sent": {record.sent}, '
            f'"seconds": {_rounded(seconds)}, "phases": {_phases(record.phases)}, '
            f'"end": {quote(record.code or "ok")}{_rest(record)}}}'
        )
    except TypeError:
        # A value of a kind that is not meant to be there costs time, and no line.
        return _encoded(record, seconds, created)


def moment(created: float) -> str:
    """A reading of the wall clock as RFC 3339 has it: in UTC, to the millisecond."""
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}Z"


@functools.lru_cache(1)
def _second(second: int) -> str:
    """A busy second has many lines."""
    return dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _encoded(record: "Record", seconds: Seconds, created: float) -> str:
    line = AccessLine(record, seconds)
    entry = {
        "time": moment(created),
        "level": "info",
        "logger": line.name,
        "message": line.getMessage(),
    }
    return _encode(entry | line.fields)


def _phases(phases: Mapping[Name, Seconds]) -> str:
    if not phases:
        return "{}"
    # Names are ours, and need no escaping; added, and not formatted, for that is a call of the enum's.
    return '{"' + ', "'.join([name + '": ' + _rounded(stay) for name, stay in phases.items()]) + "}"


def _rest(record: "Record") -> str:
    """The fields that few lines have."""
    rest = ""
    if record.detail:
        rest += f', "detail": {quote(record.detail)}'
    if record.upstream_request_id:
        rest += f', "upstream_request_id": {quote(record.upstream_request_id)}'
    if record.trace is not None:
        trace_id, span_id, *_ = record.trace.context
        rest += f', "trace_id": {quote(trace_id)}, "span_id": {quote(span_id)}'
    return rest


def _rounded(seconds: Seconds) -> str:
    """``round(seconds, 4)`` as JSON, in half the time: formatting rounds to the same digits."""
    text = f"{seconds:.4f}"
    if text[-1] != "0":
        return text
    # A zero stays behind the point.
    return text[:-3] if text[-4:] == "0000" else text.rstrip("0")
