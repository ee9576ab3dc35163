"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, and keeps what it was sent."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Listens on a port of its own while the block runs.

    Attributes:
        status: What it answers.
        fields: The header fields of each message.
        messages: What they held.
    """

    def __init__(self) -> None:
        self.status = 200
        self.paths: list[str] = []
        self.fields: list[dict[str, str]] = []
        self.messages: list[ExportTraceServiceRequest] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> Iterator[tuple[dict[str, Any], Any]]:
        """All spans that came, each with the attributes of its sender."""
        for message in list(self.messages):
            for resource in message.resource_spans:
                sender = attributes_of(resource.resource)
                for scope in resource.scope_spans:
                    yield from ((sender, span) for span in scope.spans)


def attributes_of(holder: Any) -> dict[str, Any]:
    """Attributes of a span or a resource by name."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes}


def _handler_of(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.paths.append(self.path)
            collector.fields.append({name.lower(): value for name, value in self.headers.items()})
            if collector.status == 200:
                collector.messages.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    return Handler
