from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from db.schema.tables import Workspace
from quota.commit import commit_quota
from quota.errors import CostError
from quota.forecast import QuotaForecast, forecast_quota
from tests.harness.factory import Factory

ALLOWANCE = 10


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    return factory.any_workspace(allowance=ALLOWANCE)


def forecast(
    factory: Factory, workspace: Workspace, cost: int, *, of: uuid.UUID | None = None
) -> QuotaForecast:
    with factory.database.begin() as session:
        return forecast_quota(
            session,
            organization_id=workspace.organization_id,
            owner_id=workspace.owner_id,
            daily_cost=cost,
            workspace_id=of,
        )


def charge(factory: Factory, workspace: Workspace, cost: int) -> None:
    factory.finished_build(workspace)
    with factory.database.begin() as session:
        session.execute(
            text("UPDATE workspace_builds SET daily_cost = :cost WHERE workspace_id = :id"),
            {"cost": cost, "id": workspace.id},
        )


def test_a_build_that_fits_would_be_permitted(factory: Factory, workspace: Workspace) -> None:
    assert forecast(factory, workspace, ALLOWANCE) == QuotaForecast(
        ok=True, budget=ALLOWANCE, credits_consumed=0, daily_cost=ALLOWANCE
    )


def test_a_new_workspace_comes_on_top_of_those_that_exist(
    factory: Factory, workspace: Workspace
) -> None:
    charge(factory, workspace, 6)
    found = forecast(factory, workspace, 5)
    assert (found.ok, found.credits_consumed) == (False, 6)


def test_a_build_takes_the_place_of_the_build_before(
    factory: Factory, workspace: Workspace
) -> None:
    charge(factory, workspace, 6)
    found = forecast(factory, workspace, ALLOWANCE, of=workspace.id)
    assert (found.ok, found.credits_consumed) == (True, 0)


@pytest.mark.parametrize(("cost", "is_ok"), [(0, True), (11, True), (12, False)])
def test_over_budget_only_a_cheaper_or_a_free_build_would_be_permitted(
    factory: Factory, workspace: Workspace, cost: int, is_ok: bool
) -> None:
    charge(factory, workspace, 12)
    assert forecast(factory, workspace, cost, of=workspace.id).ok is is_ok


@pytest.mark.parametrize("cost", [3, ALLOWANCE, ALLOWANCE + 1])
def test_the_commit_decides_as_it_was_forecast(
    factory: Factory, workspace: Workspace, cost: int
) -> None:
    charge(factory, workspace, 4)
    expected = forecast(factory, workspace, cost, of=workspace.id)
    job = factory.running_build(workspace)
    decided = commit_quota(
        factory.database, job_id=job.id, lease_token=job.lease.token, daily_cost=cost
    )
    assert (decided.ok, decided.budget) == (expected.ok, expected.budget)
    assert decided.credits_consumed == expected.credits_consumed + (cost if decided.ok else 0)


def test_a_forecast_charges_nothing(factory: Factory, workspace: Workspace) -> None:
    forecast(factory, workspace, 5)
    assert forecast(factory, workspace, 5).credits_consumed == 0


def test_a_cost_that_nobody_can_be_charged_has_no_forecast(
    factory: Factory, workspace: Workspace
) -> None:
    with pytest.raises(CostError):
        forecast(factory, workspace, -1)
