"""Claims, leases, requeues, cancels and quota commits in any order, against a plain model."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from db.engine import Database
from db.errors import BuildActiveError, ConflictError, LeaseLostError
from db.jobs.finish import complete_job, fail_job, finish_cancel_job
from db.jobs.leases import Lease, renew_leases
from db.jobs.reaper import reap_expired_lease
from db.jobs.results import BuildResult, Failure
from db.jobs.tags import normalize_tags, queue_name
from db.jobs.transitions import cancel_job, enter_stage, requeue_job
from db.schema.enums import FailureReason, JobStatus, Stage
from quota.commit import QuotaDecision, commit_quota
from quota.usage import consumption
from tests.harness.factory import Factory

BUDGET = 10
MAX_ATTEMPTS = 3
BROKE = Failure(message="it broke", reason=FailureReason.TERRAFORM)

PICK = st.integers(min_value=0, max_value=10_000)


@dataclass(kw_only=True)
class Job:
    """What the model knows of a job."""

    id: uuid.UUID
    space: uuid.UUID
    previous_cost: int | None
    status: JobStatus = JobStatus.PENDING
    stage: Stage | None = None
    attempt: int = 0
    drains: int = 0
    token: uuid.UUID | None = None
    cost: int = 0

    @property
    def is_held(self) -> bool:
        return self.status in {JobStatus.RUNNING, JobStatus.CANCELING}

    def end(self, status: JobStatus) -> None:
        self.status, self.token = status, None

    def go_back(self) -> None:
        self.status, self.token, self.stage = JobStatus.PENDING, None, None


class Queue(RuleBasedStateMachine):
    """One owner, three workspaces, any number of workers."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database
        self.factory = Factory(database=database)
        tags = {"run": uuid.uuid4().hex}
        self.queue = queue_name(normalize_tags(tags))
        organization = self.factory.organization(everyone_allowance=BUDGET)
        owner = self.factory.user(organization=organization)
        template = self.factory.template(organization=organization, created_by=owner, tags=tags)
        self.scope = {"organization_id": organization.id, "owner_id": owner.id}
        self.spaces = [self.factory.workspace(owner=owner, template=template) for _ in range(3)]
        self.jobs: list[Job] = []
        self.old_tokens: list[tuple[Job, uuid.UUID]] = []

    # Rules.

    @rule(pick=PICK)
    def enqueue(self, pick: int) -> None:
        space = self.spaces[pick % len(self.spaces)]
        latest = self._latest(space.id)
        if latest and latest.status.is_active:
            with pytest.raises(BuildActiveError):
                self.factory.build(space)
            return
        build = self.factory.build(space)
        previous = latest.cost if latest else None
        self.jobs.append(Job(id=build.job_id, space=space.id, previous_cost=previous))

    @rule()
    def claim(self) -> None:
        claimed = self.factory.claim(self.queue)
        pending = {job.id: job for job in self.jobs if job.status is JobStatus.PENDING}
        if claimed is None:
            assert not pending
            return
        job = pending[claimed.id]
        job.status, job.stage, job.token = JobStatus.RUNNING, Stage.SET_UP, claimed.lease.token
        job.attempt += 1
        assert claimed.attempt == job.attempt

    @precondition(lambda self: self._held())
    @rule(pick=PICK, stage=st.sampled_from([Stage.PLAN, Stage.COMMIT_QUOTA, Stage.APPLY]))
    def go_on(self, pick: int, stage: Stage) -> None:
        job = self._pick(pick)
        assert job.stage is not None
        order = list(Stage)
        if order.index(stage) <= order.index(job.stage):
            return
        with self.database.begin() as session:
            canceled = enter_stage(session, self._lease(job), stage=stage)
        job.stage = stage
        assert canceled == (job.status is JobStatus.CANCELING)

    @precondition(lambda self: self._held())
    @rule(pick=PICK, cost=st.integers(min_value=0, max_value=BUDGET + 2))
    def commit(self, pick: int, cost: int) -> None:
        job = self._pick(pick)
        others = self._consumed() - job.cost
        is_cheaper = job.previous_cost is not None and cost < job.previous_cost
        decision = self._commit_quota(self._lease(job), cost)
        assert decision.ok == (others + cost <= BUDGET or is_cheaper or cost == 0)
        job.cost = cost if decision.ok else 0

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def complete(self, pick: int) -> None:
        self._finish(pick, complete_job, JobStatus.SUCCEEDED)

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        self._finish(pick, partial(fail_job, failure=BROKE), JobStatus.FAILED)

    def _finish(self, pick: int, finish: Callable[..., object], status: JobStatus) -> None:
        job = self._pick(pick)
        with self.database.begin() as session:
            finish(session, self._lease(job), result=BuildResult())
        self._retire(job)
        job.end(status)

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def put_back(self, pick: int) -> None:
        job = self._pick(pick)
        if job.status is JobStatus.CANCELING:
            with pytest.raises(LeaseLostError), self.database.begin() as session:
                requeue_job(session, self._lease(job))
            return
        with self.database.begin() as session:
            requeue_job(session, self._lease(job))
        self._retire(job)
        job.attempt, job.drains = job.attempt - 1, job.drains + 1
        job.go_back()

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def finish_cancel(self, pick: int) -> None:
        job = self._pick(pick)
        if job.status is JobStatus.RUNNING:
            with pytest.raises(LeaseLostError), self.database.begin() as session:
                finish_cancel_job(session, self._lease(job), result=BuildResult())
            return
        with self.database.begin() as session:
            finish_cancel_job(session, self._lease(job), result=BuildResult())
        self._retire(job)
        job.end(JobStatus.CANCELED)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job = self.jobs[pick % len(self.jobs)]
        if job.status not in {JobStatus.PENDING, JobStatus.RUNNING}:
            with pytest.raises(ConflictError), self.database.begin() as session:
                cancel_job(session, job_id=job.id)
            return
        was_pending = job.status is JobStatus.PENDING
        job.status = JobStatus.CANCELED if was_pending else JobStatus.CANCELING
        with self.database.begin() as session:
            assert cancel_job(session, job_id=job.id) == job.status

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def lose_the_worker(self, pick: int) -> None:
        job = self._pick(pick)
        with self.database.begin() as session:
            session.execute(
                text("UPDATE leases SET expires_at = now() - interval '1 s' WHERE job_id = :id"),
                {"id": job.id},
            )
            reaped = reap_expired_lease(session, max_attempts=MAX_ATTEMPTS)
        assert reaped is not None
        assert (reaped.job_id, reaped.move.after) == (job.id, self._fate(job))
        self._retire(job)
        if reaped.move.after is JobStatus.PENDING:
            job.go_back()
        else:
            job.end(reaped.move.after)

    @rule()
    def renew(self) -> None:
        tokens = [job.token for job in self._held()] + [token for _, token in self.old_tokens]
        with self.database.begin() as session:
            renewed = renew_leases(
                session, tokens=[t for t in tokens if t], lease=timedelta(minutes=5)
            )
        assert {lease.token: lease.cancel_requested for lease in renewed} == {
            job.token: job.status is JobStatus.CANCELING for job in self._held()
        }

    @precondition(lambda self: self.old_tokens)
    @rule(pick=PICK, write=st.sampled_from(["stage", "put back", "complete", "fail", "quota"]))
    def write_with_an_old_token(self, pick: int, write: str) -> None:
        job, token = self.old_tokens[pick % len(self.old_tokens)]
        lease = Lease(job.id, token)
        with pytest.raises(LeaseLostError):
            self._writes(lease)[write]()

    # What always holds.

    @invariant()
    def rows_stand_as_the_model(self) -> None:
        with self.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT id, job_status::text AS status, attempt, drains
                    FROM provisioner_jobs WHERE id = ANY(:ids)
                """),
                {"ids": [job.id for job in self.jobs]},
            ).all()
        found = {row.id: (row.status, row.attempt, row.drains) for row in rows}
        assert found == {job.id: (job.status.value, job.attempt, job.drains) for job in self.jobs}

    @invariant()
    def only_held_jobs_have_a_lease(self) -> None:
        with self.database.begin() as session:
            rows = session.execute(
                text("SELECT job_id, token FROM leases WHERE job_id = ANY(:ids)"),
                {"ids": [job.id for job in self.jobs]},
            ).all()
        assert {row.job_id: row.token for row in rows} == {
            job.id: job.token for job in self._held()
        }

    @invariant()
    def what_is_consumed_stays_within_the_budget(self) -> None:
        with self.database.begin() as session:
            consumed = consumption(session, **self.scope)
        assert consumed == self._consumed() <= BUDGET

    # The model.

    def _held(self) -> list[Job]:
        return [job for job in self.jobs if job.is_held]

    def _pick(self, pick: int) -> Job:
        held = self._held()
        return held[pick % len(held)]

    def _lease(self, job: Job) -> Lease:
        assert job.token is not None
        return Lease(job.id, job.token)

    def _commit_quota(self, lease: Lease, cost: int) -> QuotaDecision:
        return commit_quota(
            self.database, job_id=lease.job_id, lease_token=lease.token, daily_cost=cost
        )

    def _latest(self, space: uuid.UUID) -> Job | None:
        return next((job for job in reversed(self.jobs) if job.space == space), None)

    def _consumed(self) -> int:
        latest = (self._latest(space.id) for space in self.spaces)
        return sum(job.cost for job in latest if job)

    def _retire(self, job: Job) -> None:
        """Keep the token of an attempt that has come to its end without finishing the job."""
        assert job.token is not None
        self.old_tokens.append((job, job.token))

    def _fate(self, job: Job) -> JobStatus:
        assert job.stage is not None
        if job.stage.has_side_effects:
            return JobStatus.FAILED
        if job.status is JobStatus.CANCELING:
            return JobStatus.CANCELED
        return JobStatus.FAILED if job.attempt >= MAX_ATTEMPTS else JobStatus.PENDING

    def _writes(self, lease: Lease) -> dict[str, Callable[[], object]]:
        def within(action: Callable[..., object], **arguments: object) -> Callable[[], object]:
            def write() -> object:
                with self.database.begin() as session:
                    return action(session, lease, **arguments)

            return write

        return {
            "stage": within(enter_stage, stage=Stage.APPLY),
            "put back": within(requeue_job),
            "complete": within(complete_job, result=BuildResult()),
            "fail": within(fail_job, failure=BROKE, result=BuildResult()),
            "quota": lambda: self._commit_quota(lease, 1),
        }


def test_any_order_of_events_leaves_the_rows_that_the_model_has(database: Database) -> None:
    run_state_machine_as_test(
        lambda: Queue(database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
