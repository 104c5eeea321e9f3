"""Finishing a job: its final status and everything that it leaves behind, in one transaction.

The row is moved first, which fails for anybody who does not hold the lease. Then the rest of the
log, the state, the resources and the timings are stored, for failed builds as well as for
successful ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import ConflictError, LeaseLostError
from db.jobs.circuits import settle_circuits
from db.jobs.deadlines import settle_deadline
from db.jobs.dryruns import store_dry_run
from db.jobs.events import EventType, record_workspace
from db.jobs.imports import ImportResult, store_import
from db.jobs.leases import Lease
from db.jobs.logs import LOG_SIZE, LogRow, insert_lines, log_size
from db.jobs.moves import THE_HELD_JOB, THE_JOB, Moved, Verb, move_job
from db.jobs.resourcerows import insert_resources
from db.jobs.results import FAILURE, BuildResult, Failure, Timing, failure_columns
from db.jobs.rows import insert_rows
from db.jobs.states import replace_state
from db.schema.enums import JobStatus, Transition
from db.schema.tables import ProvisionerJobTiming
from db.texts import storable

ENDED = f"completed_at = now(), stage = coalesce(:ended_in, job.stage), {LOG_SIZE}"


def complete_job(session: Session, lease: Lease, *, result: BuildResult) -> Moved:
    """Finish a job whose work is done, with its result: running or canceling -> succeeded.

    A cancel request that came too late is removed, because the row must say what happened.

    Raises:
        LeaseLostError: the lease is no longer the job's, or the job is finished.
    """
    moved = _finish(session, lease, Verb.COMPLETE, f"{ENDED}, canceled_at = NULL", result)
    if moved.transition is Transition.DELETE:
        _mark_workspace_deleted(session, lease.job_id)
    settle_deadline(session, moved)
    settle_circuits(session, moved)
    return moved


def finish_cancel_job(
    session: Session, lease: Lease, *, result: BuildResult, worker_was_lost: bool = False
) -> Moved:
    """Finish a job that stopped cleanly after a cancel request: canceling -> canceled.

    Raises:
        LeaseLostError: the lease is no longer the job's, the job is finished, or no cancel was
            requested.
    """
    return _finish(
        session, lease, Verb.FINISH_CANCEL, ENDED, result, worker_was_lost=worker_was_lost
    )


def fail_job(
    session: Session,
    lease: Lease,
    *,
    failure: Failure,
    result: BuildResult,
    worker_was_lost: bool = False,
) -> Moved:
    """Finish a job with an error and its result: running or canceling -> failed.

    Raises:
        LeaseLostError: the lease is no longer the job's, or the job is finished.
    """
    moved = _finish(
        session,
        lease,
        Verb.FAIL,
        f"{ENDED}, {FAILURE}",
        result,
        parameters=failure_columns(failure),
        worker_was_lost=worker_was_lost,
    )
    settle_deadline(session, moved)
    settle_circuits(session, moved)
    return moved


def orphan_job(session: Session, *, job_id: uuid.UUID, line: LogRow) -> Moved:
    """Delete a workspace without running its job: pending -> succeeded.

    Nothing is destroyed, and the build keeps the state that it started from. Nobody has claimed the
    job, so it has no start time and no stage.

    Args:
        line: the line for the job's log.

    Raises:
        ConflictError: the job is no longer pending.
    """
    moved = move_job(
        session,
        Verb.ORPHAN,
        which=THE_JOB,
        changes=f"completed_at = now(), {LOG_SIZE}",
        parameters={"job_id": job_id, **log_size([line], overflowed=False)},
    )
    if moved is None:
        raise ConflictError("the job is no longer pending")
    insert_lines(session, job_id, [line])
    _mark_workspace_deleted(session, job_id)
    return moved


def _finish(
    session: Session,
    lease: Lease,
    verb: Verb,
    changes: str,
    result: BuildResult,
    *,
    parameters: Mapping[str, object] | None = None,
    worker_was_lost: bool = False,
) -> Moved:
    moved = move_job(
        session,
        verb,
        which=THE_HELD_JOB,
        changes=changes,
        parameters={
            **lease.parameters,
            **log_size(result.last_lines, overflowed=result.log_overflowed),
            "ended_in": result.stage,
            **(parameters or {}),
        },
        worker_was_lost=worker_was_lost,
    )
    if moved is None:
        raise LeaseLostError(lease.job_id)
    insert_lines(session, lease.job_id, result.last_lines)
    _store_result(session, moved, result)
    return moved


def _store_result(session: Session, moved: Moved, result: BuildResult) -> None:
    if result.state is not None:
        replace_state(session, job_id=moved.job_id, state=result.state)
    if moved.transition is not None:
        insert_resources(session, moved.job_id, moved.transition, result.resources)
    if result.imported is not None:
        _store_import(session, moved, result.imported)
    if result.planned is not None and moved.move.after is JobStatus.SUCCEEDED:
        store_dry_run(session, moved.job_id, result.planned)
    insert_rows(
        session,
        ProvisionerJobTiming,
        [{"job_id": moved.job_id, **_timing(timing)} for timing in result.timings],
    )


def _store_import(session: Session, moved: Moved, imported: ImportResult) -> None:
    is_ok = moved.move.after is JobStatus.SUCCEEDED
    store_import(session, moved.job_id, imported, is_ok=is_ok)
    if is_ok:
        for transition, resources in imported.resources.items():
            insert_resources(session, moved.job_id, transition, resources)


def _mark_workspace_deleted(session: Session, job_id: uuid.UUID) -> None:
    workspace_id = session.execute(
        sql("""
            UPDATE workspaces
            SET deleted = true, updated_at = now()
            FROM workspace_builds AS build
            WHERE build.job_id = :job_id AND workspaces.id = build.workspace_id
            RETURNING workspaces.id
        """),
        {"job_id": job_id},
    ).scalar_one()
    record_workspace(session, workspace_id, EventType.WORKSPACE_DELETED)


def _timing(timing: Timing) -> dict[str, Any]:
    return {
        "started_at": timing.started_at,
        "ended_at": timing.ended_at,
        "stage": timing.stage,
        "source": storable(timing.source),
        "action": storable(timing.action),
        "resource": storable(timing.resource),
    }
