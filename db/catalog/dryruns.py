"""A dry run that is answered from the import of the version, without a worker."""

from __future__ import annotations

import json
import uuid

from sqlalchemy.orm import Session

from db.engine import sql
from db.texts import check_storable


def copy_import(
    session: Session,
    *,
    import_job_id: uuid.UUID,
    version_id: uuid.UUID,
    initiator_id: uuid.UUID,
    workspace_name: str,
) -> uuid.UUID:
    """Insert a dry run that has already succeeded, and return the id of its job.

    Its resources are those that the import of the version planned for a start.
    """
    job_id = uuid.uuid4()
    given = {
        "template_version_id": str(version_id),
        "workspace_name": check_storable("name of a workspace", workspace_name),
    }
    session.execute(
        sql("""
            INSERT INTO provisioner_jobs
                (id, organization_id, initiator_id, provisioner, file_id, type, input, tags, queue,
                 started_at, completed_at)
            SELECT :job_id, organization_id, :initiator_id, provisioner, file_id,
                   'template_version_dry_run', CAST(:input AS jsonb), tags, queue, now(), now()
            FROM provisioner_jobs
            WHERE id = :import_job_id
        """),
        {
            "job_id": job_id,
            "initiator_id": initiator_id,
            "import_job_id": import_job_id,
            "input": json.dumps(given),
        },
    )
    return job_id
