from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db.errors import InvalidError, NotFoundError
from db.jobs.tags import queue_name
from db.jobs.transitions import claim_job
from db.jobs.workers import register_worker, sign_off_worker, touch_worker
from db.reads.jobs import get_jobs
from db.reads.progress import job_progress
from db.reads.queues import overdue_jobs, queue_depths, waiting_work
from db.schema.enums import JobStatus, ProvisionerType
from tests.harness.factory import LEASE, Factory

GPU = {"gpu": "yes"}


def register(factory: Factory, name: str = "one", **facts: Any) -> uuid.UUID:
    known: dict[str, Any] = {
        "tags": {},
        "provisioners": [ProvisionerType.ECHO],
        "concurrency": 4,
        "version": "1",
        "hostname": "host",
    }
    with factory.database.begin() as session:
        return register_worker(session, name=name, **(known | facts))


def depths(factory: Factory) -> dict[str, tuple[int, int, int]]:
    with factory.database.begin() as session:
        return {
            found.queue: (found.depth, found.workers, found.slots)
            for found in queue_depths(session)
        }


def execute(factory: Factory, statement: str) -> None:
    with factory.database.begin() as session:
        session.execute(text(statement))


def test_an_idle_system_has_no_queues(factory: Factory) -> None:
    assert depths(factory) == {}


def test_a_queue_counts_what_waits_and_not_what_runs_or_ended(factory: Factory) -> None:
    factory.finished_build()
    factory.finished_build(status=JobStatus.FAILED)
    factory.running_build()
    for _ in range(2):
        factory.build(factory.any_workspace())
    assert depths(factory) == {"builds": (2, 0, 0)}


def test_a_queue_knows_the_workers_that_serve_it(factory: Factory) -> None:
    register(factory, "one")
    register(factory, "two", concurrency=3)
    register(factory, "three", tags=GPU)
    factory.build(factory.any_workspace())
    assert depths(factory) == {"builds": (1, 2, 7), queue_name(GPU): (0, 1, 4)}


def test_a_queue_that_nobody_serves_is_listed(factory: Factory) -> None:
    register(factory)
    factory.build(factory.any_workspace(tags=GPU))
    assert depths(factory)[queue_name(GPU)] == (1, 0, 0)


@pytest.mark.parametrize(("count_to", "depth"), [(1, 1), (2, 2), (3, 3), (4, 3), (None, 3)])
def test_a_queue_is_counted_as_far_as_was_asked(
    factory: Factory, count_to: int | None, depth: int
) -> None:
    for _ in range(3):
        factory.build(factory.any_workspace())
    with factory.database.begin() as session:
        [found] = queue_depths(session, count_to=count_to)
    assert found.depth == depth


def test_every_queue_is_counted_however_little_of_each(factory: Factory) -> None:
    for tags in ({}, {}, GPU, {"zone": "a"}):
        factory.build(factory.any_workspace(tags=tags))
    with factory.database.begin() as session:
        found = {queue.queue: queue.depth for queue in queue_depths(session, count_to=1)}
    assert found == dict.fromkeys(("builds", queue_name(GPU), queue_name({"zone": "a"})), 1)


@pytest.mark.parametrize(
    "change",
    [
        "last_seen_at = now() - interval '91 seconds'",
        "last_seen_at = NULL",
        "stopped_at = now()",
        "draining = true",
    ],
)
def test_a_worker_that_is_away_serves_nothing(factory: Factory, change: str) -> None:
    register(factory)
    execute(factory, f"UPDATE provisioner_daemons SET {change}")
    assert depths(factory) == {}


def test_the_age_of_the_oldest_job_is_told(factory: Factory) -> None:
    factory.build(factory.any_workspace())
    execute(
        factory,
        "UPDATE provisioner_jobs SET created_at = now() - interval '1 hour'"
        " WHERE completed_at IS NULL",
    )
    with factory.database.begin() as session:
        assert queue_depths(session)[0].oldest_s >= 3600


def test_a_worker_that_starts_again_keeps_its_row(factory: Factory) -> None:
    first = register(factory, "One")
    with factory.database.begin() as session:
        touch_worker(session, worker_id=first, draining=True)
        sign_off_worker(session, worker_id=first)
    assert depths(factory) == {}
    assert register(factory, "one", concurrency=2) == first
    assert depths(factory) == {"builds": (0, 1, 2)}


def test_a_worker_of_a_user_may_have_the_name_of_another(factory: Factory) -> None:
    mine = {"scope": "user", "owner": "aaa"}
    assert register(factory) != register(factory, tags=mine)


