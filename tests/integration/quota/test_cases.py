"""The cases of the quota tests of the system that we follow, by their names there.

Builds are run by the runner with the echo engine, so that the whole way is tested: the plan's
cost, the commit, the row.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from db.catalog.people import set_quota_allowance
from db.engine import Database
from db.jobs.mover import Mover
from db.schema.enums import JobStatus, ProvisionerType, Transition
from db.schema.tables import (
    Group,
    Organization,
    OrganizationMember,
    ProvisionerJob,
    Template,
    User,
    Workspace,
)
from provisioner.build.attempt import BuildSettings
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.host.interrupt import Interrupt
from quota.details import workspace_quota_details
from tests.harness.factory import Factory

Run = Callable[..., ProvisionerJob]


@pytest.fixture
def run(factory: Factory, database: Database, tmp_path: Path) -> Run:
    """Run one build of a workspace to its end and return its job row."""
    runner = Runner(
        mover=Mover(database=database),
        engines={ProvisionerType.ECHO: EchoEngine()},
        settings=BuildSettings(work_root=tmp_path / "work", host_environment=dict(os.environ)),
    )

    def run_build(
        workspace: Workspace, transition: Transition = Transition.START
    ) -> ProvisionerJob:
        runner.run(factory.running_build(workspace, transition), Interrupt())
        with database.begin() as session:
            return (
                session.query(ProvisionerJob)
                .filter_by(workspace_id=workspace.id)
                .order_by(ProvisionerJob.created_at.desc())
                .limit(1)
                .one()
            )

    return run_build


def costing(
    factory: Factory, organization: Organization, user: User, start: int, stop: int = 0
) -> Template:
    def resources(cost: int) -> dict[str, Any]:
        return {"apply": {"resources": [{"type": "t", "name": "n", "daily_cost": cost}]}}

    script = {"start": resources(start), "stop": resources(stop)}
    return factory.template(organization=organization, created_by=user, script=script)


def quota_of(factory: Factory, organization: Organization, user: User) -> tuple[int, int]:
    with factory.database.begin() as session:
        found = workspace_quota_details(session, organization_id=organization.id, owner_id=user.id)
    return found.credits_consumed, found.budget


def workspaces(factory: Factory, owner: User, template: Template, count: int) -> list[Workspace]:
    return [factory.workspace(owner=owner, template=template) for _ in range(count)]


def test_create_delete(factory: Factory, run: Run) -> None:
    organization = factory.organization()
    user = factory.user(organization=organization)
    quotas = [quota_of(factory, organization, user)]
    with factory.database.begin() as session:
        set_quota_allowance(session, _everyone(session, organization), 1)
    quotas.append(quota_of(factory, organization, user))
    factory.group(organization=organization, allowance=1, members=[user])
    factory.group(organization=organization, allowance=2, members=[user])
    quotas.append(quota_of(factory, organization, user))
    made = workspaces(factory, user, costing(factory, organization, user, 1), 6)
    for workspace in made[:4]:
        assert run(workspace).job_status is JobStatus.SUCCEEDED
        quotas.append(quota_of(factory, organization, user))
    refused = run(made[4])
    assert (refused.job_status, refused.error_code) == (JobStatus.FAILED, "INSUFFICIENT_QUOTA")
    assert "quota" in (refused.error or "")
    quotas.append(quota_of(factory, organization, user))
    run(made[0], Transition.DELETE)
    quotas.append(quota_of(factory, organization, user))
    assert run(made[5]).job_status is JobStatus.SUCCEEDED
    quotas.append(quota_of(factory, organization, user))
    assert quotas == [
        *((0, 0), (0, 1), (0, 4)),
        *((1, 4), (2, 4), (3, 4), (4, 4)),
        *((4, 4), (3, 4), (4, 4)),
    ]


def test_start_stop(factory: Factory, run: Run) -> None:
    organization = factory.organization(everyone_allowance=4)
    user = factory.user(organization=organization)
    first, second, third = workspaces(
        factory, user, costing(factory, organization, user, 2, stop=1), 3
    )
    run(first)
    run(second)
    quotas = [quota_of(factory, organization, user)]
    assert run(third).error_code == "INSUFFICIENT_QUOTA"
    quotas.append(quota_of(factory, organization, user))
    assert run(first, Transition.STOP).job_status is JobStatus.SUCCEEDED
    quotas.append(quota_of(factory, organization, user))
    assert run(first).job_status is JobStatus.SUCCEEDED
    quotas.append(quota_of(factory, organization, user))
    assert quotas == [(4, 4), (4, 4), (3, 4), (4, 4)]


def test_allowance_everyone(factory: Factory) -> None:
    one = factory.organization(everyone_allowance=30)
    two = factory.organization(everyone_allowance=15)
    both, only_one = factory.user(organization=one), factory.user(organization=one)
    with factory.database.begin() as session:
        session.add(OrganizationMember(organization_id=two.id, user_id=both.id))
    assert [
        quota_of(factory, organization, user)
        for user in (both, only_one)
        for organization in (one, two)
    ] == [(0, 30), (0, 15), (0, 30), (0, 0)]


def test_many_workspaces(factory: Factory, run: Run) -> None:
    one = factory.organization(everyone_allowance=10)
    two = factory.organization(everyone_allowance=10)
    user, noise = factory.user(organization=one), factory.user(organization=one)
    with factory.database.begin() as session:
        session.add(OrganizationMember(organization_id=two.id, user_id=user.id))
    factory.group(organization=one, allowance=25, members=[user, noise])
    factory.group(organization=one, allowance=30, members=[noise])
    here, there = costing(factory, one, user, 5), costing(factory, two, user, 5)
    for workspace in workspaces(factory, user, here, 2):
        # The older build of each counts no more.
        run(workspace)
        run(workspace)
    for workspace in [
        *workspaces(factory, noise, here, 3),
        *workspaces(factory, user, there, 1),
    ]:
        run(workspace)
    assert [quota_of(factory, one, user), quota_of(factory, one, noise)] == [(10, 35), (15, 65)]


def test_a_committer_that_allows_less_than_the_second_build_costs(
    factory: Factory, run: Run
) -> None:
    organization = factory.organization(everyone_allowance=20)
    user = factory.user(organization=organization)
    costs = [
        run(factory.workspace(owner=user, template=costing(factory, organization, user, cost)))
        for cost in (10, 15)
    ]
    assert [job.job_status for job in costs] == [JobStatus.SUCCEEDED, JobStatus.FAILED]


def test_a_workspace_over_budget_can_be_stopped_and_deleted(factory: Factory, run: Run) -> None:
    organization = factory.organization(everyone_allowance=4)
    user = factory.user(organization=organization)
    workspace = factory.workspace(
        owner=user, template=costing(factory, organization, user, 4, stop=1)
    )
    run(workspace)
    with factory.database.begin() as session:
        set_quota_allowance(session, _everyone(session, organization), 0)
    transitions = (Transition.STOP, Transition.START, Transition.DELETE)
    assert [run(workspace, transition).error_code for transition in transitions] == [
        None,
        "INSUFFICIENT_QUOTA",
        None,
    ]


def _everyone(session: Session, organization: Organization) -> Group:
    return session.get_one(Group, organization.id)
