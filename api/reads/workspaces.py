"""Workspaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.caller import Right
from api.reads.asking import USUAL_ROWS, Read, Viewer, sight_of
from api.reads.finding import visible_user, visible_user_id
from db.catalog.workspaces import get_workspace
from db.errors import NotFoundError
from db.reads.workspaces import (
    ShownWorkspace,
    WorkspaceListing,
    list_workspaces,
    show_workspace,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class WorkspaceList(Read[list[WorkspaceListing]]):
    """List the workspaces that are not deleted, by owner and name."""

    path = "/workspaces"
    owner: str | None = None
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[WorkspaceListing]:
        """Return the workspaces that are the viewer's, or that it may read."""
        return list_workspaces(
            session,
            owner_id=visible_user_id(session, viewer, self.owner) if self.owner else None,
            sight=sight_of(viewer, Right.READ_WORKSPACES),
            limit=self.limit,
        )


@dataclass(frozen=True, kw_only=True)
class WorkspaceShown(Read[ShownWorkspace]):
    """Return a workspace, the values of its last build, and the resources that it left."""

    path = "/workspace"
    user: str
    name: str

    def answer(self, session: Session, viewer: Viewer) -> ShownWorkspace:
        """Return the workspace if it is the viewer's, or one that it may read."""
        owner = visible_user(session, viewer, self.user)
        found = get_workspace(session, owner=owner, name=self.name)
        is_own = owner.id == viewer.user_id
        if not is_own and not viewer.may(Right.READ_WORKSPACES, found.organization_id):
            raise NotFoundError(f"user {owner.username!r} has no workspace {self.name!r}")
        return show_workspace(session, found.id)
