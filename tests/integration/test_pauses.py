"""Queues that are paused, and workers that are drained from afar."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from db.catalog.audit import Actor
from db.catalog.drains import drain_worker, forget_worker, resume_worker
from db.catalog.pauses import pause_queue, resume_queue
from db.errors import ConflictError, InvalidError
from db.jobs.workers import register_worker, sign_off_worker
from db.reads.explanation import verdict
from db.reads.jobs import get_job
from db.reads.progress import job_progress
from db.reads.queues import overdue_jobs, queue_depths, waiting_work
from db.reads.workers import list_workers
from db.schema.enums import JobStatus, ProvisionerType
from tests.harness.factory import Factory

OPERATOR = Actor(username="root")
AT_ONCE = timedelta()


def register(factory: Factory) -> uuid.UUID:
    with factory.database.begin() as session:
        return register_worker(
            session,
            name="one",
            tags={},
            provisioners=[ProvisionerType.ECHO],
            concurrency=4,
            version="1",
            hostname="host",
        )


def pause(factory: Factory, queue: str = "builds") -> None:
    with factory.database.begin() as session:
        pause_queue(session, queue, actor=OPERATOR, reason="maintenance")


def resume(factory: Factory) -> None:
    with factory.database.begin() as session:
        resume_queue(session, "builds", actor=OPERATOR)


def drain(factory: Factory) -> int:
    with factory.database.begin() as session:
        return drain_worker(session, "one", actor=OPERATOR)


def test_nobody_claims_from_a_paused_queue_until_it_is_resumed(factory: Factory) -> None:
    build = factory.build(factory.any_workspace())
    pause(factory)
    assert factory.claim() is None
    resume(factory)
    claimed = factory.claim()
    assert claimed is not None
    assert claimed.id == build.job_id


def test_a_pause_is_for_one_queue(factory: Factory) -> None:
    pause(factory, "builds-0123456789abcdef")
    factory.build(factory.any_workspace())
    assert factory.claim() is not None


def test_nobody_is_woken_for_a_paused_queue(factory: Factory) -> None:
    worker_id = register(factory)
    factory.build(factory.any_workspace())
    assert factory.claimable(worker_id) == {"builds": 1}
    pause(factory)
    assert factory.claimable(worker_id) == {}
    with factory.database.begin() as session:
        assert waiting_work(session, worker_id=worker_id).waiting == 0


def test_the_wait_of_a_job_starts_when_its_queue_is_resumed(factory: Factory) -> None:
    build = factory.build(factory.any_workspace())
    with factory.database.begin() as session:
        assert overdue_jobs(session, limit=AT_ONCE) == [build.job_id]
    pause(factory)
    with factory.database.begin() as session:
        assert overdue_jobs(session, limit=AT_ONCE) == []
    resume(factory)
    with factory.database.begin() as session:
        assert overdue_jobs(session, limit=AT_ONCE) == [build.job_id]
        assert overdue_jobs(session, limit=timedelta(minutes=1)) == []


def test_a_paused_queue_says_by_whom_and_why(factory: Factory) -> None:
    pause(factory)
    build = factory.build(factory.any_workspace())
    with factory.database.begin() as session:
        (found,) = queue_depths(session)
        job = get_job(session, build.job_id)
        progress = job_progress(session, build.job_id)
    assert (found.paused_by, found.pause_reason) == ("root", "maintenance")
    assert verdict(job, []).startswith("its queue is paused")
    assert progress.is_paused


def test_a_pause_of_a_paused_queue_is_refused(factory: Factory) -> None:
    pause(factory)
    with pytest.raises(ConflictError, match="paused already"):
        pause(factory)


def test_what_is_no_name_of_a_queue_is_refused(factory: Factory) -> None:
    with pytest.raises(InvalidError, match="not the name of a queue"):
        pause(factory, "bulids")


def test_a_queue_is_shown_with_the_tags_of_its_jobs(factory: Factory) -> None:
    factory.build(factory.any_workspace(tags={"gpu": "yes"}))
    with factory.database.begin() as session:
        register_worker(
            session,
            name="two",
            tags={"gpu": "yes", "zone": "a"},
            provisioners=[ProvisionerType.ECHO],
            concurrency=1,
            version="1",
            hostname="host",
        )
        tags = [dict(found.tags) for found in queue_depths(session)]
    own = [{k: v for k, v in found.items() if k not in {"scope", "owner"}} for found in tags]
    assert sorted(map(str, own)) == sorted(
        map(str, [{"gpu": "yes"}, {"zone": "a"}, {"gpu": "yes", "zone": "a"}])
    )


def test_a_drained_worker_claims_nothing_until_it_is_resumed(factory: Factory) -> None:
    worker_id = register(factory)
    build = factory.build(factory.any_workspace())
    assert drain(factory) == 0
    assert factory.claim(worker_id=worker_id) is None
    assert factory.claimable(worker_id) == {}
    with factory.database.begin() as session:
        assert [worker.status for worker in list_workers(session)] == ["draining"]
        resume_worker(session, "one", actor=OPERATOR)
    claimed = factory.claim(worker_id=worker_id)
    assert claimed is not None
    assert claimed.id == build.job_id


def test_another_worker_claims_what_a_drained_one_does_not(factory: Factory) -> None:
    register(factory)
    factory.build(factory.any_workspace())
    drain(factory)
    assert factory.claim() is not None


def test_builds_of_a_drained_worker_go_on(factory: Factory) -> None:
    worker_id = register(factory)
    factory.build(factory.any_workspace())
    job = factory.claim(worker_id=worker_id)
    assert job is not None
    assert drain(factory) == 1
    factory.finish(job)
    assert factory.status(job.id) is JobStatus.SUCCEEDED


def test_a_start_ends_a_drain(factory: Factory) -> None:
    register(factory)
    drain(factory)
    worker_id = register(factory)
    factory.build(factory.any_workspace())
    assert factory.claim(worker_id=worker_id) is not None


def test_only_a_worker_that_is_gone_is_forgotten(factory: Factory) -> None:
    worker_id = register(factory)
    with factory.database.begin() as session:
        with pytest.raises(ConflictError, match="is not offline"):
            forget_worker(session, "one", actor=OPERATOR)
        sign_off_worker(session, worker_id=worker_id)
        forget_worker(session, "ONE", actor=OPERATOR)
        assert list_workers(session) == []


def test_a_worker_that_holds_a_lease_is_not_forgotten(factory: Factory) -> None:
    worker_id = register(factory)
    factory.build(factory.any_workspace())
    factory.claim(worker_id=worker_id)
    with factory.database.begin() as session:
        sign_off_worker(session, worker_id=worker_id)
        with pytest.raises(ConflictError, match="still holds 1 builds"):
            forget_worker(session, "one", actor=OPERATOR)
