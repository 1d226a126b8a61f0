"""An OpenTelemetry collector in memory: takes what is exported and reads it by the standard."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True)
class Exported:
    """One span, in words."""

    service: str
    trace_id: str
    id: str
    parent_id: str
    name: str
    kind: str
    attributes: dict[str, Any]
    is_error: bool
    events: int


class Collector:
    """Every body that was posted to it, and the headers that came along."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    @property
    def raw(self) -> bytes:
        return b"\n".join(self.bodies)

    @property
    def spans(self) -> list[Exported]:
        return [span for body in list(self.bodies) for span in _spans_in(body)]

    def named(self, name: str) -> list[Exported]:
        return [span for span in self.spans if span.name == name]

    def children_of(self, parent: Exported) -> list[Exported]:
        return [span for span in self.spans if span.parent_id == parent.id]


def _spans_in(body: bytes) -> Iterator[Exported]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = _read(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Exported(
                    service=about["service.name"],
                    trace_id=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    attributes=_read(span.attributes),
                    is_error=span.status.code == Status.STATUS_CODE_ERROR,
                    events=len(span.events),
                )


def _read(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def open_collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.headers.append(
                {"path": self.path} | {name.lower(): value for name, value in self.headers.items()}
            )
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
