"""Pages about work: the overview, jobs and one job."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from api.caller import Right
from api.errors import hidden
from api.gate import GateOf, Visit
from api.models.requests import CreateBuild
from api.pages.forecast import find_forecast, is_own_dry_run
from api.pages.rendering import render
from api.pages.visiting import CsrfToken, check_csrf, facts_of, page
from api.routes import builds, dryruns, operations, versions
from api.routes.finding import or_hidden, visible_workspace
from db.errors import InvalidError
from db.reads.accounts import as_uuid
from db.reads.builds import find_resources
from db.reads.explanation import match, verdict
from db.reads.joblog import read_log
from db.reads.jobs import Job, get_job
from db.reads.pages import UNTAGGED, Cursor, JobFilter, JobPage, list_jobs
from db.reads.queues import queue_depths
from db.reads.timings import job_durations
from db.reads.workers import list_workers
from db.schema.enums import BuildReason, JobErrorCode, JobStatus, JobType, Transition

router = APIRouter(include_in_schema=False)
SHOWN = 20
PAGE_SIZE = 50
RECENT_FAILURES = 100
LOG_LINES = 1000
ENDED = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED}
Text = Annotated[str, Query(max_length=200)]


def visible_jobs(visit: Visit, **wanted: Any) -> JobFilter:
    """Return a filter for the jobs that the caller may see: all, of organizations, or own ones."""
    homes = visit.caller.organizations_with(Right.READ_JOBS)
    if homes is None:
        return JobFilter(**wanted)
    if homes:
        return JobFilter(organizations=homes, **wanted)
    return JobFilter(owner_id=visit.caller.user_id, **wanted)


def _newest(visit: Visit, limit: int, *statuses: JobStatus) -> list[Job]:
    return list(list_jobs(visit.session, visible_jobs(visit, statuses=statuses), limit=limit).jobs)


@router.get("/ui")
@page
def overview(gate: GateOf) -> Response:
    """Show what runs, what waits and why, and what failed."""
    with gate.enter() as visit:
        failed = _newest(visit, RECENT_FAILURES, JobStatus.FAILED)
        waiting = _newest(visit, SHOWN, JobStatus.PENDING)
        workers = list_workers(visit.session)
        sees_all = visit.caller.may_everywhere(Right.READ_JOBS)
        return render(
            "overview",
            **facts_of(gate, visit),
            running=_newest(visit, SHOWN, JobStatus.RUNNING, JobStatus.CANCELING),
            waiting=[(job, _verdict(job, workers)) for job in waiting],
            failed=failed[:10],
            codes=Counter(str(job.error_code or "none") for job in failed).most_common(),
            queues=queue_depths(visit.session, count_to=1000) if sees_all else [],
            workers=Counter(worker.status for worker in workers) if sees_all else Counter[str](),
        )


def _verdict(job: Job, workers: Any) -> str:
    return verdict(job, [match(job, worker) for worker in workers])


@router.get("/ui/jobs")
@page
def jobs(
    gate: GateOf,
    *,
    status: Text = "",
    type: Text = "",  # noqa: A002 - the name in the address
    code: Text = "",
    after: Text = "",
) -> Response:
    """List jobs with filters, newest first."""
    with gate.enter() as visit:
        found = _jobs(visit, status=status, kind=type, code=code, after=after)
        return render(
            "jobs",
            **facts_of(gate, visit),
            jobs=found.jobs,
            after=str(found.after) if found.after else "",
            wanted={"status": status, "type": type, "code": code},
            choices={
                "status": [str(one) for one in JobStatus if one is not JobStatus.UNKNOWN],
                "type": [str(one) for one in JobType],
                "code": [*map(str, JobErrorCode), UNTAGGED],
            },
        )


def _jobs(visit: Visit, *, status: str, kind: str, code: str, after: str) -> JobPage:
    try:
        wanted = visible_jobs(
            visit,
            statuses=[JobStatus(status)] if status else (),
            types=[JobType(kind)] if kind else (),
            error_code=code or None,
        )
    except ValueError as error:
        raise InvalidError(str(error)) from error
    cursor = Cursor.parse(after) if after else None
    return list_jobs(visit.session, wanted, limit=PAGE_SIZE, after=cursor)


def _visible_job(visit: Visit, reference: str) -> Job:
    job_id = as_uuid(reference)
    if job_id is None:
        raise hidden()
    with or_hidden():
        job = get_job(visit.session, job_id)
    if visit.caller.may(Right.READ_JOBS, job.organization_id) or is_own_dry_run(visit, job):
        return job
    if job.workspace_id is not None:
        visible_workspace(visit, job.workspace_id)
        return job
    raise hidden()


@router.get("/ui/jobs/{job}")
@page
def show_job(gate: GateOf, job: str) -> Response:
    """Show one job: its stages, log, resources, and why it waits or failed."""
    with gate.enter() as visit:
        found = _visible_job(visit, job)
        log = read_log(visit.session, found.id, after=0, limit=LOG_LINES)
        waits = found.status is JobStatus.PENDING
        durations = job_durations(visit.session, found.id)
        return render(
            "job",
            **facts_of(gate, visit),
            job=found,
            durations=durations,
            longest=max((one.seconds for one in durations), default=0.0),
            log=[line for line in log.lines if line.output],
            last_id=log.lines[-1].id if log.lines else 0,
            has_more=log.has_more,
            follow="" if log.is_complete else _log_path(found),
            resources=find_resources(visit.session, found.id),
            forecast=find_forecast(visit, found),
            verdict=_verdict(found, list_workers(visit.session)) if waits else "",
            may_cancel=found.status in {JobStatus.PENDING, JobStatus.RUNNING},
            may_retry=found.status in {JobStatus.FAILED, JobStatus.CANCELED}
            and found.workspace_build_id is not None,
        )


def _log_path(job: Job) -> str:
    if job.workspace_build_id is not None:
        return f"/api/v2/workspacebuilds/{job.workspace_build_id}/logs"
    version = job.input.get("template_version_id")
    if job.type is JobType.TEMPLATE_VERSION_DRY_RUN:
        return f"/api/v2/templateversions/{version}/dry-run/{job.id}/logs"
    return f"/api/v2/templateversions/{version}/logs"


@router.post("/ui/jobs/{job}/cancel")
@page
def cancel(gate: GateOf, job: str, csrf: CsrfToken) -> Response:
    """Cancel a job."""
    check_csrf(gate, csrf)
    with gate.enter() as visit:
        found = _visible_job(visit, job)
    if found.workspace_build_id is not None:
        builds.cancel_build(gate, found.workspace_build_id)
        return RedirectResponse(f"/ui/jobs/{found.id}", 303)
    version = uuid.UUID(str(found.input.get("template_version_id")))
    if found.type is JobType.TEMPLATE_VERSION_DRY_RUN:
        dryruns.cancel_dry_run(gate, version, found.id)
    else:
        versions.cancel_version(gate, version)
    return RedirectResponse(f"/ui/jobs/{found.id}", 303)


@router.post("/ui/jobs/{job}/retry")
@page
def retry(gate: GateOf, job: str, csrf: CsrfToken) -> Response:
    """Enqueue the build of a failed job again."""
    check_csrf(gate, csrf)
    with gate.enter() as visit:
        found = _visible_job(visit, job)
    build = operations.retry(gate, str(found.organization_id), found.id)
    return RedirectResponse(f"/ui/jobs/{build.job.id}", 303)


@router.post("/ui/workspaces/{workspace}/{transition}")
@page
def build_workspace(
    gate: GateOf, workspace: uuid.UUID, transition: Transition, csrf: CsrfToken
) -> Response:
    """Start, stop or delete a workspace."""
    check_csrf(gate, csrf)
    build = builds.add_build(
        gate,
        workspace,
        CreateBuild.model_validate({"transition": transition, "reason": BuildReason.DASHBOARD}),
    )
    return RedirectResponse(f"/ui/jobs/{build.job.id}", 303)
