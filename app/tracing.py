"""Traces for OpenTelemetry: requests, jobs, calls to Safaricom, transactions and their statements.

Loaded only where OTEL_EXPORTER_OTLP_ENDPOINT is set; elsewhere nothing here exists. The SDK reads
its own OTEL_ settings. What is exported holds no body, no query, no value of a statement, no
message of an error and no address that a caller chose: templates, names, codes and numbers of rows.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from logging import CRITICAL, getLogger
from multiprocessing.util import Finalize
from typing import Any

import httpx2
import structlog
from flask import Flask, Response, g, request
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from app.config import Config
from app.db import Database
from app.errors import AppError
from app.ports import RunSoon
from app.utils.http import request_id, route_asked_for
from app.utils.logs import Scrubber

STOP_SECONDS = 3
"""How long a process that stops waits for a collector to take what is left."""

_LOG_EVERY_SECONDS = 60.0
_LONGEST_STATEMENT = 2000
_CODE_WITHIN_BYTES = 2048
_SPAN = "sokoni_span"
_OUTCOME = re.compile(rb'"(?:errorCode|ResponseCode|ResultCode)"\s*:\s*"?([0-9A-Za-z_.-]{1,32})')
_FIRST_WORD = re.compile(r"\w+")
_FIRST_SERVER_ERROR = 500

log = structlog.get_logger("sokoni.tracing")

for _name in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
    getLogger(_name).setLevel(CRITICAL)  # our own line says what was not sent, once in a while


class Tracing:
    """The tracer of one process, to be made after the fork: its exporter is a thread."""

    def __init__(self, config: Config) -> None:
        os.environ.update(config.otel)  # what stands in .env the SDK would not see
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "sokoni"}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sending = BatchSpanProcessor(Sender(OTLPSpanExporter()))
        provider.add_span_processor(self._sending)
        self._tracer = provider.get_tracer("sokoni")
        self._scrub = Scrubber(config.secrets).scrub
        # Not atexit, which a process forked by multiprocessing does not run before Python 3.13.
        Finalize(None, self.stop, exitpriority=0)

    def stop(self) -> None:
        """Send what is left; what is not taken in time is lost."""
        batches = self._sending._batch_processor  # noqa: SLF001 - the public way waits half a minute
        batches.shutdown(timeout_millis=STOP_SECONDS * 1000)

    # --- requests ---

    def watch_requests(self, app: Flask) -> None:
        """To be called before others register what they do first and last."""
        app.before_request(self._begin_request)
        app.after_request(self._note_answer)
        app.teardown_request(self._end_request)

    def _begin_request(self) -> None:
        sender = {"traceparent": request.headers.get("traceparent", "")}
        parent = TraceContextTextMapPropagator().extract(sender, context.Context())
        rule, method = route_asked_for()
        span = self._tracer.start_span(
            f"{method} {rule}",
            parent,
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": rule,
                "sokoni.request_id": self._scrub(request_id()),
            },
        )
        g.span, g.span_mark = span, context.attach(trace.set_span_in_context(span, parent))

    def _note_answer(self, response: Response) -> Response:
        span: Span = g.span
        span.set_attribute("http.response.status_code", response.status_code)
        if (code := g.get("problem_code")) is not None:
            span.set_attribute("error.type", code)
        if response.status_code >= _FIRST_SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        return response

    def _end_request(self, _error: BaseException | None) -> None:
        if (span := g.pop("span", None)) is not None:
            context.detach(g.pop("span_mark"))
            span.end()

    def carried(self, run_soon: RunSoon) -> RunSoon:
        """The same, where what runs soon belongs to the request that asked for it."""

        def run(work: Callable[[], None]) -> bool:
            here = context.get_current()

            def run_there() -> None:
                mark = context.attach(here)
                try:
                    with self._span("after the answer", SpanKind.INTERNAL):
                        work()
                finally:
                    context.detach(mark)

            return run_soon(run_there)

        return run

    # --- jobs ---

    def around_job(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """The job, or the sweep, with a span for each time that it is run."""

        @wraps(run)
        def run_traced(work: object, *row_id: int) -> Any:
            about = {"sokoni.row_id": row_id[0]} if row_id else {}
            with self._span(f"job {name}", SpanKind.CONSUMER, **about):
                return run(work, *row_id)

        return run_traced

    # --- the database ---

    def watch_database(self, database: Database) -> None:
        for engine in (database.engine, database.reserve):
            if engine is not None:
                self._watch_engine(engine)
        ask, begin = database.asking.rows, database.transaction
        system = database.engine.dialect.name

        def rows(statement: str, values: Any) -> Any:
            span = self._begin_statement(statement, system)
            try:
                return ask(statement, values)
            except Exception as error:
                _mark(span, error)
                raise
            finally:
                span.end()

        @contextmanager
        def transaction() -> Iterator[Session]:
            with self._span("transaction", SpanKind.INTERNAL), begin() as session:
                yield session

        database.asking.rows = rows  # type: ignore[method-assign]
        database.transaction = transaction  # type: ignore[method-assign]

    def _watch_engine(self, engine: Engine) -> None:
        system = engine.dialect.name

        def begin(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
            connection.info[_SPAN] = self._begin_statement(statement, system)

        def end(connection: Connection, *_: Any) -> None:
            connection.info.pop(_SPAN).end()

        def fail(failure: ExceptionContext) -> None:
            connection = failure.connection
            span = connection.info.pop(_SPAN, None) if connection is not None else None
            if span is not None:
                _mark(span, failure.original_exception)
                span.end()

        event.listen(engine, "before_cursor_execute", begin)
        event.listen(engine, "after_cursor_execute", end)
        event.listen(engine, "handle_error", fail)

    def _begin_statement(self, statement: str, system: str) -> Span:
        """Of a statement that belongs to nothing that is traced, nothing is kept."""
        if not trace.get_current_span().is_recording():
            return trace.INVALID_SPAN
        word = _FIRST_WORD.search(statement)
        about = {"db.system.name": system, "db.query.text": statement[:_LONGEST_STATEMENT]}
        name = word[0].upper() if word else "SQL"
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=about)

    # --- Safaricom ---

    def watch_transport(self, transport: httpx2.BaseTransport) -> httpx2.BaseTransport:
        """The same, with a span for each request, which takes no trace of ours along."""
        return _Transport(transport, self._tracer, self._scrub)

    def _span(self, name: str, kind: SpanKind, **about: int) -> AbstractContextManager[None]:
        return _within(self._tracer, name, kind, about)


@contextmanager
def _within(
    tracer: trace.Tracer, name: str, kind: SpanKind, about: dict[str, int]
) -> Iterator[None]:
    with tracer.start_as_current_span(
        name, kind=kind, attributes=about, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except Exception as error:
            _mark(span, error)
            raise


def _mark(span: Span, error: BaseException) -> None:
    """By its kind alone: the message may hold what nobody should read."""
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, AppError):  # a refusal is no fault
        span.set_status(StatusCode.ERROR)


class _Transport(httpx2.BaseTransport):
    def __init__(
        self,
        inner: httpx2.BaseTransport,
        tracer: trace.Tracer,
        scrub: Callable[[str], Any],
    ) -> None:
        self._inner = inner
        self._tracer = tracer
        self._scrub = scrub

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path  # its query is left out
        about = {"http.request.method": request.method, "server.address": request.url.host}
        span = self._tracer.start_span(
            f"{request.method} {path}", kind=SpanKind.CLIENT, attributes=about
        )
        try:
            response = self._inner.handle_request(request)
        except Exception as error:
            _mark(span, error)
            span.end()
            raise
        span.set_attribute("http.response.status_code", response.status_code)
        response.stream = _Stream(response.stream, span, self._scrub)
        return response

    def close(self) -> None:
        self._inner.close()


class _Stream(httpx2.SyncByteStream):
    """An answer as it is read; its span ends when it is closed."""

    def __init__(self, inner: Any, span: Span, scrub: Callable[[str], Any]) -> None:
        self._inner = inner
        self._span = span
        self._scrub = scrub
        self._beginning = b""

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                missing = _CODE_WITHIN_BYTES - len(self._beginning)
                self._beginning += piece[:missing]
                yield piece
        except Exception as error:
            _mark(self._span, error)
            raise

    def close(self) -> None:
        self._inner.close()
        if (code := _OUTCOME.search(self._beginning)) is not None:
            self._span.set_attribute("sokoni.mpesa_code", self._scrub(code[1].decode("ascii")))
        self._span.end()


class Sender(SpanExporter):
    """Says once in a while that nobody takes the traces, where the exporter would say it each
    time.
    """

    def __init__(
        self, exporter: SpanExporter, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._exporter = exporter
        self._monotonic = monotonic
        self._unsent = 0
        self._log_at = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._unsent += len(spans)
            if (now := self._monotonic()) >= self._log_at:
                self._log_at = now + _LOG_EVERY_SECONDS
                log.warning("traces_not_sent", spans=self._unsent)
                self._unsent = 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
