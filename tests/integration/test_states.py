from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from db.errors import LeaseLostError
from db.jobs.archives import ArchiveCache
from db.jobs.builds import load_build
from db.jobs.finish import complete_job
from db.jobs.leases import Lease
from db.jobs.results import BuildResult
from db.jobs.states import RecoveredState, State, store_recovered_state, store_state
from db.jobs.transitions import ClaimedJob, cancel_job, claim_job, requeue_job
from db.schema.enums import JobStatus, Stage
from tests.harness.factory import LEASE, WORKER_ID, Factory
from tests.harness.waiting import wait_until

DEADLINE_S = 30


def state(serial: int, lineage: str = "one") -> State:
    return State(data=f"{lineage} {serial}".encode(), lineage=lineage, serial=serial)


def stored(factory: Factory, job_id: uuid.UUID) -> bytes | None:
    query = text("SELECT provisioner_state FROM workspace_builds WHERE job_id = :id")
    with factory.database.begin() as session:
        data: bytes | None = session.execute(query, {"id": job_id}).scalar_one()
        return data


def store(factory: Factory, job: ClaimedJob, new: State) -> bool:
    with factory.database.begin() as session:
        return store_state(session, job.lease, state=new)


def recover(factory: Factory, job: ClaimedJob, new: State) -> RecoveredState:
    with factory.database.begin() as session:
        return store_recovered_state(session, job_id=job.id, claim=job.claim, state=new)


def stateful_build(factory: Factory) -> ClaimedJob:
    """A running build that has stored a state of serial 5."""
    job = factory.running_build()
    store(factory, job, state(5))
    return job


def lost_build(factory: Factory) -> ClaimedJob:
    """A build that failed after it had stored a state of serial 5."""
    return factory.finished_build(status=JobStatus.FAILED, result=BuildResult(state=state(5)))


CASES = [
    (state(5), True),
    (state(6), True),
    (state(4), False),
    (state(9, "two"), False),
    (state(1, "two"), False),
]
each_case = pytest.mark.parametrize(
    ("new", "replaces"), CASES, ids=["same", "newer", "older", "other newer", "other older"]
)


def test_the_first_state_is_stored(factory: Factory) -> None:
    job = factory.running_build()
    assert store(factory, job, state(0))
    assert stored(factory, job.id) == b"one 0"


@each_case
def test_a_checkpoint_replaces_only_an_older_state_of_its_lineage(
    factory: Factory, new: State, replaces: bool
) -> None:
    job = stateful_build(factory)
    assert store(factory, job, new) is replaces
    assert stored(factory, job.id) == (new.data if replaces else b"one 5")


@each_case
def test_a_result_replaces_only_an_older_state_of_its_lineage(
    factory: Factory, new: State, replaces: bool
) -> None:
    job = stateful_build(factory)
    with factory.database.begin() as session:
        complete_job(session, job.lease, result=BuildResult(state=new))
    assert stored(factory, job.id) == (new.data if replaces else b"one 5")


def test_a_result_without_a_state_keeps_the_stored_one(factory: Factory) -> None:
    job = stateful_build(factory)
    with factory.database.begin() as session:
        complete_job(session, job.lease, result=BuildResult())
    assert stored(factory, job.id) == b"one 5"


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED])
def test_the_next_build_starts_from_the_newest_state(factory: Factory, status: JobStatus) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, status=status, result=BuildResult(state=state(5)))
    assert stored(factory, factory.build(workspace).job_id) == b"one 5"


def test_the_state_of_a_finished_build_is_not_touched_by_the_next(factory: Factory) -> None:
    workspace = factory.any_workspace()
    first = factory.finished_build(workspace, result=BuildResult(state=state(5)))
    store(factory, factory.running_build(workspace), state(6))
    assert stored(factory, first.id) == b"one 5"


def test_the_build_that_is_run_reads_its_state(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, result=BuildResult(state=state(5)))
    job = factory.running_build(workspace)
    with factory.database.begin() as connection:
        loaded = load_build(connection, job.lease, archives=ArchiveCache())
    assert loaded.state == b"one 5"


@pytest.mark.parametrize(
    ("new", "outcome"),
    [
        (state(5), RecoveredState.SETTLED),
        (state(6), RecoveredState.STORED),
        (state(4), RecoveredState.SETTLED),
        (state(9, "two"), RecoveredState.KEPT),
        (state(4, "two"), RecoveredState.KEPT),
    ],
    ids=["same", "newer", "older", "other newer", "other older"],
)
def test_a_recovered_state_replaces_only_an_older_state_of_its_lineage(
    factory: Factory, new: State, outcome: RecoveredState
) -> None:
    job = lost_build(factory)
    assert recover(factory, job, new) is outcome
    assert stored(factory, job.id) == (new.data if outcome is RecoveredState.STORED else b"one 5")


