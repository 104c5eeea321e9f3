"""Budget and consumption of one owner in one organization.

Both rules are those of Coder (quotas.sql), including their weak points. ``docs/quota.md`` explains
them and their consequences.
"""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from db.engine import sql


def allowance_sql(organization_id: str, owner_id: str) -> str:
    """Return the SQL query of an owner's budget. The arguments are SQL expressions."""
    return f"""
        SELECT coalesce(sum(groups.quota_allowance), 0)::bigint
        FROM group_members_expanded AS member
        JOIN groups ON groups.id = member.group_id
        WHERE member.user_id = {owner_id} AND groups.organization_id = {organization_id}
    """  # noqa: S608 - made of constants


def consumption_sql(organization_id: str, owner_id: str, without_build: str) -> str:
    """Return the SQL query of an owner's consumption. The arguments are SQL expressions.

    The view reads one index entry per workspace (build_number with daily_cost), regardless of the
    number of builds.
    """
    return f"""
        SELECT coalesce(sum(latest.daily_cost), 0)::bigint
        FROM workspaces
        JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspaces.id
        WHERE workspaces.owner_id = {owner_id}
          AND workspaces.organization_id = {organization_id}
          AND NOT workspaces.deleted
          AND latest.id IS DISTINCT FROM {without_build}
    """  # noqa: S608 - made of constants


ALLOWANCE = allowance_sql(":organization_id", ":owner_id")
CONSUMPTION = consumption_sql(":organization_id", ":owner_id", ":without_build")


def allowance(session: Session, *, organization_id: uuid.UUID, owner_id: uuid.UUID) -> int:
    """Return the budget in credits per day: the sum over all groups, Everyone included."""
    total = session.execute(
        sql(ALLOWANCE), {"owner_id": owner_id, "organization_id": organization_id}
    ).scalar_one()
    return int(total)


def consumption(
    session: Session,
    *,
    organization_id: uuid.UUID,
    owner_id: uuid.UUID,
    without_build: uuid.UUID | None = None,
) -> int:
    """Return the owner's consumption in credits per day.

    It is the sum of ``daily_cost`` over the latest build of each workspace that is not deleted. The
    status of that build does not matter.

    Args:
        without_build: a build that counts as 0, so that a re-run is not charged twice.
    """
    total = session.execute(
        sql(CONSUMPTION),
        {
            "owner_id": owner_id,
            "organization_id": organization_id,
            "without_build": without_build,
        },
    ).scalar_one()
    return int(total)
