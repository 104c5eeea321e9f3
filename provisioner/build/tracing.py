"""The tracer port: spans of one attempt to run a job. By default nothing is traced."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from db.jobs.transitions import ClaimedJob
from db.schema.enums import Stage


class AttemptTrace(Protocol):
    """The span of a running attempt. Used from the thread that started it."""

    def step(self, stage: Stage) -> AbstractContextManager[object]:
        """Return a context manager for the span of a step; it records exceptions."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Return the variables that give a process its parent span (``TRACEPARENT``)."""
        ...


class Tracer(Protocol):
    """Start the traces of builds."""

    def attempt(self, job: ClaimedJob) -> AbstractContextManager[AttemptTrace]:
        """Return the span of the attempt, in the trace that the job row names."""
        ...


class NoTrace:
    """Trace nothing."""

    def attempt(self, job: ClaimedJob) -> AbstractContextManager[AttemptTrace]:  # noqa: ARG002
        """Return a context manager that does nothing."""
        return nullcontext(self)

    def step(self, stage: Stage) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a context manager that does nothing."""
        return nullcontext()

    def environment(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}
