"""Templates and their versions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.reads.listings import LIMIT, read_listings
from db.reads.sight import EVERYTHING, Sight, seen
from db.schema.enums import ProvisionerType
from db.schema.tables import Template


@dataclass(frozen=True, kw_only=True)
class TemplateListing:
    """A template and its active version."""

    id: uuid.UUID
    name: str
    organization_name: str
    provisioner: str
    active_version_name: str | None
    versions: int  #: number of versions
    workspaces: int  #: number of workspaces that are not deleted
    updated_at: datetime  #: when the active version was pushed


def list_templates(
    session: Session, *, sight: Sight = EVERYTHING, limit: int = LIMIT
) -> list[TemplateListing]:
    """Return the templates that are not deleted, by organization and name."""
    return read_listings(
        session,
        TemplateListing,
        f"""
        SELECT template.id, template.name, organization.name AS organization_name,
               template.provisioner::text,
               active.name AS active_version_name,
               coalesce(active.created_at, template.created_at) AS updated_at,
               (SELECT count(*) FROM template_versions AS version
                WHERE version.template_id = template.id) AS versions,
               (SELECT count(*) FROM workspaces AS workspace
                WHERE workspace.template_id = template.id
                  AND NOT workspace.deleted) AS workspaces
        FROM templates AS template
        JOIN organizations AS organization ON organization.id = template.organization_id
        LEFT JOIN template_versions AS active ON active.id = template.active_version_id
        WHERE NOT template.deleted AND {seen("template.organization_id")}
        ORDER BY organization.name, template.name
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        limit=limit,
        **sight.values,
    )


def find_template(session: Session, wanted: str, *, organization_id: uuid.UUID) -> Template | None:
    """Return a template by its ID in any organization, or by its name in this organization."""
    query = select(Template).where(~Template.deleted)
    if (template_id := _as_uuid(wanted)) and (
        found := session.scalars(query.where(Template.id == template_id)).one_or_none()
    ):
        return found
    return session.scalars(
        query.where(
            Template.organization_id == organization_id,
            func.lower(Template.name) == wanted.lower(),
        )
    ).one_or_none()


def list_template_names(
    session: Session, *, organization_id: uuid.UUID, limit: int = 20
) -> list[str]:
    """Return the names of the organization's templates that can be built."""
    query = (
        select(Template.name)
        .where(
            Template.organization_id == organization_id,
            ~Template.deleted,
            Template.active_version_id.is_not(None),
        )
        .order_by(Template.name)
        .limit(limit)
    )
    return list(session.scalars(query))


def get_version_source(
    session: Session, template_version_id: uuid.UUID
) -> tuple[ProvisionerType, bytes]:
    """Return the engine and the source archive of a template version."""
    row = session.execute(
        text("""
            SELECT job.provisioner::text, file.data
            FROM template_versions AS version
            JOIN provisioner_jobs AS job ON job.id = version.job_id
            JOIN files AS file ON file.id = job.file_id
            WHERE version.id = :id
        """),
        {"id": template_version_id},
    ).one()
    return ProvisionerType(row.provisioner), row.data


def _as_uuid(value: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(value)
    except ValueError:
        return None
