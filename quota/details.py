"""The details of a quota: which groups give credits, and which workspaces consume them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.reads.contract import WorkspaceQuota
from quota.usage import allowance, consumption

ALLOWANCES = text("""
    SELECT groups.name AS group, groups.quota_allowance
    FROM group_members_expanded AS member
    JOIN groups ON groups.id = member.group_id
    WHERE member.user_id = :owner_id AND groups.organization_id = :organization_id
    ORDER BY groups.id <> groups.organization_id, groups.name
""")
CONSUMPTIONS = text("""
    SELECT workspaces.id AS workspace_id,
           workspaces.name AS workspace,
           latest.transition::text,
           job.job_status::text AS status,
           latest.daily_cost
    FROM workspaces
    JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspaces.id
    JOIN provisioner_jobs AS job ON job.id = latest.job_id
    WHERE workspaces.owner_id = :owner_id
      AND workspaces.organization_id = :organization_id
      AND NOT workspaces.deleted
    ORDER BY latest.daily_cost DESC, workspaces.name
""")


@dataclass(frozen=True, kw_only=True)
class GroupAllowance:
    """The allowance that the owner gets from one group."""

    group: str
    quota_allowance: int


@dataclass(frozen=True, kw_only=True)
class WorkspaceConsumption:
    """The credits that one workspace consumes: the daily cost of its latest build."""

    workspace_id: uuid.UUID
    workspace: str
    transition: str
    status: str
    daily_cost: int


@dataclass(frozen=True, kw_only=True)
class QuotaDetails:
    """The quota of one owner in one organization, in credits per day."""

    credits_consumed: int
    budget: int
    groups: Sequence[GroupAllowance]
    workspaces: Sequence[WorkspaceConsumption]


def get_workspace_quota(
    session: Session, *, organization_id: uuid.UUID, user_id: uuid.UUID
) -> WorkspaceQuota:
    """Return a member's quota as the API shows it; 0 of 0 if the user is not a member."""
    return WorkspaceQuota(
        credits_consumed=consumption(session, organization_id=organization_id, owner_id=user_id),
        budget=allowance(session, organization_id=organization_id, owner_id=user_id),
    )


def workspace_quota_details(
    session: Session, *, organization_id: uuid.UUID, owner_id: uuid.UUID
) -> QuotaDetails:
    """Return budget and consumption, with the share of each group and each workspace.

    The sums are computed from the returned rows, so they always agree with them. They may change
    with the next quota commit; the figures that a build was refused by are on the build's own row.
    """
    scope = {"organization_id": organization_id, "owner_id": owner_id}
    groups = [GroupAllowance(**row._asdict()) for row in session.execute(ALLOWANCES, scope)]
    workspaces = [
        WorkspaceConsumption(**row._asdict()) for row in session.execute(CONSUMPTIONS, scope)
    ]
    return QuotaDetails(
        credits_consumed=sum(workspace.daily_cost for workspace in workspaces),
        budget=sum(group.quota_allowance for group in groups),
        groups=groups,
        workspaces=workspaces,
    )
