"""What the tools of agents ask of the database: chats, their workspaces, their owners."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.errors import ConflictError, InvalidError, NotFoundError
from db.reads.contract import WorkspaceQuota
from db.schema.enums import JobErrorCode, JobStatus, ProvisionerType, Transition, UserStatus
from db.schema.tables import Chat, Template
from db.texts import check_storable

CHAT_ID_LIMIT = 200


@dataclass(frozen=True, kw_only=True)
class ChatKey:
    """A chat: the id is the agent platform's, and means nothing beyond its owner.

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


@dataclass(frozen=True, kw_only=True)
class BoundWorkspace:
    """The workspace of a chat, and where its latest build stands."""

    id: uuid.UUID
    name: str  #: owner/name
    deleted: bool
    build_id: uuid.UUID
    build_number: int
    template_version_id: uuid.UUID
    transition: Transition
    status: JobStatus

    @property
    def is_running(self) -> bool:
        """Whether the workspace was started and nothing has happened since."""
        return self.transition is Transition.START and self.status is JobStatus.SUCCEEDED

    @property
    def is_stopped(self) -> bool:
        """Whether the workspace was stopped and nothing has happened since."""
        return self.transition is Transition.STOP and self.status is JobStatus.SUCCEEDED


@dataclass(frozen=True, kw_only=True)
class BuildOutcome:
    """Where a build stands, in as little as a poll needs."""

    status: JobStatus
    error: str | None
    error_code: JobErrorCode | None


@dataclass(frozen=True, kw_only=True)
class OwnerFacts:
    """Who an owner is and what they may do in one organization."""

    id: uuid.UUID
    username: str
    status: UserStatus
    deleted: bool
    is_member: bool
    roles: Sequence[str]
    groups: Sequence[str]


def open_chat(session: Session, chat: ChatKey) -> None:
    """Make the chat's row unless it is there.

    Raises:
        InvalidError: there is no such owner or organization.
        ConflictError: the chat belongs to another organization.
    """
    home = _home_of(session, chat)
    if home is None:
        _insert_chat(session, chat)
        home = _home_of(session, chat)
    if home != chat.organization_id:
        raise ConflictError(f"chat {chat.id!r} belongs to another organization; use another chat")


def lock_chat(session: Session, chat: ChatKey) -> None:
    """Let this transaction be the only one that may give the chat a workspace."""
    session.execute(
        select(Chat.id).where(Chat.owner_id == chat.owner_id, Chat.id == chat.id).with_for_update()
    ).one()


def bind_chat(
    session: Session, chat: ChatKey, *, workspace_id: uuid.UUID, build_id: uuid.UUID
) -> None:
    """Make a workspace the chat's, in place of an earlier one. The caller has locked the chat."""
    session.execute(
        update(Chat)
        .where(Chat.owner_id == chat.owner_id, Chat.id == chat.id)
        .values(workspace_id=workspace_id, build_id=build_id, updated_at=func.now())
    )


def note_build(
    session: Session, chat: ChatKey, *, workspace_id: uuid.UUID, build_id: uuid.UUID
) -> None:
    """Note which build the chat's tools wait for, if the workspace is still the chat's."""
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


def find_bound_workspace(session: Session, chat: ChatKey) -> BoundWorkspace | None:
    """Return the chat's workspace, deleted or not; None when it never had one."""
    row = session.execute(
        text("""
            SELECT workspace.id,
                   owner.username || '/' || workspace.name AS name,
                   workspace.deleted,
                   latest.id AS build_id,
                   latest.build_number,
                   latest.template_version_id,
                   latest.transition::text,
                   job.job_status::text AS status
            FROM chats AS chat
            JOIN workspaces AS workspace ON workspace.id = chat.workspace_id
            JOIN users AS owner ON owner.id = workspace.owner_id
            CROSS JOIN LATERAL (
                SELECT build.id, build.build_number, build.template_version_id,
                       build.transition, build.job_id
                FROM workspace_builds AS build
                WHERE build.workspace_id = workspace.id
                ORDER BY build.build_number DESC
                LIMIT 1
            ) AS latest
            JOIN provisioner_jobs AS job ON job.id = latest.job_id
            WHERE chat.owner_id = :owner_id
              AND chat.id = :id
              AND chat.organization_id = :organization_id
        """),
        {"owner_id": chat.owner_id, "id": chat.id, "organization_id": chat.organization_id},
    ).one_or_none()
    if row is None:
        return None
    facts = {**row._asdict(), "transition": Transition(row.transition)}
    return BoundWorkspace(**{**facts, "status": JobStatus(row.status)})


