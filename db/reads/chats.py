"""Chats, their workspaces, and the latest build of each workspace."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.catalog.chats import ChatKey
from db.schema.enums import JobStatus, Transition


@dataclass(frozen=True, kw_only=True)
class BoundWorkspace:
    """The workspace of a chat, and the status of its latest build."""

    id: uuid.UUID
    name: str  #: owner/name
    deleted: bool
    build_id: uuid.UUID
    build_number: int
    template_id: uuid.UUID
    template_version_id: uuid.UUID
    transition: Transition
    status: JobStatus

    @property
    def is_running(self) -> bool:
        """Whether the latest build started the workspace."""
        return self.transition is Transition.START and self.status is JobStatus.SUCCEEDED

    @property
    def is_stopped(self) -> bool:
        """Whether the latest build stopped the workspace."""
        return self.transition is Transition.STOP and self.status is JobStatus.SUCCEEDED


def find_bound_workspace(session: Session, chat: ChatKey) -> BoundWorkspace | None:
    """Return the chat's workspace, deleted or not; None if it never had one."""
    row = session.execute(
        text("""
            SELECT workspace.id,
                   owner.username || '/' || workspace.name AS name,
                   workspace.deleted,
                   workspace.template_id,
                   latest.id AS build_id,
                   latest.build_number,
                   latest.template_version_id,
                   latest.transition::text,
                   job.job_status::text AS status
            FROM chats AS chat
            JOIN workspaces AS workspace ON workspace.id = chat.workspace_id
            JOIN users AS owner ON owner.id = workspace.owner_id
            JOIN latest_workspace_builds AS latest ON latest.workspace_id = workspace.id
            JOIN provisioner_jobs AS job ON job.id = latest.job_id
            WHERE chat.owner_id = :owner_id
              AND chat.id = :id
              AND chat.organization_id = :organization_id
        """),
        {"owner_id": chat.owner_id, "id": chat.id, "organization_id": chat.organization_id},
    ).one_or_none()
    if row is None:
        return None
    fields = {**row._asdict(), "transition": Transition(row.transition)}
    return BoundWorkspace(**{**fields, "status": JobStatus(row.status)})
