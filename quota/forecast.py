"""What the quota would say now about a build that nobody has started. It charges nothing.

The rule and its SQL are those of the quota commit. The answer is advisory: another build may take
the credits before this one is committed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.dryruns import DryRun
from quota.decision import DECISION, check_cost

# The next build of the workspace takes the place of its latest one, whose cost does not count then.
FORECAST = sql(f"""
    WITH charged AS (
        SELECT CAST(:organization_id AS uuid) AS organization_id,
               CAST(:owner_id AS uuid) AS owner_id,
               latest.id AS build_id,
               latest.daily_cost AS previous_cost
        FROM (SELECT 1) AS one
        LEFT JOIN latest_workspace_builds AS latest
               ON latest.workspace_id = CAST(:workspace_id AS uuid)
    ), {DECISION}
    SELECT ok, budget, consumed AS credits_consumed FROM decision
""")  # noqa: S608 - made of constants


@dataclass(frozen=True, kw_only=True)
class QuotaForecast:
    """What the quota commit would decide now, with its figures in credits per day."""

    ok: bool  #: whether the build would be permitted
    budget: int
    credits_consumed: int  #: by the owner's other workspaces
    daily_cost: int  #: of the build


def forecast_quota(
    session: Session,
    *,
    organization_id: uuid.UUID,
    owner_id: uuid.UUID,
    daily_cost: int,
    workspace_id: uuid.UUID | None = None,
) -> QuotaForecast:
    """Return what the quota commit would decide now about a build of this daily cost.

    Args:
        daily_cost: credits per day.
        workspace_id: the workspace that is built; None for a new one.

    Raises:
        CostError: the cost is not a whole number from 0 to 2**31 - 1.
    """
    check_cost(daily_cost)
    row = session.execute(
        FORECAST,
        {
            "organization_id": organization_id,
            "owner_id": owner_id,
            "workspace_id": workspace_id,
            "daily_cost": daily_cost,
        },
    ).one()
    return QuotaForecast(**row._asdict(), daily_cost=daily_cost)


def forecast_of(session: Session, run: DryRun) -> QuotaForecast | None:
    """Return what the quota commit would decide now about the start that a dry run planned.

    Returns:
        None if the dry run has not succeeded.
    """
    if run.daily_cost is None:
        return None
    return forecast_quota(
        session,
        organization_id=run.organization_id,
        owner_id=run.owner_id,
        daily_cost=run.daily_cost,
        workspace_id=run.workspace_id,
    )
