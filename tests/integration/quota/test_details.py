from __future__ import annotations

from sqlalchemy import text

from db.schema.enums import JobStatus, Transition
from db.schema.tables import Workspace
from quota.details import GroupAllowance, QuotaDetails, workspace_quota_details
from quota.usage import allowance, consumption
from tests.harness.factory import Factory


def details(factory: Factory, workspace: Workspace) -> QuotaDetails:
    with factory.database.begin() as session:
        return workspace_quota_details(
            session, organization_id=workspace.organization_id, owner_id=workspace.owner_id
        )


def set_costs(factory: Factory, cost: int) -> None:
    with factory.database.begin() as session:
        session.execute(text("UPDATE workspace_builds SET daily_cost = :cost"), {"cost": cost})


def test_every_group_is_listed_everyone_first(factory: Factory) -> None:
    organization = factory.organization(everyone_allowance=1)
    user = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=user)
    workspace = factory.workspace(owner=user, template=template)
    for name, given in (("Designers", 0), ("Developers", 5)):
        factory.group(organization=organization, allowance=given, members=[user], name=name)
    factory.group(organization=organization, allowance=7)
    assert details(factory, workspace).groups == [
        GroupAllowance(group="Everyone", quota_allowance=1),
        GroupAllowance(group="Designers", quota_allowance=0),
        GroupAllowance(group="Developers", quota_allowance=5),
    ]


def test_every_workspace_is_listed_with_its_latest_build(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace)
    factory.finished_build(workspace, Transition.STOP, status=JobStatus.FAILED)
    set_costs(factory, 3)
    listed = [
        (found.workspace, found.transition, found.status, found.daily_cost)
        for found in details(factory, workspace).workspaces
    ]
    assert listed == [(workspace.name, "stop", "failed", 3)]


def test_a_deleted_workspace_is_not_listed(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, Transition.DELETE)
    set_costs(factory, 3)
    assert details(factory, workspace).workspaces == []


def test_a_workspace_without_a_build_is_not_listed(factory: Factory) -> None:
    assert details(factory, factory.any_workspace()).workspaces == []


def test_the_dearest_workspace_comes_first(factory: Factory) -> None:
    first = factory.any_workspace()
    second = factory.namesake(first, name="a")
    factory.finished_build(first)
    set_costs(factory, 2)
    factory.finished_build(second)
    assert [found.daily_cost for found in details(factory, first).workspaces] == [2, 0]


def test_the_sums_are_those_that_a_commit_would_use(factory: Factory) -> None:
    workspace = factory.any_workspace(allowance=5)
    factory.finished_build(workspace)
    set_costs(factory, 3)
    found = details(factory, workspace)
    scope = {"organization_id": workspace.organization_id, "owner_id": workspace.owner_id}
    with factory.database.begin() as session:
        sums = (consumption(session, **scope), allowance(session, **scope))
    assert (found.credits_consumed, found.budget) == sums == (3, 5)


def test_somebody_who_is_no_member_has_nothing(factory: Factory) -> None:
    organization = factory.organization(everyone_allowance=5)
    stranger = factory.user()
    with factory.database.begin() as session:
        found = workspace_quota_details(
            session, organization_id=organization.id, owner_id=stranger.id
        )
    assert found == QuotaDetails(credits_consumed=0, budget=0, groups=[], workspaces=[])
