"""What somebody who waits for a build is told of the workers that could take it."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from db.errors import NotFoundError
from db.jobs.workers import register_worker
from db.reads.progress import JobProgress, job_progress
from db.schema.enums import JobStatus, ProvisionerType
from tests.harness.factory import Factory

ECHO = (ProvisionerType.ECHO,)


def look(factory: Factory, job_id: uuid.UUID) -> JobProgress:
    with factory.database.begin() as session:
        return job_progress(session, job_id)


def register(
    factory: Factory,
    name: str,
    *,
    tags: dict[str, str] | None = None,
    provisioners: tuple[ProvisionerType, ...] = ECHO,
) -> None:
    with factory.database.begin() as session:
        register_worker(
            session,
            name=name,
            tags=tags or {},
            provisioners=provisioners,
            concurrency=1,
            version="1",
            hostname="host",
        )


def test_a_build_that_waits_knows_how_many_workers_could_take_it(factory: Factory) -> None:
    for name in ("one", "two"):
        register(factory, name)
    register(factory, "of another queue", tags={"gpu": "yes"})
    register(factory, "of another engine", provisioners=(ProvisionerType.TERRAFORM,))
    assert look(factory, factory.build(factory.any_workspace()).job_id).workers == 2


@pytest.mark.parametrize(
    "change",
    ["last_seen_at = now() - interval '91 seconds'", "stopped_at = now()", "draining = true"],
)
def test_a_build_that_waits_for_workers_that_are_away_knows_of_none(
    factory: Factory, change: str
) -> None:
    register(factory, "one")
    with factory.database.begin() as session:
        session.execute(text(f"UPDATE provisioner_daemons SET {change}"))
    assert look(factory, factory.build(factory.any_workspace()).job_id).workers == 0


def test_a_build_that_runs_is_not_asked_who_could_take_it(factory: Factory) -> None:
    progress = look(factory, factory.running_build().id)
    assert (progress.status, progress.workers) == (JobStatus.RUNNING, None)


def test_a_build_that_nobody_has_enqueued_has_no_progress(factory: Factory) -> None:
    with pytest.raises(NotFoundError):
        look(factory, uuid.uuid4())
