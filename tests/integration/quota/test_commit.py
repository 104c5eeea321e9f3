from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.engine import Timeouts, open_database
from db.errors import LeaseLostError
from db.jobs.finish import fail_job
from db.jobs.reaper import reap_expired_lease
from db.jobs.results import BuildResult, Failure
from db.jobs.transitions import ClaimedJob
from db.schema.enums import FailureReason, JobStatus, Stage, Transition
from db.schema.tables import Organization, Template, Workspace, WorkspaceBuild
from quota.commit import QuotaDecision, commit_quota
from quota.decision import MAX_COST
from quota.errors import CostError
from quota.usage import allowance, consumption
from tests.harness.factory import Factory

DEADLINE_S = 60
OVER = timedelta(seconds=-1)
FAILURE = Failure(message="it broke", reason=FailureReason.TERRAFORM)


def commit(factory: Factory, job: ClaimedJob, cost: int) -> QuotaDecision:
    return commit_quota(
        factory.database, job_id=job.id, lease_token=job.lease.token, daily_cost=cost
    )


def build_row(factory: Factory, job: ClaimedJob) -> WorkspaceBuild:
    with factory.database.begin() as session:
        return session.query(WorkspaceBuild).filter_by(job_id=job.id).one()


def consumed(factory: Factory, workspace: Workspace) -> int:
    with factory.database.begin() as session:
        return consumption(
            session, organization_id=workspace.organization_id, owner_id=workspace.owner_id
        )


def finished_with_cost(factory: Factory, workspace: Workspace, cost: int, **how: Any) -> None:
    """A finished build that committed ``cost``, whatever the budget said."""
    job = factory.finished_build(workspace, **how)
    with factory.database.begin() as session:
        session.execute(
            text("UPDATE workspace_builds SET daily_cost = :cost WHERE job_id = :id"),
            {"cost": cost, "id": job.id},
        )


def of_one_owner(factory: Factory, *, budget: int, workspaces: int) -> list[Workspace]:
    first = factory.any_workspace(allowance=budget)
    with factory.database.begin() as session:
        names = [f"more-{number}" for number in range(workspaces - 1)]
        others = [
            Workspace(
                id=uuid.uuid4(),
                owner_id=first.owner_id,
                organization_id=first.organization_id,
                template_id=first.template_id,
                name=name,
            )
            for name in names
        ]
        session.add_all(others)
    return [first, *others]


@pytest.mark.parametrize(
    ("budget", "cost", "decision"),
    [
        (4, 3, QuotaDecision(ok=True, budget=4, credits_consumed=3)),
        (4, 4, QuotaDecision(ok=True, budget=4, credits_consumed=4)),
        (4, 5, QuotaDecision(ok=False, budget=4, credits_consumed=0)),
        (0, 1, QuotaDecision(ok=False, budget=0, credits_consumed=0)),
        (0, 0, QuotaDecision(ok=True, budget=0, credits_consumed=0)),
        (MAX_COST, MAX_COST, QuotaDecision(ok=True, budget=MAX_COST, credits_consumed=MAX_COST)),
    ],
)
def test_a_first_build_may_cost_what_the_budget_allows(
    factory: Factory, budget: int, cost: int, decision: QuotaDecision
) -> None:
    job = factory.running_build(factory.any_workspace(allowance=budget))
    assert commit(factory, job, cost) == decision


@pytest.mark.parametrize(
    ("cost", "row"), [(4, (4, 4, 4)), (5, (0, 4, 0))], ids=["permitted", "refused"]
)
def test_the_decision_stands_on_the_build(
    factory: Factory, cost: int, row: tuple[int, int, int]
) -> None:
    job = factory.running_build(factory.any_workspace(allowance=4))
    commit(factory, job, cost)
    build = build_row(factory, job)
    assert (build.daily_cost, build.quota_budget, build.quota_credits_consumed) == row


def test_the_sum_may_be_larger_than_one_cost(factory: Factory) -> None:
    first, second = of_one_owner(factory, budget=MAX_COST, workspaces=2)
    finished_with_cost(factory, first, MAX_COST)
    decision = commit(factory, factory.running_build(second), MAX_COST)
    assert decision == QuotaDecision(ok=False, budget=MAX_COST, credits_consumed=MAX_COST)


@pytest.mark.parametrize(
    ("cost", "ok"),
    [(9, True), (10, False), (11, False), (0, True)],
    ids=["cheaper", "equal", "dearer", "free"],
)
def test_over_budget_only_a_build_that_is_cheaper_than_the_one_before_passes(
    factory: Factory, cost: int, ok: bool
) -> None:
    workspace, other = of_one_owner(factory, budget=4, workspaces=2)
    finished_with_cost(factory, workspace, 10)
    finished_with_cost(factory, other, 10)
    assert commit(factory, factory.running_build(workspace), cost).ok is ok


