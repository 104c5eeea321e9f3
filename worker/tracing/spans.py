"""Traces by OpenTelemetry: one trace from enqueue to the end of a build, with a span per step.

Only ``worker.tracing.traces`` imports this, and only if traces are turned on.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace import Tracer as OpenTelemetryTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from db.jobs.moves import Moved
from db.jobs.transitions import ClaimedJob
from db.schema.enums import Stage, Transition
from provisioner.redaction.redaction import CLEAN

NAME = "provisionerd"
FLUSH_MS = 5000
W3C = TraceContextTextMapPropagator()


def export_spans() -> SpanTracer:
    """Return a tracer that sends by OTLP over HTTP, configured by the ``OTEL_*`` variables."""
    # The operator's service name overrides the default.
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: NAME}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return SpanTracer(provider)


class SpanTracer:
    """Traces builds with a separate provider, so that the caller's provider is not changed."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(NAME)
        self._attempts: dict[uuid.UUID, Span] = {}

    @contextmanager
    def enqueue(self, transition: Transition) -> Iterator[Mapping[str, str]]:
        """Enter the span of enqueueing; it is a child of the caller's span, if there is one."""
        facts = {"provisionerd.transition": transition.value}
        with self._tracer.start_as_current_span(
            "enqueue build", kind=SpanKind.PRODUCER, attributes=facts
        ):
            yield _carrier()

    @contextmanager
    def attempt(self, job: ClaimedJob) -> Iterator[SpanAttempt]:
        """Enter the span of an attempt, in the trace of the job row or in a new one."""
        stored = job.trace_metadata or {}
        with self._tracer.start_as_current_span(
            "run build",
            context=W3C.extract({k: v for k, v in stored.items() if isinstance(v, str)}),
            kind=SpanKind.CONSUMER,
            attributes={
                "provisionerd.job.id": str(job.id),
                "provisionerd.job.attempt": job.attempt,
                "provisionerd.provisioner": job.provisioner.value,
                "provisionerd.queue": job.queue,
                "provisionerd.queue_wait_s": job.queue_wait_s,
            },
        ) as span:
            self._attempts[job.id] = span
            try:
                yield SpanAttempt(self._tracer)
            finally:
                del self._attempts[job.id]

    def moved(self, moved: Moved) -> None:
        """Record a move on the job's span; ignore jobs that this process does not run."""
        span = self._attempts.get(moved.job_id)
        if span is None:
            return
        span.set_attribute("provisionerd.job.status", moved.move.after.value)
        if moved.failure_reason is None:
            return
        span.set_status(Status(StatusCode.ERROR, moved.error))
        span.set_attribute("provisionerd.job.failure_reason", moved.failure_reason.value)
        if moved.error_code is not None:
            span.set_attribute("provisionerd.job.error_code", moved.error_code)

    def close(self) -> None:
        """Send the remaining spans, for at most a few seconds."""
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()


class SpanAttempt:
    """The span of a running attempt."""

    def __init__(self, tracer: OpenTelemetryTracer) -> None:
        self._tracer = tracer

    def step(self, stage: Stage) -> AbstractContextManager[object]:
        """Return the span of a step; it records exceptions without the secrets of the build."""
        return self._recorded(stage.value)

    @contextmanager
    def _recorded(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                text = CLEAN.get()(str(error))
                shown = {"exception.message": text, "exception.stacktrace": text}
                span.record_exception(error, attributes=shown)
                span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {text}"))
                raise

    def environment(self) -> Mapping[str, str]:
        """Return the current span as the environment variables of W3C trace context."""
        return {name.upper(): value for name, value in _carrier().items()}


def _carrier() -> dict[str, str]:
    carrier: dict[str, str] = {}
    W3C.inject(carrier)
    return carrier
