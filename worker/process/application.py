"""The class of our Celery application, with the state of this process."""

from __future__ import annotations

import celery

from worker.process.runtime import Runtime


class App(celery.Celery):  # type: ignore[misc]
    """Celery with the state of this process."""

    redis_url: str | None = None  #: overrides the setting, as for an embedded Redis
    runtime: Runtime | None = None  #: None in a process that runs no builds