def test_a_recovered_state_of_a_job_that_still_runs_is_not_stored(factory: Factory) -> None:
    job = factory.running_build()
    assert recover(factory, job, state(6)) is RecoveredState.SETTLED
    assert stored(factory, job.id) is None


def test_a_state_that_an_earlier_claim_left_is_not_stored(factory: Factory) -> None:
    workspace = factory.any_workspace()
    earlier = factory.running_build(workspace)
    with factory.database.begin() as session:
        requeue_job(session, earlier.lease, worker_was_lost=True)
    last = factory.claim()
    assert last is not None
    with factory.database.begin() as session:
        complete_job(session, last.lease, result=BuildResult(state=state(5)))
    assert recover(factory, earlier, state(6)) is RecoveredState.SETTLED
    assert recover(factory, last, state(6)) is RecoveredState.STORED


def test_a_recovered_state_of_a_job_that_is_gone_is_settled(factory: Factory) -> None:
    with factory.database.begin() as session:
        answer = store_recovered_state(session, job_id=uuid.uuid4(), claim=1, state=state(6))
    assert answer is RecoveredState.SETTLED


def test_a_recovered_state_is_copied_to_a_build_that_still_waits(factory: Factory) -> None:
    workspace = factory.any_workspace()
    job = factory.finished_build(workspace, status=JobStatus.FAILED)
    waiting = factory.build(workspace)
    recover(factory, job, state(6))
    assert stored(factory, waiting.job_id) == b"one 6"


def test_a_recovered_state_is_copied_to_a_build_that_was_canceled_while_it_waited(
    factory: Factory,
) -> None:
    workspace = factory.any_workspace()
    job = factory.finished_build(workspace, status=JobStatus.FAILED)
    waiting = factory.build(workspace)
    with factory.database.begin() as session:
        cancel_job(session, job_id=waiting.job_id)
    recover(factory, job, state(6))
    assert stored(factory, factory.build(workspace).job_id) == b"one 6"


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_recovered_state_is_refused_once_a_later_build_has_begun(
    factory: Factory, is_finished: bool
) -> None:
    workspace = factory.any_workspace()
    job = factory.finished_build(workspace, result=BuildResult(state=state(5)))
    begin = factory.finished_build if is_finished else factory.running_build
    begin(workspace)
    assert recover(factory, job, state(6)) is RecoveredState.KEPT
    assert stored(factory, job.id) == b"one 5"


def test_a_build_that_begins_meanwhile_reads_the_recovered_state(factory: Factory) -> None:
    workspace = factory.any_workspace()
    job = factory.finished_build(workspace, result=BuildResult(state=state(5)))
    factory.build(workspace)
    begun = threading.Event()

    def begin() -> bytes | None:
        with factory.database.begin() as session:
            session.execute(text("SET LOCAL application_name = 'beginner'"))
            begun.set()
            claimed = claim_job(session, queue="builds", worker_id=WORKER_ID, lease=LEASE)
        assert claimed is not None
        with factory.database.begin() as session:
            return load_build(
                session,
                claimed.lease,
                archives=ArchiveCache(),
            ).state

    with ThreadPoolExecutor(1) as pool:
        with factory.database.begin() as session:
            # The recovery has looked for builds that have begun, and found none.
            answer = store_recovered_state(session, job_id=job.id, claim=job.claim, state=state(6))
            assert answer is RecoveredState.STORED
            reader = pool.submit(begin)
            assert begun.wait(DEADLINE_S)
            wait_until(lambda: is_blocked(factory, "beginner"), "the beginner to wait for a lock")
        assert reader.result(DEADLINE_S) == b"one 6"


def is_blocked(factory: Factory, name: str) -> bool:
    query = text("""
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name = :name AND wait_event_type = 'Lock'
    """)
    with factory.database.begin() as session:
        return bool(session.execute(query, {"name": name}).scalar_one())


def test_a_build_is_read_by_whoever_holds_it_alone(factory: Factory) -> None:
    job = factory.running_build(stage=Stage.SET_UP)
    with factory.database.begin() as connection, pytest.raises(LeaseLostError):
        load_build(connection, Lease(job.id, uuid.uuid4()), archives=ArchiveCache())
