"""Examples of what readers return: of a job, a workspace and a worker, for captures and tests."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from db.reads.jobs import Job
from db.reads.workers import WorkerListing
from db.reads.workspaces import WorkspaceListing
from db.schema.enums import JobStatus, JobType, ProvisionerType, Transition


def ago(**span: float) -> datetime:
    """Return the time this long ago."""
    # A little earlier, so that the age is the same when the table is printed.
    return datetime.now(UTC) - timedelta(**span) - timedelta(seconds=1)


def example_job(job_id: uuid.UUID, **changes: Any) -> Job:
    """Return a build that has been claimed, with these fields changed."""
    job = Job(
        id=job_id,
        type=JobType.WORKSPACE_BUILD,
        status=JobStatus.SUCCEEDED,
        provisioner=ProvisionerType.TERRAFORM,
        queue="builds",
        tags={},
        input={},
        file_id=uuid.UUID(int=0),
        stage="complete",
        attempt=1,
        drains=0,
        error=None,
        error_code=None,
        failure_reason=None,
        logs_overflowed=False,
        organization_id=uuid.UUID(int=0),
        created_at=ago(minutes=12),
        started_at=ago(minutes=12),
        canceled_at=None,
        completed_at=None,
        worker_id=None,
        worker_name="build-1",
        initiator_id=uuid.UUID(int=0),
        initiator_name="alice",
        queue_position=0,
        queue_size=0,
        available_workers=(),
        template_version_name="v2",
        template_id=None,
        template_name="dev",
        template_display_name="",
        template_icon="",
        workspace_id=None,
        workspace_name="box",
        workspace_owner_name="alice",
        workspace_build_id=None,
        build_number=1,
        transition=Transition.START,
        daily_cost=4,
        quota_budget=None,
        quota_credits_consumed=None,
    )
    return replace(job, **changes)


def example_workspace(**changes: Any) -> WorkspaceListing:
    """Return a workspace that runs, with these fields changed."""
    box = WorkspaceListing(
        id=uuid.UUID(int=1),
        name="box",
        owner_name="alice",
        template_name="dev",
        status="running",
        daily_cost=4,
        build_number=3,
        transition=Transition.START,
        job_id=uuid.UUID(int=2),
        last_build_at=ago(minutes=12),
        is_outdated=True,
    )
    return replace(box, **changes)


def example_worker(**changes: Any) -> WorkerListing:
    """Return a worker that runs a job, with these fields changed."""
    worker = WorkerListing(
        id=uuid.UUID(int=1),
        name="build-1",
        status="busy",
        is_stale=False,
        tags={},
        provisioners=["terraform"],
        queues=["builds"],
        organization_ids=[],
        organizations=[],
        slots=4,
        running_jobs=1,
        free_slots=3,
        last_seen_at=None,
        last_seen_s=2,
        version="1.0.0",
        hostname="build-1",
    )
    return replace(worker, **changes)
