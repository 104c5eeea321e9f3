"""Templates, their versions, and the archives of these."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.enums import ProvisionerType
from db.schema.tables.base import (
    Base,
    CreatedAt,
    OrganizationFk,
    UpdatedAt,
    UuidPk,
    unique_until_deleted,
)


class File(Base):
    """An archive. The same content of one creator is stored once."""

    __tablename__ = "files"

    id: Mapped[UuidPk]
    hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[CreatedAt]
    created_by: Mapped[uuid.UUID]
    mimetype: Mapped[str] = mapped_column(String(64))
    data: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (UniqueConstraint("hash", "created_by"),)


class Template(Base):
    """A named line of template versions."""

    __tablename__ = "templates"

    id: Mapped[UuidPk]
    organization_id: Mapped[OrganizationFk]
    name: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(server_default="")
    description: Mapped[str] = mapped_column(server_default="")
    icon: Mapped[str] = mapped_column(server_default="")
    provisioner: Mapped[ProvisionerType]
    # use_alter: templates and template_versions refer to each other.
    active_version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("template_versions.id", use_alter=True)
    )
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    allow_user_cancel_workspace_jobs: Mapped[bool] = mapped_column(server_default=text("true"))
    deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    #: whether users other than the template's admins may only start the active version
    require_active_version: Mapped[bool] = mapped_column(server_default=text("false"))
    #: whether builds download modules again, instead of taking those of the import
    disable_module_cache: Mapped[bool] = mapped_column(server_default=text("false"))
    #: how long new workspaces run unless they say otherwise, in nanoseconds; 0: until stopped
    default_ttl: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    #: how long a workspace runs at least after it was used, in nanoseconds; 0: use changes nothing
    activity_bump: Mapped[int] = mapped_column(BigInteger, server_default=text("3600000000000"))
    deprecated: Mapped[str] = mapped_column(server_default="")  #: why; empty unless deprecated
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        unique_until_deleted(
            "uq_templates_organization_id_name", "organization_id", text("lower(name)")
        ),
    )


class TemplateVersion(Base):
    """One pushed content of a template. Its archive is the file of its import job."""

    __tablename__ = "template_versions"

    id: Mapped[UuidPk]
    template_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("templates.id", ondelete="CASCADE"), index=True
    )
    organization_id: Mapped[OrganizationFk]
    name: Mapped[str] = mapped_column(String(64))
    readme: Mapped[str] = mapped_column(String(1048576), server_default="")
    message: Mapped[str] = mapped_column(String(1048576), server_default="")
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("provisioner_jobs.id"), unique=True)
    created_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    archived: Mapped[bool] = mapped_column(server_default=text("false"))
    #: objects with id and optional
    external_auth_providers: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, server_default=text("'[]'::jsonb")
    )
    has_ai_task: Mapped[bool] = mapped_column(server_default=text("false"))
    has_external_agent: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (UniqueConstraint("template_id", "name"),)
