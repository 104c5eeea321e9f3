"""What is upgraded in the wrong order says so, and disturbs nobody."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from db.schema.enums import JobStatus, Transition
from db.schema.revision import head_revision
from tests.harness.releases import CURRENT, LAST_MIGRATION
from tests.harness.waiting import wait_until
from tests.upgrade.installation import Installation, ServiceError

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def installation(installation: Installation) -> Installation:
    """The released version with a worker, never migrated."""
    installation.cluster.start_worker("released", version=installation.release)
    return installation


def test_the_released_schema_ends_with_the_migration_that_is_named(
    installation: Installation,
) -> None:
    with installation.cluster.database.begin() as session:
        found = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    assert found == LAST_MIGRATION


def test_a_worker_refuses_an_older_schema_in_one_sentence(installation: Installation) -> None:
    worker = installation.cluster.start_worker("early", version=CURRENT, wait=False)
    wait_until(worker.has_ended, "the worker's end")
    sentence = (
        f"Error: the database is at migration {LAST_MIGRATION} but this version needs"
        f" {head_revision()}; run `provisionerd migrate` first"
    )
    # Before it, Celery warns of root.
    assert (worker.process.returncode, worker.said().splitlines()[-1]) == (1, sentence)
    assert "Traceback" not in worker.said()


def test_a_command_refuses_an_older_schema_in_one_sentence(installation: Installation) -> None:
    done = installation.call(CURRENT, "jobs", "list")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_a_service_that_is_too_early_enqueues_nothing(installation: Installation) -> None:
    workspace_id, job_id = installation.create("machine")
    installation.cluster.finish(job_id)
    service = installation.service(CURRENT)
    with pytest.raises(ServiceError, match="the database lacks what this version"):
        service.enqueue(workspace_id, Transition.STOP)
    assert "active jobs" not in installation.cluster.remains()


def test_the_released_version_goes_on_meanwhile(installation: Installation) -> None:
    workspace_id, job_id = installation.create("machine")
    installation.cluster.finish(job_id)
    stop = installation.service(installation.release).enqueue(workspace_id, Transition.STOP)
    assert installation.cluster.finish(stop) == [JobStatus.SUCCEEDED]
