"""Creating and finding templates and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from db.catalog.names import check_name
from db.engine import sql
from db.errors import ConflictError, NotFoundError
from db.jobs.archives import store_file
from db.jobs.imports import VariableValue
from db.jobs.tags import normalize_tags, queue_name
from db.schema.enums import JobStatus, JobType, ProvisionerType
from db.schema.tables import (
    Organization,
    ProvisionerJob,
    Template,
    TemplateVersion,
    TemplateVersionVariable,
    User,
)


def push_template(
    session: Session,
    *,
    organization: Organization,
    name: str,
    archive: bytes,
    created_by: User,
    variables: Sequence[VariableValue] = (),
    provisioner: ProvisionerType = ProvisionerType.TERRAFORM,
    tags: Mapping[str, str] | None = None,
    message: str = "",
) -> TemplateVersion:
    """Store a new active version of the template; the first push creates the template.

    The caller has read the archive (``Engine.parse``), so the version's import job is stored as
    succeeded. Builds of the version get the tags of this job.

    Raises:
        InvalidError: the name or the tags are not allowed.
        ConflictError: the template is run by another engine.
    """
    template = _template_for_push(
        session,
        organization=organization,
        name=name,
        provisioner=provisioner,
        created_by=created_by,
    )
    version = TemplateVersion(
        id=uuid.uuid4(),
        template_id=template.id,
        organization_id=organization.id,
        name=next_version_name(session, template.id),
        message=message,
        job_id=uuid.uuid4(),
        created_by=created_by.id,
    )
    session.add(_import_job(session, version, template, archive=archive, tags=tags or {}))
    session.flush()
    session.add(version)
    session.flush()
    session.add_all(
        TemplateVersionVariable(template_version_id=version.id, **asdict(variable))
        for variable in variables
    )
    template.active_version_id = version.id
    session.flush()
    return version


def get_template(session: Session, *, name: str, organization: Organization) -> Template:
    """Return the organization's template of that name.

    Raises:
        NotFoundError: there is none.
    """
    template = _find_template(session, name=name, organization=organization)
    if template is None:
        raise NotFoundError(
            f"there is no template {name!r}; `provisionerd template push DIR --name {name}`"
            " makes one"
        )
    return template


def get_version(session: Session, *, template_id: uuid.UUID, name: str) -> uuid.UUID:
    """Return the id of the template's version of that name.

    Raises:
        NotFoundError: there is none.
    """
    version_id = session.scalars(
        select(TemplateVersion.id).where(
            TemplateVersion.template_id == template_id, TemplateVersion.name == name
        )
    ).one_or_none()
    if version_id is None:
        raise NotFoundError(f"the template has no version {name!r}")
    return version_id


def get_usable_version(
    session: Session, template: Template, version_id: uuid.UUID | None = None
) -> TemplateVersion:
    """Return the version to build from: the given one, or else the template's active one.

    Raises:
        NotFoundError: there is no such version, or the template has none.
        ConflictError: the version is another template's, or its import has not succeeded.
    """
    row = session.execute(
        sql("""
            SELECT template.id AS template_id,
                   template.name AS template_name,
                   version.id AS version_id,
                   version.name AS version_name,
                   version.template_id AS version_template_id,
                   import.job_status::text AS import_status,
                   import.error AS import_error
            FROM templates AS template
            LEFT JOIN template_versions AS version
                ON version.id = coalesce(CAST(:wanted AS uuid), template.active_version_id)
            LEFT JOIN provisioner_jobs AS import ON import.id = version.job_id
            WHERE template.id = :template_id
        """),
        {"wanted": version_id, "template_id": template.id},
    ).one()
    check_usable_version(row)
    return session.get_one(TemplateVersion, row.version_id)


def check_usable_version(row: Row[Any]) -> None:
    """Refuse a version that cannot be built from.

    Args:
        row: template_id, template_name, and of the version, None where there is none:
            version_id, version_name, version_template_id, import_status, import_error.

    Raises:
        NotFoundError: there is no such version, or the template has none.
        ConflictError: the version is another template's, or its import has not succeeded.
    """
    if row.version_id is None:
        raise NotFoundError(f"template {row.template_name!r} has no version that can be built")
    if row.version_template_id != row.template_id:
        raise ConflictError("template version doesn't match template")
    status = JobStatus(row.import_status)
    if status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise ConflictError(
            f"The provided template version is {status}. Wait for it to complete importing!"
        )
    if status is not JobStatus.SUCCEEDED:
        raise ConflictError(
            f'The provided template version "{row.version_name}" has failed to import:'
            f' "{row.import_error or ""}". You cannot build workspaces with it!'
        )


def _template_for_push(
    session: Session,
    *,
    organization: Organization,
    name: str,
    provisioner: ProvisionerType,
    created_by: User,
) -> Template:
    check_name("template", name)
    # Pushes of one template take turns, so that version names and the active version agree.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"template {organization.id} {name.lower()}"},
    )
    template = _find_template(session, name=name, organization=organization)
    if template is None:
        template = Template(
            id=uuid.uuid4(),
            organization_id=organization.id,
            name=name,
            provisioner=provisioner,
            created_by=created_by.id,
        )
        session.add(template)
        session.flush()
    if template.provisioner is not provisioner:
        raise ConflictError(f"template {name!r} is run by the {template.provisioner} engine")
    return template


def _find_template(session: Session, *, name: str, organization: Organization) -> Template | None:
    return session.scalars(
        select(Template).where(
            Template.organization_id == organization.id,
            func.lower(Template.name) == name.lower(),
            ~Template.deleted,
        )
    ).one_or_none()


def next_version_name(session: Session, template_id: uuid.UUID) -> str:
    """Return a name that no version of the template has."""
    names = set(
        session.scalars(
            select(TemplateVersion.name).where(TemplateVersion.template_id == template_id)
        )
    )
    number = len(names) + 1
    while f"v{number}" in names:
        number += 1
    return f"v{number}"


def _import_job(
    session: Session,
    version: TemplateVersion,
    template: Template,
    *,
    archive: bytes,
    tags: Mapping[str, str],
) -> ProvisionerJob:
    normal = normalize_tags(tags)
    return ProvisionerJob(
        id=version.job_id,
        organization_id=template.organization_id,
        initiator_id=version.created_by,
        provisioner=template.provisioner,
        file_id=store_file(session, data=archive, created_by=version.created_by),
        type=JobType.TEMPLATE_VERSION_IMPORT,
        input={"template_version_id": str(version.id)},
        tags=normal,
        queue=queue_name(normal),
        started_at=func.now(),
        completed_at=func.now(),
    )
