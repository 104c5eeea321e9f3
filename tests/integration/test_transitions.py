"""The state machine of jobs: every state with every verb, guards, constraints, claim order."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.people import create_user
from db.engine import Database
from db.errors import ConflictError, LeaseLostError, NotFoundError
from db.jobs.finish import complete_job, fail_job, finish_cancel_job, orphan_job
from db.jobs.leases import Lease
from db.jobs.logs import LogRow, append_logs
from db.jobs.moves import MOVES, Move, Moved, Verb, moves_made, was_committed
from db.jobs.resources import Resource, ResourceMetadata
from db.jobs.results import BuildResult, Failure
from db.jobs.states import State, store_state
from db.jobs.transitions import (
    MOST_DRAINS,
    ClaimedJob,
    cancel_job,
    claim_job,
    enter_stage,
    expire_job,
    requeue_job,
)
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    JobStatus,
    LogLevel,
    LogSource,
    ProvisionerType,
    Stage,
    TimingStage,
    Transition,
)
from db.schema.roles import PREBUILDS_USER_ID
from db.schema.tables import Workspace
from quota.commit import commit_quota
from tests.harness.factory import LEASE, WORKER_ID, Factory, timing
from tests.harness.waiting import wait_until

DEADLINE_S = 30
FAILURE = Failure(message="it broke", reason=FailureReason.TERRAFORM)
STATE = State(data=b"{}", lineage="one", serial=1)
STATES = [status for status in JobStatus if status is not JobStatus.UNKNOWN]


class Subject:
    """A job in the state that a test is about, and the token of whoever ran it."""

    def __init__(self, factory: Factory, status: JobStatus) -> None:
        self.factory = factory
        self.token = uuid.uuid4()
        if status is JobStatus.PENDING:
            build = factory.build(factory.any_workspace())
            self.job_id, self.queue = build.job_id, build.queue
        elif status in {JobStatus.RUNNING, JobStatus.CANCELING}:
            self._take(factory.running_build())
            if status is JobStatus.CANCELING:
                with factory.database.begin() as session:
                    cancel_job(session, job_id=self.job_id)
        else:
            self._take(factory.finished_build(status=status))
        assert self.status() is status

    def _take(self, job: ClaimedJob) -> None:
        self.job_id, self.token, self.queue = job.id, job.lease.token, job.queue

    @property
    def lease(self) -> Lease:
        return Lease(self.job_id, self.token)

    def status(self) -> JobStatus:
        return self.factory.status(self.job_id)

    def rows(self) -> list[Any]:
        """All that a verb may change."""
        return snapshot(self.factory.database, self.job_id)


def snapshot(database: Database, job_id: uuid.UUID) -> list[Any]:
    query = text("""
        SELECT to_jsonb(job) AS job, to_jsonb(build) AS build, to_jsonb(workspaces) AS workspace,
               (SELECT jsonb_agg(to_jsonb(l)) FROM leases l WHERE l.job_id = job.id) AS leases,
               (SELECT count(*) FROM provisioner_job_logs WHERE job_id = job.id) AS logs,
               (SELECT count(*) FROM workspace_resources WHERE job_id = job.id) AS resources
        FROM provisioner_jobs AS job
        JOIN workspace_builds AS build ON build.job_id = job.id
        JOIN workspaces ON workspaces.id = build.workspace_id
        WHERE job.id = :job_id
    """)
    with database.begin() as session:
        return list(session.execute(query, {"job_id": job_id}).one())


def claim(session: Session, subject: Subject) -> object:
    return claim_job(session, queue=subject.queue, worker_id=WORKER_ID, lease=LEASE)


def requeue(session: Session, subject: Subject) -> object:
    requeue_job(session, subject.lease)
    return None


def cancel(session: Session, subject: Subject) -> object:
    return cancel_job(session, job_id=subject.job_id)


def complete(session: Session, subject: Subject) -> object:
    complete_job(session, subject.lease, result=BuildResult(state=STATE))
    return None


def finish_cancel(session: Session, subject: Subject) -> object:
    finish_cancel_job(session, subject.lease, result=BuildResult(state=STATE))
    return None


def fail(session: Session, subject: Subject) -> object:
    return fail_job(session, subject.lease, failure=FAILURE, result=BuildResult(state=STATE))


def expire(session: Session, subject: Subject) -> object:
    return expire_job(session, job_id=subject.job_id, failure=FAILURE)


def orphan(session: Session, subject: Subject) -> object:
    line = LogRow(
        created_at=datetime.now(UTC),
        source=LogSource.PROVISIONER_DAEMON,
        level=LogLevel.INFO,
        stage="end",
        output="deleted",
    )
    return orphan_job(session, job_id=subject.job_id, line=line)


VERBS: dict[Verb, Callable[[Session, Subject], object]] = {
    Verb.CLAIM: claim,
    Verb.REQUEUE: requeue,
    Verb.CANCEL: cancel,
    Verb.COMPLETE: complete,
    Verb.FINISH_CANCEL: finish_cancel,
    Verb.FAIL: fail,
    Verb.EXPIRE: expire,
    Verb.ORPHAN: orphan,
}
FINISHED = [status for status in STATES if not status.is_active]
# What a verb answers in a status that it does not move.
REFUSALS: dict[Verb, Any] = {
    Verb.CLAIM: None,
    Verb.REQUEUE: LeaseLostError,
    Verb.CANCEL: ConflictError,
    Verb.COMPLETE: LeaseLostError,
    Verb.FINISH_CANCEL: LeaseLostError,
    Verb.FAIL: LeaseLostError,
    Verb.EXPIRE: None,
    Verb.ORPHAN: ConflictError,
}
LEGAL = {(move.verb, move.before): move for move in MOVES}
ILLEGAL = [pair for pair in itertools.product(Verb, STATES) if pair not in LEGAL]
each_move = pytest.mark.parametrize(
    "move", MOVES, ids=[f"{move.verb} {move.before}" for move in MOVES]
)


def call(subject: Subject, verb: Verb) -> object:
    try:
        with subject.factory.database.begin() as session:
            return VERBS[verb](session, subject)
    except (LeaseLostError, ConflictError) as refused:
        return type(refused)


def test_every_verb_is_walked() -> None:
    assert VERBS.keys() == REFUSALS.keys() == set(Verb)


def test_a_verb_leads_from_each_status_to_one() -> None:
    assert len(LEGAL) == len(MOVES)


def test_no_move_leaves_a_finished_state() -> None:
    assert all(move.before.is_active for move in MOVES)


def test_every_state_is_reached() -> None:
    assert {move.after for move in MOVES} == set(STATES)


@each_move
def test_a_legal_move_is_made(factory: Factory, move: Move) -> None:
    subject = Subject(factory, move.before)
    call(subject, move.verb)
    assert subject.status() is move.after


@pytest.mark.parametrize(("verb", "status"), ILLEGAL)
def test_any_other_move_is_refused_and_changes_nothing(
    factory: Factory, verb: Verb, status: JobStatus
) -> None:
    subject = Subject(factory, status)
    before = subject.rows()
    answer = call(subject, verb)
    assert (answer, subject.rows()) == (REFUSALS[verb], before)


def make(subject: Subject, verb: Verb, *, rolled_back: bool = False) -> Moved:
    """Make a move, and return what the session has noted of it."""
    with subject.factory.database.sessions() as session:
        VERBS[verb](session, subject)
        [moved] = moves_made(session)
        if not rolled_back:
            session.commit()
    return moved


@each_move
def test_a_session_notes_each_move_that_it_has_made(factory: Factory, move: Move) -> None:
    subject = Subject(factory, move.before)
    moved = make(subject, move.verb)
    assert (moved.job_id, moved.move) == (subject.job_id, move)


@pytest.mark.parametrize(("verb", "status"), ILLEGAL)
def test_a_session_notes_no_move_that_was_refused(
    factory: Factory, verb: Verb, status: JobStatus
) -> None:
    subject = Subject(factory, status)
    with factory.database.sessions() as session:
        with suppress(LeaseLostError, ConflictError):
            VERBS[verb](session, subject)
        assert moves_made(session) == ()


def stands(factory: Factory, moved: Moved) -> bool:
    with factory.database.begin() as session:
        return was_committed(session, moved)


@each_move
@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "rolled back"])
def test_the_row_tells_whether_a_move_was_committed(
    factory: Factory, move: Move, is_committed: bool
) -> None:
    moved = make(Subject(factory, move.before), move.verb, rolled_back=not is_committed)
    assert stands(factory, moved) is is_committed


@each_move
def test_the_same_move_by_somebody_else_is_not_taken_for_ones_own(
    factory: Factory, move: Move
) -> None:
    subject = Subject(factory, move.before)
    moved = make(subject, move.verb, rolled_back=True)
    make(subject, move.verb)
    assert not stands(factory, moved)


def test_a_job_that_was_put_back_and_claimed_since_was_put_back(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    moved = make(subject, Verb.REQUEUE)
    factory.claim(subject.queue)
    assert stands(factory, moved)


def test_a_commit_that_is_under_way_is_waited_for(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    with ThreadPoolExecutor(1) as pool:
        with factory.database.begin() as session:
            complete(session, subject)
            [moved] = moves_made(session)
            answer = pool.submit(stands, factory, moved)
            wait_until(factory.is_anybody_waiting, "a wait for the row")
        assert answer.result(DEADLINE_S)


def test_a_move_tells_what_it_is_counted_by(factory: Factory) -> None:
    workspace = factory.any_workspace(name="images")
    job = factory.running_build(workspace, Transition.STOP, stage=Stage.APPLY)
    with factory.database.begin() as session:
        moved = fail_job(session, job.lease, failure=FAILURE, result=BuildResult())
    assert (moved.provisioner, moved.transition, moved.template_name, moved.stage) == (
        ProvisionerType.ECHO,
        Transition.STOP,
        "images",
        Stage.APPLY,
    )
    assert (moved.error, moved.error_code, moved.failure_reason) == (
        FAILURE.message,
        None,
        FailureReason.TERRAFORM,
    )


@pytest.mark.parametrize(("verb", "is_timed"), [(Verb.COMPLETE, True), (Verb.EXPIRE, False)])
def test_a_move_is_timed_from_the_claim_if_there_was_one(
    factory: Factory, verb: Verb, is_timed: bool
) -> None:
    status = JobStatus.RUNNING if is_timed else JobStatus.PENDING
    moved = make(Subject(factory, status), verb)
    assert (moved.seconds is not None) is is_timed


@pytest.mark.parametrize("verb", [Verb.COMPLETE, Verb.FINISH_CANCEL, Verb.FAIL])
def test_a_finished_job_holds_no_lease(factory: Factory, verb: Verb) -> None:
    subject = Subject(factory, JobStatus.CANCELING)
    call(subject, verb)
    with factory.database.begin() as session:
        assert session.execute(text("SELECT count(*) FROM leases")).scalar_one() == 0


def test_a_late_cancel_is_taken_back_by_success(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.CANCELING)
    call(subject, Verb.COMPLETE)
    assert factory.job(subject.job_id).canceled_at is None


def test_a_job_that_is_put_back_forgets_its_worker(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    call(subject, Verb.REQUEUE)
    job = factory.job(subject.job_id)
    assert (job.worker_id, job.lease_token, job.stage) == (None, None, None)


@pytest.mark.parametrize("verb", [Verb.REQUEUE, Verb.FAIL, Verb.FINISH_CANCEL, Verb.COMPLETE])
def test_a_move_by_the_worker_that_holds_the_job_is_no_loss_of_a_worker(
    factory: Factory, verb: Verb
) -> None:
    status = JobStatus.CANCELING if verb is Verb.FINISH_CANCEL else JobStatus.RUNNING
    subject = Subject(factory, status)
    with factory.database.begin() as session:
        VERBS[verb](session, subject)
        [moved] = moves_made(session)
    assert not moved.worker_was_lost


def test_a_job_that_is_put_back_by_a_drain_has_used_no_attempt(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    call(subject, Verb.REQUEUE)
    job = factory.job(subject.job_id)
    assert (job.attempt, job.drains) == (0, 1)


def test_the_count_of_drains_stops_before_it_could_fail_a_job(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    with factory.database.begin() as session:
        session.execute(
            text("UPDATE provisioner_jobs SET drains = :most WHERE id = :id"),
            {"most": MOST_DRAINS, "id": subject.job_id},
        )
    call(subject, Verb.REQUEUE)
    job = factory.job(subject.job_id)
    assert (job.drains, factory.status(job.id)) == (MOST_DRAINS, JobStatus.PENDING)


def test_a_second_claim_has_another_token(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    call(subject, Verb.REQUEUE)
    job = factory.claim(subject.queue)
    assert job is not None
    assert job.lease.token != subject.token


def test_a_failure_writes_message_code_and_reason(factory: Factory) -> None:
    job = factory.running_build()
    failure = Failure(
        message="insufficient quota: 2 of 1",
        reason=FailureReason.QUOTA,
        code=JobErrorCode.INSUFFICIENT_QUOTA,
    )
    lease = job.lease
    with factory.database.begin() as session:
        fail_job(session, lease, failure=failure, result=BuildResult())
    row = factory.job(job.id)
    assert (row.error, row.error_code, row.failure_reason) == (
        "insufficient quota: 2 of 1",
        "INSUFFICIENT_QUOTA",
        "quota",
    )


@pytest.mark.parametrize(
    ("message", "error"),
    [("", "build failed"), ("a\x00b", "a\u2400b"), ("\udcff", "?")],
    ids=["empty", "nul", "surrogate"],
)
def test_a_failure_is_a_failure_whatever_its_text(
    factory: Factory, message: str, error: str
) -> None:
    job = factory.finished_build(status=JobStatus.FAILED, error=message)
    assert (factory.status(job.id), factory.job(job.id).error) == (JobStatus.FAILED, error)


def test_canceling_a_job_that_is_not_there_is_refused(database: Database) -> None:
    with database.begin() as session, pytest.raises(NotFoundError):
        cancel_job(session, job_id=uuid.uuid4())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (JobStatus.SUCCEEDED, "Job has already completed!"),
        (JobStatus.CANCELED, "Job has already completed!"),
        (JobStatus.CANCELING, "Job has already been marked as canceled!"),
    ],
)
def test_a_refused_cancel_says_why(factory: Factory, status: JobStatus, message: str) -> None:
    subject = Subject(factory, status)
    with factory.database.begin() as session, pytest.raises(ConflictError) as refused:
        cancel_job(session, job_id=subject.job_id)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("status", "answer"),
    [(JobStatus.PENDING, JobStatus.CANCELED), (JobStatus.RUNNING, JobStatus.CANCELING)],
)
def test_a_cancel_answers_with_the_status_after_it(
    factory: Factory, status: JobStatus, answer: JobStatus
) -> None:
    assert call(Subject(factory, status), Verb.CANCEL) is answer


# Writes that name the token.


def write_stage(session: Session, subject: Subject) -> None:
    enter_stage(session, subject.lease, stage=Stage.PLAN)


def write_logs(session: Session, subject: Subject) -> None:
    row = LogRow(
        created_at=session.execute(text("SELECT now()")).scalar_one(),
        source=LogSource.PROVISIONER,
        level=LogLevel.INFO,
        stage="Planning",
        output="x",
    )
    append_logs(session, subject.lease, rows=[row])


def write_state(session: Session, subject: Subject) -> None:
    store_state(session, subject.lease, state=STATE)


def write_quota(session: Session, subject: Subject) -> None:
    commit_quota(
        subject.factory.database,
        job_id=subject.job_id,
        lease_token=subject.token,
        daily_cost=1,
    )


GUARDED: dict[str, Callable[[Session, Subject], object]] = {
    "enter_stage": write_stage,
    "append_logs": write_logs,
    "store_state": write_state,
    "commit_quota": write_quota,
    "complete": complete,
    "fail": fail,
    "finish_cancel": finish_cancel,
    "requeue": requeue,
}


@pytest.mark.parametrize("write", GUARDED)
@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.CANCELING, JobStatus.SUCCEEDED])
def test_a_write_with_another_token_changes_nothing(
    factory: Factory, write: str, status: JobStatus
) -> None:
    subject = Subject(factory, status)
    before = subject.rows()
    subject.token = uuid.uuid4()
    with pytest.raises(LeaseLostError), factory.database.begin() as session:
        GUARDED[write](session, subject)
    assert subject.rows() == before


@pytest.mark.parametrize("write", ["enter_stage", "append_logs", "store_state", "commit_quota"])
def test_a_write_after_the_end_changes_nothing(factory: Factory, write: str) -> None:
    subject = Subject(factory, JobStatus.SUCCEEDED)
    before = subject.rows()
    with pytest.raises(LeaseLostError), factory.database.begin() as session:
        GUARDED[write](session, subject)
    assert subject.rows() == before


@pytest.mark.parametrize("write", ["enter_stage", "append_logs", "store_state"])
def test_a_write_with_the_right_token_is_made(factory: Factory, write: str) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    before = subject.rows()
    with factory.database.begin() as session:
        GUARDED[write](session, subject)
    assert subject.rows() != before


@pytest.mark.parametrize(
    ("status", "answer"), [(JobStatus.RUNNING, False), (JobStatus.CANCELING, True)]
)
def test_entering_a_stage_tells_of_a_cancel_request(
    factory: Factory, status: JobStatus, answer: bool
) -> None:
    subject = Subject(factory, status)
    with factory.database.begin() as session:
        assert enter_stage(session, subject.lease, stage=Stage.PLAN) is answer


# What a result writes.

NOW_SQL = text("SELECT now()")


def test_a_result_with_names_that_do_not_fit_is_stored_cut(factory: Factory) -> None:
    resource = Resource(
        type="t" * 500,
        name="n\x00" * 100,
        icon="i" * 500,
        instance_type="m" * 500,
        module_path="\x00",
        metadata=(
            ResourceMetadata(key="k" * 2000, value="v" * 70_000),
            ResourceMetadata(key="a", value="", sensitive=True),
        ),
    )
    job = factory.finished_build(result=BuildResult(resources=[resource]))
    with factory.database.begin() as session:
        row = session.execute(
            text("SELECT * FROM workspace_resources WHERE job_id = :id"), {"id": job.id}
        ).one()
        lengths = session.execute(
            text("SELECT length(key), length(value) FROM workspace_resource_metadata ORDER BY id")
        ).all()
    assert (len(row.type), len(row.name), len(row.icon)) == (192, 64, 256)
    assert [tuple(found) for found in lengths] == [(1024, 65536), (1, 0)]


def test_of_metadata_items_with_one_key_the_last_is_stored(factory: Factory) -> None:
    resource = Resource(
        type="t",
        name="n",
        metadata=(ResourceMetadata(key="k", value="1"), ResourceMetadata(key="k", value="2")),
    )
    factory.finished_build(result=BuildResult(resources=[resource]))
    with factory.database.begin() as session:
        stored = session.execute(text("SELECT value FROM workspace_resource_metadata"))
        assert stored.scalars().all() == ["2"]


def test_a_metadata_item_without_a_value_is_not_stored(factory: Factory) -> None:
    resource = Resource(type="t", name="n", metadata=(ResourceMetadata(key="k", value=None),))
    factory.finished_build(result=BuildResult(resources=[resource]))
    with factory.database.begin() as session:
        stored = session.execute(text("SELECT count(*) FROM workspace_resource_metadata"))
        assert stored.scalar_one() == 0


def test_the_result_of_a_failed_build_is_stored_too(factory: Factory) -> None:
    with factory.database.begin() as session:
        now = session.execute(NOW_SQL).scalar_one()
    took = timing(TimingStage.PLAN, started_at=now, seconds=1)
    job = factory.finished_build(
        status=JobStatus.FAILED,
        result=BuildResult(state=STATE, resources=[Resource(type="t", name="n")], timings=[took]),
    )
    _job, build, _workspace, _leases, _logs, resources = snapshot(factory.database, job.id)
    with factory.database.begin() as session:
        timings = session.execute(text("SELECT count(*) FROM provisioner_job_timings"))
        assert (build["state_serial"], resources, timings.scalar_one()) == (1, 1, 1)


@pytest.mark.parametrize(
    ("transition", "status", "deleted"),
    [
        (Transition.DELETE, JobStatus.SUCCEEDED, True),
        (Transition.DELETE, JobStatus.FAILED, False),
        (Transition.DELETE, JobStatus.CANCELED, False),
        (Transition.STOP, JobStatus.SUCCEEDED, False),
        (Transition.START, JobStatus.SUCCEEDED, False),
    ],
)
def test_a_workspace_is_deleted_by_a_delete_that_succeeded(
    factory: Factory, transition: Transition, status: JobStatus, deleted: bool
) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, transition, status=status)
    with factory.database.begin() as session:
        assert session.get_one(Workspace, workspace.id).deleted is deleted


# Rules of the database itself.


def model_status(started: bool, canceled: bool, completed: bool, error: str | None) -> JobStatus:
    """The order of decision of the system that we follow."""
    if completed:
        if error:
            return JobStatus.FAILED
        return JobStatus.CANCELED if canceled else JobStatus.SUCCEEDED
    if error:
        return JobStatus.FAILED
    if canceled:
        return JobStatus.CANCELING
    return JobStatus.RUNNING if started else JobStatus.PENDING


def test_the_status_is_derived_from_every_combination_of_columns(database: Database) -> None:
    combinations = list(
        itertools.product((False, True), (False, True), (False, True), (None, "", "it broke"))
    )
    with database.begin() as session:
        # A copy without the constraints, which allow fewer combinations.
        session.execute(
            text("CREATE TEMPORARY TABLE jobs (LIKE provisioner_jobs INCLUDING GENERATED)")
        )
        columns = session.execute(
            text("""
                SELECT a.attname FROM pg_attribute a
                WHERE a.attrelid = 'jobs'::regclass AND a.attnotnull AND a.attnum > 0
            """)
        ).scalars()
        for column in columns.all():
            session.execute(text(f"ALTER TABLE jobs ALTER COLUMN {column} DROP NOT NULL"))
        derived = [
            session.execute(
                text("""
                    INSERT INTO jobs (started_at, canceled_at, completed_at, error)
                    VALUES (CASE WHEN :started THEN now() END, CASE WHEN :canceled THEN now() END,
                            CASE WHEN :completed THEN now() END, :error)
                    RETURNING job_status
                """),
                {
                    "started": started,
                    "canceled": canceled,
                    "completed": completed,
                    "error": error,
                },
            ).scalar_one()
            for started, canceled, completed, error in combinations
        ]
    assert derived == [model_status(*combination).value for combination in combinations]


@pytest.mark.parametrize("status", FINISHED)
@pytest.mark.parametrize("column", ["error = 'x'", "completed_at = NULL", "updated_at = now()"])
def test_the_database_refuses_to_change_a_finished_job(
    factory: Factory, status: JobStatus, column: str
) -> None:
    subject = Subject(factory, status)
    before = subject.rows()
    with pytest.raises(IntegrityError, match="is finished and cannot change"):
        update_job(factory, subject, column)
    assert subject.rows() == before


REFUSED = "completed_at = now(), error_code = 'INSUFFICIENT_QUOTA'"


@pytest.mark.parametrize(
    ("status", "change", "constraint"),
    [
        (JobStatus.RUNNING, "completed_at = now(), error = 'x', error_code = 'X'", "code_known"),
        (JobStatus.RUNNING, REFUSED, "error_code_has_error"),
        (JobStatus.RUNNING, f"{REFUSED}, error = ''", "error_code_has_error"),
        (JobStatus.RUNNING, "error = 'x'", "error_is_final"),
        (JobStatus.RUNNING, "lease_token = NULL", "lease_while_running"),
        (JobStatus.RUNNING, "started_at = NULL", "lease_while_running"),
        (JobStatus.PENDING, "started_at = now()", "lease_while_running"),
        (JobStatus.RUNNING, "worker_id = NULL", "lease_has_worker"),
        (JobStatus.PENDING, "canceled_at = now()", "canceled_pending_is_completed"),
        (JobStatus.RUNNING, "logs_length = -1", "logs_length_bounded"),
        (JobStatus.RUNNING, "logs_length = 1048577", "logs_length_bounded"),
        (JobStatus.RUNNING, "attempt = -1", "counts_not_negative"),
        (JobStatus.PENDING, "fair_rank = -1", "counts_not_negative"),
        (JobStatus.PENDING, "workspace_id = NULL", "build_names_workspace"),
        (JobStatus.PENDING, "owner_id = NULL", "build_names_workspace"),
    ],
)
def test_the_database_refuses_a_job_that_makes_no_sense(
    factory: Factory, status: JobStatus, change: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        update_job(factory, Subject(factory, status), change)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("build_number = 0", "build_number_positive"),
        ("daily_cost = -1", "daily_cost_not_negative"),
        ("provisioner_state = 'x'", "state_is_identified"),
        ("provisioner_state = 'x', state_lineage = 'l'", "state_is_identified"),
    ],
)
def test_the_database_refuses_a_build_that_makes_no_sense(
    factory: Factory, change: str, constraint: str
) -> None:
    factory.build(factory.any_workspace())
    with (
        pytest.raises(IntegrityError, match=constraint),
        factory.database.begin() as session,
    ):
        session.execute(text(f"UPDATE workspace_builds SET {change}"))


def update_job(factory: Factory, subject: Subject, change: str) -> None:
    with factory.database.begin() as session:
        session.execute(
            text(f"UPDATE provisioner_jobs SET {change} WHERE id = :id"), {"id": subject.job_id}
        )


# Which job a claim takes.


def claimed_order(factory: Factory, queue: str = "builds") -> list[uuid.UUID]:
    order = []
    while job := factory.claim(queue):
        order.append(job.id)
    return order


def test_a_claim_of_an_empty_queue_is_none(factory: Factory) -> None:
    assert factory.claim() is None


def test_a_claim_tells_what_it_claimed(factory: Factory) -> None:
    build = factory.build(factory.any_workspace())
    job = factory.claim()
    assert job is not None
    assert (job.id, job.attempt, job.provisioner, job.type, job.queue, job.logs_length) == (
        build.job_id,
        1,
        ProvisionerType.ECHO,
        "workspace_build",
        "builds",
        0,
    )


def test_a_claim_writes_the_worker_the_stage_and_a_lease(factory: Factory) -> None:
    job = factory.running_build()
    row = factory.job(job.id)
    with factory.database.begin() as session:
        lease = session.execute(text("SELECT * FROM leases")).one()
    assert (row.worker_id, row.lease_token, row.stage) == (WORKER_ID, job.lease.token, "set_up")
    assert (lease.job_id, lease.token, lease.worker_id) == (job.id, job.lease.token, WORKER_ID)


def test_builds_of_equal_rank_are_claimed_by_age(factory: Factory) -> None:
    builds = [factory.build(factory.any_workspace()).job_id for _ in range(3)]
    assert claimed_order(factory) == builds


def test_the_nth_build_of_one_owner_waits_behind_the_others_before_it(factory: Factory) -> None:
    organization = factory.organization()
    ann, bob = (factory.user(organization=organization) for _ in range(2))
    template = factory.template(organization=organization, created_by=ann)
    owners = [ann, ann, ann, bob, bob]
    builds = [
        factory.build(factory.workspace(owner=owner, template=template)).job_id for owner in owners
    ]
    assert claimed_order(factory) == [builds[index] for index in (0, 3, 1, 4, 2)]


def test_a_running_build_counts_for_the_rank_of_the_next(factory: Factory) -> None:
    organization = factory.organization()
    ann, bob = (factory.user(organization=organization) for _ in range(2))
    template = factory.template(organization=organization, created_by=ann)
    factory.running_build(factory.workspace(owner=ann, template=template))
    second = factory.build(factory.workspace(owner=ann, template=template)).job_id
    first = factory.build(factory.workspace(owner=bob, template=template)).job_id
    assert claimed_order(factory) == [first, second]


def test_a_persons_build_is_claimed_before_a_prebuild(factory: Factory) -> None:
    with factory.database.begin() as session:
        create_user(session, username="prebuilds").id = PREBUILDS_USER_ID
    prebuild = factory.build(factory.any_workspace(), initiator_id=PREBUILDS_USER_ID).job_id
    human = factory.build(factory.any_workspace()).job_id
    assert claimed_order(factory) == [human, prebuild]


def test_a_claim_is_made_from_its_own_queue(factory: Factory) -> None:
    build = factory.build(factory.any_workspace(tags={"gpu": "yes"}))
    assert factory.claim("builds") is None
    assert claimed_order(factory, build.queue) == [build.job_id]


def test_a_worker_claims_only_jobs_of_engines_that_it_offers(factory: Factory) -> None:
    factory.build(factory.any_workspace())
    wanted = factory.build(factory.any_workspace(provisioner=ProvisionerType.TERRAFORM))
    offer = [ProvisionerType.TERRAFORM]
    with factory.database.begin() as session:
        made = [
            claim_job(session, queue="builds", worker_id=WORKER_ID, lease=LEASE, provisioners=offer)
            for _ in range(2)
        ]
    assert [job and job.id for job in made] == [wanted.job_id, None]


def test_a_claim_does_not_wait_for_a_job_that_somebody_else_is_claiming(factory: Factory) -> None:
    first = factory.build(factory.any_workspace()).job_id
    second = factory.build(factory.any_workspace()).job_id
    with factory.database.begin() as session:
        held = claim_job(session, queue="builds", worker_id=WORKER_ID, lease=LEASE)
        assert held is not None
        assert (held.id, claimed_order(factory)) == (first, [second])


def test_a_claim_does_not_wait_for_the_workspace_of_another_job(factory: Factory) -> None:
    other = factory.any_workspace()
    factory.build(factory.any_workspace())
    with factory.database.begin() as session:
        session.execute(
            text("SELECT 1 FROM workspaces WHERE id = :id FOR UPDATE"), {"id": other.id}
        )
        assert factory.claim() is not None


def test_claimers_at_once_never_get_one_job_twice(factory: Factory) -> None:
    builds = {factory.build(factory.any_workspace()).job_id for _ in range(12)}
    barrier = threading.Barrier(6)

    def claimer(_number: int) -> list[uuid.UUID]:
        barrier.wait(DEADLINE_S)
        return claimed_order(factory)

    with ThreadPoolExecutor(6) as pool:
        claimed = [job for jobs in pool.map(claimer, range(6), timeout=DEADLINE_S) for job in jobs]
    assert sorted(claimed) == sorted(builds)
