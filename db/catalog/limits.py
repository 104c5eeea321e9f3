"""Limits on builds and workspaces, and whether a workspace's owner may build.

They are rows of the database, and are checked in the transaction that makes the workspace or the
build. So they apply to every caller, even to services without settings. They never keep anybody
from stopping or deleting a workspace, and do not hold for prebuilt workspaces.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum

from sqlalchemy.orm import Session

from db.catalog.audit import Actor, AuditAction, audit
from db.engine import sql
from db.errors import LimitReachedError, OwnerInactiveError
from db.schema.enums import UserStatus
from db.schema.roles import PREBUILDS_USER_ID

MOST_ALLOWED = 2**31 - 1
NO_CHAT = ""
"""In place of the id of a chat: an agent without one makes the workspace."""


class Limit(StrEnum):
    """What is limited."""

    BUILDS_PER_OWNER = "builds_per_owner"  #: unfinished builds of one owner's workspaces
    WORKSPACES_PER_OWNER = "workspaces_per_owner"  #: workspaces of one owner that exist
    WORKSPACES_PER_CHAT = "workspaces_per_chat"  #: those of them that one chat has made
    WORKSPACES_OF_AGENTS = "workspaces_of_agents"  #: those that agents have made for one owner
    AUTOMATIC_FAILURES = (
        "automatic_failures"  #: of automatic starts in a row (``db.jobs.circuits``)
    )
    PERSONAL_FAILURES = "personal_failures"  #: the same, of starts that people ask for


DEFAULTS: Mapping[Limit, int | None] = {
    Limit.BUILDS_PER_OWNER: None,
    Limit.WORKSPACES_PER_OWNER: None,
    Limit.WORKSPACES_PER_CHAT: 5,
    Limit.WORKSPACES_OF_AGENTS: 50,
    Limit.AUTOMATIC_FAILURES: 5,
    Limit.PERSONAL_FAILURES: None,
}
"""None: any number. An agent that repeats itself is stopped without anybody's doing."""


def read_limits(session: Session) -> Mapping[Limit, int | None]:
    """Return all limits; None: any number."""
    rows = session.execute(sql("SELECT name, allowed FROM limits")).all()
    changed = {row.name: row.allowed for row in rows}
    return {limit: changed.get(limit.value, default) for limit, default in DEFAULTS.items()}


def set_limit(session: Session, limit: Limit, allowed: int | None) -> None:
    """Change a limit for all owners from now on. What is there already stays.

    Args:
        allowed: None: any number.
    """
    session.execute(
        sql("""
            INSERT INTO limits (name, allowed) VALUES (:name, :allowed)
            ON CONFLICT (name) DO UPDATE SET allowed = excluded.allowed, updated_at = now()
        """),
        {"name": limit.value, "allowed": allowed},
    )


def change_limit(
    session: Session, limit: Limit, allowed: int | None, *, actor: Actor
) -> int | None:
    """Change a limit by hand, with a row of the audit log; return what it was."""
    before = read_limits(session)[limit]
    set_limit(session, limit, allowed)
    audit(
        session,
        actor=actor,
        action=AuditAction.WRITE,
        resource=("limit", uuid.UUID(int=0), limit.value),
        diff={"allowed": {"old": before, "new": allowed}},
    )
    return before


def check_owner(username: str, status: UserStatus, *, deleted: bool) -> None:
    """Refuse to build for an owner who is not active.

    Raises:
        OwnerInactiveError: the owner was deleted, or is suspended or dormant.
    """
    if deleted or status is not UserStatus.ACTIVE:
        raise OwnerInactiveError(username, "deleted" if deleted else status.value)


def check_workspaces(session: Session, owner_id: uuid.UUID, chat_id: str | None) -> None:
    """Refuse another workspace if the owner, or the chat that asks for it, has enough.

    Args:
        chat_id: as for ``create_workspace``.

    Raises:
        LimitReachedError: a limit is reached.
    """
    if owner_id == PREBUILDS_USER_ID:
        return
    limits = read_limits(session)
    wanted = _limits_for(chat_id)
    if all(limits[limit] is None for limit in wanted):
        return
    _take_turn(session, owner_id)
    # Uses: ix_workspaces_owner_id_organization_id.
    row = session.execute(
        sql("""
            SELECT count(*) AS workspaces_per_owner,
                   count(*) FILTER (WHERE chat_id = :chat_id) AS workspaces_per_chat,
                   count(chat_id) AS workspaces_of_agents
            FROM workspaces
            WHERE owner_id = :owner_id AND NOT deleted
        """),
        {"owner_id": owner_id, "chat_id": chat_id},
    ).one()
    for limit in wanted:
        _check(limit, getattr(row, limit.value), limits[limit])


def _limits_for(chat_id: str | None) -> Sequence[Limit]:
    """Return which limits a new workspace has to keep."""
    if chat_id is None:
        return [Limit.WORKSPACES_PER_OWNER]
    of_agents = [Limit.WORKSPACES_PER_OWNER, Limit.WORKSPACES_OF_AGENTS]
    return [*of_agents, Limit.WORKSPACES_PER_CHAT] if chat_id else of_agents


def _take_turn(session: Session, owner_id: uuid.UUID) -> None:
    """Let transactions of one owner count one after the other."""
    session.execute(
        sql("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"limits of {owner_id}"},
    )


def _check(limit: Limit, found: int, allowed: int | None) -> None:
    if allowed is not None and found >= allowed:
        raise LimitReachedError(limit.value, allowed, _SENTENCES[limit].format(allowed))


_SENTENCES: Mapping[Limit, str] = {
    Limit.WORKSPACES_PER_OWNER: "the owner has {} workspaces, which is the limit; delete one first",
    Limit.WORKSPACES_PER_CHAT: "this chat has made {} workspaces, which is the limit; use"
    " start_workspace to build the last one again, or delete one first",
    Limit.WORKSPACES_OF_AGENTS: "agents have made {} workspaces for this owner, which is the"
    " limit; delete one first",
}
