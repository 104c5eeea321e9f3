"""Creating and finding templates and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from db.catalog.names import check_name
from db.catalog.versions import EnqueuedImport, NewVersion, create_version
from db.engine import sql
from db.errors import ConflictError, NotFoundError, VersionImportingError
from db.jobs.archives import store_file
from db.schema.enums import JobStatus, ProvisionerType
from db.schema.tables import (
    Organization,
    Template,
    TemplateVersion,
    User,
)

# The newest version of a template without an active one, if it says why there is none.
UNUSABLE = """
    (SELECT newest.id
     FROM template_versions AS newest
     JOIN provisioner_jobs AS its_import ON its_import.id = newest.job_id
     WHERE newest.template_id = template.id AND its_import.job_status <> 'succeeded'
     ORDER BY newest.created_at DESC
     LIMIT 1)
"""


@dataclass(frozen=True, kw_only=True)
class Push:
    """A packed template to be stored as the next version of the template ``name``."""

    organization: Organization
    name: str
    archive: bytes
    created_by: User
    values: Mapping[str, str] = field(default_factory=dict)  #: of variables, by their name
    provisioner: ProvisionerType = ProvisionerType.TERRAFORM
    tags: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    version_name: str = ""  #: empty: the next free one
    activate: bool = True  #: whether it becomes active when its import has succeeded


def push_template(session: Session, push: Push) -> EnqueuedImport:
    """Store a version of the template and enqueue its import; the first push creates the template.

    The caller rings the queue of the import: see ``worker.enqueue.enqueue_import``. Builds of the
    version get the tags of the import.

    Raises:
        InvalidError: the name, a tag or a value is not allowed.
        ConflictError: the template is run by another engine, or has a version of that name.
    """
    template = _template_for_push(session, push)
    return create_version(
        session,
        NewVersion(
            organization_id=template.organization_id,
            file_id=store_file(session, data=push.archive, created_by=push.created_by.id),
            template_id=template.id,
            created_by=push.created_by.id,
            name=push.version_name,
            message=push.message,
            provisioner=push.provisioner,
            tags=push.tags,
            variables=push.values,
            activate=push.activate,
        ),
    )


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
        VersionImportingError: its import has not ended.
        ConflictError: the version is another template's, or its import has failed.
    """
    row = session.execute(
        sql(f"""
            SELECT template.id AS template_id,
                   template.name AS template_name,
                   version.id AS version_id,
                   version.name AS version_name,
                   version.template_id AS version_template_id,
                   import.id AS import_id,
                   import.job_status::text AS import_status,
                   import.error AS import_error
            FROM templates AS template
            LEFT JOIN template_versions AS version
                ON version.id = coalesce(
                    CAST(:wanted AS uuid), template.active_version_id, {UNUSABLE})
            LEFT JOIN provisioner_jobs AS import ON import.id = version.job_id
            WHERE template.id = :template_id
        """),  # noqa: S608 - made of constants
        {"wanted": version_id, "template_id": template.id},
    ).one()
    check_usable_version(row)
    return session.get_one(TemplateVersion, row.version_id)


def check_usable_version(row: Row[Any]) -> None:
    """Refuse a version that cannot be built from.

    Args:
        row: template_id, template_name, and of the version, None where there is none:
            version_id, version_name, version_template_id, import_id, import_status,
            import_error.

    Raises:
        NotFoundError: there is no such version, or the template has none.
        VersionImportingError: its import has not ended.
        ConflictError: the version is another template's, or its import has failed.
    """
    if row.version_id is None:
        raise NotFoundError(f"template {row.template_name!r} has no version that can be built")
    if row.version_template_id != row.template_id:
        raise ConflictError("template version doesn't match template")
    status = JobStatus(row.import_status)
    if status in {JobStatus.PENDING, JobStatus.RUNNING}:
        raise VersionImportingError(row.import_id, status)
    if status is not JobStatus.SUCCEEDED:
        raise ConflictError(
            f'The provided template version "{row.version_name}" has failed to import:'
            f' "{row.import_error or ""}". You cannot build workspaces with it!'
        )


def _template_for_push(session: Session, push: Push) -> Template:
    check_name("template", push.name)
    organization = push.organization
    # Pushes of one template take turns, so that version names and the active version agree.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"template {organization.id} {push.name.lower()}"},
    )
    template = _find_template(session, name=push.name, organization=organization)
    if template is None:
        template = Template(
            id=uuid.uuid4(),
            organization_id=organization.id,
            name=push.name,
            provisioner=push.provisioner,
            created_by=push.created_by.id,
        )
        session.add(template)
        session.flush()
    if template.provisioner is not push.provisioner:
        raise ConflictError(f"template {push.name!r} is run by the {template.provisioner} engine")
    return template


def _find_template(session: Session, *, name: str, organization: Organization) -> Template | None:
    return session.scalars(
        select(Template).where(
            Template.organization_id == organization.id,
            func.lower(Template.name) == name.lower(),
            ~Template.deleted,
        )
    ).one_or_none()
