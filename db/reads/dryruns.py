"""Dry runs: what each was asked, and what its plan would do."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import NotFoundError
from db.jobs.resources import ResourceChange
from db.schema.enums import PlannedAction

# Uses: pk_template_version_dry_runs, pk_provisioner_jobs.
_DRY_RUN = text("""
    SELECT run.job_id, run.template_version_id, run.owner_id, job.organization_id,
           run.workspace_id, run.workspace_name, run.daily_cost, run.changes
    FROM template_version_dry_runs AS run
    JOIN provisioner_jobs AS job ON job.id = run.job_id
    WHERE run.job_id = :job_id
""")


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A dry run, and what its plan found. It has found nothing before it has succeeded."""

    job_id: uuid.UUID
    template_version_id: uuid.UUID
    owner_id: uuid.UUID
    organization_id: uuid.UUID
    workspace_id: uuid.UUID | None  #: None: the workspace does not exist
    workspace_name: str
    daily_cost: int | None  #: credits per day; None before the dry run has succeeded
    changes: Sequence[ResourceChange]


def get_dry_run(session: Session, job_id: uuid.UUID) -> DryRun:
    """Return the dry run of a job.

    Raises:
        NotFoundError: there is no such job, or it is not a dry run.
    """
    row = session.execute(_DRY_RUN, {"job_id": job_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no dry run {job_id}")
    fields = row._asdict()
    changes = [
        ResourceChange(**{**found, "action": PlannedAction(found["action"])})
        for found in fields.pop("changes") or ()
    ]
    return DryRun(**fields, changes=changes)
