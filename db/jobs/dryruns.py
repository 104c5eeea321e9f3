"""Store what the plan of a dry run found, in the transaction that finishes its job."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.jobs.imports import insert_modules
from db.jobs.resourcerows import insert_resources
from db.jobs.resources import ResourceChange
from db.jobs.results import DryRunResult
from db.schema.enums import Transition
from db.texts import storable

ADDRESS_LIMIT = 1024


def store_dry_run(session: Session, job_id: uuid.UUID, result: DryRunResult) -> None:
    """Store what a dry run found, once it has succeeded."""
    insert_resources(session, job_id, Transition.START, result.resources)
    insert_modules(session, job_id, result.modules)
    session.execute(
        sql("""
            UPDATE template_version_dry_runs
            SET daily_cost = :daily_cost, changes = CAST(:changes AS jsonb)
            WHERE job_id = :job_id
        """),
        {
            "job_id": job_id,
            "daily_cost": result.daily_cost,
            "changes": json.dumps([_change(found) for found in result.changes]),
        },
    )


def _change(found: ResourceChange) -> dict[str, Any]:
    texts = {
        "address": storable(found.address)[:ADDRESS_LIMIT],
        "type": storable(found.type)[:ADDRESS_LIMIT],
        "name": storable(found.name)[:ADDRESS_LIMIT],
    }
    return {**asdict(found), **texts}
