"""The tracer port: spans of one attempt to run a job. Nothing is traced unless somebody listens."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from db.jobs.transitions import ClaimedJob
from db.schema.enums import Stage


class AttemptTrace(Protocol):
    """The span of an attempt that is under way. Used from the thread that began it."""

    def step(self, stage: Stage) -> AbstractContextManager[object]:
        """Return the span of a step, to be entered; what is raised in it is recorded."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Return what tells a process which span it is started in (``TRACEPARENT``)."""
        ...


class Tracer(Protocol):
    """Begin the traces of builds."""

    def attempt(self, job: ClaimedJob) -> AbstractContextManager[AttemptTrace]:
        """Return the span of the attempt, in the trace that the job's row names."""
        ...


class NoTrace:
    """Trace nothing."""

    def attempt(self, job: ClaimedJob) -> AbstractContextManager[AttemptTrace]:  # noqa: ARG002
        """Return a span that is none."""
        return nullcontext(self)

    def step(self, stage: Stage) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a span that is none."""
        return nullcontext()

    def environment(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}
