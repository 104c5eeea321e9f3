"""The settings that are times: deadlines, leases, intervals, and how long rows are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.jobs.retention import Retention
from worker.broker.secretfile import PREFIX

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TimeSettings(BaseSettings):
    """How long things may take, and how often they happen."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    init_timeout_seconds: Seconds = Field(600, description="deadline of terraform init")
    plan_timeout_seconds: Seconds = Field(600, description="deadline of terraform plan")
    apply_timeout_seconds: Seconds = Field(3600, description="deadline of terraform apply")
    interrupt_grace_seconds: Seconds = Field(
        300, description="how long an interrupted terraform may run before it is killed"
    )
    drain_seconds: Seconds = Field(
        600, description="how long a draining worker lets its builds go on"
    )

    lease_seconds: Seconds = Field(20, description="how long a lease lasts unless it is renewed")
    renew_seconds: Seconds = Field(3, description="time between renewals of the leases")
    fence_seconds: Seconds = Field(
        12, description="a worker stops its own builds after this time without a renewal"
    )
    fence_grace_seconds: Seconds = Field(
        5, description="how long a build may take to stop after it lost its lease"
    )
    sweep_seconds: Seconds = Field(
        5, description="time between sweeps for lost workers and doorbells"
    )
    heartbeat_seconds: Seconds = Field(20, description="time between heartbeats of a worker")
    watchdog_seconds: Seconds = Field(
        60, description="a worker ends itself if jobs wait this long and it gets no doorbell"
    )
    pending_limit_seconds: Seconds = Field(
        1800, description="a job fails if no worker claims it within this time"
    )
    stop_retry_seconds: float = Field(
        300, ge=0, le=86_400, description="a failed stop is tried once more after this; 0: never"
    )

    retain_logs_days: float = Field(
        30, gt=0, le=36500, description="how long the log of a finished job is kept"
    )
    retain_states_days: float = Field(
        30, gt=0, le=36500, description="how long the state of a superseded build is kept"
    )
    retain_jobs_days: float = Field(
        90, gt=0, le=36500, description="how long a finished job and a superseded build are kept"
    )
    retain_audit_days: float = Field(
        365, gt=0, le=36500, description="how long a row of the audit log is kept"
    )
    retain_chats_days: float = Field(
        30, gt=0, le=36500, description="how long a chat without a workspace is kept after its use"
    )
    prune_hours: float = Field(
        6, ge=0, le=8760, description="time between prunings; 0 turns pruning off"
    )

    tool_poll_seconds: Seconds = Field(
        2, description="how often an agent's tool polls the build that it waits for"
    )
    tool_timeout_seconds: Seconds = Field(
        600, description="how long an agent's tool waits for one build"
    )
    tool_quota_timeout_seconds: Seconds = Field(
        2, description="how long an agent's tool waits for the quota figures of a refusal"
    )

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.renew_seconds * 2 > self.fence_seconds:
            raise ValueError(
                "RENEW_SECONDS must be at most half of FENCE_SECONDS,"
                " so that one missed renewal does not stop builds"
            )
        if self.fence_seconds + self.fence_grace_seconds > self.lease_seconds:
            raise ValueError(
                "FENCE_SECONDS + FENCE_GRACE_SECONDS must be at most LEASE_SECONDS,"
                " so that a build has stopped before another worker may claim its job"
            )
        if self.sweep_seconds * 2 > self.lease_seconds:
            raise ValueError(
                "SWEEP_SECONDS must be at most half of LEASE_SECONDS,"
                " so that the lease of an orphaned Terraform can be renewed"
            )
        return self

    @property
    def stop_retry(self) -> timedelta | None:
        """How long after its failure a stop is tried once more; None: never."""
        return timedelta(seconds=self.stop_retry_seconds) if self.stop_retry_seconds else None

    @property
    def retention(self) -> Retention:
        """How long logs, states and jobs are kept."""
        return Retention(
            logs=timedelta(days=self.retain_logs_days),
            states=timedelta(days=self.retain_states_days),
            jobs=timedelta(days=self.retain_jobs_days),
            audit_logs=timedelta(days=self.retain_audit_days),
            chats=timedelta(days=self.retain_chats_days),
        )

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts unless it is renewed."""
        return timedelta(seconds=self.lease_seconds)
