"""The queries of readers of job rows, at a million jobs against a thousand."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.orm import Session

from bench.measure import Result, growth, in_turns, timed
from bench.rows import analyze, fill_jobs
from bench.services import Services
from db.reads.jobs import get_job
from db.reads.logs import get_logs
from db.reads.pages import JobFilter, list_jobs
from db.schema.enums import JobStatus

CALLS = 200


def run(services: Services, rounds: int = 1) -> list[Result]:
    with services.with_empty_database() as small:
        few, many = _reads(small, 1_000), _reads(services, 1_000_000)
        return [_compare(name, few[name], many[name]) for name in many]


def _reads(services: Services, size: int) -> dict[str, Callable[[], float]]:
    """Fill the database with jobs, and return the queries by name."""
    factory = services.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    fill_jobs(services, size, owner=owner, template=template, pending=False)
    fill_jobs(services, 200, owner=owner, template=template, pending=True)
    analyze(services)
    finished, pending = _some_jobs(services)
    reads: dict[str, Callable[[Session], object]] = {
        "a finished job by id": lambda s: get_job(s, finished),
        "a pending job with its queue position": lambda s: get_job(s, pending),
        "the newest 50 jobs": lambda s: list_jobs(s, JobFilter(organization_id=organization.id)),
        "the newest 50 failed or canceled jobs": lambda s: list_jobs(
            s,
            JobFilter(
                organization_id=organization.id, statuses=(JobStatus.FAILED, JobStatus.CANCELED)
            ),
        ),
        "log lines after an id": lambda s: get_logs(s, finished, after=0),
    }
    return {name: functools.partial(_timed, services, read) for name, read in reads.items()}


def _compare(name: str, few: Callable[[], float], many: Callable[[], float]) -> Result:
    at_few, at_many = in_turns(few, many, calls=CALLS)
    what = f"{name}, at 1M jobs against 1k"
    return growth("reads", what, few_s=at_few, many_s=at_many, rounds=CALLS)


def _timed(services: Services, read: Callable[[Session], object]) -> float:
    with services.database.begin() as session:
        return timed(lambda: read(session))


def _some_jobs(services: Services) -> tuple[uuid.UUID, uuid.UUID]:
    """Return a finished and a pending job."""

    def one(is_ended: str) -> uuid.UUID:
        query = f"""
            SELECT id FROM provisioner_jobs
            WHERE type = 'workspace_build' AND completed_at {is_ended} LIMIT 1
        """
        with services.database.begin() as session:
            return uuid.UUID(str(session.execute(text(query)).scalar_one()))

    return one("IS NOT NULL"), one("IS NULL")
