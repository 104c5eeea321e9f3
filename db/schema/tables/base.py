"""The base of all tables: names of constraints, types, and common columns."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
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

from db.schema import agentenums, enums
from db.schema.types import enum_type

NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


ENUMS: Mapping[type[StrEnum], str] = {
    enums.JobStatus: "provisioner_job_status",
    enums.JobType: "provisioner_job_type",
    enums.ProvisionerType: "provisioner_type",
    enums.StorageMethod: "provisioner_storage_method",
    enums.TimingStage: "provisioner_job_timing_stage",
    enums.Transition: "workspace_transition",
    enums.LogLevel: "log_level",
    enums.LogSource: "log_source",
    enums.BuildReason: "build_reason",
    enums.UserStatus: "user_status",
    enums.LoginType: "login_type",
    enums.GroupSource: "group_source",
    enums.PrebuildStatus: "prebuild_status",
    agentenums.AgentKeyScope: "agent_key_scope_enum",
    agentenums.AgentLifecycleState: "workspace_agent_lifecycle_state",
    agentenums.MonitorState: "workspace_agent_monitor_state",
    agentenums.AppSharingLevel: "app_sharing_level",
    agentenums.AppHealth: "workspace_app_health",
    agentenums.AppOpenIn: "workspace_app_open_in",
    enums.TokenScope: "token_scope",
    enums.AutomaticUpdates: "automatic_updates",
}
"""The enumerations of columns, with the names of their PostgreSQL types."""


class Base(DeclarativeBase):
    """The declarative base, with the PostgreSQL type of each annotated Python type."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy on the class
        str: Text,
        uuid.UUID: UUID(as_uuid=True),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        dict[str, str]: JSONB,
        **{kind: enum_type(kind, name) for kind, name in ENUMS.items()},
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
