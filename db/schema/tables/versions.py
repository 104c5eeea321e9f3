"""What the import of a template version found, and what dry runs of the version found."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.enums import PrebuildStatus, Transition
from db.schema.tables.base import Base, CreatedAt, JobFk, UpdatedAt, UserFk, UuidPk

EMPTY_LIST = text("'[]'::jsonb")
EMPTY_OBJECT = text("'{}'::jsonb")
FALSE = text("false")
VersionFk = Annotated[
    uuid.UUID, mapped_column(ForeignKey("template_versions.id", ondelete="CASCADE"))
]
PresetFk = Annotated[
    uuid.UUID, mapped_column(ForeignKey("template_version_presets.id", ondelete="CASCADE"))
]


class TemplateVersionVariable(Base):
    """A ``variable`` block of a template version, and the value that the template's admin set."""

    __tablename__ = "template_version_variables"

    template_version_id: Mapped[VersionFk] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str] = mapped_column(server_default="")
    type: Mapped[str] = mapped_column(server_default="string")
    # NULL means that no value was set. An empty string is a value.
    value: Mapped[str | None]
    default_value: Mapped[str] = mapped_column(server_default="")
    required: Mapped[bool] = mapped_column(server_default=text("true"))
    sensitive: Mapped[bool] = mapped_column(server_default=FALSE)
    ephemeral: Mapped[bool] = mapped_column(server_default=FALSE)
    position: Mapped[int] = mapped_column(server_default=text("0"))  #: order in the template


class TemplateVersionParameter(Base):
    """A value that the user of a workspace chooses.

    A ``data "coder_parameter"`` declares it, or a variable named ``parameter_<name>``.
    """

    __tablename__ = "template_version_parameters"

    template_version_id: Mapped[VersionFk] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    display_name: Mapped[str] = mapped_column(server_default="")
    description: Mapped[str] = mapped_column(server_default="")
    type: Mapped[str] = mapped_column(server_default="string")
    form_type: Mapped[str] = mapped_column(server_default="")
    mutable: Mapped[bool] = mapped_column(server_default=FALSE)
    default_value: Mapped[str] = mapped_column(server_default="")
    icon: Mapped[str] = mapped_column(String(256), server_default="")
    #: objects with name, description, value and icon
    options: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=EMPTY_LIST)
    validation_regex: Mapped[str] = mapped_column(server_default="")
    validation_min: Mapped[int | None] = mapped_column(BigInteger)
    validation_max: Mapped[int | None] = mapped_column(BigInteger)
    validation_error: Mapped[str] = mapped_column(server_default="")
    validation_monotonic: Mapped[str] = mapped_column(server_default="")
    required: Mapped[bool] = mapped_column(server_default=text("true"))  #: it has no default
    display_order: Mapped[int] = mapped_column(server_default=text("0"))
    ephemeral: Mapped[bool] = mapped_column(server_default=FALSE)
    #: its value must not appear in logs and errors
    sensitive: Mapped[bool] = mapped_column(server_default=FALSE)
    #: the Terraform type of the variable that declares it; NULL if none does
    variable_type: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("type IN ('string', 'number', 'bool', 'list(string)')", name="type_known"),
        CheckConstraint(
            "validation_monotonic IN ('increasing', 'decreasing', '')",
            name="validation_monotonic_known",
        ),
    )


class TemplateVersionPreset(Base):
    """A named set of parameter values that a template version offers."""

    __tablename__ = "template_version_presets"

    id: Mapped[UuidPk]
    template_version_id: Mapped[VersionFk]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]
    desired_instances: Mapped[int] = mapped_column(server_default=text("0"))  #: prebuilt workspaces
    invalidate_after_secs: Mapped[int | None]
    scheduling_timezone: Mapped[str] = mapped_column(server_default="")
    is_default: Mapped[bool] = mapped_column(server_default=FALSE)
    description: Mapped[str] = mapped_column(String(128), server_default="")
    icon: Mapped[str] = mapped_column(String(256), server_default="")
    prebuild_status: Mapped[PrebuildStatus] = mapped_column(
        server_default=PrebuildStatus.HEALTHY.value
    )

    __table_args__ = (
        UniqueConstraint("template_version_id", "name"),
        Index(
            "uq_template_version_presets_default",
            "template_version_id",
            unique=True,
            postgresql_where="is_default",
        ),
    )


class TemplateVersionPresetParameter(Base):
    """The value of a parameter in a preset."""

    __tablename__ = "template_version_preset_parameters"

    template_version_preset_id: Mapped[PresetFk] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class TemplateVersionPresetPrebuildSchedule(Base):
    """How many prebuilt workspaces of a preset are wanted at the times that match ``cron``."""

    __tablename__ = "template_version_preset_prebuild_schedules"

    id: Mapped[UuidPk]
    preset_id: Mapped[PresetFk] = mapped_column(index=True)
    cron_expression: Mapped[str]
    desired_instances: Mapped[int]


class TemplateVersionWorkspaceTag(Base):
    """A tag of ``data "coder_workspace_tags"``: its value is an HCL expression."""

    __tablename__ = "template_version_workspace_tags"

    template_version_id: Mapped[VersionFk] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class TemplateVersionTerraformValues(Base):
    """What builds of a version take from its import. A version without this row has no import."""

    __tablename__ = "template_version_terraform_values"

    template_version_id: Mapped[VersionFk] = mapped_column(primary_key=True)
    updated_at: Mapped[UpdatedAt]
    cached_plan: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    #: a tar of the modules and of the completed lock file
    cached_module_files: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("files.id"), index=True
    )
    provisionerd_version: Mapped[str] = mapped_column(server_default="")
    #: pairs of addresses, the second of what the first refers to; NULL if builds ask Terraform
    graph: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))


class WorkspaceModule(Base):
    """A module that a job's template calls."""

    __tablename__ = "workspace_modules"

    id: Mapped[UuidPk]
    job_id: Mapped[JobFk] = mapped_column(index=True)
    transition: Mapped[Transition]
    source: Mapped[str]
    version: Mapped[str] = mapped_column(server_default="")
    key: Mapped[str]  #: its path in the configuration, such as ``network.subnets``
    created_at: Mapped[CreatedAt]


class TemplateVersionDryRun(Base):
    """What a dry run plans for, and what its plan found: NULL until it has succeeded."""

    __tablename__ = "template_version_dry_runs"

    job_id: Mapped[JobFk] = mapped_column(primary_key=True)
    template_version_id: Mapped[VersionFk]
    owner_id: Mapped[UserFk]
    #: whose state the plan starts from; NULL for a workspace that does not exist
    workspace_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("workspaces.id", ondelete="CASCADE")
    )
    workspace_name: Mapped[str]
    parameters: Mapped[dict[str, str]]
    daily_cost: Mapped[int | None]
    #: objects with address, type, name, action and daily_cost
    changes: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)

    __table_args__ = (CheckConstraint("daily_cost >= 0", name="daily_cost_not_negative"),)
