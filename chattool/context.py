"""The context of a tool call: the chat, its owner, the database, the settings."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from chattool.authorization import AuthorizedOwner, OwnerAuthorization, StoredAuthorization
from chattool.parameters import ChosenValues
from chattool.settings import ToolSettings
from db.catalog.chats import ChatKey
from db.catalog.workspaces import EnqueuedBuild
from db.engine import Database
from db.schema.enums import Transition
from worker.broker.doorbell import Ring
from worker.enqueue import EnqueueTracer, enqueue_build


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

    def authorize(self, session: Session) -> AuthorizedOwner:
        """Return the chat's owner.

        Raises:
            AuthorizationError: the owner may not act in the chat's organization.
        """
        return self.authorization.authorize(
            session, owner_id=self.owner_id, organization_id=self.organization_id
        )

    def enqueue_start(
        self,
        session: Session,
        owner: AuthorizedOwner,
        workspace_id: uuid.UUID,
        *,
        values: ChosenValues,
        template_version_id: uuid.UUID | None = None,
    ) -> EnqueuedBuild:
        """Enqueue the start of a workspace as ``worker.enqueue`` does."""
        return enqueue_build(
            session,
            workspace_id=workspace_id,
            transition=Transition.START,
            initiator_id=owner.id,
            template_version_id=template_version_id,
            parameters=values.parameters,
            preset=values.preset,
            ring=self.ring,
            tracer=self.tracer,
        )
