"""Jobs in the form that clients of the API get."""

from __future__ import annotations

import uuid

from db.reads.contract import ProvisionerJob, ProvisionerJobInput, ProvisionerJobMetadata
from db.reads.jobs import Job

_NO_TEMPLATE = uuid.UUID(int=0)


def as_contract(job: Job) -> ProvisionerJob:
    """Return the job in the form that clients of the API get."""
    return ProvisionerJob(
        id=job.id,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        canceled_at=job.canceled_at,
        error=job.error,
        error_code=job.error_code,
        status=job.status,
        worker_id=job.worker_id,
        worker_name=job.worker_name,
        file_id=job.file_id,
        tags=job.tags,
        queue_position=job.queue_position,
        queue_size=job.queue_size,
        organization_id=job.organization_id,
        initiator_id=job.initiator_id,
        input=ProvisionerJobInput.model_validate(job.input),
        type=job.type,
        available_workers=list(job.available_workers) or None,
        metadata=_metadata(job),
        logs_overflowed=job.logs_overflowed,
    )


def _metadata(job: Job) -> ProvisionerJobMetadata:
    return ProvisionerJobMetadata(
        template_version_name=job.template_version_name,
        template_id=job.template_id or _NO_TEMPLATE,
        template_name=job.template_name,
        template_display_name=job.template_display_name,
        template_icon=job.template_icon,
        workspace_id=job.workspace_id,
        workspace_name=job.workspace_name,
    )
