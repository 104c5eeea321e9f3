"""Provisioner jobs and workers of an organization."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.caller import Right
from api.errors import ApiError, hidden, refused
from api.gate import GateOf, Visit
from api.routes.finding import or_hidden, visible_organization
from db.reads.accounts import as_uuid
from db.reads.contract import ProvisionerJob
from db.reads.daemons import DaemonFilter, find_daemons
from db.reads.jobcontract import as_contract
from db.reads.jobs import Job, get_job, get_jobs
from db.reads.pages import JobFilter, list_jobs
from db.reads.shapes import Organization, ProvisionerDaemon
from db.schema.enums import JobStatus

router = APIRouter(prefix="/api/v2", tags=["jobs"])
DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_TEXT = 4000
JOB_QUERY = {"limit", "ids", "status", "tags", "initiator"}
DAEMON_QUERY = {"limit", "offline", "status", "max_age", "ids", "tags"}
DAEMON_STATUSES = {"offline", "idle", "busy"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
Limit = Annotated[int, Query(ge=0, le=2**31 - 1)]
Text = Annotated[str, Query(max_length=MAX_TEXT)]


@router.get("/organizations/{organization}/provisionerjobs")
def find_jobs(
    gate: GateOf,
    request: Request,
    organization: str,
    *,
    limit: Limit = DEFAULT_LIMIT,
    ids: Text = "",
    status: Text = "",
    tags: Text = "",
    initiator: Text = "",
) -> list[ProvisionerJob]:
    """List the jobs of an organization, newest first."""
    with gate.enter() as visit:
        home = _operated(visit, organization)
        _check_names(request, JOB_QUERY)
        wanted_ids = _ids(ids, "ids")
        size = min(limit or DEFAULT_LIMIT, MAX_LIMIT)
        if wanted_ids:
            found = get_jobs(visit.session, wanted_ids[:MAX_LIMIT])
            found = [job for job in found if job.organization_id == home.id]
        else:
            found = _page(visit, home, status=status, tags=tags, initiator=initiator, size=size)
        return [as_contract(job) for job in found[:size]]


def _page(
    visit: Visit, home: Organization, *, status: str, tags: str, initiator: str, size: int
) -> list[Job]:
    wanted = JobFilter(
        organization_id=home.id,
        statuses=[JobStatus(name) for name in _names(status, set(JobStatus))],
        tags=_tags(tags),
        initiator_id=_id(initiator, "initiator"),
    )
    return list(list_jobs(visit.session, wanted, limit=size).jobs)


@router.get("/organizations/{organization}/provisionerjobs/{job}")
def read_job(gate: GateOf, organization: str, job: uuid.UUID) -> ProvisionerJob:
    """Return a job of an organization."""
    with gate.enter() as visit:
        home = _operated(visit, organization)
        with or_hidden():
            found = get_job(visit.session, job)
        if found.organization_id != home.id:
            raise hidden()
        return as_contract(found)


@router.get("/organizations/{organization}/provisionerdaemons")
def list_daemons(
    gate: GateOf,
    request: Request,
    organization: str,
    *,
    limit: Limit = DEFAULT_LIMIT,
    offline: Text = "",
    status: Text = "",
    max_age: Text = "",
    ids: Text = "",
    tags: Text = "",
) -> list[ProvisionerDaemon]:
    """List the workers; those that are offline only if they are asked for."""
    with gate.enter() as visit:
        home = _operated(visit, organization)
        _check_names(request, DAEMON_QUERY)
        wanted = DaemonFilter(
            with_offline=_truth(offline),
            statuses=_names(status, DAEMON_STATUSES),
            max_age=_duration(max_age),
            ids=_ids(ids, "ids"),
            tags=_tags(tags),
        )
        return find_daemons(
            visit.session,
            wanted,
            organization_id=home.id,
            limit=min(limit or DEFAULT_LIMIT, MAX_LIMIT),
        )


def _operated(visit: Visit, organization: str) -> Organization:
    home = visible_organization(visit, organization)
    if not visit.caller.may(Right.READ_JOBS, home.id):
        raise hidden()
    return home


def _check_names(request: Request, known: set[str]) -> None:
    tokens = {"coder_session_token", "access_token"}
    for name in request.query_params:
        if name not in known | tokens:
            raise _invalid(name, f'"{name}" is not a valid query param')


def _invalid(field: str, detail: str) -> ApiError:
    return refused("Query parameters have invalid values.", detail, field=field)


def _names(given: str, known: set[str] | set[JobStatus]) -> list[str]:
    names = [name for name in given.split(",") if name]
    for name in names:
        if name not in known:
            raise _invalid("status", f'"{name}" is not a status')
    return names


def _ids(given: str, field: str) -> list[uuid.UUID]:
    ids = [_id(part, field) for part in given.split(",") if part]
    return [id_ for id_ in ids if id_ is not None]


def _id(given: str, field: str) -> uuid.UUID | None:
    if not given:
        return None
    found = as_uuid(given)
    if found is None:
        raise _invalid(field, f'"{given}" is not a UUID')
    return None if found.int == 0 else found


def _tags(given: str) -> Mapping[str, str]:
    if not given:
        return {}
    try:
        tags = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise _invalid("tags", "it must be a JSON object of texts") from error
    is_flat = isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())
    if not is_flat or "\x00" in "".join([*tags, *tags.values()]):
        raise _invalid("tags", "it must be a JSON object of texts")
    return {str(name): str(value) for name, value in tags.items()}


def _truth(given: str) -> bool:
    if given.lower() not in {"", "0", "f", "false", "1", "t", "true"}:
        raise _invalid("offline", f'"{given}" is not a bool')
    return given.lower() in {"1", "t", "true"}


def _duration(given: str) -> timedelta | None:
    """Return a duration in the form of Go, such as ``1h30m0s``."""
    if not given:
        return None
    parts = _DURATION.findall(given)
    if "".join(number + unit for number, unit in parts) != given:
        raise _invalid("max_age", f'"{given}" is not a duration, such as 1h0m0s')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(seconds=min(seconds, 1e9))
