"""The quotas of all members of an organization."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.engine import sql
from quota.usage import allowance_sql, consumption_sql

# Uses: ix_workspaces_owner_id_organization_id, once for each member.
_OVERVIEW = sql(f"""
    SELECT username AS user, budget, credits_consumed,
           greatest(0, budget - credits_consumed) AS "left"
    FROM (
        SELECT users.username,
               ({allowance_sql("joined.organization_id", "joined.user_id")}) AS budget,
               ({consumption_sql("joined.organization_id", "joined.user_id", "NULL::uuid")})
                   AS credits_consumed
        FROM organization_members AS joined
        JOIN users ON users.id = joined.user_id
        WHERE joined.organization_id = :organization_id AND NOT users.deleted
          AND (CAST(:user_id AS uuid) IS NULL OR users.id = :user_id)
    ) AS quotas
    ORDER BY credits_consumed DESC, username
    LIMIT :limit OFFSET :offset
""")  # noqa: S608 - made of constants


@dataclass(frozen=True, kw_only=True)
class UserQuota:
    """The quota of one member, in credits per day."""

    user: str
    budget: int
    credits_consumed: int
    left: int  #: never negative, also if a budget was lowered


def list_quotas(
    session: Session,
    *,
    organization_id: uuid.UUID,
    user_id: uuid.UUID | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[UserQuota]:
    """Return the quotas of an organization's members, those that consume the most first.

    Args:
        user_id: only the quota of this member.
    """
    wanted = {"organization_id": organization_id, "user_id": user_id}
    rows = session.execute(_OVERVIEW, {**wanted, "limit": limit, "offset": offset})
    return [UserQuota(**row._asdict()) for row in rows]
