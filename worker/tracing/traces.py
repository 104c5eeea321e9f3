"""Selects the tracer of a process. OpenTelemetry is imported only if traces are turned on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from db.jobs.moves import Moved
from db.schema.enums import Transition
from provisioner.build.tracing import NoTrace, Tracer
from worker.broker.secretfile import PREFIX
from worker.enqueue import Carrier, EnqueueTracer
from worker.settings import SettingsError

log = structlog.get_logger("worker")

SETTING = f"{PREFIX}TRACES"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class BuildTracer(Tracer, EnqueueTracer, Protocol):
    """Traces builds from enqueue to end."""

    def moved(self, moved: Moved) -> None:
        """Record a move of a job."""
        ...

    def close(self) -> None:
        """Send the remaining spans, in bounded time."""
        ...


class NoTraces(NoTrace):
    """Trace nothing."""

    def enqueue(self, transition: Transition) -> AbstractContextManager[Carrier]:  # noqa: ARG002
        """Return a context without a span."""
        return nullcontext({})

    def moved(self, moved: Moved) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Do nothing."""


def process_tracer() -> BuildTracer:
    """Return the tracer of this process, created on first use.

    Raises:
        SettingsError: as ``tracer_maker``.
    """
    # One per process: a forked child has no copy of the thread that sends spans.
    return _tracer_of(os.getpid())


def tracer_maker(environment: Mapping[str, str]) -> Callable[[], BuildTracer]:
    """Return a factory of the tracer that the environment asks for. Starts nothing.

    Raises:
        SettingsError: our setting asks for traces, and OpenTelemetry is not installed.
    """
    wanted = _wanted(environment.get(SETTING, ""))
    if wanted is None:
        wants_otlp = any(environment.get(name) for name in ENDPOINTS)
        return _span_maker(is_required=False) if wants_otlp else NoTraces
    return _span_maker(is_required=True) if wanted else NoTraces


def _span_maker(*, is_required: bool) -> Callable[[], BuildTracer]:
    try:
        # Here: without the extra its imports are missing, and with the extra they are slow.
        from worker.tracing.spans import export_spans  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("opentelemetry"):
            raise
        if is_required:
            raise SettingsError(
                f"{SETTING} asks for traces, but OpenTelemetry is not installed:"
                " install provisionerd[otel]"
            ) from error
        # The OTLP endpoint may be meant for other programs on this host.
        log.info("traces.off", reason="OpenTelemetry is not installed (the extra otel)")
        return NoTraces
    return export_spans


@lru_cache(maxsize=1)
def _tracer_of(_pid: int) -> BuildTracer:
    return tracer_maker(os.environ)()


def _wanted(value: str) -> bool | None:
    try:
        return TypeAdapter(bool).validate_python(value) if value else None
    except ValidationError as error:
        raise SettingsError(f"{SETTING} must be true or false, not {value!r}") from error