def test_cheaper_is_meant_against_the_build_right_before(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=4)
    finished_with_cost(factory, workspace, 10)
    # It failed before its commit, so its cost is 0.
    finished_with_cost(factory, workspace, 0, status=JobStatus.FAILED)
    assert not commit(factory, factory.running_build(workspace), 9).ok


def test_a_first_build_is_not_cheaper_than_anything(factory: Factory) -> None:
    assert not commit(factory, factory.running_build(), 1).ok


def test_a_cheaper_build_that_passes_counts_in_full(factory: Factory) -> None:
    workspace, other = of_one_owner(factory, budget=4, workspaces=2)
    finished_with_cost(factory, workspace, 10)
    finished_with_cost(factory, other, 10)
    decision = commit(factory, factory.running_build(workspace), 9)
    assert decision == QuotaDecision(ok=True, budget=4, credits_consumed=19)


def test_the_new_build_hides_the_cost_of_the_one_before(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=4)
    finished_with_cost(factory, workspace, 4)
    factory.build(workspace)
    assert consumed(factory, workspace) == 0


def test_a_stop_whose_room_another_workspace_took_passes_on_top_of_the_budget(
    factory: Factory,
) -> None:
    workspace, other = of_one_owner(factory, budget=10, workspaces=2)
    finished_with_cost(factory, workspace, 4)
    stop = factory.running_build(workspace, Transition.STOP)
    assert commit(factory, factory.running_build(other), 10).ok
    assert commit(factory, stop, 1) == QuotaDecision(ok=True, budget=10, credits_consumed=11)


def test_a_failed_build_keeps_the_cost_that_it_committed(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=4)
    finished_with_cost(factory, workspace, 4, status=JobStatus.FAILED)
    assert consumed(factory, workspace) == 4


def test_a_build_that_runs_again_is_charged_once(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=4)
    build = factory.build(workspace)
    first = factory.claim(lease=OVER)
    assert first is not None
    commit(factory, first, 4)
    with factory.database.begin() as session:
        reap_expired_lease(session, max_attempts=3)
    again = factory.claim()
    assert again is not None
    assert again.id == build.job_id
    assert commit(factory, again, 4).ok
    assert consumed(factory, workspace) == 4


def test_a_build_that_runs_again_and_is_refused_is_not_charged(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=4)
    job = factory.running_build(workspace)
    commit(factory, job, 4)
    assert not commit(factory, job, 5).ok
    assert consumed(factory, workspace) == 0


def test_repeating_a_commit_answers_the_same(factory: Factory) -> None:
    job = factory.running_build(factory.any_workspace(allowance=4))
    assert commit(factory, job, 4) == commit(factory, job, 4)


@pytest.mark.parametrize("cost", [-1, MAX_COST + 1, 1.0, True, "1", None], ids=repr)
def test_what_is_no_cost_is_refused_before_anything_is_written(factory: Factory, cost: Any) -> None:
    job = factory.running_build()
    with pytest.raises(CostError):
        commit(factory, job, cost)
    assert build_row(factory, job).quota_budget is None


def test_a_commit_after_the_lease_is_lost_charges_nothing(factory: Factory) -> None:
    job = factory.running_build(factory.any_workspace(allowance=4))
    with pytest.raises(LeaseLostError):
        commit_quota(factory.database, job_id=job.id, lease_token=uuid.uuid4(), daily_cost=1)
    assert build_row(factory, job).daily_cost == 0


def test_the_budget_is_read_when_the_decision_is_made(factory: Factory) -> None:
    job = factory.running_build(factory.any_workspace(allowance=4))
    with factory.database.begin() as session:
        session.execute(text("UPDATE groups SET quota_allowance = 1"))
    assert commit(factory, job, 2) == QuotaDecision(ok=False, budget=1, credits_consumed=0)


# Many at once.


def commit_at_once(factory: Factory, jobs: list[ClaimedJob], cost: int) -> list[QuotaDecision]:
    barrier = threading.Barrier(len(jobs))

    def one(job: ClaimedJob) -> QuotaDecision:
        barrier.wait(DEADLINE_S)
        return commit(factory, job, cost)

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(one, jobs, timeout=DEADLINE_S))


def running(factory: Factory, workspaces: list[Workspace]) -> list[ClaimedJob]:
    return [factory.running_build(workspace) for workspace in workspaces]


