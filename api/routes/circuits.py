"""Letting a template version that keeps failing start again."""

from __future__ import annotations

import uuid

from fastapi import APIRouter

from api.caller import Right
from api.errors import forbidden
from api.gate import GateOf
from api.routes.finding import visible_version
from db.catalog.circuits import close_circuits
from db.reads.contractbase import ContractModel
from db.schema.enums import TokenScope

router = APIRouter(prefix="/api/v2", tags=["operations"])


class ClosedCircuits(ContractModel):
    """The reasons of the circuits that were closed."""

    reasons: list[str]


@router.delete("/templateversions/{version}/circuits")
def remove_circuits(gate: GateOf, version: uuid.UUID) -> ClosedCircuits:
    """Let a version start again, and forget its failures."""
    with gate.enter(TokenScope.OPERATE) as visit:
        found = visible_version(visit, version)
        if not visit.caller.may(Right.WRITE_TEMPLATES, found.organization_id):
            raise forbidden("Only template admins close circuits.")
        return ClosedCircuits(reasons=close_circuits(visit.session, found.id, actor=visit.actor))
