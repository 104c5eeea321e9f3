"""Moves are told once they are committed, and once only, whatever becomes of a COMMIT's answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.jobs.mover import Mover
from db.jobs.moves import Moved, Verb
from db.jobs.transitions import ClaimedJob, cancel_job, claim_job, requeue_job
from db.schema.enums import JobStatus
from tests.harness.factory import LEASE, WORKER_ID, Factory
from tests.harness.lossy import LossyDatabase


@pytest.fixture
def told() -> list[Moved]:
    return []


def cancel(factory: Factory, job_id: uuid.UUID) -> None:
    with factory.database.begin() as session:
        cancel_job(session, job_id=job_id)


def lossy(
    factory: Factory,
    told: list[Moved],
    *,
    is_committed: bool = True,
    comes_back: bool = True,
    after_loss: Callable[[], object] = lambda: None,
) -> Mover:
    database = factory.database
    return Mover(
        database=LossyDatabase(
            engine=database.engine,
            is_committed=is_committed,
            comes_back=comes_back,
            after_loss=after_loss,
        ),
        listeners=[told.append],
        may_wait=lambda: comes_back,
    )


def claim(session: Session) -> ClaimedJob | None:
    return claim_job(session, queue="builds", worker_id=WORKER_ID, lease=LEASE)


def test_a_move_is_told_when_others_can_see_it(factory: Factory) -> None:
    seen: list[JobStatus] = []
    mover = Mover(
        database=factory.database,
        listeners=[lambda moved: seen.append(factory.status(moved.job_id))],
    )
    factory.build(factory.any_workspace())
    mover.run(claim)
    assert seen == [JobStatus.RUNNING]


def test_every_listener_is_told(factory: Factory) -> None:
    first: list[Moved] = []
    second: list[Moved] = []
    factory.build(factory.any_workspace())
    Mover(database=factory.database, listeners=[first.append, second.append]).run(claim)
    assert first == second != []


def test_a_transaction_without_a_move_tells_nothing(factory: Factory, told: list[Moved]) -> None:
    assert Mover(database=factory.database, listeners=[told.append]).run(claim) is None
    assert told == []


def test_a_move_that_was_rolled_back_is_not_told(factory: Factory, told: list[Moved]) -> None:
    def claim_and_break(session: Session) -> None:
        claim(session)
        raise ZeroDivisionError

    job_id = factory.build(factory.any_workspace()).job_id
    with pytest.raises(ZeroDivisionError):
        Mover(database=factory.database, listeners=[told.append]).run(claim_and_break)
    assert (told, factory.status(job_id)) == ([], JobStatus.PENDING)


def put_back(job: ClaimedJob) -> Callable[[Session], Moved]:
    return lambda session: requeue_job(session, job.lease)


def test_the_answer_of_an_action_is_kept_when_that_of_its_commit_is_lost(
    factory: Factory, told: list[Moved]
) -> None:
    job_id = factory.build(factory.any_workspace()).job_id
    job = lossy(factory, told).run(claim)
    assert job is not None
    assert [moved.job_id for moved in told] == [job.id] == [job_id]


def test_a_claim_whose_answer_was_lost_is_told_although_a_cancel_came_since(
    factory: Factory, told: list[Moved]
) -> None:
    job_id = factory.build(factory.any_workspace()).job_id
    mover = lossy(factory, told, after_loss=lambda: cancel(factory, job_id))
    job = mover.run(claim)
    assert job is not None
    assert (job.id, [moved.job_id for moved in told]) == (job_id, [job_id])


def test_a_requeue_whose_answer_was_lost_is_told(factory: Factory, told: list[Moved]) -> None:
    job = factory.running_build()
    lossy(factory, told).run(put_back(job))
    assert [moved.move.after for moved in told] == [JobStatus.PENDING]


def claim_again(factory: Factory) -> None:
    with factory.database.begin() as session:
        claim(session)


def test_a_requeue_whose_job_was_claimed_again_since_is_told(
    factory: Factory, told: list[Moved]
) -> None:
    job = factory.running_build()
    lossy(factory, told, after_loss=lambda: claim_again(factory)).run(put_back(job))
    assert [moved.move.verb for moved in told] == [Verb.REQUEUE]


def test_a_requeue_that_was_not_committed_is_not_told_although_the_job_was_claimed_again(
    factory: Factory, told: list[Moved]
) -> None:
    """The reaper has put it back, and has told so."""
    job = factory.running_build()

    def reap_and_claim() -> None:
        with factory.database.begin() as session:
            requeue_job(session, job.lease, worker_was_lost=True)
        claim_again(factory)

    with pytest.raises(OperationalError):
        lossy(factory, told, is_committed=False, after_loss=reap_and_claim).run(put_back(job))
    assert told == []


def test_a_move_that_nobody_can_look_up_is_not_told(factory: Factory, told: list[Moved]) -> None:
    job = factory.running_build()
    with pytest.raises(OperationalError):
        lossy(factory, told, comes_back=False).run(put_back(job))
    assert told == []
