"""Provisioner jobs, the leases on them, and the workers that hold these."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.enums import (
    JobErrorCode,
    JobPriority,
    JobStatus,
    JobType,
    LogLevel,
    LogSource,
    ProvisionerType,
    StorageMethod,
    TimingStage,
)
from db.schema.tables.base import (
    Base,
    BigIntPk,
    CreatedAt,
    JobFk,
    OrganizationFk,
    UpdatedAt,
    UuidPk,
)
from db.schema.types import enum_type

LOG_LIMIT_BYTES = 1_048_576
"""Maximum size of the log of a job. Source: Coder (provisionerdserver)."""

# The order of the conditions is that of Coder: an error takes precedence over a cancel.
JOB_STATUS_SQL = """
CASE
    WHEN completed_at IS NOT NULL THEN CASE
        WHEN error <> '' THEN 'failed'::provisioner_job_status
        WHEN canceled_at IS NOT NULL THEN 'canceled'::provisioner_job_status
        ELSE 'succeeded'::provisioner_job_status
    END
    WHEN error <> '' THEN 'failed'::provisioner_job_status
    WHEN canceled_at IS NOT NULL THEN 'canceling'::provisioner_job_status
    WHEN started_at IS NULL THEN 'pending'::provisioner_job_status
    ELSE 'running'::provisioner_job_status
