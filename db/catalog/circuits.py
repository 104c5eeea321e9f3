"""Closing the circuits of a template version by hand."""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.errors import ConflictError
from db.jobs import circuits
from db.schema.tables import Template, TemplateVersion


def close_circuits(session: Session, version_id: uuid.UUID, *, actor: Actor) -> list[str]:
    """Forget the failures of a version's starts; return the reasons of its circuits.

    Raises:
        ConflictError: it has none.
    """
    version = session.get_one(TemplateVersion, version_id)
    template = session.get_one(Template, version.template_id)
    name = f"{template.name}/{version.name}"
    reasons = circuits.close_circuits(session, version_id)
    if not reasons:
        raise ConflictError(f"no start of {name} has failed since its last success")
    audit(
        session,
        actor=actor,
        action=AuditAction.CLOSE_CIRCUIT,
        organization_id=template.organization_id,
        resource=("template_version", version_id, name),
        facts={"reasons": reasons},
    )
    return reasons
