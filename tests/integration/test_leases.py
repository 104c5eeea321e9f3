from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import text

from db.errors import LeaseLostError
from db.jobs.finish import complete_job
from db.jobs.leases import renew_leases
from db.jobs.moves import Move, Moved, Verb
from db.jobs.reaper import reap_expired_lease
from db.jobs.results import BuildResult, Failure
from db.jobs.states import State, store_state
from db.jobs.transitions import ClaimedJob, cancel_job, enter_stage, expire_job, requeue_job
from db.schema.enums import FailureReason, JobStatus, Stage
from tests.harness.factory import LEASE, Factory

OVER = timedelta(seconds=-1)
STATE = State(data=b'{"newest": true}', lineage="one", serial=7)
SIDE_EFFECTS = [stage for stage in Stage if stage.has_side_effects]
NO_SIDE_EFFECTS = [stage for stage in Stage if not stage.has_side_effects]


def reap(factory: Factory, *, max_attempts: int = 3) -> Moved | None:
    with factory.database.begin() as session:
        return reap_expired_lease(session, max_attempts=max_attempts)


def cancel(factory: Factory, job: ClaimedJob) -> None:
    with factory.database.begin() as session:
        cancel_job(session, job_id=job.id)


def renew(factory: Factory, *tokens: uuid.UUID, lease: timedelta = LEASE) -> dict[uuid.UUID, bool]:
    with factory.database.begin() as session:
        renewed = renew_leases(session, tokens=tokens, lease=lease)
    return {found.token: found.cancel_requested for found in renewed}


def test_a_renewal_answers_for_each_lease_that_is_held(factory: Factory) -> None:
    held, finished = factory.running_build(), factory.finished_build()
    tokens = (held.lease.token, finished.lease.token, uuid.uuid4())
    assert renew(factory, *tokens) == {held.lease.token: False}


def test_a_renewal_extends_no_lease_of_another_worker(factory: Factory) -> None:
    factory.running_build(lease=OVER)
    renew(factory, factory.running_build().lease.token)
    assert reap(factory) is not None


def test_a_renewal_brings_the_cancel_request(factory: Factory) -> None:
    job = factory.running_build()
    cancel(factory, job)
    assert renew(factory, job.lease.token) == {job.lease.token: True}


def test_a_renewal_of_nothing_is_nothing(factory: Factory) -> None:
    assert renew(factory) == {}


def test_a_renewed_lease_is_not_taken(factory: Factory) -> None:
    job = factory.running_build(lease=OVER)
    renew(factory, job.lease.token)
    assert reap(factory) is None


def test_a_lease_that_ran_out_can_be_renewed_until_it_is_taken(factory: Factory) -> None:
    job = factory.running_build(lease=OVER)
    assert renew(factory, job.lease.token, lease=OVER) == {job.lease.token: False}
    reap(factory)
    assert renew(factory, job.lease.token) == {}


def test_a_lease_that_still_runs_is_left_alone(factory: Factory) -> None:
    factory.running_build()
    assert reap(factory) is None


@pytest.mark.parametrize("stage", NO_SIDE_EFFECTS)
def test_a_job_lost_before_apply_is_put_back(factory: Factory, stage: Stage) -> None:
    job = factory.running_build(stage=stage, lease=OVER)
    moved = reap(factory)
    assert moved is not None
    assert moved.move == Move(Verb.REQUEUE, JobStatus.RUNNING, JobStatus.PENDING)
    assert (moved.job_id, moved.queue, moved.stage) == (job.id, "builds", stage)
    assert moved.worker_was_lost
    assert (factory.status(job.id), factory.job(job.id).attempt) == (JobStatus.PENDING, 1)


def test_a_job_that_was_put_back_is_run_by_the_next_claim(factory: Factory) -> None:
    job = factory.running_build(lease=OVER)
    reap(factory)
    again = factory.claim()
    assert again is not None
    assert (again.id, again.attempt) == (job.id, 2)


def test_a_job_lost_in_every_attempt_fails_as_poison(factory: Factory) -> None:
    job = factory.running_build(lease=OVER)
    statuses = [factory.status(job.id)]
    for _attempt in range(3):
        reap(factory)
        statuses.append(factory.status(job.id))
        factory.claim(lease=OVER)
    row = factory.job(job.id)
    assert statuses[1:] == [JobStatus.PENDING, JobStatus.PENDING, JobStatus.FAILED]
    assert (row.failure_reason, row.error_code) == (FailureReason.POISON, None)
    assert row.error == (
        "the worker stopped renewing its lease in the last of 3 attempts to run this job;"
        " it will not be tried again"
    )


def test_no_number_of_drains_makes_a_job_poison(factory: Factory) -> None:
    job = factory.running_build(lease=OVER)
    for _drain in range(3):
        with factory.database.begin() as session:
            requeue_job(session, job.lease)
        claimed = factory.claim(lease=OVER)
        assert claimed is not None
        job = claimed
    reap(factory)
    assert factory.status(job.id) is JobStatus.PENDING


@pytest.mark.parametrize("stage", NO_SIDE_EFFECTS)
def test_a_job_lost_before_apply_after_a_cancel_is_canceled(factory: Factory, stage: Stage) -> None:
    job = factory.running_build(stage=stage, lease=OVER)
    cancel(factory, job)
    reaped = reap(factory)
    assert reaped is not None
    assert (reaped.move.after, factory.status(job.id)) == (JobStatus.CANCELED, JobStatus.CANCELED)


