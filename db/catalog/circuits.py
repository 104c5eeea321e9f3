"""Closing the circuits of a template version by hand."""

from __future__ import annotations

from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.errors import ConflictError
from db.jobs import circuits
from db.schema.tables import Template, TemplateVersion


def close_circuits(
    session: Session, template: Template, version: TemplateVersion, *, actor: Actor
) -> list[str]:
    """Forget the failures of a version's starts; return the reasons of its circuits.

    Raises:
        ConflictError: it has none.
    """
    reasons = circuits.close_circuits(session, version.id)
    name = f"{template.name}/{version.name}"
    if not reasons:
        raise ConflictError(f"no start of {name} has failed since its last success")
    audit(
        session,
        actor=actor,
        action=AuditAction.CLOSE_CIRCUIT,
        organization_id=template.organization_id,
        resource=("template_version", version.id, name),
        facts={"reasons": reasons},
    )
    return reasons