@pytest.mark.parametrize(
    ("builds", "cost", "budget", "permitted"),
    [(2, 10, 10, 1), (6, 10, 20, 2), (32, 3, 50, 16), (32, 1, 32, 32)],
    ids=["take turns", "burst", "many", "all fit"],
)
def test_builds_of_one_owner_at_once_use_the_budget_exactly(
    factory: Factory, builds: int, cost: int, budget: int, permitted: int
) -> None:
    workspaces = of_one_owner(factory, budget=budget, workspaces=builds)
    decisions = commit_at_once(factory, running(factory, workspaces), cost)
    assert sum(decision.ok for decision in decisions) == permitted
    assert consumed(factory, workspaces[0]) == permitted * cost


def test_every_refusal_at_once_is_a_genuine_no(factory: Factory) -> None:
    workspaces = of_one_owner(factory, budget=50, workspaces=32)
    decisions = commit_at_once(factory, running(factory, workspaces), 3)
    assert all(
        decision.credits_consumed + 3 > decision.budget for decision in decisions if not decision.ok
    )


def hold_account(session: Any, workspace: Workspace) -> None:
    session.execute(
        text("""
            INSERT INTO quota_accounts (organization_id, owner_id) VALUES (:organization, :owner)
            ON CONFLICT (organization_id, owner_id) DO UPDATE SET owner_id = excluded.owner_id
        """),
        {"organization": workspace.organization_id, "owner": workspace.owner_id},
    )


def test_another_owner_does_not_wait(factory: Factory) -> None:
    held = factory.any_workspace()
    job = factory.running_build(factory.any_workspace(allowance=1))
    with factory.database.begin() as session:
        hold_account(session, held)
        assert commit(factory, job, 1).ok


def in_another_organization(factory: Factory, held: Workspace) -> Workspace:
    """A workspace of the same owner elsewhere, where everyone may spend one credit."""
    organization = factory.organization(everyone_allowance=1)
    with factory.database.begin() as session:
        session.execute(
            text("INSERT INTO organization_members (organization_id, user_id) VALUES (:o, :u)"),
            {"o": organization.id, "u": held.owner_id},
        )
    other = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=other)
    with factory.database.begin() as session:
        workspace = Workspace(
            id=uuid.uuid4(),
            owner_id=held.owner_id,
            organization_id=organization.id,
            template_id=template.id,
            name="there",
        )
        session.add(workspace)
        return workspace


def test_the_same_owner_in_another_organization_does_not_wait(factory: Factory) -> None:
    held = factory.any_workspace()
    job = factory.running_build(in_another_organization(factory, held))
    with factory.database.begin() as session:
        hold_account(session, held)
        assert commit(factory, job, 1).ok


def commit_behind(
    factory: Factory, workspace: Workspace, job: ClaimedJob, *statements: str
) -> QuotaDecision:
    """Commit while the account is held by a transaction, which then writes and ends."""
    waited = threading.Event()
    key = {"job_id": job.id, "lease_token": job.lease.token}
    with ThreadPoolExecutor(1) as pool:
        with factory.database.begin() as session:
            hold_account(session, workspace)
            waiting = pool.submit(
                commit_quota, factory.database, **key, daily_cost=1, on_wait=waited.set
            )
            # By now the commit has read its build.
            assert waited.wait(DEADLINE_S)
            for statement in statements:
                session.execute(text(statement))
        return waiting.result(DEADLINE_S)


def test_a_commit_that_waits_goes_on_when_the_account_is_free(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=1)
    assert commit_behind(factory, workspace, factory.running_build(workspace)).ok


class StoppedError(Exception):
    """What a test raises to end a wait."""


def test_a_commit_that_waits_can_be_ended(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=1)
    job = factory.running_build(workspace)

    def stop() -> None:
        raise StoppedError

    key = {"job_id": job.id, "lease_token": job.lease.token}
    with factory.database.begin() as session:
        hold_account(session, workspace)
        with pytest.raises(StoppedError):
            commit_quota(factory.database, **key, daily_cost=1, on_wait=stop)
    assert build_row(factory, job).daily_cost == 0


def test_an_error_within_a_commit_frees_the_account(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=1)
    job = factory.running_build(workspace)
    with pytest.raises(LeaseLostError):
        commit_quota(factory.database, job_id=job.id, lease_token=uuid.uuid4(), daily_cost=1)
    assert commit(factory, job, 1).ok


def test_an_error_of_the_database_is_passed_on_after_one_attempt(factory: Factory) -> None:
    job = factory.running_build(factory.any_workspace(allowance=1))
    with factory.database.begin() as session:
        session.execute(
            text("ALTER TABLE workspace_builds ADD CONSTRAINT broken CHECK (daily_cost <> 1)")
        )
    with pytest.raises(IntegrityError, match="broken"):
        commit(factory, job, 1)


def test_a_commit_needs_two_connections_at_no_time(factory: Factory, database_url: str) -> None:
    job = factory.running_build(factory.any_workspace(allowance=1))
    small = open_database(database_url, pool_size=1, timeouts=Timeouts())
    try:
        decision = commit_quota(small, job_id=job.id, lease_token=job.lease.token, daily_cost=1)
        assert decision.ok
        assert small.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    finally:
        small.dispose()