def test_a_sign_of_life_brings_a_worker_back(factory: Factory) -> None:
    worker_id = register(factory)
    execute(factory, "UPDATE provisioner_daemons SET last_seen_at = NULL")
    with factory.database.begin() as session:
        touch_worker(session, worker_id=worker_id)
    assert depths(factory) == {"builds": (0, 1, 4)}


def test_a_worker_with_tags_that_mean_nothing_is_refused(factory: Factory) -> None:
    with pytest.raises(InvalidError):
        register(factory, tags={"scope": "user"})


def overdue(factory: Factory, **facts: int) -> list[uuid.UUID]:
    with factory.database.begin() as session:
        return overdue_jobs(session, limit=timedelta(minutes=30), **facts)


AGE = "now() - interval '1 hour'"


def test_a_job_that_waits_too_long_is_overdue(factory: Factory) -> None:
    build = factory.build(factory.any_workspace())
    assert overdue(factory) == []
    age(factory, "created_at", "updated_at")
    assert overdue(factory) == [build.job_id]


def test_a_job_that_was_put_back_waits_anew(factory: Factory) -> None:
    factory.build(factory.any_workspace())
    age(factory, "created_at")
    assert overdue(factory) == []


def test_a_job_that_runs_is_not_overdue(factory: Factory) -> None:
    factory.running_build()
    age(factory, "created_at", "updated_at")
    assert overdue(factory) == []


def test_overdue_jobs_come_in_bounded_numbers(factory: Factory) -> None:
    for _ in range(3):
        factory.build(factory.any_workspace())
    age(factory, "created_at", "updated_at")
    assert len(overdue(factory, count=2)) == 2


def age(factory: Factory, *columns: str) -> None:
    changes = ", ".join(f"{column} = {AGE}" for column in columns)
    execute(factory, f"UPDATE provisioner_jobs SET {changes} WHERE completed_at IS NULL")


def jobs_of(factory: Factory, organization: str) -> uuid.UUID:
    """Enqueue a build in an organization of its own; return its job."""
    made = factory.organization(name=organization)
    owner = factory.user(organization=made)
    template = factory.template(organization=made, created_by=owner)
    return factory.build(factory.workspace(owner=owner, template=template)).job_id


def claim_for(factory: Factory, worker_id: uuid.UUID, queue: str = "builds") -> uuid.UUID | None:
    with factory.database.begin() as session:
        claimed = claim_job(
            session,
            worker_id=worker_id,
            queue=queue,
            provisioners=[ProvisionerType.ECHO],
            lease=LEASE,
        )
    return claimed.id if claimed else None


def test_a_worker_runs_only_the_jobs_of_its_organizations(factory: Factory) -> None:
    jobs_of(factory, "other")
    mine = jobs_of(factory, "mine")
    bound = register(factory, organizations=["MINE"])
    assert [claim_for(factory, bound) for _ in range(2)] == [mine, None]


def test_a_worker_of_no_organization_runs_the_jobs_of_all(factory: Factory) -> None:
    jobs = [jobs_of(factory, name) for name in ("one", "two")]
    worker = register(factory)
    assert [claim_for(factory, worker) for _ in range(2)] == jobs


def test_a_worker_claims_nothing_from_a_queue_that_it_does_not_serve(factory: Factory) -> None:
    factory.build(factory.any_workspace(tags=GPU))
    queue = queue_name(GPU)
    assert claim_for(factory, register(factory), queue) is None
    assert claim_for(factory, register(factory, "gpu", tags=GPU), queue) is not None


def test_a_worker_is_not_counted_for_jobs_of_another_organization(factory: Factory) -> None:
    job = jobs_of(factory, "other")
    jobs_of(factory, "mine")
    bound = register(factory, organizations=["mine"])
    with factory.database.begin() as session:
        assert job_progress(session, job).workers == 0
        [found] = get_jobs(session, [job])
        assert found.available_workers == []
        assert waiting_work(session, worker_id=bound).waiting == 1
    assert factory.claimable(bound) == {"builds": 1}


def test_a_worker_cannot_be_bound_to_an_organization_that_does_not_exist(factory: Factory) -> None:
    with pytest.raises(NotFoundError, match="there is no organization 'nowhere'"):
        register(factory, organizations=["nowhere"])


def test_the_owner_of_a_user_s_job_is_the_owner_of_the_workspace(factory: Factory) -> None:
    workspace = factory.any_workspace(tags={"scope": "user", "owner": "somebody else"})
    job = factory.job(factory.build(workspace).job_id)
    assert job.tags == {"scope": "user", "owner": str(workspace.owner_id)}
    assert job.queue == queue_name(job.tags)
