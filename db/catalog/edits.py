"""Changing templates and their versions: the active one, names and columns, archiving, deleting."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Update, func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.names import check_name
from db.catalog.versions import check_version_name
from db.engine import sql
from db.errors import ConflictError, InvalidError, NotFoundError
from db.schema.enums import JobStatus
from db.schema.tables import Template, TemplateVersion


def activate_version(session: Session, template_id: uuid.UUID, version_id: uuid.UUID) -> None:
    """Make a version the active one of its template.

    Raises:
        NotFoundError: there is no such version.
        InvalidError: it is another template's, or archived.
        ConflictError: its import has not succeeded.
    """
    row = session.execute(
        sql("""
            SELECT version.template_id, version.archived, job.job_status::text AS status
            FROM template_versions AS version
            JOIN provisioner_jobs AS job ON job.id = version.job_id
            WHERE version.id = :id
            FOR UPDATE OF version
        """),
        {"id": version_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError("Template version not found.")
    if row.template_id != template_id:
        raise InvalidError(
            "The provided template version doesn't belong to the specified template."
        )
    if row.status != JobStatus.SUCCEEDED:
        raise ConflictError(
            "Only versions that have been built successfully can be promoted."
            f" Attempted to promote a version with a {row.status} build"
        )
    if row.archived:
        raise InvalidError("The provided template version is archived.")
    promote_version(session, template_id=template_id, version_id=version_id)


def set_archived(session: Session, version_id: uuid.UUID, *, archived: bool) -> None:
    """Archive a version, or undo that.

    Raises:
        ConflictError: it is the active version of its template.
    """
    changed = session.execute(
        sql("""
            UPDATE template_versions AS version
            SET archived = :archived, updated_at = now()
            WHERE id = :id
              AND NOT (:archived AND EXISTS (
                  SELECT 1 FROM templates WHERE active_version_id = version.id
              ))
            RETURNING 1
        """),
        {"id": version_id, "archived": archived},
    ).first()
    if changed is None:
        raise ConflictError("The active version of a template cannot be archived.")


def promote_version(session: Session, *, template_id: uuid.UUID, version_id: uuid.UUID) -> None:
    """Make a version of the template its active one. The caller has checked that it is usable."""
    session.execute(
        update(Template)
        .where(Template.id == template_id)
        .values(active_version_id=version_id, updated_at=func.now())
        .execution_options(synchronize_session=False)
    )


def edit_template(session: Session, template_id: uuid.UUID, changes: Mapping[str, Any]) -> None:
    """Change columns of a template.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: the organization has a template of that name.
    """
    if "name" in changes:
        check_name("template", changes["name"])
    taken = f'Template with name "{changes.get("name")}" already exists.'
    _edit(session, update(Template).where(Template.id == template_id), changes, taken=taken)


def edit_version(session: Session, version_id: uuid.UUID, changes: Mapping[str, Any]) -> None:
    """Change columns of a template version.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: the template has a version of that name.
    """
    if "name" in changes:
        check_version_name(changes["name"])
    taken = "template version name must be unique for a template"
    statement = update(TemplateVersion).where(TemplateVersion.id == version_id)
    _edit(session, statement, changes, taken=taken)


def _edit(session: Session, statement: Update, changes: Mapping[str, Any], *, taken: str) -> None:
    changed = statement.values(**changes, updated_at=func.now())
    try:
        with session.begin_nested():
            session.execute(changed.execution_options(synchronize_session=False))
    except IntegrityError as error:
        raise ConflictError(taken) from error


def delete_template(session: Session, template_id: uuid.UUID) -> None:
    """Mark a template as deleted.

    Raises:
        ConflictError: there are workspaces of it.
    """
    deleted = session.execute(
        sql("""
            UPDATE templates
            SET deleted = true, updated_at = now()
            WHERE id = :id
              AND NOT EXISTS (
                  SELECT 1 FROM workspaces
                  WHERE workspaces.template_id = templates.id AND NOT workspaces.deleted
              )
            RETURNING 1
        """),
        {"id": template_id},
    ).first()
    if deleted is None:
        raise ConflictError("All workspaces must be deleted before a template can be removed.")


def archive_unused_versions(
    session: Session, template_id: uuid.UUID, *, with_succeeded: bool
) -> list[uuid.UUID]:
    """Archive the versions that no workspace uses, and return their ids.

    Args:
        with_succeeded: not only those whose import failed.
    """
    rows = session.execute(
        sql("""
            UPDATE template_versions AS version
            SET archived = true, updated_at = now()
            FROM templates AS template, provisioner_jobs AS job
            WHERE version.template_id = :template_id
              AND template.id = version.template_id
              AND job.id = version.job_id
              AND NOT version.archived
              AND template.active_version_id IS DISTINCT FROM version.id
              AND job.completed_at IS NOT NULL
              AND (:with_succeeded OR job.job_status <> 'succeeded')
              AND NOT EXISTS (
                  SELECT 1
                  FROM latest_workspace_builds AS latest
                  JOIN workspaces AS workspace ON workspace.id = latest.workspace_id
                  WHERE latest.template_version_id = version.id AND NOT workspace.deleted
              )
            RETURNING version.id
        """),
        {"template_id": template_id, "with_succeeded": with_succeeded},
    )
    return list(rows.scalars())