@pytest.mark.parametrize("stage", SIDE_EFFECTS)
@pytest.mark.parametrize("is_canceled", [False, True])
def test_a_job_lost_during_apply_fails_for_its_lost_worker(
    factory: Factory, stage: Stage, is_canceled: bool
) -> None:
    job = factory.running_build(stage=stage, lease=OVER)
    if is_canceled:
        cancel(factory, job)
    reaped = reap(factory)
    assert reaped is not None
    assert (reaped.move.after, reaped.failure_reason) == (
        JobStatus.FAILED,
        FailureReason.WORKER_LOST,
    )
    assert factory.job(job.id).failure_reason == FailureReason.WORKER_LOST


def test_a_job_lost_during_apply_keeps_its_newest_state(factory: Factory) -> None:
    job = factory.running_build(stage=Stage.APPLY, lease=OVER)
    with factory.database.begin() as session:
        store_state(session, job.lease, state=STATE)
    reap(factory)
    with factory.database.begin() as session:
        stored = session.execute(text("SELECT provisioner_state FROM workspace_builds"))
        assert stored.scalar_one() == STATE.data


@pytest.mark.parametrize("stage", [Stage.PLAN, Stage.APPLY])
@pytest.mark.parametrize("is_claimed_again", [False, True])
def test_the_lost_workers_token_fits_nothing_any_more(
    factory: Factory, stage: Stage, is_claimed_again: bool
) -> None:
    job = factory.running_build(stage=stage, lease=OVER)
    reap(factory)
    if is_claimed_again:
        factory.claim()
    lease = job.lease
    with factory.database.begin() as session:
        with pytest.raises(LeaseLostError):
            enter_stage(session, lease, stage=Stage.APPLY)
        with pytest.raises(LeaseLostError):
            store_state(session, lease, state=STATE)
        with pytest.raises(LeaseLostError):
            complete_job(session, lease, result=BuildResult())


def test_a_taken_job_leaves_no_lease(factory: Factory) -> None:
    factory.running_build(lease=OVER)
    reap(factory)
    with factory.database.begin() as session:
        assert session.execute(text("SELECT count(*) FROM leases")).scalar_one() == 0


def test_the_lease_that_ran_out_first_is_taken_first(factory: Factory) -> None:
    later = factory.running_build(lease=OVER)
    first = factory.running_build(lease=timedelta(hours=-1))
    taken = [reap(factory), reap(factory), reap(factory)]
    assert [found and found.job_id for found in taken] == [first.id, later.id, None]


def test_sweepers_do_not_wait_for_each_other(factory: Factory) -> None:
    factory.running_build(lease=OVER)
    with factory.database.begin() as session:
        assert reap_expired_lease(session, max_attempts=3) is not None
        assert reap(factory) is None


def test_a_job_that_is_just_being_finished_is_left_alone(factory: Factory) -> None:
    job = factory.running_build(lease=OVER)
    with factory.database.begin() as session:
        complete_job(session, job.lease, result=BuildResult())
        assert reap(factory) is None
    assert factory.status(job.id) is JobStatus.SUCCEEDED


def lines_of(factory: Factory, job: ClaimedJob) -> list[str]:
    query = text("SELECT output FROM provisioner_job_logs WHERE job_id = :id ORDER BY id")
    with factory.database.begin() as session:
        return list(session.scalars(query, {"id": job.id}))


def test_the_log_says_that_a_job_was_put_back(factory: Factory) -> None:
    job = factory.running_build(stage=Stage.PLAN, lease=OVER)
    reap(factory)
    assert lines_of(factory, job) == [
        (
            "the worker stopped renewing its lease in stage plan, before anything was changed;"
            " the job goes back to the queue after attempt 1 of 3"
        )
    ]


def test_the_log_says_that_a_canceled_job_was_lost(factory: Factory) -> None:
    job = factory.running_build(stage=Stage.PLAN, lease=OVER)
    cancel(factory, job)
    reap(factory)
    assert lines_of(factory, job) == [
        "the worker stopped renewing its lease in stage plan; the job was canceled"
    ]


@pytest.mark.parametrize(("stage", "max_attempts"), [(Stage.APPLY, 3), (Stage.PLAN, 1)])
def test_the_log_ends_with_the_error_of_a_lost_job(
    factory: Factory, stage: Stage, max_attempts: int
) -> None:
    job = factory.running_build(stage=stage, lease=OVER)
    reap(factory, max_attempts=max_attempts)
    assert lines_of(factory, job) == [factory.job(job.id).error]


def test_the_log_says_that_nobody_claimed_a_job(factory: Factory) -> None:
    build = factory.build(factory.any_workspace())
    failure = Failure(reason=FailureReason.PENDING_LIMIT, message="no worker came")
    with factory.database.begin() as session:
        expire_job(session, job_id=build.job_id, failure=failure)
        query = text("SELECT stage, output FROM provisioner_job_logs WHERE job_id = :id")
        (line,) = session.execute(query, {"id": build.job_id})
    assert tuple(line) == ("Waiting for a worker", "no worker came")


def test_a_renewal_never_shortens_a_lease(factory: Factory) -> None:
    """One that began earlier may be committed later."""
    job = factory.running_build(lease=timedelta(hours=1))
    with factory.database.begin() as session:
        renew_leases(session, tokens=[job.lease.token], lease=LEASE)
        left = session.scalar(text("SELECT expires_at - now() FROM leases"))
    assert left > timedelta(minutes=30)
