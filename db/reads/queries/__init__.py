"""What API readers ask of the database, answered with the models of ``db.reads.contract``.

Every function runs in the caller's transaction and has the index that makes it cheap, named in
its SQL; ``tests/integration/test_query_plans.py`` holds them to it.
"""

from __future__ import annotations

from db.reads.queries.builds import get_build, get_builds
from db.reads.queries.jobs import get_job, get_jobs
from db.reads.queries.output import get_logs, get_timings
from db.reads.queries.pages import JobPage, list_jobs

__all__ = [
    "JobPage",
    "get_build",
    "get_builds",
    "get_job",
    "get_jobs",
    "get_logs",
    "get_timings",
    "list_jobs",
]
