"""The audit log: who changed what by hand, and when."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    CREATE = "create"
    WRITE = "write"
    DELETE = "delete"
    START = "start"
    STOP = "stop"
    CANCEL = "cancel"
    RETRY = "retry"
    LOGIN = "login"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    CLOSE_CIRCUIT = "close_circuit"


SITE = uuid.UUID(int=0)
"""Stands for the organization of a change to the whole site."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The person who makes a change."""

    username: str
    user_id: uuid.UUID | None = None  #: None: a user of the operating system
    origin: Mapping[str, str] = field(default_factory=dict)  #: where a request came from

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
    audit(
        session,
        actor=actor,
        action=action,
        organization_id=workspace.organization_id,
        resource=("workspace", workspace.id, f"{owner_name}/{workspace.name}"),
        diff=diff,
        facts=facts,
    )


def audit(
    session: Session,
    *,
    actor: Actor,
    action: AuditAction,
    resource: tuple[str, uuid.UUID, str],
    organization_id: uuid.UUID = SITE,
    diff: Mapping[str, object] | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    """Record a change, in the transaction that makes it.

    Args:
        resource: the type, the id and the name of what was changed.
        organization_id: whose audit log it belongs to.
        diff: for each changed field, ``{"old": ..., "new": ...}``.
        facts: more facts about the change, as JSON values.
    """
    resource_type, resource_id, resource_target = resource
    session.add(
        AuditLog(
            user_id=actor.user_id,
            username=storable(actor.username),
            organization_id=organization_id,
            resource_type=resource_type,
            resource_id=resource_id,
            resource_target=storable(resource_target),
            action=action.value,
            diff=dict(diff or {}),
            additional_fields={**(facts or {}), **actor.origin},
        )
    )
    session.flush()
