"""The audit log: who changed what by hand, and when."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.schema.tables import AuditLog, User
from db.texts import storable


class AuditAction(StrEnum):
    """The kinds of changes that are recorded."""

    PUSH_STATE = "push_state"
    ADOPT_STATE = "adopt_state"
    DELETE_ORPHAN = "delete_orphan"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The person who makes a change."""

    username: str
    user_id: uuid.UUID | None = None  #: None: a user of the operating system

    @classmethod
    def of(cls, user: User) -> Actor:
        """Return the actor for a user of the platform."""
        return cls(username=user.username, user_id=user.id)


def audit_workspace(
    session: Session,
    *,
    actor: Actor,
    action: AuditAction,
    workspace: Row[Any],
    owner_name: str,
    diff: Mapping[str, object],
    facts: Mapping[str, object],
) -> None:
    """Record a change to a workspace, in the transaction that makes it.

    Args:
        workspace: its row, with id, organization_id and name.
        diff: for each changed field, ``{"old": ..., "new": ...}``.
        facts: more facts about the change, as JSON values.
    """
    session.add(
        AuditLog(
            user_id=actor.user_id,
            username=storable(actor.username),
            organization_id=workspace.organization_id,
            resource_type="workspace",
            resource_id=workspace.id,
            resource_target=f"{owner_name}/{workspace.name}",
            action=action.value,
            diff=dict(diff),
            additional_fields=dict(facts),
        )
    )
    session.flush()