def test_what_others_spend_counts_for_nobody_else(factory: Factory) -> None:
    spender = factory.any_workspace(allowance=4)
    with factory.database.begin() as session:
        organization = session.get_one(Organization, spender.organization_id)
        template = session.get_one(Template, spender.template_id)
    other = factory.workspace(owner=factory.user(organization=organization), template=template)
    assert commit(factory, factory.running_build(spender), 3).ok
    decision = commit(factory, factory.running_build(other), 4)
    assert decision == QuotaDecision(ok=True, budget=4, credits_consumed=4)


def test_what_an_owner_spends_in_one_organization_counts_in_no_other(factory: Factory) -> None:
    spent = factory.any_workspace(allowance=4)
    elsewhere = in_another_organization(factory, spent)
    assert commit(factory, factory.running_build(spent), 3).ok
    decision = commit(factory, factory.running_build(elsewhere), 1)
    assert decision == QuotaDecision(ok=True, budget=1, credits_consumed=1)


# Writes of others between the reads and the write of a commit.

OTHER_WRITES = {
    "deadline of the same build": "UPDATE workspace_builds SET deadline = now()",
    "activity bump": "UPDATE workspace_builds SET updated_at = now(), max_deadline = now()",
    "last use": "UPDATE workspaces SET last_used_at = now()",
    "user": "UPDATE users SET name = 'new', status = 'dormant'",
    "job": "UPDATE provisioner_jobs SET updated_at = now() WHERE completed_at IS NULL",
}


@pytest.mark.parametrize("write", OTHER_WRITES)
def test_a_write_of_others_at_the_same_time_fails_no_commit(factory: Factory, write: str) -> None:
    workspace = factory.any_workspace(allowance=1)
    job = factory.running_build(workspace)
    assert commit_behind(factory, workspace, job, OTHER_WRITES[write]).ok
    assert consumed(factory, workspace) == 1


def test_a_write_that_holds_the_build_delays_a_commit_and_fails_none(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=1)
    job = factory.running_build(workspace)
    key = {"job_id": job.id, "lease_token": job.lease.token}
    waited = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with factory.database.begin() as session:
            session.execute(text("UPDATE workspace_builds SET deadline = now()"))
            waiting = pool.submit(
                commit_quota, factory.database, **key, daily_cost=1, on_wait=waited.set
            )
            assert waited.wait(DEADLINE_S)
        assert waiting.result(DEADLINE_S).ok


# What counts.


def test_members_of_a_group_are_counted_once(factory: Factory) -> None:
    organization = factory.organization(everyone_allowance=3)
    user = factory.user(organization=organization)
    with factory.database.begin() as session:
        # A row that should not be there: Everyone has every member already.
        session.execute(
            text("INSERT INTO group_members (user_id, group_id) VALUES (:u, :g)"),
            {"u": user.id, "g": organization.id},
        )
        assert allowance(session, organization_id=organization.id, owner_id=user.id) == 3


@pytest.mark.parametrize(
    ("change", "budget"),
    [
        ("UPDATE users SET status = 'suspended'", 10),
        ("UPDATE users SET status = 'dormant'", 10),
        ("UPDATE users SET deleted = true", 0),
        ("DELETE FROM organization_members", 0),
    ],
)
def test_who_has_an_allowance(factory: Factory, change: str, budget: int) -> None:
    organization = factory.organization(everyone_allowance=3)
    user = factory.user(organization=organization)
    factory.group(organization=organization, allowance=7, members=[user])
    with factory.database.begin() as session:
        session.execute(text(change))
        assert allowance(session, organization_id=organization.id, owner_id=user.id) == budget


@pytest.mark.parametrize(
    ("status", "cost"), [(JobStatus.SUCCEEDED, 0), (JobStatus.FAILED, 0), (JobStatus.CANCELED, 0)]
)
def test_a_delete_frees_the_cost_whatever_becomes_of_it(
    factory: Factory, status: JobStatus, cost: int
) -> None:
    workspace = factory.any_workspace(allowance=4)
    finished_with_cost(factory, workspace, 4)
    factory.finished_build(workspace, Transition.DELETE, status=status)
    assert consumed(factory, workspace) == cost


def test_a_failure_after_the_commit_keeps_the_cost(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=4)
    job = factory.running_build(workspace, stage=Stage.APPLY)
    commit(factory, job, 4)
    with factory.database.begin() as session:
        fail_job(
            session,
            job.lease,
            failure=FAILURE,
            result=BuildResult(),
        )
    assert consumed(factory, workspace) == 4
