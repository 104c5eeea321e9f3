"""Creating and finding templates and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.catalog.names import check_name
from db.catalog.versions import EnqueuedImport, NewVersion, create_version
from db.engine import sql
from db.errors import ConflictError, unknown_template, unknown_version
from db.jobs.archives import store_file
from db.schema.enums import ProvisionerType
from db.schema.tables import (
    Organization,
    Template,
    TemplateVersion,
    User,
)


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

    The caller rings the queue of the import: see ``worker.pushing.enqueue_import``. Builds of the
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
        raise unknown_template(name)
    return template


def get_version_to_update_to(session: Session, template_id: uuid.UUID) -> uuid.UUID | None:
    """Return the version that an update of a workspace asks for.

    That is the active version; or the newest one, if it was pushed since to become active and its
    import has failed or still runs. No workspace can be built from that one, and a person who asks
    for an update should be told why instead of getting the version that they have.
    """
    found: uuid.UUID | None = session.execute(
        sql("""
            SELECT coalesce(
                (SELECT newest.id
                 FROM template_versions AS newest
                 JOIN provisioner_jobs AS import ON import.id = newest.job_id
                 WHERE newest.template_id = template.id
                   AND NOT newest.archived
                   AND coalesce(CAST(import.input ->> 'activate' AS boolean), false)
                   AND import.job_status <> 'succeeded'
                   AND newest.created_at > active.created_at
                   AND newest.created_at >= template.updated_at
                 ORDER BY newest.created_at DESC
                 LIMIT 1),
                active.id)
            FROM templates AS template
            LEFT JOIN template_versions AS active ON active.id = template.active_version_id
            WHERE template.id = :template_id
        """),
        {"template_id": template_id},
    ).scalar()
    return found


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
        raise unknown_version(name)
    return version_id


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
