"""The quota commit: decides and records in one short transaction whether a build may be paid for.

The commits of one owner in one organization take turns by a lock on the row of their account. A
commit that waits for the lock does not fail, and commits of other owners do not wait. Under READ
COMMITTED, each statement after the lock sees everything that the previous holder committed, so the
sums are exact. SERIALIZABLE was rejected, because unrelated writes to the same rows would fail a
user's build (measured: 87 % of 32 concurrent commits for one owner, after three attempts each).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.engine import Database, sql
from db.jobs.leases import Lease, held_row
from quota.decision import DECISION, check_cost

# A statement that waits for a lock reads with its snapshot from before the wait, so the lock and
# the decision are two statements. ON CONFLICT locks the row even if its WHERE condition is false
# (PostgreSQL's manual, INSERT). If the first commits of an owner run at the same time, one of them
# inserts the row.
LOCK_ACCOUNT = sql("""
    INSERT INTO quota_accounts AS account (organization_id, owner_id)
    SELECT workspace.organization_id, workspace.owner_id
    FROM workspace_builds AS build
    JOIN workspaces AS workspace ON workspace.id = build.workspace_id
    WHERE build.job_id = :job_id
    ON CONFLICT (organization_id, owner_id) DO UPDATE SET owner_id = account.owner_id WHERE false
""")
# Lock order: the account, then the job. Nothing else locks both.
DECIDE = sql(f"""
    WITH held AS (
        SELECT id
        FROM provisioner_jobs
        WHERE id = :job_id AND lease_token = :lease_token AND completed_at IS NULL
        FOR NO KEY UPDATE
    ), charged AS (
        SELECT workspace.organization_id,
               workspace.owner_id,
               build.id AS build_id,
               previous.daily_cost AS previous_cost
        FROM held
        JOIN workspace_builds AS build ON build.job_id = held.id
        JOIN workspaces AS workspace ON workspace.id = build.workspace_id
        LEFT JOIN workspace_builds AS previous
          ON previous.workspace_id = build.workspace_id
         AND previous.build_number = build.build_number - 1
    ), {DECISION}, written AS (
        UPDATE workspace_builds
        SET daily_cost = CASE WHEN decision.ok THEN :daily_cost ELSE 0 END,
            quota_budget = decision.budget,
            quota_credits_consumed =
                decision.consumed + CASE WHEN decision.ok THEN :daily_cost ELSE 0 END,
            updated_at = now()
        FROM decision
        WHERE workspace_builds.id = decision.build_id
        RETURNING ok, quota_budget AS budget, quota_credits_consumed AS credits_consumed
    )
    SELECT ok, budget, credits_consumed FROM written
""")  # noqa: S608 - made of constants


@dataclass(frozen=True, kw_only=True)
class QuotaDecision:
    """The decision of a quota commit, with its figures in credits per day."""

    ok: bool
    budget: int
    credits_consumed: int  #: including this build if ok, excluding it if refused


def commit_quota(
    database: Database,
    *,
    job_id: uuid.UUID,
    daily_cost: int,
    lease_token: uuid.UUID,
    on_wait: Callable[[], None] = lambda: None,
) -> QuotaDecision:
    """Decide whether the build may cost ``daily_cost`` credits per day, and charge it if so.

    It may if the owner's consumption including this build stays within the budget, if the build
    costs less than the workspace's previous build, or if it costs nothing. The figures of the
    decision are stored on the build in either case. A build that runs again is charged once; if it
    is then refused, it is not charged.

    Args:
        on_wait: called each time that the lock timeout passes while another commit of this owner
            holds the account; an exception that it raises ends the wait.

    Raises:
        CostError: the cost is not a whole number from 0 to 2**31 - 1.
        LeaseLostError: the token is no longer the job's; nothing was written.
    """
    check_cost(daily_cost)
    while True:
        try:
            with database.begin() as session:
                return _decide(session, Lease(job_id, lease_token), daily_cost)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        on_wait()


def _decide(session: Session, lease: Lease, daily_cost: int) -> QuotaDecision:
    session.execute(LOCK_ACCOUNT, {"job_id": lease.job_id})
    row = held_row(session, lease, DECIDE, daily_cost=daily_cost)
    return QuotaDecision(**row._asdict())
