"""Templates and their versions, as the HTTP API shows them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.reads.accounts import EVERYTHING
from db.reads.contract import ProvisionerJob
from db.reads.jobcontract import as_contract
from db.reads.jobs import get_jobs
from db.reads.listings import read_row
from db.reads.shapes import NO_ID, MinimalUser, Template, TemplateVersion

# Uses: pk_templates, ix_workspaces_template_id.
_TEMPLATES = """
    SELECT template.id, template.created_at, template.updated_at, template.organization_id,
           organization.name AS organization_name,
           coalesce(nullif(organization.display_name, ''), organization.name)
               AS organization_display_name,
           template.name, template.display_name, template.provisioner::text,
           template.active_version_id, template.description, template.icon, template.deleted,
           template.created_by AS created_by_id, creator.username AS created_by_name,
           template.allow_user_cancel_workspace_jobs, template.deprecated AS deprecation_message,
           template.require_active_version, template.disable_module_cache,
           template.default_ttl / 1000000 AS default_ttl_ms,
           template.activity_bump / 1000000 AS activity_bump_ms,
           (SELECT count(DISTINCT workspace.owner_id)
            FROM workspaces AS workspace
            WHERE workspace.template_id = template.id AND NOT workspace.deleted)
               AS active_user_count
    FROM templates AS template
    JOIN organizations AS organization ON organization.id = template.organization_id
    JOIN users AS creator ON creator.id = template.created_by
    LEFT JOIN template_versions AS active ON active.id = template.active_version_id
"""
_VERSIONS = """
    SELECT version.id, version.template_id, version.organization_id, version.created_at,
           version.updated_at, version.name, version.message, version.readme, version.archived,
           version.has_external_agent, version.job_id, creator.id AS creator_id,
           creator.username AS creator_name,
           creator.name AS creator_full_name, creator.avatar_url AS creator_avatar_url
    FROM template_versions AS version
    JOIN users AS creator ON creator.id = version.created_by
"""


@dataclass(frozen=True, kw_only=True)
class TemplateFilter:
    """Which templates to list. A field that is None or empty does not restrict them."""

    organizations: Collection[uuid.UUID] | None = None  #: that the caller may see
    organization: str | None = None  #: name or id
    exact_name: str | None = None
    name: str | None = None  #: a part of the name
    display_name: str | None = None  #: a part of the name for people
    author: str | None = None
    author_id: uuid.UUID | None = None
    deprecated: bool | None = None
    has_ai_task: bool | None = None  #: the active version
    has_external_agent: bool | None = None  #: the active version
    ids: Collection[uuid.UUID] = field(default_factory=tuple)


def find_templates(session: Session, wanted: TemplateFilter) -> list[Template]:
    """Return the templates that are not deleted, those with the most users first."""
    rows = session.execute(
        sql(f"""
            SELECT * FROM ({_TEMPLATES}
                WHERE NOT template.deleted
                  AND (CAST(:organizations AS uuid[]) IS NULL
                       OR template.organization_id = ANY(:organizations))
                  AND (CAST(:organization AS text) IS NULL
                       OR lower(organization.name) = lower(:organization)
                       OR organization.id::text = lower(:organization))
                  AND (CAST(:exact_name AS text) IS NULL
                       OR lower(template.name) = lower(:exact_name))
                  AND (CAST(:name AS text) IS NULL
                       OR position(lower(:name) IN lower(template.name)) > 0)
                  AND (CAST(:display_name AS text) IS NULL
                       OR position(lower(:display_name)
                                   IN lower(template.display_name || ' ' || template.name)) > 0)
                  AND (CAST(:author AS text) IS NULL
                       OR lower(creator.username) = lower(:author))
                  AND (CAST(:author_id AS uuid) IS NULL OR creator.id = :author_id)
                  AND (CAST(:has_ai_task AS boolean) IS NULL
                       OR coalesce(active.has_ai_task, false) = :has_ai_task)
                  AND (CAST(:has_external_agent AS boolean) IS NULL
                       OR coalesce(active.has_external_agent, false) = :has_external_agent)
                  AND (CAST(:deprecated AS boolean) IS NULL
                       OR :deprecated = (template.deprecated <> ''))
                  AND (cardinality(CAST(:ids AS uuid[])) = 0 OR template.id = ANY(:ids))
            ) AS found
            ORDER BY active_user_count DESC, lower(name)
            LIMIT :limit
        """),  # noqa: S608 - made of constants
        {
            **vars(wanted),
            "organizations": None if wanted.organizations is None else list(wanted.organizations),
            "ids": list(wanted.ids),
            "limit": EVERYTHING,
        },
    )
    return [_template(row) for row in rows]


def get_template(session: Session, template_id: uuid.UUID) -> Template:
    """Return one template, also a deleted one.

    Raises:
        NotFoundError: there is none.
    """
    query = f"{_TEMPLATES} WHERE template.id = :id"
    missing = f"there is no template {template_id}"
    return _template(read_row(session, query, missing=missing, id=template_id))


def get_version(session: Session, version_id: uuid.UUID) -> TemplateVersion:
    """Return one template version.

    Raises:
        NotFoundError: there is none.
    """
    query = f"{_VERSIONS} WHERE version.id = :id"
    missing = f"there is no template version {version_id}"
    row = read_row(session, query, missing=missing, id=version_id)
    return _versions(session, [row])[0]


def find_versions(
    session: Session,
    template_id: uuid.UUID,
    *,
    name: str | None = None,
    with_archived: bool = True,
    limit: int = EVERYTHING,
    offset: int = 0,
) -> list[TemplateVersion]:
    """Return the versions of a template, oldest first, or only the one of this name."""
    rows = session.execute(
        sql(f"""
            {_VERSIONS}
            WHERE version.template_id = :template_id
              AND (CAST(:name AS text) IS NULL OR version.name = :name)
              AND (:with_archived OR NOT version.archived)
            ORDER BY version.created_at, version.id
            LIMIT :limit OFFSET :offset
        """),
        {
            "template_id": template_id,
            "name": name,
            "with_archived": with_archived,
            "limit": limit,
            "offset": offset,
        },
    ).all()
    return _versions(session, rows)


def _template(row: Row[Any]) -> Template:
    fields: dict[str, Any] = row._asdict()
    fields["active_version_id"] = row.active_version_id or NO_ID
    return Template(**fields, deprecated=bool(row.deprecation_message))


def _versions(session: Session, rows: Sequence[Row[Any]]) -> list[TemplateVersion]:
    jobs = {job.id: as_contract(job) for job in get_jobs(session, [row.job_id for row in rows])}
    return [_version(row, jobs[row.job_id]) for row in rows]


def _version(row: Row[Any], job: ProvisionerJob) -> TemplateVersion:
    return TemplateVersion(
        id=row.id,
        template_id=row.template_id or NO_ID,
        organization_id=row.organization_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        name=row.name,
        message=row.message,
        job=job,
        readme=row.readme,
        created_by=MinimalUser(
            id=row.creator_id,
            username=row.creator_name,
            name=row.creator_full_name,
            avatar_url=row.creator_avatar_url,
        ),
        archived=row.archived,
        has_external_agent=row.has_external_agent,
    )