def get_build_outcome(session: Session, build_id: uuid.UUID) -> BuildOutcome:
    """Return where a build stands.

    Raises:
        NotFoundError: there is no such build.
    """
    row = session.execute(
        text("""
            SELECT job.job_status::text AS status, job.error, job.error_code
            FROM workspace_builds AS build
            JOIN provisioner_jobs AS job ON job.id = build.job_id
            WHERE build.id = :build_id
        """),
        {"build_id": build_id},
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no workspace build {build_id}")
    return BuildOutcome(
        status=JobStatus(row.status),
        error=row.error,
        error_code=JobErrorCode(row.error_code) if row.error_code else None,
    )


def find_quota_decision(session: Session, build_id: uuid.UUID) -> WorkspaceQuota | None:
    """Return the figures that the build's quota commit decided by; None when it has none."""
    row = session.execute(
        text("""
            SELECT quota_credits_consumed AS credits_consumed, quota_budget AS budget
            FROM workspace_builds
            WHERE id = :build_id
              AND quota_budget IS NOT NULL
              AND quota_credits_consumed IS NOT NULL
        """),
        {"build_id": build_id},
    ).one_or_none()
    return WorkspaceQuota(**row._asdict()) if row else None


def find_owner(
    session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
) -> OwnerFacts | None:
    """Return the user with their roles and groups in the organization, or None."""
    row = session.execute(
        text("""
            SELECT owner.id,
                   owner.username,
                   owner.status::text,
                   owner.deleted,
                   member.user_id IS NOT NULL AS is_member,
                   owner.rbac_roles || coalesce(member.roles, '{}') AS roles,
                   ARRAY(
                       SELECT expanded.group_name
                       FROM group_members_expanded AS expanded
                       WHERE expanded.user_id = owner.id
                         AND expanded.organization_id = :organization_id
                       ORDER BY expanded.group_name
                   ) AS groups
            FROM users AS owner
            LEFT JOIN organization_members AS member
                   ON member.user_id = owner.id AND member.organization_id = :organization_id
            WHERE owner.id = :owner_id
        """),
        {"owner_id": owner_id, "organization_id": organization_id},
    ).one_or_none()
    return OwnerFacts(**{**row._asdict(), "status": UserStatus(row.status)}) if row else None


def find_template(session: Session, wanted: str, *, organization_id: uuid.UUID) -> Template | None:
    """Return the template of that id, in whatever organization, or else of that name in this."""
    query = select(Template).where(~Template.deleted)
    if (template_id := _as_uuid(wanted)) and (
        found := session.scalars(query.where(Template.id == template_id)).one_or_none()
    ):
        return found
    return session.scalars(
        query.where(
            Template.organization_id == organization_id,
            func.lower(Template.name) == wanted.lower(),
        )
    ).one_or_none()


def list_template_names(
    session: Session, *, organization_id: uuid.UUID, limit: int = 20
) -> list[str]:
    """Return the names of templates that can be built in the organization."""
    query = (
        select(Template.name)
        .where(
            Template.organization_id == organization_id,
            ~Template.deleted,
            Template.active_version_id.is_not(None),
        )
        .order_by(Template.name)
        .limit(limit)
    )
    return list(session.scalars(query))


def get_version_source(
    session: Session, template_version_id: uuid.UUID
) -> tuple[ProvisionerType, bytes]:
    """Return the engine and the source archive of a template version."""
    row = session.execute(
        text("""
            SELECT job.provisioner::text, file.data
            FROM template_versions AS version
            JOIN provisioner_jobs AS job ON job.id = version.job_id
            JOIN files AS file ON file.id = job.file_id
            WHERE version.id = :id
        """),
        {"id": template_version_id},
    ).one()
    return ProvisionerType(row.provisioner), row.data


def limit_statements(session: Session, timeout: timedelta) -> None:
    """Let PostgreSQL end each statement of this transaction that takes longer."""
    session.execute(
        text("SELECT set_config('statement_timeout', :timeout, true)"),
        {"timeout": f"{max(1, int(timeout.total_seconds() * 1000))}ms"},
    )


def _home_of(session: Session, chat: ChatKey) -> uuid.UUID | None:
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


def _as_uuid(value: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(value)
    except ValueError:
        return None
