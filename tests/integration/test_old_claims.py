"""What a worker of 0.1.0 claims: builds, and no job that it cannot run."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from db.catalog.templates import Push, push_template
from db.engine import Database
from db.jobs.transitions import claim_job, requeue_job
from db.schema.enums import JobStatus, ProvisionerType
from tests.harness.factory import LEASE, WORKER_ID, Factory, tar_archive

# The statement of 0.1.0, but for the lease, which it inserts if the claim returns a row.
OLD_CLAIM = text("""
    WITH best AS (
        SELECT id
        FROM provisioner_jobs
        WHERE queue = 'builds' AND started_at IS NULL AND completed_at IS NULL
        ORDER BY priority, fair_rank, created_at, id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    UPDATE provisioner_jobs AS job
    SET started_at = now(), updated_at = now(), worker_id = :worker_id,
        lease_token = gen_random_uuid(), attempt = attempt + 1, stage = 'set_up'
    FROM best
    WHERE job.id = best.id
    RETURNING job.id
""")


def claim_as_before(database: Database) -> uuid.UUID | None:
    with database.begin() as session:
        return session.execute(OLD_CLAIM, {"worker_id": WORKER_ID}).scalar_one_or_none()


@pytest.fixture
def imported(factory: Factory) -> uuid.UUID:
    """The job of an import that waits."""
    organization = factory.organization()
    push = Push(
        organization=organization,
        created_by=factory.user(organization=organization),
        name="dev",
        archive=tar_archive({"main.tf": b"", "echo.json": b"{}"}),
        provisioner=ProvisionerType.ECHO,
    )
    with factory.database.begin() as session:
        return push_template(session, push).job_id


def test_an_old_worker_claims_builds(database: Database, factory: Factory) -> None:
    job_id = factory.build(factory.any_workspace()).job_id
    assert claim_as_before(database) == job_id


def test_an_import_waits_for_a_worker_that_knows_imports(
    database: Database, factory: Factory, imported: uuid.UUID
) -> None:
    assert claim_as_before(database) is None
    assert factory.status(imported) is JobStatus.PENDING
    with database.begin() as session:
        claimed = claim_job(session, queue="builds", worker_id=WORKER_ID, lease=LEASE)
    assert claimed is not None
    assert claimed.id == imported


def test_an_import_that_was_put_back_waits_for_another_such_worker(
    database: Database, factory: Factory, imported: uuid.UUID
) -> None:
    with database.begin() as session:
        claimed = claim_job(session, queue="builds", worker_id=WORKER_ID, lease=LEASE)
        assert claimed is not None
        requeue_job(session, claimed.lease, worker_was_lost=True)
    assert claim_as_before(database) is None
    assert factory.status(imported) is JobStatus.PENDING
