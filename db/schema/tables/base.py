"""The base of all tables: names of constraints, types, and common columns."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    Text,
    TextClause,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, mapped_column

from db.schema import enums
from db.schema.types import enum_type

NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The declarative base, with the PostgreSQL type of each annotated Python type."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy on the class
        str: Text,
        uuid.UUID: UUID(as_uuid=True),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        dict[str, str]: JSONB,
        enums.JobStatus: enum_type(enums.JobStatus, "provisioner_job_status"),
        enums.JobType: enum_type(enums.JobType, "provisioner_job_type"),
        enums.ProvisionerType: enum_type(enums.ProvisionerType, "provisioner_type"),
        enums.StorageMethod: enum_type(enums.StorageMethod, "provisioner_storage_method"),
        enums.TimingStage: enum_type(enums.TimingStage, "provisioner_job_timing_stage"),
        enums.Transition: enum_type(enums.Transition, "workspace_transition"),
        enums.LogLevel: enum_type(enums.LogLevel, "log_level"),
        enums.LogSource: enum_type(enums.LogSource, "log_source"),
        enums.BuildReason: enum_type(enums.BuildReason, "build_reason"),
        enums.UserStatus: enum_type(enums.UserStatus, "user_status"),
        enums.LoginType: enum_type(enums.LoginType, "login_type"),
        enums.GroupSource: enum_type(enums.GroupSource, "group_source"),
        enums.PrebuildStatus: enum_type(enums.PrebuildStatus, "prebuild_status"),
        enums.AgentKeyScope: enum_type(enums.AgentKeyScope, "agent_key_scope_enum"),
        enums.AgentLifecycleState: enum_type(
            enums.AgentLifecycleState, "workspace_agent_lifecycle_state"
        ),
        enums.MonitorState: enum_type(enums.MonitorState, "workspace_agent_monitor_state"),
        enums.AppSharingLevel: enum_type(enums.AppSharingLevel, "app_sharing_level"),
        enums.AppHealth: enum_type(enums.AppHealth, "workspace_app_health"),
        enums.AppOpenIn: enum_type(enums.AppOpenIn, "workspace_app_open_in"),
        enums.TokenScope: enum_type(enums.TokenScope, "token_scope"),
        enums.AutomaticUpdates: enum_type(enums.AutomaticUpdates, "automatic_updates"),
    }


# The program generates ids, or a caller chooses them; the default is for rows from plain SQL.
UuidPk = Annotated[
    uuid.UUID,
    mapped_column(primary_key=True, default=uuid.uuid4, server_default=func.gen_random_uuid()),
]
BigIntPk = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=True)]
# Foreign keys of rows that are deleted with their organization, user or job.
OrganizationFk = Annotated[
    uuid.UUID, mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
]
UserFk = Annotated[uuid.UUID, mapped_column(ForeignKey("users.id", ondelete="CASCADE"))]
JobFk = Annotated[uuid.UUID, mapped_column(ForeignKey("provisioner_jobs.id", ondelete="CASCADE"))]
# Database time, so that a wrong clock on a host does not change order and age.
CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]
UpdatedAt = Annotated[datetime, mapped_column(server_default=func.now())]


def unique_until_deleted(name: str, *columns: str | TextClause) -> Index:
    """Return an index that lets no two rows have the same values, those marked deleted aside."""
    return Index(name, *columns, unique=True, postgresql_where="NOT deleted")
