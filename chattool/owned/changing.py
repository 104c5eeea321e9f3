"""Tools that change workspaces: create, start, stop, delete, cancel; and one that only plans."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sqlalchemy.orm import Session

from chattool.answers import Answer, answered, describe_resources
from chattool.context import OwnerContext
from chattool.naming import choose_name
from chattool.owned.finding import own_build, own_template, own_workspace
from chattool.owned.outcome import as_status, freeable, read_outcome
from chattool.parameters import NO_VALUES, ChosenValues, choose_values
from db.catalog import workspaces
from db.catalog.audit import AuditAction
from db.catalog.dryruns import existing_workspace, new_workspace
from db.catalog.limits import NO_CHAT
from db.catalog.sources import PlannedWorkspace
from db.catalog.versions import get_usable_version
from db.errors import BuildActiveError, ConflictError, InvalidError
from db.jobs.transitions import cancel_job
from db.reads.builds import find_resources, get_build
from db.reads.contract import WorkspaceBuild, WorkspaceStatus
from db.reads.dryruns import DryRun, get_dry_run
from db.reads.shapes import Workspace
from db.schema.enums import JobStatus, PlannedAction, Transition
from db.schema.tables import Template, User
from quota.details import workspace_quota_details
from quota.forecast import forecast_of
from worker.planning import enqueue_dry_run

_AUDITED: Mapping[Transition, AuditAction] = {
    Transition.START: AuditAction.START,
    Transition.STOP: AuditAction.STOP,
    Transition.DELETE: AuditAction.DELETE,
}
_UNFINISHED = (
    "Workspace {!r} has an unfinished build. Call read_build with its build_id to wait for it, or"
    " cancel_build to end it."
)


@answered
def create_workspace(
    context: OwnerContext,
    *,
    template: str,
    name: str | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: str | None = None,
) -> Answer:
    """Create a workspace and wait for its first build within the time limit."""
    values = choose_values(parameters, preset_id=None, preset=preset)
    with context.database.begin() as session:
        found = own_template(session, context, template)
    at_home = replace(context, organization_id=found.organization_id)
    build = at_home.after_import(partial(_create, at_home, found.id, name, values))
    return read_outcome(at_home, build)


def _create(
    context: OwnerContext, template_id: uuid.UUID, name: str | None, values: ChosenValues
) -> WorkspaceBuild:
    with context.database.begin() as session:
        owner = context.authorize(session)
        template = session.get_one(Template, template_id)
        version = get_usable_version(session, template)
        made = workspaces.create_workspace(
            session,
            owner=session.get_one(User, owner.id),
            template=template,
            name=choose_name(name, seed=template.name),
            chat_id=NO_CHAT,
        )
        queued = context.enqueue(
            session,
            owner,
            made.id,
            Transition.START,
            values=values,
            template_version_id=version.id,
        )
        context.record(
            session,
            AuditAction.CREATE,
            resource=("workspace", made.id, f"{owner.username}/{made.name}"),
        )
        return get_build(session, queued.build_id)


@answered
def start_workspace(
    context: OwnerContext,
    *,
    workspace: str,
    parameters: Mapping[str, str] | None = None,
    preset: str | None = None,
    update: bool = False,
) -> Answer:
    """Start a workspace, and wait for the build within the time limit."""
    values = choose_values(parameters, preset_id=None, preset=preset)
    has_wishes = bool(parameters) or preset is not None or update
    found = _find(context, workspace)
    if found.latest_build.status is WorkspaceStatus.RUNNING and not has_wishes:
        return _nothing_to_do(found)
    version_id = found.template_active_version_id if update else None
    return _build(context, found, Transition.START, values=values, version_id=version_id)


@answered
def stop_workspace(context: OwnerContext, *, workspace: str) -> Answer:
    """Stop a workspace, and wait for the build within the time limit."""
    found = _find(context, workspace)
    if found.latest_build.status is WorkspaceStatus.STOPPED:
        return _nothing_to_do(found)
    return _build(context, found, Transition.STOP)


@answered
def delete_workspace(context: OwnerContext, *, workspace: str) -> Answer:
    """Delete a workspace with all that it has, and wait for the build within the time limit."""
    return _build(context, _find(context, workspace), Transition.DELETE)


@answered
def cancel_build(context: OwnerContext, *, build: str) -> Answer:
    """Cancel a build that has not ended."""
    with context.database.begin() as session:
        found = own_build(session, context, build)
        workspace = own_workspace(session, context, str(found.workspace_id))
        if not workspace.template_allow_user_cancel_workspace_jobs:
            raise ConflictError("users may not cancel builds of this template")
        cancel_job(session, job_id=found.job.id)
        at_home = replace(context, organization_id=workspace.organization_id)
        at_home.record(
            session,
            AuditAction.CANCEL,
            resource=("workspace_build", found.id, f"{workspace.name}/{found.build_number}"),
        )
    return read_outcome(at_home, found)


@answered
def forecast_build(
    context: OwnerContext,
    *,
    template: str | None = None,
    workspace: str | None = None,
    parameters: Mapping[str, str] | None = None,
    preset: str | None = None,
) -> Answer:
    """Plan a start without doing it: resources, cost, and what the quota would say."""
    values = choose_values(parameters, preset_id=None, preset=preset)
    if (template is None) == (workspace is None):
        raise InvalidError("give either template (for a new workspace) or workspace")
    with context.database.begin() as session:
        wanted = _planned(session, context, template=template, workspace=workspace)
    at_home = replace(context, organization_id=wanted.organization_id)
    job_id = at_home.after_import(partial(_plan, at_home, wanted, values))
    ended = at_home.wait_for_job(job_id)
    if ended.status is not JobStatus.SUCCEEDED:
        return {
            "status": as_status(ended.status),
            "error": ended.error or f"the plan is {ended.status}; try again",
        }
    return _forecast(at_home, job_id)


def _find(context: OwnerContext, reference: str) -> Workspace:
    with context.database.begin() as session:
        return own_workspace(session, context, reference)


def _nothing_to_do(workspace: Workspace) -> Answer:
    build = workspace.latest_build
    return {
        "status": "succeeded",
        "no_build": True,
        "workspace": workspace.name,
        "build_id": str(build.id),
        "transition": str(build.transition),
        "daily_cost": build.daily_cost,
        "resources": describe_resources(build.resources),
    }


def _build(
    context: OwnerContext,
    workspace: Workspace,
    transition: Transition,
    *,
    values: ChosenValues = NO_VALUES,
    version_id: uuid.UUID | None = None,
) -> Answer:
    at_home = replace(context, organization_id=workspace.organization_id)
    try:
        build = at_home.after_import(
            partial(_enqueue, at_home, workspace, transition, values, version_id)
        )
    except BuildActiveError:
        active = _find(context, str(workspace.id)).latest_build
        return {
            "error": _UNFINISHED.format(workspace.name),
            "workspace": workspace.name,
            "build_id": str(active.id),
            "transition": str(active.transition),
        }
    return read_outcome(at_home, build)


def _enqueue(
    context: OwnerContext,
    workspace: Workspace,
    transition: Transition,
    values: ChosenValues,
    version_id: uuid.UUID | None,
) -> WorkspaceBuild:
    with context.database.begin() as session:
        owner = context.authorize(session)
        queued = context.enqueue(
            session,
            owner,
            workspace.id,
            transition,
            values=values,
            template_version_id=version_id,
        )
        context.record(
            session,
            _AUDITED[transition],
            resource=("workspace", workspace.id, f"{workspace.owner_name}/{workspace.name}"),
        )
        return get_build(session, queued.build_id)


def _planned(
    session: Session, context: OwnerContext, *, template: str | None, workspace: str | None
) -> PlannedWorkspace:
    if workspace is not None:
        return existing_workspace(session, own_workspace(session, context, workspace).id)
    found = own_template(session, context, template or "")
    return new_workspace(
        owner=session.get_one(User, context.owner_id), template=session.get_one(Template, found.id)
    )


def _plan(context: OwnerContext, wanted: PlannedWorkspace, values: ChosenValues) -> uuid.UUID:
    with context.database.begin() as session:
        owner = context.authorize(session)
        return enqueue_dry_run(
            session,
            wanted,
            initiator_id=owner.id,
            parameters=values.parameters,
            preset=values.preset,
            ring=context.ring,
        ).job_id


def _forecast(context: OwnerContext, job_id: uuid.UUID) -> Answer:
    with context.database.begin() as session:
        run: DryRun = get_dry_run(session, job_id)
        forecast = forecast_of(session, run)
        resources = find_resources(session, job_id)
        details = workspace_quota_details(
            session, organization_id=context.organization_id, owner_id=context.owner_id
        )
    assert forecast is not None, "a dry run that succeeded has a cost"
    freed = (
        []
        if forecast.ok
        else [found for found in freeable(details) if found["workspace"] != run.workspace_name]
    )
    return {
        "status": "succeeded",
        "would_fit": forecast.ok,
        "daily_cost": forecast.daily_cost,
        "quota": {
            "credits_consumed": forecast.credits_consumed,
            "budget": forecast.budget,
        },
        "changes": [
            {"address": change.address, "action": str(change.action)}
            for change in run.changes
            if change.action is not PlannedAction.NO_OP
        ],
        "resources": describe_resources(resources),
        "could_be_freed": freed,
    }
