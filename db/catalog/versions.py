"""Creating template versions whose import is pending, and finding the one to build from."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.catalog.names import check_name, insert_named
from db.catalog.sources import call
from db.errors import ConflictError, InvalidError, NotFoundError
from db.jobs.tags import queue_name, with_owner
from db.refusals import refusing
from db.schema.enums import JobType, ProvisionerType
from db.schema.tables import (
    File,
    ProvisionerJob,
    Template,
    TemplateVersion,
    TemplateVersionVariable,
)
from db.sealing.places import variable_of
from db.sealing.values import seal_text
from db.texts import check_storable

VERSION_NAME_LIMIT = 64
VERSION_NAME = re.compile(r"[a-zA-Z0-9]+(?:[_.-][a-zA-Z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class EnqueuedImport:
    """A template version whose import was enqueued."""

    version_id: uuid.UUID
    version_name: str
    job_id: uuid.UUID
    queue: str


@dataclass(frozen=True, kw_only=True)
class NewVersion:
    """What a template version is made from."""

    organization_id: uuid.UUID
    file_id: uuid.UUID
    template_id: uuid.UUID | None  #: None: a version that belongs to no template yet
    created_by: uuid.UUID
    name: str = ""  #: empty: the next free one
    message: str = ""
    provisioner: ProvisionerType = ProvisionerType.TERRAFORM
    tags: Mapping[str, str]
    variables: Mapping[str, str]  #: values by the name of the variable
    activate: bool = False  #: whether it becomes the active version when its import has succeeded


def create_version(session: Session, new: NewVersion) -> EnqueuedImport:
    """Insert a version and its pending import job.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: the template has a version of that name.
        InvalidError: the name, a tag or a value is not allowed.
    """
    if session.scalars(select(File.id).where(File.id == new.file_id)).first() is None:
        raise NotFoundError("File not found.")
    name = check_version_name(new.name) if new.name else _free_name(session, new.template_id)
    tags = with_owner(new.tags, new.created_by)
    made = EnqueuedImport(
        version_id=uuid.uuid4(),
        version_name=name,
        job_id=uuid.uuid4(),
        queue=queue_name(tags),
    )
    session.add(_import_job(new, made, tags))
    session.flush()
    insert_named(
        session,
        TemplateVersion(
            id=made.version_id,
            template_id=new.template_id,
            organization_id=new.organization_id,
            name=name,
            message=check_storable("message", new.message),
            job_id=made.job_id,
            created_by=new.created_by,
        ),
        taken=f'A template version with name "{name}" already exists for this template.',
    )
    session.add_all(
        # The import replaces these rows: only the files tell what the template declares.
        TemplateVersionVariable(
            template_version_id=made.version_id,
            name=check_storable("name of a variable", key),
            value=seal_text(
                session,
                check_storable(f"value of variable {key!r}", value),
                variable_of(made.version_id, key),
                row=made.version_id,
            ),
            required=False,
            sensitive=True,
        )
        for key, value in new.variables.items()
    )
    session.flush()
    return made


def check_version_name(name: str) -> str:
    """Return the name if it may name a template version.

    Raises:
        InvalidError: it may not.
    """
    if len(name) > VERSION_NAME_LIMIT or not VERSION_NAME.fullmatch(name):
        raise InvalidError(
            f"{name!r} cannot name a template version: use at most {VERSION_NAME_LIMIT} letters and"
            " digits, joined by single hyphens, dots or underscores"
        )
    return name


def create_template_of(
    session: Session, *, version_id: uuid.UUID, name: str, created_by: uuid.UUID, **facts: Any
) -> uuid.UUID:
    """Create a template whose first and active version is a version without a template.

    Args:
        facts: more columns of the template.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: the organization has a template of that name, or the version has a template.
    """
    version = session.scalars(
        select(TemplateVersion).where(TemplateVersion.id == version_id).with_for_update()
    ).one()
    if version.template_id is not None:
        raise ConflictError(f"Template version {version_id} is already part of a template")
    job = session.get_one(ProvisionerJob, version.job_id)
    template = Template(
        id=uuid.uuid4(),
        organization_id=version.organization_id,
        name=check_name("template", name),
        provisioner=job.provisioner,
        created_by=created_by,
        **facts,
    )
    insert_named(session, template, taken=f'Template with name "{name}" already exists.')
    version.template_id = template.id
    session.flush()
    template.active_version_id = version.id
    session.flush()
    return template.id


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


def _free_name(session: Session, template_id: uuid.UUID | None) -> str:
    if template_id is None:
        return "v1"
    # Pushes of one template take turns, so that two of them do not choose the same name.
    session.execute(
        select(Template.id).where(Template.id == template_id).with_for_update(key_share=True)
    )
    return next_version_name(session, template_id)


def _import_job(new: NewVersion, made: EnqueuedImport, tags: dict[str, str]) -> ProvisionerJob:
    return ProvisionerJob(
        id=made.job_id,
        organization_id=new.organization_id,
        initiator_id=new.created_by,
        provisioner=new.provisioner,
        file_id=new.file_id,
        type=JobType.TEMPLATE_VERSION_IMPORT,
        input={"template_version_id": str(made.version_id), "activate": new.activate},
        tags=tags,
        queue=made.queue,
    )


def get_usable_version(
    session: Session, template: Template, version_id: uuid.UUID | None = None
) -> TemplateVersion:
    """Return the version to build from: the given one, or else the template's active one.

    Raises:
        NotFoundError: there is no such version, or the template has none.
        VersionImportingError: its import has not ended.
        ConflictError: the version is another template's, or its import has failed.
    """
    with refusing(session):
        found = call(session, "usable_version", template.id, version_id)
    return session.get_one(TemplateVersion, found)
