"""The context of a tool call: the chat, its owner, the database, the settings."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from chattool.authorization import OwnerAuthorization, StoredAuthorization
from chattool.settings import ToolSettings
from db.catalog.chats import ChatKey
from db.engine import Database
from worker.broker.doorbell import Ring
from worker.enqueue import EnqueueTracer


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """One chat of one owner. The agent's platform creates it; the model never sees it."""

    database: Database
    chat_id: str  #: the platform's own ID, up to 200 characters
    owner_id: uuid.UUID
    organization_id: uuid.UUID
    authorization: OwnerAuthorization = field(default_factory=StoredAuthorization)
    settings: ToolSettings = field(default_factory=ToolSettings)
    ring: Ring | None = None  #: rings doorbells; None means the default of ``worker.enqueue``
    tracer: EnqueueTracer | None = None  #: None means this process's own OpenTelemetry

    @property
    def chat(self) -> ChatKey:
        """The key of the chat's row.

        Raises:
            InvalidError: the chat's ID is not allowed.
        """
        return ChatKey(
            owner_id=self.owner_id, organization_id=self.organization_id, id=self.chat_id
        )
