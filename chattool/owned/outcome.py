"""How a build ended, as an answer: success, failure, a refusal by quota, or that it still runs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from chattool.answers import Answer, build_failure, describe_resources
from chattool.context import OwnerContext
from chattool.errors import BuildTimeoutError, WorkspaceBuildError
from db.reads.builds import get_build
from db.reads.contract import WorkspaceBuild
from db.schema.enums import JobErrorCode, JobStatus, Transition
from quota.details import QuotaDetails, workspace_quota_details

STILL_RUNNING = (
    "The build is still running. Call read_build with this build_id to wait for its end."
)
FREE_QUOTA = (
    "Tell the user. With the user's consent stop or delete one of could_be_freed by stop_workspace"
    " or delete_workspace, then call start_workspace."
)
READ_LOG = "Call read_build_log with this build_id and part 'error' to see why."
_DONE: Mapping[Transition, str] = {
    Transition.START: "started",
    Transition.STOP: "stopped",
    Transition.DELETE: "deleted",
}


def as_status(status: JobStatus) -> str:
    """Return the status of a job as a tool says it; whatever has not ended is running."""
    return "running" if status.is_active else str(status)


def read_outcome(context: OwnerContext, build: WorkspaceBuild) -> Answer:
    """Wait for the build within the time limit, and say how it ended or that it still runs."""
    facts: Answer = {
        "workspace": build.workspace_name,
        "build_id": str(build.id),
        "transition": str(build.transition),
    }
    try:
        ended = context.wait_for(build.id)
    except BuildTimeoutError:
        return {**facts, "status": "running", **_stage(context, build.id), "next": STILL_RUNNING}
    except WorkspaceBuildError as error:
        return {**facts, **_failure(context, build, error)}
    return {
        **facts,
        "status": "succeeded",
        "daily_cost": ended.daily_cost,
        "resources": describe_resources(ended.resources),
    }


def _stage(context: OwnerContext, build_id: uuid.UUID) -> Answer:
    with context.database.begin() as session:
        status = get_build(session, build_id).job.status
    return {"stage": "waiting for a worker"} if status is JobStatus.PENDING else {}


def _failure(context: OwnerContext, build: WorkspaceBuild, error: WorkspaceBuildError) -> Answer:
    answer = build_failure(
        context, error, prefix="", action=_DONE[build.transition], build_id=build.id
    )
    if error.code is not JobErrorCode.INSUFFICIENT_QUOTA:
        with context.database.begin() as session:
            status = get_build(session, build.id).job.status
        return {**answer, "status": as_status(status), "next": READ_LOG}
    with context.database.begin() as session:
        details = workspace_quota_details(
            session, organization_id=context.organization_id, owner_id=context.owner_id
        )
    freed = [found for found in freeable(details) if found["workspace"] != build.workspace_name]
    return {**answer, "status": "failed", "could_be_freed": freed, "next": FREE_QUOTA}


def freeable(details: QuotaDetails) -> Sequence[Answer]:
    """Return the workspaces that consume quota, the most expensive first."""
    return [
        {
            "workspace": found.workspace,
            "daily_cost": found.daily_cost,
            "transition": found.transition,
        }
        for found in details.workspaces
        if found.daily_cost
    ]
