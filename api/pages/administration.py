"""Pages about people and the deployment: quota, workers, the audit log, webhooks."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from api.caller import Right
from api.errors import hidden
from api.gate import GateOf, Visit
from api.pages.rendering import render
from api.pages.visiting import CsrfToken, check_csrf, facts_of, page
from db.catalog.drains import drain_worker, resume_worker
from db.catalog.webhooks import list_webhooks
from db.reads.accounts import find_organizations
from db.reads.audit import find_audit_logs
from db.reads.queues import queue_depths
from db.reads.shapes import Organization
from db.reads.workers import list_workers
from db.schema.enums import TokenScope
from quota.details import QuotaDetails, workspace_quota_details
from quota.overview import UserQuota, list_quotas

router = APIRouter(include_in_schema=False)
PAGE_SIZE = 50
Text = Annotated[str, Query(max_length=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


@router.get("/ui/quota")
@page
def quota(gate: GateOf, organization: Text = "", offset: Offset = 0) -> Response:
    """Show the quota of the caller, and of the members whom the caller may see.

    Args:
        organization: whose members are shown; otherwise those of the first one.
    """
    with gate.enter() as visit:
        homes = find_organizations(visit.session, ids=set(visit.caller.memberships))
        seen = [home for home in homes if visit.caller.may(Right.READ_MEMBERS, home.id)]
        shown = next((home for home in seen if home.name == organization), next(iter(seen), None))
        members = _quotas(visit, shown, offset) if shown else []
        return render(
            "quota",
            **facts_of(gate, visit),
            own=[(home, _details(visit, home)) for home in homes],
            organizations=seen,
            shown=shown,
            members=members[:PAGE_SIZE],
            next_offset=offset + PAGE_SIZE if len(members) > PAGE_SIZE else None,
        )


def _details(visit: Visit, home: Organization) -> QuotaDetails:
    return workspace_quota_details(
        visit.session, organization_id=home.id, owner_id=visit.caller.user_id
    )


def _quotas(visit: Visit, home: Organization, offset: int) -> list[UserQuota]:
    """Return a page of the members' quotas, and one more if another page follows."""
    return list_quotas(visit.session, organization_id=home.id, limit=PAGE_SIZE + 1, offset=offset)


@router.get("/ui/workers")
@page
def workers(gate: GateOf) -> Response:
    """Show the workers and the queues that they serve."""
    with gate.enter() as visit:
        if not visit.caller.may_everywhere(Right.READ_JOBS):
            raise hidden()
        return render(
            "workers",
            **facts_of(gate, visit),
            workers=list_workers(visit.session),
            queues=queue_depths(visit.session, count_to=10_000),
            may_operate=visit.caller.may_everywhere(Right.OPERATE_JOBS),
        )


class Drain(StrEnum):
    """What a button on a worker does."""

    DRAIN = "drain"
    RESUME = "resume"


@router.post("/ui/workers/{worker}/{verb}")
@page
def drain(gate: GateOf, worker: uuid.UUID, verb: Drain, csrf: CsrfToken) -> Response:
    """Let a worker claim no more jobs, or claim jobs again."""
    check_csrf(gate, csrf)
    with gate.enter(TokenScope.OPERATE) as visit:
        if not visit.caller.may_everywhere(Right.OPERATE_JOBS):
            raise hidden()
        change = drain_worker if verb is Drain.DRAIN else resume_worker
        change(visit.session, str(worker), actor=visit.actor)
    return RedirectResponse("/ui/workers", 303)


@router.get("/ui/audit")
@page
def audit(gate: GateOf, offset: Offset = 0) -> Response:
    """Show who changed what."""
    with gate.enter() as visit:
        organizations = visit.caller.organizations_with(Right.READ_AUDIT)
        if organizations == []:
            raise hidden()
        entries, count = find_audit_logs(
            visit.session, organizations=organizations, limit=PAGE_SIZE, offset=offset
        )
        return render(
            "audit",
            **facts_of(gate, visit),
            entries=entries,
            offset=offset,
            next_offset=offset + PAGE_SIZE if offset + PAGE_SIZE < count else None,
        )


@router.get("/ui/webhooks")
@page
def webhooks(gate: GateOf) -> Response:
    """Show the webhooks and how they fare."""
    with gate.enter() as visit:
        if not visit.caller.may_everywhere(Right.ADMINISTER):
            raise hidden()
        found = list_webhooks(visit.session)
        return render("webhooks", **facts_of(gate, visit), webhooks=found)
