"""Circuits: starts of a version that keeps failing are refused for a while."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError

from db.catalog.builds import EnqueuedBuild, insert_build
from db.catalog.limits import DEFAULTS, Limit, set_limit
from db.errors import CircuitOpenError
from db.jobs.circuits import LONGEST, SHORTEST, check_circuits, close_circuits
from db.jobs.finish import complete_job, fail_job
from db.jobs.moves import moves_made
from db.jobs.results import BuildResult, Failure
from db.jobs.transitions import ClaimedJob
from db.reads.explanation import verdict
from db.reads.jobs import get_job
from db.schema.enums import BuildReason, FailureReason, JobErrorCode, JobStatus, Stage, Transition
from db.schema.roles import PREBUILDS_USER_ID
from db.schema.tables import Circuit, Workspace, WorkspaceBuild
from tests.harness.factory import Factory

HUMAN, AUTOSTART = BuildReason.INITIATOR, BuildReason.AUTOSTART
REFUSED = r'starts of template version "v1" are refused for now: 2 failed in a row \(terraform in'
MINUTE = timedelta(minutes=1)


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    """A workspace; two failures of automatic starts in a row open a circuit."""
    limit(factory, Limit.AUTOMATIC_FAILURES, 2)
    return factory.any_workspace()


def start(
    factory: Factory, workspace: Workspace, reason: BuildReason = AUTOSTART, **facts: Any
) -> EnqueuedBuild:
    return factory.build(workspace, reason=reason, **facts)


def claim(factory: Factory) -> ClaimedJob:
    job = factory.claim()
    assert job is not None
    return job


def fail(
    factory: Factory,
    job: ClaimedJob,
    reason: FailureReason = FailureReason.TERRAFORM,
    *,
    code: JobErrorCode | None = None,
    stage: Stage = Stage.PLAN,
) -> tuple[str, ...]:
    """Let the job fail; return the circuits that this has opened."""
    failure = Failure(message="it broke", reason=reason, code=code)
    with factory.database.begin() as session:
        fail_job(session, job.lease, failure=failure, result=BuildResult(stage=stage))
        return tuple(moves_made(session)[-1].opened_circuits)


def fail_starts(factory: Factory, workspace: Workspace, count: int, **failure: Any) -> None:
    for _ in range(count):
        start(factory, workspace)
        fail(factory, claim(factory), **failure)


def circuits(factory: Factory) -> dict[str, Circuit]:
    with factory.database.begin() as session:
        return {found.reason: found for found in session.query(Circuit)}


def let_time_pass(factory: Factory, by: timedelta = LONGEST) -> None:
    with factory.database.begin() as session:
        session.execute(
            text("UPDATE circuits SET open_until = open_until - :by, opened_at = opened_at - :by"),
            {"by": by},
        )


def is_open_for(factory: Factory) -> float:
    """Minutes until the circuit of the failed plans lets a start through."""
    with factory.database.begin() as session:
        left = session.execute(
            text("SELECT open_until - now() FROM circuits WHERE reason = 'terraform in plan'")
        ).scalar_one()
    return float(round(left / MINUTE, 1))


def limit(factory: Factory, name: Limit, allowed: int | None) -> None:
    with factory.database.begin() as session:
        set_limit(session, name, allowed)


def test_automatic_starts_are_refused_after_failures_in_a_row(
    factory: Factory, workspace: Workspace
) -> None:
    fail_starts(factory, workspace, 1)
    start(factory, workspace)
    assert fail(factory, claim(factory)) == ("terraform in plan",)
    with pytest.raises(CircuitOpenError, match=REFUSED) as refusal:
        start(factory, workspace)
    assert refusal.value.reason == "terraform in plan"


def test_a_caller_of_sql_gets_a_code_and_facts(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    enqueue = text("SELECT provisionerd.enqueue_build(:id, 'start', reason => 'autostart')")
    with factory.database.begin() as session, pytest.raises(DBAPIError) as refusal:
        session.execute(enqueue, {"id": workspace.id})
    error: Any = refusal.value.orig
    facts = json.loads(error.diag.message_detail)
    assert (error.sqlstate, facts["failures"], facts["reason"]) == ("PVC08", 2, "terraform in plan")
    assert facts.keys() == {"failures", "reason", "open_until"}


def test_the_limits_are_the_same_in_sql_and_in_python(factory: Factory) -> None:
    statement = "SELECT provisionerd.failures_allowed(true), provisionerd.failures_allowed(false)"
    with factory.database.begin() as session:
        (in_sql,) = session.execute(text(statement)).all()
    assert in_sql == (DEFAULTS[Limit.AUTOMATIC_FAILURES], DEFAULTS[Limit.PERSONAL_FAILURES])


@pytest.mark.parametrize("transition", [Transition.STOP, Transition.DELETE])
def test_stops_and_deletes_are_never_refused(
    factory: Factory, workspace: Workspace, transition: Transition
) -> None:
    fail_starts(factory, workspace, 2)
    assert start(factory, workspace, transition=transition)


def test_people_are_not_refused_unless_it_is_set(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    start(factory, workspace, HUMAN)
    fail(factory, claim(factory))
    assert circuits(factory)["terraform in plan"].failures == 2
    limit(factory, Limit.PERSONAL_FAILURES, 2)
    with pytest.raises(CircuitOpenError):
        start(factory, workspace, HUMAN)


def test_failures_of_people_count_when_they_can_be_refused(
    factory: Factory, workspace: Workspace
) -> None:
    limit(factory, Limit.PERSONAL_FAILURES, 1)
    start(factory, workspace, HUMAN)
    fail(factory, claim(factory))
    with pytest.raises(CircuitOpenError):
        start(factory, workspace, HUMAN)


def test_a_prebuild_is_automatic(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    with pytest.raises(CircuitOpenError):
        start(factory, workspace, HUMAN, initiator_id=PREBUILDS_USER_ID)


def test_nothing_is_counted_when_it_is_off(factory: Factory, workspace: Workspace) -> None:
    limit(factory, Limit.AUTOMATIC_FAILURES, None)
    fail_starts(factory, workspace, 3)
    assert circuits(factory) == {}


@pytest.mark.parametrize(
    ("reason", "code", "counted"),
    [
        (FailureReason.TERRAFORM, None, "terraform in plan"),
        (FailureReason.PARAMETERS, JobErrorCode.MISSING_TEMPLATE_PARAMETER, None),
        (FailureReason.QUOTA, JobErrorCode.INSUFFICIENT_QUOTA, ""),
        (FailureReason.CANCELED, None, ""),
        (FailureReason.CIRCUIT, None, ""),
        (FailureReason.DRAINED, None, ""),
        (FailureReason.INTERNAL, None, ""),
        (FailureReason.WORKER_LOST, None, ""),
    ],
)
def test_only_failures_that_say_something_about_the_version_count(
    factory: Factory,
    workspace: Workspace,
    reason: FailureReason,
    code: JobErrorCode | None,
    counted: str | None,
) -> None:
    start(factory, workspace)
    fail(factory, claim(factory), reason, code=code)
    assert "".join(circuits(factory)) == (code if counted is None else counted)


def test_each_reason_has_a_circuit(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 1, stage=Stage.INIT)
    fail_starts(factory, workspace, 1, stage=Stage.APPLY)
    found = circuits(factory)
    assert {reason: one.failures for reason, one in found.items()} == {
        "terraform in init": 1,
        "terraform in apply": 1,
    }
    assert start(factory, workspace)


def test_a_success_closes_all_circuits_of_the_version(
    factory: Factory, workspace: Workspace
) -> None:
    fail_starts(factory, workspace, 2)
    start(factory, workspace, HUMAN)
    with factory.database.begin() as session:
        complete_job(session, claim(factory).lease, result=BuildResult())
        assert moves_made(session)[-1].closed_circuits == ["terraform in plan"]
    assert start(factory, workspace)


def test_a_successful_stop_closes_nothing(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    start(factory, workspace, transition=Transition.STOP)
    factory.finish(claim(factory))
    assert circuits(factory)


def test_another_version_has_other_circuits(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    assert start(factory, factory.any_workspace())


def test_one_start_is_let_through_when_the_time_is_up(
    factory: Factory, workspace: Workspace
) -> None:
    fail_starts(factory, workspace, 2)
    let_time_pass(factory)
    other = factory.namesake(workspace, name="other")
    assert start(factory, workspace)
    with pytest.raises(CircuitOpenError, match="one that was let through has not ended"):
        start(factory, other)


def test_only_one_of_many_at_once_is_let_through(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    let_time_pass(factory)
    workspaces = [factory.namesake(workspace, name=f"box-{number}") for number in range(8)]

    def attempt(one: Workspace) -> bool:
        try:
            start(factory, one)
        except CircuitOpenError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, workspaces)) == 1


def test_nobody_waits_for_the_transaction_that_lets_a_start_through(
    factory: Factory, workspace: Workspace
) -> None:
    fail_starts(factory, workspace, 2)
    let_time_pass(factory)
    other = factory.namesake(workspace, name="other")
    with factory.database.begin() as session:
        insert = partial(insert_build, session, transition=Transition.START, reason=AUTOSTART)
        insert(workspace_id=workspace.id)
        with pytest.raises(CircuitOpenError):
            start(factory, other)
        session.rollback()
    assert start(factory, other), "what was rolled back was not let through"


def test_a_failure_of_what_was_let_through_opens_it_again_for_longer(
    factory: Factory, workspace: Workspace
) -> None:
    fail_starts(factory, workspace, 2)
    spans = [is_open_for(factory)]
    for _ in range(7):
        let_time_pass(factory)
        fail_starts(factory, workspace, 1)
        spans.append(is_open_for(factory))
        with pytest.raises(CircuitOpenError):
            start(factory, workspace)
    assert spans == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (SHORTEST, LONGEST) == (MINUTE, 60 * MINUTE)


def test_a_failure_while_it_is_open_does_not_move_its_time(
    factory: Factory, workspace: Workspace
) -> None:
    other = factory.namesake(workspace, name="other")
    start(factory, other)
    running = claim(factory)
    fail_starts(factory, workspace, 2)
    assert fail(factory, running) == ()
    assert is_open_for(factory) == 1


@pytest.mark.parametrize("end", ["canceled", "quota"])
def test_another_start_is_let_through_if_the_first_one_says_nothing(
    factory: Factory, workspace: Workspace, end: str
) -> None:
    fail_starts(factory, workspace, 2)
    let_time_pass(factory)
    build = start(factory, workspace)
    ends: dict[str, Callable[[], object]] = {
        "canceled": lambda: cancel(factory, build.job_id),
        "quota": lambda: fail(factory, claim(factory), FailureReason.QUOTA),
    }
    ends[end]()
    assert start(factory, factory.namesake(workspace, name="other"))


def cancel(factory: Factory, job_id: uuid.UUID) -> None:
    with factory.database.begin() as session:
        session.execute(
            text("""
                UPDATE provisioner_jobs SET canceled_at = now(), completed_at = now()
                WHERE id = :job_id
            """),
            {"job_id": job_id},
        )


def test_what_waits_when_it_opens_does_not_run(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 1)
    other = factory.namesake(workspace, name="other")
    start(factory, workspace)
    failing = claim(factory)
    start(factory, other)
    waiting = claim(factory)
    with factory.database.begin() as session:
        check_circuits(session, waiting.lease)
    fail(factory, failing)
    with factory.database.begin() as session, pytest.raises(CircuitOpenError, match=REFUSED):
        check_circuits(session, waiting.lease)


def test_a_start_that_waits_says_that_its_version_keeps_failing(
    factory: Factory, workspace: Workspace
) -> None:
    build = start(factory, factory.namesake(workspace, name="other"), HUMAN)
    with factory.database.begin() as session:
        session.add(
            Circuit(
                template_version_id=build_version(factory, build),
                reason="terraform",
                openings=1,
                opened_at=func.now(),
                open_until=func.now(),
            )
        )
    with factory.database.begin() as session:
        said = verdict(get_job(session, build.job_id), [])
    assert said.endswith("starts of its version keep failing: see `provisionerd circuits`")


def build_version(factory: Factory, build: EnqueuedBuild) -> uuid.UUID:
    with factory.database.begin() as session:
        return session.get_one(WorkspaceBuild, build.build_id).template_version_id


def test_what_was_let_through_runs(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    let_time_pass(factory)
    start(factory, workspace)
    job = claim(factory)
    with factory.database.begin() as session:
        check_circuits(session, job.lease)
    factory.finish(job)
    assert factory.status(job.id) is JobStatus.SUCCEEDED


def test_a_circuit_is_closed_by_hand(factory: Factory, workspace: Workspace) -> None:
    fail_starts(factory, workspace, 2)
    with factory.database.begin() as session:
        version_id = session.query(Circuit.template_version_id).scalar()
        assert close_circuits(session, version_id) == ["terraform in plan"]
    assert start(factory, workspace)


def test_failures_at_once_of_several_reasons_do_not_block_each_other(
    factory: Factory, workspace: Workspace
) -> None:
    limit(factory, Limit.AUTOMATIC_FAILURES, 1)
    jobs = []
    for number in range(8):
        start(factory, factory.namesake(workspace, name=f"box-{number}"))
        jobs.append(claim(factory))
    stages = [Stage.INIT, Stage.PLAN, Stage.APPLY, Stage.SET_UP] * 2
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job, stage: fail(factory, job, stage=stage), jobs, stages))
    assert sum(found.failures for found in circuits(factory).values()) == 8
