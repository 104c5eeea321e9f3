"""The class of our Celery application: Celery, and what this process has at hand."""

from __future__ import annotations

import celery

from worker.process.runtime import Runtime


class App(celery.Celery):  # type: ignore[misc]
    """Celery with what this process has at hand."""

    redis_url: str | None = None  #: set by a process that knows better than its settings do
    runtime: Runtime | None = None  #: what runs builds, in a process that does
