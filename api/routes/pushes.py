"""Pushing a template in one request, as ``provisionerd template push`` does."""

from __future__ import annotations

import uuid

from fastapi import APIRouter

from api.caller import Right
from api.errors import ApiError, forbidden
from api.gate import GateOf
from api.models.requests import PushTemplate
from api.routes.finding import visible_organization
from db.catalog.audit import AuditAction
from db.catalog.templates import Push
from db.jobs.archives import read_file
from db.reads.archives import may_use_file
from db.reads.contractbase import ContractModel
from db.schema.enums import TokenScope
from db.schema.tables import Organization, User
from worker.pushing import enqueue_import

router = APIRouter(prefix="/api/v2", tags=["templates"])


class Pushed(ContractModel):
    """A template version whose import waits for a worker."""

    version_id: uuid.UUID
    version_name: str
    job_id: uuid.UUID
    queue: str


@router.post("/organizations/{organization}/templates/{name}/push", status_code=201)
def push(gate: GateOf, organization: str, name: str, body: PushTemplate) -> Pushed:
    """Store an uploaded archive as the next version of a template, and enqueue its import.

    The template is created if it does not exist.
    """
    with gate.enter(TokenScope.OPERATE) as visit:
        home = visible_organization(visit, organization)
        if not visit.caller.may(Right.WRITE_TEMPLATES, home.id):
            raise forbidden("Only template admins push templates.")
        if not may_use_file(visit.session, body.file_id, user_id=visit.caller.user_id):
            raise ApiError(404, "File not found.")
        wanted = Push(
            organization=visit.session.get_one(Organization, home.id),
            name=name,
            archive=read_file(visit.session, body.file_id),
            created_by=visit.session.get_one(User, visit.caller.user_id),
            values={given.name: given.value for given in body.user_variable_values},
            provisioner=body.provisioner,
            tags=body.tags,
            message=body.message,
            version_name=body.version_name,
            activate=body.activate,
        )
        pushed = enqueue_import(visit.session, wanted, redis_url=visit.site.redis_url)
        visit.audit(
            AuditAction.CREATE,
            organization_id=home.id,
            resource=("template_version", pushed.version_id, pushed.version_name),
        )
        return Pushed.model_validate(pushed, from_attributes=True)
