"""Chats of agents, and the workspace of each chat."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import ConflictError, InvalidError
from db.schema.tables import Chat
from db.texts import check_storable

CHAT_ID_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class ChatKey:
    """Identifies a chat. The agent platform chooses the id; it is unique for one owner only.

    Raises:
        InvalidError: the id is empty, too long, or cannot be stored.
    """

    owner_id: uuid.UUID
    organization_id: uuid.UUID
    id: str

    def __post_init__(self) -> None:
        if not 0 < len(self.id) <= CHAT_ID_LIMIT:
            raise InvalidError(f"the id of a chat has from 1 to {CHAT_ID_LIMIT} characters")
        check_storable("id of a chat", self.id)


def open_chat(session: Session, chat: ChatKey) -> None:
    """Create the chat's row if it does not exist. One that was not used for a day is kept on.

    Raises:
        InvalidError: there is no such owner or organization.
        ConflictError: the chat belongs to another organization.
    """
    session.execute(
        update(Chat)
        .where(
            Chat.owner_id == chat.owner_id,
            Chat.id == chat.id,
            Chat.updated_at < func.now() - timedelta(days=1),
        )
        .values(updated_at=func.now())
    )
    organization_id = _organization_of(session, chat)
    if organization_id is None:
        _insert_chat(session, chat)
        organization_id = _organization_of(session, chat)
    if organization_id != chat.organization_id:
        raise ConflictError(f"chat {chat.id!r} belongs to another organization; use another chat")


def lock_chat(session: Session, chat: ChatKey) -> None:
    """Lock the chat, so that no other transaction binds a workspace to it until this one ends."""
    session.execute(
        select(Chat.id).where(Chat.owner_id == chat.owner_id, Chat.id == chat.id).with_for_update()
    ).one()


def bind_chat(
    session: Session, chat: ChatKey, *, workspace_id: uuid.UUID, build_id: uuid.UUID
) -> None:
    """Bind a workspace to the chat and release the earlier one. The caller has locked the chat."""
    session.execute(
        update(Chat)
        .where(Chat.owner_id == chat.owner_id, Chat.id == chat.id)
        .values(workspace_id=workspace_id, build_id=build_id, updated_at=func.now())
    )


def note_build(
    session: Session, chat: ChatKey, *, workspace_id: uuid.UUID, build_id: uuid.UUID
) -> None:
    """Record which build the chat's tools wait for, if the workspace is still bound to the chat."""
    session.execute(
        update(Chat)
        .where(
            Chat.owner_id == chat.owner_id,
            Chat.id == chat.id,
            Chat.workspace_id == workspace_id,
            Chat.build_id.is_distinct_from(build_id),
        )
        .values(build_id=build_id, updated_at=func.now())
    )


def _organization_of(session: Session, chat: ChatKey) -> uuid.UUID | None:
    query = select(Chat.organization_id).where(Chat.owner_id == chat.owner_id, Chat.id == chat.id)
    return session.scalars(query).one_or_none()


def _insert_chat(session: Session, chat: ChatKey) -> None:
    try:
        with session.begin_nested():
            session.execute(
                insert(Chat)
                .values(owner_id=chat.owner_id, id=chat.id, organization_id=chat.organization_id)
                .on_conflict_do_nothing()
            )
    except IntegrityError as error:
        raise InvalidError("the owner or the organization of the chat does not exist") from error
