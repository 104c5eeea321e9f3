"""Pages about what there is: workspaces, templates and their versions."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.caller import Right
from api.gate import GateOf
from api.pages.rendering import render
from api.pages.visiting import facts_of, page
from api.routes.finding import visible_template, visible_version, visible_workspace
from db.reads.builds import find_resources, find_shown_parameters, get_builds
from db.reads.circuits import list_circuits
from db.reads.contract import WorkspaceResource
from db.reads.declared import REDACTED, find_parameters, find_presets, find_variables
from db.reads.machines import WorkspaceFilter, find_workspaces
from db.reads.parameters import sensitive_names
from db.reads.versions import TemplateFilter, find_templates, find_versions, get_version
from db.schema.enums import Transition
from quota.forecast import forecast_quota

router = APIRouter(include_in_schema=False)
PAGE_SIZE = 50
HISTORY = 30
VERSIONS = 100
Text = Annotated[str, Query(max_length=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


@router.get("/ui/workspaces")
@page
def workspaces(gate: GateOf, *, owner: Text = "", name: Text = "", offset: Offset = 0) -> Response:
    """List the workspaces that the caller may see."""
    with gate.enter() as visit:
        wanted = WorkspaceFilter(
            organizations=visit.caller.organizations_with(Right.READ_WORKSPACES),
            seen_by=visit.caller.user_id,
            owner=owner or None,
            name=name or None,
        )
        found, count = find_workspaces(
            visit.session,
            wanted,
            favorites_of=visit.caller.user_id,
            limit=PAGE_SIZE,
            offset=offset,
        )
        return render(
            "workspaces",
            **facts_of(gate, visit),
            workspaces=found,
            count=count,
            offset=offset,
            next_offset=offset + PAGE_SIZE if offset + PAGE_SIZE < count else None,
            wanted={"owner": owner, "name": name},
        )


@router.get("/ui/workspaces/{workspace}")
@page
def show_workspace(gate: GateOf, workspace: uuid.UUID) -> Response:
    """Show a workspace: its values, resources, history, and what a start would cost."""
    with gate.enter() as visit:
        row = visible_workspace(visit, workspace)
        found = row.workspace
        is_own = found.owner_id == visit.caller.user_id
        starts = [
            resource
            for resource in _planned(visit.session, found.template_active_version_id)
            if resource.workspace_transition is Transition.START
        ]
        cost = sum(resource.daily_cost for resource in starts)
        return render(
            "workspace",
            **facts_of(gate, visit),
            workspace=found,
            deleted=row.deleted,
            values=find_shown_parameters(visit.session, found.latest_build.id),
            builds=get_builds(visit.session, found.id, limit=HISTORY),
            may_change=not row.deleted
            and (is_own or visit.caller.may(Right.BUILD_WORKSPACES, found.organization_id)),
            forecast=forecast_quota(
                visit.session,
                organization_id=found.organization_id,
                owner_id=found.owner_id,
                daily_cost=cost,
                workspace_id=found.id,
            ),
        )


def _planned(session: Session, version_id: uuid.UUID) -> list[WorkspaceResource]:
    """Return the resources that the import of a version planned; none without a version."""
    if not version_id.int:
        return []
    return find_resources(session, get_version(session, version_id).job.id)


@router.get("/ui/templates")
@page
def templates(gate: GateOf) -> Response:
    """List the templates that the caller may see."""
    with gate.enter() as visit:
        wanted = TemplateFilter(organizations=visit.caller.organizations_with(Right.READ_TEMPLATES))
        return render(
            "templates",
            **facts_of(gate, visit),
            templates=find_templates(visit.session, wanted),
        )


@router.get("/ui/templates/{template}")
@page
def show_template(gate: GateOf, template: uuid.UUID) -> Response:
    """Show a template and its versions, the newest first."""
    with gate.enter() as visit:
        found = visible_template(visit, template)
        versions = find_versions(visit.session, found.id)
        return render(
            "template",
            **facts_of(gate, visit),
            template=found,
            versions=versions[::-1][:VERSIONS],
        )


@router.get("/ui/versions/{version}")
@page
def show_version(gate: GateOf, version: uuid.UUID) -> Response:
    """Show a template version: what its import found."""
    with gate.enter() as visit:
        found = visible_version(visit, version)
        return render(
            "version",
            **facts_of(gate, visit),
            version=found,
            secret=sensitive_names(visit.session, found.id),
            redacted=REDACTED,
            parameters=find_parameters(visit.session, found.id),
            variables=find_variables(visit.session, found.id),
            presets=find_presets(visit.session, found.id),
            circuits=list_circuits(visit.session, version_id=found.id),
            resources=find_resources(visit.session, found.job.id),
        )
