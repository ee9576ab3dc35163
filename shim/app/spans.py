"""Ended requests as OpenTelemetry spans, sent by OTLP over HTTP; the only module that knows OpenTelemetry.

One span for each request, of the kind "server", and one below it for each stay in a phase. Their names and
attributes follow the semantic conventions for HTTP; what these do not know begins with ``glance_shim.``.
"""

import logging
import os
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from shim import __version__
from shim.app.tracing import Ended, TraceOptions
from shim.observe.counters import KNOWN_METHODS
from shim.observe.journal import Record
from shim.observe.trace import Trace
from shim.timing import Clock, Seconds, monotonic

_SCOPE = InstrumentationScope("glance-shim", __version__)
_SERVER_ERRORS = 500
_NANOSECONDS = 1_000_000_000
_TRACES_PATH = "/v1/traces"
_NO_STATUS = Status(StatusCode.UNSET)

Attributes = Mapping[str, str | int]


class SpanExport:
    """Sends batches of ended requests to a collector.

    The standard variables say what has no option here: OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, _TIMEOUT,
    _COMPRESSION, and OTEL_RESOURCE_ATTRIBUTES.
    """

    def __init__(
        self, options: TraceOptions, exporter: SpanExporter | None = None, *, clock: Clock = monotonic
    ) -> None:
        """Take who sends the spans (by default OTLP over HTTP), and the clock of the records."""
        self._exporter = _otlp_exporter(options.endpoint) if exporter is None else exporter
        self._resource = _resource(options.service_name)
        self._clock = clock
        # Its warnings are about what clients write, and about tries that are repeated.
        self._hush(logging.ERROR)

    def __call__(self, batch: Sequence[Ended]) -> bool:
        """Send the spans of these requests; whether the collector took them."""
        # The records' clock has no date: what it reads now is now.
        epoch = time.time_ns() - round(self._clock() * _NANOSECONDS)
        spans = [span for ended in batch for span in spans_of(ended, self._resource, epoch)]
        is_taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        # It tells of each failure: of one after the other the first is enough, the metric has the rest.
        self._hush(logging.ERROR if is_taken else logging.CRITICAL)
        return is_taken

    def end(self) -> None:
        """Give up what is being tried again; nothing is sent any more."""
        self._exporter.shutdown()

    @staticmethod
    def _hush(level: int) -> None:
        logging.getLogger("opentelemetry").setLevel(level)


def spans_of(ended: Ended, resource: Resource, epoch: int) -> Iterator[ReadableSpan]:
    """A request's spans; ``epoch`` is the wall clock, in nanoseconds, when the records' clock read 0."""
    record, trace = ended.record, ended.record.trace
    assert trace is not None, "only requests with a trace are put into the queue"
    own = _context(trace, trace.context.span_id)

    def moment(reading: Seconds) -> int:
        return epoch + round(reading * _NANOSECONDS)

    yield ReadableSpan(
        name=f"{_method(record)} {record.route}".rstrip(),
        context=own,
        parent=_context(trace, trace.parent, is_remote=True) if trace.parent else None,
        resource=resource,
        attributes=attributes_of(record),
        kind=SpanKind.SERVER,
        status=_status(record),
        start_time=moment(record.started),
        end_time=moment(ended.ended),
        instrumentation_scope=_SCOPE,
    )
    for interval in trace.intervals:
        yield ReadableSpan(
            name=interval.phase,
            context=_context(trace, os.urandom(8).hex()),
            parent=own,
            resource=resource,
            start_time=moment(interval.began),
            end_time=moment(interval.ended),
            instrumentation_scope=_SCOPE,
        )


def attributes_of(record: Record) -> Attributes:
    """What the request's span tells: no query and no field but the client's name for itself, for tokens."""
    told: dict[str, str | int | None] = {
        "http.request.method": _method(record),
        "http.request.method_original": None if record.method in KNOWN_METHODS else record.method,
        "url.path": record.path,
        "client.address": record.client,
        "http.response.status_code": record.status or None,
        "http.request.body.size": record.received if record.has_body else None,
        "http.response.body.size": record.sent,
        "error.type": _error_type(record),
        "glance_shim.request_id": record.id,
        "glance_shim.upstream_request_id": record.upstream_request_id,
        "glance_shim.route": record.route,
        "glance_shim.upstream": record.upstream,
        "glance_shim.server": record.server,
        "glance_shim.project": record.project,
        "glance_shim.image": record.image,
        "glance_shim.body_mode": record.mode,
        "glance_shim.code": record.code,
    }
    if record.head is not None:
        server, port = record.head.server or (None, None)
        told |= {
            "url.scheme": record.head.scheme,
            "network.protocol.version": record.head.http_version,
            "server.address": server,
            "server.port": port,
            "user_agent.original": record.head.user_agent.decode("latin-1"),
        }
    return {name: value for name, value in told.items() if value not in (None, "")}


def _method(record: Record) -> str:
    """Few names, as for the metrics: any other is the client's to choose."""
    return record.method if record.method in KNOWN_METHODS else "_OTHER"


def _error_type(record: Record) -> str | None:
    return record.code or (str(record.status) if record.status >= _SERVER_ERRORS else None)


def _status(record: Record) -> Status:
    """What is the server's own error: 5xx, and an answer that it had to cut; never the client's fault."""
    if record.status >= _SERVER_ERRORS or (record.code and record.status < 400):  # noqa: PLR2004 - no refusal
        return Status(StatusCode.ERROR, record.detail or None)
    return _NO_STATUS


def _context(trace: Trace, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(
        int(trace.context.trace_id, 16),
        int(span_id, 16),
        is_remote,
        TraceFlags(trace.context.flags),
        TraceState.from_header([trace.context.state.decode("ascii")]),
    )


# -- where they go --------------------------------------------------------------------------------


def _otlp_exporter(endpoint: str | None) -> SpanExporter:
    # As everywhere in the shim: proxies of the environment, and netrc, are not for us.
    session = requests.Session()
    session.trust_env = False
    return OTLPSpanExporter(endpoint=None if endpoint is None else _traces_url(endpoint), session=session)


def _traces_url(endpoint: str) -> str:
    """The collector's URL; one without a path is a base, as in OTEL_EXPORTER_OTLP_ENDPOINT."""
    url = urllib.parse.urlsplit(endpoint)
    return endpoint if url.path.strip("/") else url._replace(path=_TRACES_PATH).geturl()


def _resource(service_name: str | None) -> Resource:
    """What all spans say of their sender: the option beats the environment, which beats our own name."""
    own = Resource(
        {"service.name": "glance-shim", "service.version": __version__, "process.pid": os.getpid()}
    )
    resource = own.merge(OTELResourceDetector().detect())
    return resource if service_name is None else resource.merge(Resource({"service.name": service_name}))
