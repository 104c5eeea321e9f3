"""What readers of job rows ask, at a million jobs against a thousand."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.orm import Session

from bench.measure import Result, growth, in_turns, timed
from bench.place import Place
from bench.rows import analyze, fill_jobs
from db.reads.jobs import get_job
from db.reads.logs import get_logs
from db.reads.pages import JobFilter, list_jobs
from db.schema.enums import JobStatus

CALLS = 200


def run(place: Place, rounds: int = 1) -> list[Result]:
    with place.beside() as small:
        few, many = _reads(small, 1_000), _reads(place, 1_000_000)
        return [_compare(name, few[name], many[name]) for name in many]


def _reads(place: Place, size: int) -> dict[str, Callable[[], float]]:
    """Fill the database with jobs, and return what is read from it."""
    factory = place.factory
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner)
    fill_jobs(place, size, owner=owner, template=template, pending=False)
    fill_jobs(place, 200, owner=owner, template=template, pending=True)
    analyze(place)
    finished, pending = _some_jobs(place)
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
    return {name: functools.partial(_timed, place, read) for name, read in reads.items()}


def _compare(name: str, few: Callable[[], float], many: Callable[[], float]) -> Result:
    at_few, at_many = in_turns(few, many, calls=CALLS)
    what = f"{name}, at 1M jobs against 1k"
    return growth("reads", what, few_s=at_few, many_s=at_many, rounds=CALLS)


def _timed(place: Place, read: Callable[[Session], object]) -> float:
    with place.database.begin() as session:
        return timed(lambda: read(session))


def _some_jobs(place: Place) -> tuple[uuid.UUID, uuid.UUID]:
    """Return a job that has ended and one that has not."""

    def one(is_ended: str) -> uuid.UUID:
        query = f"""
            SELECT id FROM provisioner_jobs
            WHERE type = 'workspace_build' AND completed_at {is_ended} LIMIT 1
        """
        with place.database.begin() as session:
            return uuid.UUID(str(session.execute(text(query)).scalar_one()))

    return one("IS NOT NULL"), one("IS NULL")
