"""Whether builds are traced, and by what. Without the wish nothing of OpenTelemetry is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib import import_module
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError

from db.jobs.moves import Moved
from db.schema.enums import Transition
from provisioner.build.tracing import NoTrace, Tracer
from worker.settings import PREFIX, SettingsError

log = structlog.get_logger("worker")

SETTING = f"{PREFIX}TRACES"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# By its name: what it imports is not there without the extra, and slow with it.
SPANS = "worker.tracing.spans"

Carrier = Mapping[str, str]
"""What a job's row keeps of the trace it is in: a W3C trace context."""


class BuildTracer(Tracer, Protocol):
    """Traces builds from their enqueueing on."""

    def enqueue(self, transition: Transition) -> AbstractContextManager[Carrier]:
        """Return the span of enqueueing; entered, it gives the carrier for the row."""
        ...

    def moved(self, moved: Moved) -> None:
        """Take what became of a job."""
        ...

    def close(self) -> None:
        """Send what was not sent yet, in bounded time."""
        ...


class NoTraces(NoTrace):
    """Trace nothing."""

    def enqueue(self, transition: Transition) -> AbstractContextManager[Carrier]:  # noqa: ARG002
        """Return a span that is none."""
        return nullcontext({})

    def moved(self, moved: Moved) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Do nothing."""


def process_tracer() -> BuildTracer:
    """Return the tracer of this process, made when it is first asked for.

    Raises:
        SettingsError: as ``tracer_maker``.
    """
    # By process id: the thread that sends spans does not live on in a forked child.
    return _tracer_of(os.getpid())


def tracer_maker(environment: Mapping[str, str]) -> Callable[[], BuildTracer]:
    """Return what makes the tracer that the environment asks for. Starts nothing yet.

    Raises:
        SettingsError: traces are asked for by our setting and cannot be had.
    """
    wanted = _wanted(environment.get(SETTING, ""))
    has_endpoint = any(environment.get(name) for name in ENDPOINTS)
    if wanted is False or not (wanted or has_endpoint):
        return NoTraces
    try:
        make: Callable[[], BuildTracer] = import_module(SPANS).export_spans
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("opentelemetry"):
            raise
        if wanted:
            raise SettingsError(
                f"{SETTING} asks for traces, but OpenTelemetry is not installed:"
                " install provisionerd[otel]"
            ) from error
        # The variable may be meant for other programs on this host.
        log.info("traces.off", reason="OpenTelemetry is not installed (the extra otel)")
        return NoTraces
    return make


@lru_cache(maxsize=1)
def _tracer_of(_pid: int) -> BuildTracer:
    return tracer_maker(os.environ)()


def _wanted(value: str) -> bool | None:
    try:
        return TypeAdapter(bool).validate_python(value) if value else None
    except ValidationError as error:
        raise SettingsError(f"{SETTING}: {value!r} is neither true nor false") from error
