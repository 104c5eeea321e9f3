"""Forecasts: a form that asks what a start with chosen values would do and cost, and the answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from api.caller import Right
from api.errors import ApiError, hidden, refused
from api.gate import Gate, GateOf, Visit
from api.models.requests import DryRun
from api.pages.rendering import render
from api.pages.visiting import CsrfToken, check_csrf, facts_of, page
from api.routes import dryruns
from api.routes.finding import visible_template, visible_version, visible_workspace
from db.jobs.resources import ResourceChange
from db.reads.accounts import as_uuid
from db.reads.builds import find_shown_parameters
from db.reads.declared import find_parameters, find_presets
from db.reads.dryruns import DryRun as PlannedRun
from db.reads.dryruns import get_dry_run
from db.reads.jobs import Job
from db.reads.parameters import sensitive_names
from db.reads.shapes import TemplateVersion
from db.reads.versions import find_versions
from db.schema.enums import JobStatus, JobType, PlannedAction, TokenScope
from quota.details import WorkspaceConsumption, workspace_quota_details
from quota.forecast import QuotaForecast, forecast_of

router = APIRouter(include_in_schema=False)
FIELD = "value."  #: what the name of a parameter's field begins with
VERSIONS = 100


class Kind(StrEnum):
    """What would be started: a new workspace of a template, or one that exists."""

    TEMPLATE = "template"
    WORKSPACE = "workspace"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What would be started, with what it has now."""

    path: str
    name: str
    template_id: uuid.UUID
    version_id: uuid.UUID  #: the version that is taken unless another is chosen
    workspace_id: uuid.UUID | None
    values: Mapping[str, str]  #: of the workspace's parameters


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the form says, without the fields that were left empty."""

    version_id: uuid.UUID | None
    preset_id: uuid.UUID | None
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a dry run found, for its page."""

    path: str  #: of the form
    workspace_name: str  #: empty if it is a new one
    changes: Sequence[ResourceChange]
    quota: QuotaForecast | None  #: None before the dry run has succeeded
    others: Sequence[WorkspaceConsumption]  #: the owner's other workspaces that cost something


async def _chosen(request: Request) -> Choice:
    given = await request.form() if request.method == "POST" else request.query_params
    texts = {name: text for name, text in given.items() if isinstance(text, str)}
    return Choice(
        version_id=as_uuid(texts.get("version", "")),
        preset_id=as_uuid(texts.get("preset", "")),
        values={
            name.removeprefix(FIELD): text
            for name, text in texts.items()
            if name.startswith(FIELD) and text
        },
    )


Chosen = Annotated[Choice, Depends(_chosen)]


@router.get("/ui/forecast/{kind}/{subject}")
@page
def ask(gate: GateOf, kind: Kind, subject: uuid.UUID, choice: Chosen) -> Response:
    """Show the form: versions, presets and parameters."""
    with gate.enter() as visit:
        return _form(gate, visit, _find(visit, kind, subject), choice)


@router.post("/ui/forecast/{kind}/{subject}")
@page
def forecast(
    gate: GateOf, kind: Kind, subject: uuid.UUID, choice: Chosen, csrf: CsrfToken
) -> Response:
    """Let a worker plan the start. Values that are refused are shown at their fields."""
    check_csrf(gate, csrf)
    with gate.enter(TokenScope.BUILD) as visit:
        wanted = _find(visit, kind, subject)
    try:
        job = dryruns.add_dry_run(
            gate, choice.version_id or wanted.version_id, _request(wanted, choice)
        )
    except ApiError as refusal:
        with gate.enter() as visit:
            return _form(gate, visit, wanted, choice, refusal)
    return RedirectResponse(f"/ui/jobs/{job.id}", 303)


def _find(visit: Visit, kind: Kind, subject: uuid.UUID) -> Subject:
    if kind is Kind.TEMPLATE:
        template = visible_template(visit, subject)
        return Subject(
            path=f"/ui/forecast/template/{template.id}",
            name=f"a new workspace of {template.display_name or template.name}",
            template_id=template.id,
            version_id=template.active_version_id,
            workspace_id=None,
            values={},
        )
    found = visible_workspace(visit, subject).workspace
    return Subject(
        path=f"/ui/forecast/workspace/{found.id}",
        name=f"{found.owner_name}/{found.name}",
        template_id=found.template_id,
        version_id=found.latest_build.template_version_id,
        workspace_id=found.id,
        values=find_shown_parameters(visit.session, found.latest_build.id),
    )


def _request(wanted: Subject, choice: Choice) -> DryRun:
    given = [{"name": name, "value": value} for name, value in choice.values.items()]
    try:
        return DryRun.model_validate(
            {
                "workspace_id": wanted.workspace_id,
                "template_version_preset_id": choice.preset_id,
                "rich_parameter_values": given,
            }
        )
    except ValidationError as error:
        raise refused("A value is too long, or there are too many values.") from error


def _form(
    gate: Gate, visit: Visit, wanted: Subject, choice: Choice, refusal: ApiError | None = None
) -> Response:
    version = visible_version(visit, choice.version_id or wanted.version_id)
    if version.template_id != wanted.template_id:
        raise hidden()
    secret = sensitive_names(visit.session, version.id)
    return render(
        "forecast",
        status=refusal.status if refusal else 200,
        **facts_of(gate, visit),
        wanted=wanted,
        version=version,
        versions=_usable(visit, wanted),
        parameters=find_parameters(visit.session, version.id),
        presets=find_presets(visit.session, version.id),
        secret=secret,
        preset_id=choice.preset_id,
        given={name: text for name, text in choice.values.items() if name not in secret},
        refusal=refusal,
        wrong={one.field: one.detail for one in refusal.validations} if refusal else {},
        field=FIELD,
    )


def _usable(visit: Visit, wanted: Subject) -> list[TemplateVersion]:
    """Return the versions that can be built from, the newest first."""
    found = find_versions(visit.session, wanted.template_id, with_archived=False)
    usable = [version for version in found if version.job.status is JobStatus.SUCCEEDED]
    return usable[::-1][:VERSIONS]


def is_own_dry_run(visit: Visit, job: Job) -> bool:
    """Return whether the caller has asked for this dry run."""
    is_dry_run = job.type is JobType.TEMPLATE_VERSION_DRY_RUN
    return is_dry_run and job.initiator_id == visit.caller.user_id


def find_forecast(visit: Visit, job: Job) -> Forecast | None:
    """Return what a job that is a dry run has found.

    Returns:
        None for other jobs, and for the quota of somebody whom the caller may not see.
    """
    if job.type is not JobType.TEMPLATE_VERSION_DRY_RUN:
        return None
    run = get_dry_run(visit.session, job.id)
    is_own = run.owner_id == visit.caller.user_id
    if not is_own and not visit.caller.may(Right.READ_MEMBERS, run.organization_id):
        return None
    return Forecast(
        path=_form_of(run, job),
        workspace_name=run.workspace_name,
        changes=[change for change in run.changes if change.action is not PlannedAction.NO_OP],
        quota=forecast_of(visit.session, run),
        others=_others(visit, run),
    )


def _form_of(run: PlannedRun, job: Job) -> str:
    subject = f"workspace/{run.workspace_id}" if run.workspace_id else f"template/{job.template_id}"
    return f"/ui/forecast/{subject}?version={run.template_version_id}"


def _others(visit: Visit, run: PlannedRun) -> list[WorkspaceConsumption]:
    details = workspace_quota_details(
        visit.session, organization_id=run.organization_id, owner_id=run.owner_id
    )
    return [
        one for one in details.workspaces if one.daily_cost and one.workspace_id != run.workspace_id
    ]
