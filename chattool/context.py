"""The context of a tool call: the owner, perhaps a chat, the database, the settings."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from chattool.authorization import AuthorizedOwner, OwnerAuthorization, StoredAuthorization
from chattool.parameters import NO_VALUES, ChosenValues
from chattool.settings import ToolSettings
from chattool.waiting import Done, Report, Waiting, after_import, report_nothing, wait_for_build
from db.catalog.audit import Actor, AuditAction, audit
from db.catalog.builds import EnqueuedBuild
from db.catalog.chats import ChatKey
from db.engine import Database
from db.reads.contract import WorkspaceBuild
from db.reads.progress import JobProgress
from db.reads.waking import Watch
from db.schema.enums import Transition
from worker.broker.ringer import Ring
from worker.enqueue import EnqueueTracer, enqueue_build


@dataclass(frozen=True, kw_only=True)
class OwnerContext:
    """An owner in an organization. The platform creates it; the model never sees it."""

    database: Database
    owner_id: uuid.UUID
    organization_id: uuid.UUID
    authorization: OwnerAuthorization = field(default_factory=StoredAuthorization)
    settings: ToolSettings = field(default_factory=ToolSettings)
    ring: Ring | None = None  #: rings doorbells; None means the default of ``worker.enqueue``
    tracer: EnqueueTracer | None = None  #: None means this process's own OpenTelemetry
    actor: Actor | None = None  #: for the audit log; None: changes are not recorded there
    watch: Watch = field(default_factory=Watch)  #: without a waker jobs are polled
    report: Report = report_nothing

    def authorize(self, session: Session) -> AuthorizedOwner:
        """Return the owner.

        Raises:
            AuthorizationError: the owner may not act in the organization.
        """
        return self.authorization.authorize(
            session, owner_id=self.owner_id, organization_id=self.organization_id
        )

    def enqueue(
        self,
        session: Session,
        owner: AuthorizedOwner,
        workspace_id: uuid.UUID,
        transition: Transition,
        *,
        values: ChosenValues = NO_VALUES,
        template_version_id: uuid.UUID | None = None,
    ) -> EnqueuedBuild:
        """Enqueue a build of a workspace as ``worker.enqueue`` does."""
        return enqueue_build(
            session,
            workspace_id=workspace_id,
            transition=transition,
            initiator_id=owner.id,
            template_version_id=template_version_id,
            parameters=values.parameters,
            preset=values.preset,
            ring=self.ring,
            tracer=self.tracer,
        )

    def wait_for(self, build_id: uuid.UUID) -> WorkspaceBuild:
        """Wait until a build has ended, as ``chattool.waiting.wait_for_build`` does."""
        return wait_for_build(
            self.database,
            build_id,
            settings=self.settings,
            watch=self.watch,
            report=self.report,
        )

    def wait_for_job(self, job_id: uuid.UUID) -> JobProgress:
        """Wait until a job has ended; its status is active if the time limit has passed."""
        return Waiting(self.database, self.settings, self.watch, self.report).for_job(job_id)

    def record(
        self, session: Session, action: AuditAction, *, resource: tuple[str, uuid.UUID, str]
    ) -> None:
        """Record a change in the audit log, in the transaction that makes it."""
        if self.actor is not None:
            audit(
                session,
                actor=self.actor,
                action=action,
                organization_id=self.organization_id,
                resource=resource,
            )

    def after_import(self, act: Callable[[], Done]) -> Done:
        """Return what ``act`` returns, as ``chattool.waiting.after_import`` does."""
        return after_import(
            self.database, act, settings=self.settings, watch=self.watch, report=self.report
        )


@dataclass(frozen=True, kw_only=True)
class ToolContext(OwnerContext):
    """One chat of one owner."""

    chat_id: str  #: the platform's own ID, up to 200 characters

    @property
    def chat(self) -> ChatKey:
        """The key of the chat's row.

        Raises:
            InvalidError: the chat's ID is not allowed.
        """
        return ChatKey(
            owner_id=self.owner_id, organization_id=self.organization_id, id=self.chat_id
        )
