"""Workspaces, their builds, and the states, parameters and resources of the builds."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.enums import AutomaticUpdates, BuildReason, Transition
from db.schema.tables.base import (
    Base,
    BigIntPk,
    CreatedAt,
    JobFk,
    UpdatedAt,
    UuidPk,
    unique_until_deleted,
)

ZERO_TIME = text("'0001-01-01 00:00:00+00'")

_STATE_IS_IDENTIFIED = (
    "(provisioner_state IS NULL) OR (state_lineage IS NOT NULL AND state_serial IS NOT NULL)"
)


class Workspace(Base):
    """A development machine of a user. Its state is stored on its builds."""

    __tablename__ = "workspaces"

    id: Mapped[UuidPk]
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    template_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("templates.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    autostart_schedule: Mapped[str | None]
    ttl: Mapped[int | None] = mapped_column(BigInteger)  #: nanoseconds
    last_used_at: Mapped[datetime] = mapped_column(server_default=ZERO_TIME)
    dormant_at: Mapped[datetime | None]
    deleting_at: Mapped[datetime | None]
    automatic_updates: Mapped[AutomaticUpdates] = mapped_column(
        server_default=AutomaticUpdates.NEVER.value
    )
    favorite: Mapped[bool] = mapped_column(server_default=text("false"))
    chat_id: Mapped[str | None] = mapped_column(String(200))  #: of the agent that made it
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        unique_until_deleted("uq_workspaces_owner_id_name", "owner_id", text("lower(name)")),
        # For quota: the workspaces of one owner in one organization.
        Index(
            "ix_workspaces_owner_id_organization_id",
            "owner_id",
            "organization_id",
            postgresql_where="NOT deleted",
        ),
    )


class WorkspaceBuild(Base):
    """One transition of a workspace, run by one provisioner job.

    ``provisioner_state`` starts as a copy of the previous build's state. Every checkpoint during
    apply replaces it, so it is always the newest known state. A person may push another state to
    the latest build; the replaced one is then kept in ``replaced_states``.
    """

    __tablename__ = "workspace_builds"

    id: Mapped[UuidPk]
    workspace_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    template_version_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("template_versions.id"))
    build_number: Mapped[int]
    transition: Mapped[Transition]
    initiator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("provisioner_jobs.id"), unique=True)
    reason: Mapped[BuildReason] = mapped_column(server_default=BuildReason.INITIATOR.value)
    deadline: Mapped[datetime] = mapped_column(server_default=ZERO_TIME)
    max_deadline: Mapped[datetime] = mapped_column(server_default=ZERO_TIME)
    daily_cost: Mapped[int] = mapped_column(server_default=text("0"))
    # No foreign key: a preset lives as long as its version, and a version as long as its builds.
    template_version_preset_id: Mapped[uuid.UUID | None]

    provisioner_state: Mapped[bytes | None] = mapped_column(LargeBinary)
    state_lineage: Mapped[str | None]
    state_serial: Mapped[int | None] = mapped_column(BigInteger)
    checkpoint_at: Mapped[datetime | None]  #: when this build last stored a state

    # The figures of the quota decision, so that a later explanation agrees with it.
    quota_budget: Mapped[int | None] = mapped_column(BigInteger)
    quota_credits_consumed: Mapped[int | None] = mapped_column(BigInteger)

    has_ai_task: Mapped[bool | None]
    has_external_agent: Mapped[bool | None]

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        # With INCLUDE, the sum of the quota reads only the index.
        Index(
            "uq_workspace_builds_workspace_id_build_number",
            "workspace_id",
            "build_number",
            unique=True,
            postgresql_include=["daily_cost"],
        ),
        CheckConstraint("build_number > 0", name="build_number_positive"),
        CheckConstraint("daily_cost >= 0", name="daily_cost_not_negative"),
        CheckConstraint(_STATE_IS_IDENTIFIED, name="state_is_identified"),
    )


class ReplacedState(Base):
    """A state that a person replaced by a push.

    The row of the build has its newest state. Position 0 is the state that the build left, position
    k the kth state that was pushed after it.
    """

    __tablename__ = "replaced_states"

    id: Mapped[BigIntPk]
    workspace_build_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("workspace_builds.id", ondelete="CASCADE")
    )
    position: Mapped[int]
    provisioner_state: Mapped[bytes | None] = mapped_column(LargeBinary)
    state_lineage: Mapped[str | None]
    state_serial: Mapped[int | None] = mapped_column(BigInteger)
    stored_at: Mapped[datetime | None]
    replaced_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("workspace_build_id", "position"),
        CheckConstraint("position >= 0", name="position_not_negative"),
        CheckConstraint(_STATE_IS_IDENTIFIED, name="state_is_identified"),
    )


class WorkspaceBuildParameter(Base):
    """The value of a template parameter in a build."""

    __tablename__ = "workspace_build_parameters"

    workspace_build_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("workspace_builds.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class WorkspaceResource(Base):
    """A managed resource that a build left in the state."""

    __tablename__ = "workspace_resources"

    id: Mapped[UuidPk]
    created_at: Mapped[CreatedAt]
    job_id: Mapped[JobFk] = mapped_column(index=True)
    transition: Mapped[Transition]
    type: Mapped[str] = mapped_column(String(192))
    name: Mapped[str] = mapped_column(String(64))
    hide: Mapped[bool] = mapped_column(server_default=text("false"))
    icon: Mapped[str] = mapped_column(String(256), server_default="")
    instance_type: Mapped[str | None] = mapped_column(String(256))
    daily_cost: Mapped[int] = mapped_column(server_default=text("0"))
    module_path: Mapped[str | None]


class WorkspaceResourceMetadata(Base):
    """An item shown with a resource."""

    __tablename__ = "workspace_resource_metadata"

    id: Mapped[BigIntPk]
    workspace_resource_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("workspace_resources.id", ondelete="CASCADE")
    )
    key: Mapped[str] = mapped_column(String(1024))
    value: Mapped[str | None] = mapped_column(String(65536))
    sensitive: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (UniqueConstraint("workspace_resource_id", "key"),)
