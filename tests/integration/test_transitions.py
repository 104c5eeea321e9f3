"""The state machine of jobs: every state with every verb, guards, constraints, claim order."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.people import create_user
from db.catalog.workspaces import PREBUILDS_USER_ID
from db.engine import Database
from db.errors import ConflictError, LeaseLostError, NotFoundError
from db.jobs.leases import Lease
from db.jobs.logs import LogRow, append_logs
from db.jobs.results import BuildResult, ResourceRow, TimingRow
from db.jobs.states import State, store_state
from db.jobs.transitions import (
    LEGAL_MOVES,
    ClaimedJob,
    Failure,
    cancel_job,
    claim_job,
    complete_job,
    enter_stage,
    expire_job,
    fail_job,
    finish_cancel_job,
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
from db.schema.tables import Workspace
from quota.commit import commit_quota
from tests.harness.factory import LEASE, WORKER_ID, Factory

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
    return requeue_job(session, subject.lease)


def cancel(session: Session, subject: Subject) -> object:
    return cancel_job(session, job_id=subject.job_id)


def complete(session: Session, subject: Subject) -> object:
    return complete_job(session, subject.lease, result=BuildResult(state=STATE))


def finish_cancel(session: Session, subject: Subject) -> object:
    return finish_cancel_job(session, subject.lease, result=BuildResult(state=STATE))


def fail(session: Session, subject: Subject) -> object:
    return fail_job(session, subject.lease, failure=FAILURE, result=BuildResult(state=STATE))


def expire(session: Session, subject: Subject) -> object:
    return expire_job(session, job_id=subject.job_id, failure=FAILURE)


VERBS: dict[str, Callable[[Session, Subject], object]] = {
    "claim": claim,
    "requeue": requeue,
    "cancel": cancel,
    "complete": complete,
    "finish_cancel": finish_cancel,
    "fail": fail,
    "expire": expire,
}
FINISHED = [status for status in STATES if not status.is_active]
# What a verb answers in a state that it does not move: an error, or a value. A finishing verb
# that is repeated by the attempt that finished the job answers quietly.
REFUSALS: dict[tuple[str, JobStatus], Any] = {
    **{("claim", status): None for status in STATES if status is not JobStatus.PENDING},
    **{("requeue", status): LeaseLostError for status in STATES if status is not JobStatus.RUNNING},
    **{("cancel", status): ConflictError for status in (*FINISHED, JobStatus.CANCELING)},
    **{("complete", status): None for status in FINISHED},
    ("complete", JobStatus.PENDING): LeaseLostError,
    **{("finish_cancel", status): None for status in FINISHED},
    ("finish_cancel", JobStatus.PENDING): LeaseLostError,
    ("finish_cancel", JobStatus.RUNNING): LeaseLostError,
    **{("fail", status): False for status in FINISHED},
    ("fail", JobStatus.PENDING): LeaseLostError,
    **{("expire", status): False for status in STATES if status is not JobStatus.PENDING},
}
PAIRS = list(itertools.product(VERBS, STATES))
MOVES = [(verb, before, after) for verb, moves in LEGAL_MOVES.items() for before, after in moves]


def call(subject: Subject, verb: str) -> object:
    try:
        with subject.factory.database.begin() as session:
            return VERBS[verb](session, subject)
    except (LeaseLostError, ConflictError) as refused:
        return type(refused)


def test_every_verb_of_the_table_is_walked() -> None:
    assert VERBS.keys() == LEGAL_MOVES.keys()


def test_every_pair_of_state_and_verb_is_a_move_or_a_refusal() -> None:
    moves = {(verb, before) for verb, before, _after in MOVES}
    assert moves | REFUSALS.keys() == set(PAIRS)
    assert not moves & REFUSALS.keys()


def test_no_move_leaves_a_finished_state() -> None:
    assert all(before.is_active for _verb, before, _after in MOVES)


def test_every_state_is_reached() -> None:
    assert {after for _verb, _before, after in MOVES} == set(STATES)


@pytest.mark.parametrize(("verb", "before", "after"), sorted(MOVES))
def test_a_legal_move_is_made(
    factory: Factory, verb: str, before: JobStatus, after: JobStatus
) -> None:
    subject = Subject(factory, before)
    call(subject, verb)
    assert subject.status() is after


@pytest.mark.parametrize(("verb", "status"), REFUSALS)
def test_any_other_move_is_refused_and_changes_nothing(
    factory: Factory, verb: str, status: JobStatus
) -> None:
    subject = Subject(factory, status)
    before = subject.rows()
    answer = call(subject, verb)
    assert (answer, subject.rows()) == (REFUSALS[verb, status], before)


@pytest.mark.parametrize("verb", ["complete", "finish_cancel", "fail"])
def test_a_finished_job_holds_no_lease(factory: Factory, verb: str) -> None:
    subject = Subject(factory, JobStatus.CANCELING)
    call(subject, verb)
    with factory.database.begin() as session:
        assert session.execute(text("SELECT count(*) FROM leases")).scalar_one() == 0


def test_a_late_cancel_is_taken_back_by_success(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.CANCELING)
    call(subject, "complete")
    assert factory.job(subject.job_id).canceled_at is None


def test_a_job_that_is_put_back_keeps_its_attempt_and_forgets_its_worker(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    call(subject, "requeue")
    job = factory.job(subject.job_id)
    assert (job.attempt, job.worker_id, job.lease_token, job.stage) == (1, None, None, None)


def test_a_second_claim_is_a_second_attempt_with_another_token(factory: Factory) -> None:
    subject = Subject(factory, JobStatus.RUNNING)
    call(subject, "requeue")
    job = factory.claim(subject.queue)
    assert job is not None
    assert job.attempt == 2
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
    assert call(Subject(factory, status), "cancel") is answer


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
    resource = ResourceRow(
        type="t" * 500,
        name="n\x00" * 100,
        icon="i" * 500,
        instance_type="m" * 500,
        module_path="\x00",
        metadata=[("k" * 2000, "v" * 70_000, False), ("a", None, True)],
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
    assert [tuple(found) for found in lengths] == [(1024, 65536), (1, None)]


def test_of_metadata_items_with_one_key_the_last_is_stored(factory: Factory) -> None:
    resource = ResourceRow(type="t", name="n", metadata=[("k", "1", False), ("k", "2", False)])
    factory.finished_build(result=BuildResult(resources=[resource]))
    with factory.database.begin() as session:
        stored = session.execute(text("SELECT value FROM workspace_resource_metadata"))
        assert stored.scalars().all() == ["2"]


def test_the_result_of_a_failed_build_is_stored_too(factory: Factory) -> None:
    with factory.database.begin() as session:
        now = session.execute(NOW_SQL).scalar_one()
    timing = TimingRow(
        stage=TimingStage.PLAN,
        source="s",
        action="a",
        resource="r",
        started_at=now,
        ended_at=now + timedelta(seconds=1),
    )
    job = factory.finished_build(
        status=JobStatus.FAILED,
        result=BuildResult(
            state=STATE, resources=[ResourceRow(type="t", name="n")], timings=[timing]
        ),
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


@pytest.mark.parametrize(
    ("status", "change", "constraint"),
    [
        (JobStatus.RUNNING, "completed_at = now(), error = 'x', error_code = 'X'", "code_known"),
        (
            JobStatus.RUNNING,
            "completed_at = now(), error_code = 'INSUFFICIENT_QUOTA'",
            "error_code_has_error",
        ),
        (
            JobStatus.RUNNING,
            "completed_at = now(), error = '', error_code = 'INSUFFICIENT_QUOTA'",
            "error_code_has_error",
        ),
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


def test_claimers_at_once_never_get_one_job_twice(factory: Factory) -> None:
    builds = {factory.build(factory.any_workspace()).job_id for _ in range(12)}
    barrier = threading.Barrier(6)

    def claimer(_number: int) -> list[uuid.UUID]:
        barrier.wait(DEADLINE_S)
        return claimed_order(factory)

    with ThreadPoolExecutor(6) as pool:
        claimed = [job for jobs in pool.map(claimer, range(6), timeout=DEADLINE_S) for job in jobs]
    assert sorted(claimed) == sorted(builds)