END
"""
ERROR_CODES_SQL = ", ".join(f"'{code}'" for code in JobErrorCode)
DEFAULT_TAGS = text("""'{"scope": "organization", "owner": ""}'::jsonb""")


class ProvisionerJob(Base):
    """A job row, the truth about the job. Only ``db.jobs.moves`` writes its status columns."""

    __tablename__ = "provisioner_jobs"

    id: Mapped[UuidPk]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    started_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]  #: when a cancel was requested
    completed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    error_code: Mapped[str | None]
    organization_id: Mapped[OrganizationFk]
    initiator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    provisioner: Mapped[ProvisionerType]
    storage_method: Mapped[StorageMethod] = mapped_column(server_default=StorageMethod.FILE.value)
    file_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("files.id"))
    type: Mapped[JobType]
    input: Mapped[dict[str, Any]]
    worker_id: Mapped[uuid.UUID | None]
    tags: Mapped[dict[str, str]] = mapped_column(server_default=DEFAULT_TAGS)
    trace_metadata: Mapped[dict[str, Any] | None]
    logs_length: Mapped[int] = mapped_column(server_default=text("0"))
    logs_overflowed: Mapped[bool] = mapped_column(server_default=text("false"))
    job_status: Mapped[JobStatus] = mapped_column(
        enum_type(JobStatus, "provisioner_job_status"), Computed(JOB_STATUS_SQL, persisted=True)
    )

    # Set for builds. A unique index on workspace_id allows one active build per workspace.
    workspace_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("workspaces.id"))
    owner_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id"))

    # The order of claims.
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text(str(JobPriority.HUMAN)))
    fair_rank: Mapped[int] = mapped_column(server_default=text("0"))

    # The current or last attempt.
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    # How often a draining worker requeued the job; these claims do not count as attempts.
    drains: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    # Kept after the end: the attempt that finished the job; NULL if a sweeper or a cancel did.
    lease_token: Mapped[uuid.UUID | None]
    # The token again, if the worker knows every type of job. A trigger refuses other claims of
    # jobs that are not builds: workers of 0.1.0 cannot run those.
    claimed_with: Mapped[uuid.UUID | None]
    stage: Mapped[str | None]
    failure_reason: Mapped[str | None]  #: a FailureReason, for operators

    __table_args__ = (
        Index(
            "ix_provisioner_jobs_claimable",
            "queue",
            "priority",
            "fair_rank",
            "created_at",
            "id",
            postgresql_where="started_at IS NULL AND completed_at IS NULL",
        ),
        Index(
            "uq_provisioner_jobs_active_workspace",
            "workspace_id",
            unique=True,
            postgresql_where="completed_at IS NULL AND workspace_id IS NOT NULL",
        ),
        Index(
            "ix_provisioner_jobs_active_owner",
            "owner_id",
            postgresql_where="completed_at IS NULL",
        ),
        # For db.reads.pages: without a filter; by status and type; by tags, status and type.
        Index("ix_provisioner_jobs_newest", "organization_id", "created_at", "id"),
        Index(
            "ix_provisioner_jobs_by_status",
            "organization_id",
            "job_status",
            "type",
            "created_at",
            "id",
        ),
        Index(
            "ix_provisioner_jobs_by_queue",
            "organization_id",
            "queue",
            "job_status",
            "type",
            "created_at",
            "id",
        ),
        Index(
            "ix_provisioner_jobs_completed_at",
            "completed_at",
            postgresql_where="completed_at IS NOT NULL",
        ),
        CheckConstraint(f"error_code IN ({ERROR_CODES_SQL})", name="error_code_known"),
        CheckConstraint(
            # coalesce: a check that comes to NULL is taken as met.
            "error_code IS NULL OR coalesce(error, '') <> ''",
            name="error_code_has_error",
        ),
        CheckConstraint("error IS NULL OR completed_at IS NOT NULL", name="error_is_final"),
        CheckConstraint(
            "completed_at IS NOT NULL OR (lease_token IS NOT NULL) = (started_at IS NOT NULL)",
            name="lease_while_running",
        ),
        CheckConstraint("lease_token IS NULL OR worker_id IS NOT NULL", name="lease_has_worker"),
        CheckConstraint(
            "canceled_at IS NULL OR started_at IS NOT NULL OR completed_at IS NOT NULL",
            name="canceled_pending_is_completed",
        ),
        CheckConstraint(f"logs_length BETWEEN 0 AND {LOG_LIMIT_BYTES}", name="logs_length_bounded"),
        CheckConstraint("attempt >= 0 AND fair_rank >= 0", name="counts_not_negative"),
        CheckConstraint(
            "type <> 'workspace_build' OR (workspace_id IS NOT NULL AND owner_id IS NOT NULL)",
            name="build_names_workspace",
        ),
    )


class JobLease(Base):
    """The lease of a job. A narrow, separate table, since leases are renewed every few seconds."""

    __tablename__ = "leases"

    job_id: Mapped[JobFk] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID] = mapped_column(unique=True)
    worker_id: Mapped[uuid.UUID]
    expires_at: Mapped[datetime]


class ProvisionerDaemon(Base):
    """A worker. ``queues`` are the queues that it serves, so that SQL can match jobs to it."""

    __tablename__ = "provisioner_daemons"

    id: Mapped[UuidPk]
    created_at: Mapped[CreatedAt]
    name: Mapped[str] = mapped_column(String(64))
    provisioners: Mapped[list[ProvisionerType]] = mapped_column(
        ARRAY(enum_type(ProvisionerType, "provisioner_type"))
    )
    tags: Mapped[dict[str, str]] = mapped_column(server_default=DEFAULT_TAGS)
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: whose jobs it runs; of all if empty
    organizations: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    concurrency: Mapped[int] = mapped_column(server_default=text("1"))
    last_seen_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]  #: set by a clean shutdown, cleared by a start
    draining: Mapped[bool] = mapped_column(server_default=text("false"))
    #: when an operator asked it to take no more jobs; cleared by a start
    drain_requested_at: Mapped[datetime | None]
    version: Mapped[str] = mapped_column(server_default="")
    api_version: Mapped[str] = mapped_column(server_default="1.0")
    hostname: Mapped[str] = mapped_column(server_default="")

    __table_args__ = (
        Index(
            "uq_provisioner_daemons_name_owner",
            text("lower(name)"),
            text("lower(coalesce(tags ->> 'owner', ''))"),
            unique=True,
        ),
    )


class ProvisionerJobLog(Base):
    """One line of a job's log."""

    __tablename__ = "provisioner_job_logs"

    id: Mapped[BigIntPk]
    job_id: Mapped[JobFk]
    created_at: Mapped[datetime]
    source: Mapped[LogSource]
    level: Mapped[LogLevel]
    stage: Mapped[str] = mapped_column(String(128))
    output: Mapped[str] = mapped_column(String(1024))

    __table_args__ = (Index("ix_provisioner_job_logs_job_id_id", "job_id", "id"),)


class ProvisionerJobTiming(Base):
    """How long one step of Terraform took."""

    __tablename__ = "provisioner_job_timings"

    # Coder has no key here, but SQLAlchemy and logical replication need one.
    id: Mapped[BigIntPk]
    job_id: Mapped[JobFk] = mapped_column(index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    stage: Mapped[TimingStage]
    source: Mapped[str]
    action: Mapped[str]
    resource: Mapped[str]
