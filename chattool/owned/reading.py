"""Tools that read: templates, workspaces, builds, logs, quota. They change nothing."""

from __future__ import annotations

from chattool.answers import Answer, answered, describe_resources
from chattool.context import OwnerContext
from chattool.owned.finding import (
    own_build,
    own_template,
    own_templates,
    own_workspace,
    own_workspaces,
)
from chattool.owned.outcome import as_status, freeable, read_outcome
from db.errors import NotFoundError
from db.reads.accounts import find_organizations
from db.reads.builds import find_resources, find_shown_parameters
from db.reads.declared import REDACTED, Preset, TemplateVersionParameter, find_presets
from db.reads.declared import find_parameters as find_declared
from db.reads.excerpts import LogPart, read_excerpt
from db.reads.parameters import sensitive_names
from db.reads.shapes import Template, Workspace
from db.reads.versions import get_version
from db.schema.enums import Transition
from quota.details import workspace_quota_details

README_CHARACTERS = 2000
LOG_CHARACTERS = 30_000


@answered
def list_templates(context: OwnerContext) -> Answer:
    """List the templates that the owner can create workspaces from."""
    with context.database.begin() as session:
        return {"templates": [_item(template) for template in own_templates(session, context)]}


def _item(template: Template) -> Answer:
    return present(
        id=str(template.id),
        name=template.name,
        organization=template.organization_name,
        display_name=template.display_name or None,
        description=template.description or None,
        deprecated=template.deprecation_message or None,
    )


@answered
def read_template(context: OwnerContext, *, template: str) -> Answer:
    """Return what a template asks for and makes."""
    with context.database.begin() as session:
        found = own_template(session, context, template)
        if found.active_version_id.int == 0:
            raise NotFoundError(
                f"template {found.name!r} has no usable version yet; ask its author to push one"
            )
        version = get_version(session, found.active_version_id)
        secret = sensitive_names(session, version.id)
        resources = [
            resource
            for resource in find_resources(session, version.job.id)
            if resource.workspace_transition is Transition.START
        ]
        return present(
            id=str(found.id),
            name=found.name,
            organization=found.organization_name,
            description=found.description or None,
            version=version.name,
            readme=version.readme[:README_CHARACTERS] or None,
            parameters=[
                _parameter(one, is_secret=one.name in secret)
                for one in find_declared(session, version.id)
            ],
            presets=[_preset(preset, secret) for preset in find_presets(session, version.id)],
            resources=describe_resources(resources),
            daily_cost=sum(resource.daily_cost for resource in resources),
        )


def _preset(preset: Preset, secret: frozenset[str]) -> Answer:
    return present(
        name=preset.Name,
        description=preset.Description or None,
        is_default=preset.Default,
        parameters={
            one["Name"]: REDACTED if one["Name"] in secret else one["Value"]
            for one in preset.Parameters
        },
    )


def _parameter(declared: TemplateVersionParameter, *, is_secret: bool) -> Answer:
    return present(
        name=declared.name,
        type=declared.type,
        description=declared.description or None,
        required=declared.required,
        default=None if declared.required or is_secret else declared.default_value,
        mutable=declared.mutable,
        ephemeral=declared.ephemeral,
        options=[{"value": one.value, "name": one.name} for one in declared.options] or None,
        minimum=declared.validation_min,
        maximum=declared.validation_max,
        pattern=declared.validation_regex,
        monotonic=declared.validation_monotonic,
    )


@answered
def list_workspaces(context: OwnerContext) -> Answer:
    """List the owner's workspaces with status and cost."""
    with context.database.begin() as session:
        return {"workspaces": [_listed(found) for found in own_workspaces(session, context)]}


def _listed(workspace: Workspace) -> Answer:
    build = workspace.latest_build
    return {
        "id": str(workspace.id),
        "name": workspace.name,
        "template": workspace.template_name,
        "status": str(build.status),
        "outdated": workspace.outdated,
        "daily_cost": build.daily_cost,
        "build_id": str(build.id),
        "last_used_at": workspace.last_used_at.isoformat(),
    }


@answered
def read_workspace(context: OwnerContext, *, workspace: str) -> Answer:
    """Return one workspace: its status, values of parameters, resources, and last error."""
    with context.database.begin() as session:
        found = own_workspace(session, context, workspace)
        build = found.latest_build
        return present(
            id=str(found.id),
            name=found.name,
            template=found.template_name,
            template_version=build.template_version_name,
            status=str(build.status),
            outdated=found.outdated,
            daily_cost=build.daily_cost,
            build_id=str(build.id),
            transition=str(build.transition),
            build_error=build.job.error or None,
            build_error_code=str(build.job.error_code) if build.job.error_code else None,
            parameters=find_shown_parameters(session, build.id),
            resources=describe_resources(build.resources),
        )


@answered
def read_build(context: OwnerContext, *, build: str) -> Answer:
    """Return how a build ended; wait for it within the time limit if it runs."""
    with context.database.begin() as session:
        found = own_build(session, context, build)
    return read_outcome(context, found)


@answered
def read_build_log(context: OwnerContext, *, build: str, part: LogPart, lines: int) -> Answer:
    """Return a part of a build's log."""
    with context.database.begin() as session:
        found = own_build(session, context, build)
        stored = read_excerpt(session, found.job.id, part, limit=lines)
    shown, characters = [], 0
    for line in stored if part is not LogPart.TAIL else reversed(stored):
        text = f"{line.log_level} {line.stage}: {line.output}"
        characters += len(text)
        if characters > LOG_CHARACTERS:
            break
        shown.append(text)
    return present(
        build_id=str(found.id),
        status=as_status(found.job.status),
        part=str(part),
        lines=shown if part is not LogPart.TAIL else shown[::-1],
    )


@answered
def read_quota(context: OwnerContext) -> Answer:
    """Return the owner's quota in each organization, and what consumes it."""
    with context.database.begin() as session:
        homes = {found.organization_id for found in own_templates(session, context)}
        organizations = find_organizations(session, ids={context.organization_id, *homes})
        quotas = []
        for organization in organizations:
            details = workspace_quota_details(
                session, organization_id=organization.id, owner_id=context.owner_id
            )
            quotas.append(
                {
                    "organization": organization.name,
                    "credits_consumed": details.credits_consumed,
                    "budget": details.budget,
                    "groups": {group.group: group.quota_allowance for group in details.groups},
                    "workspaces": freeable(details),
                }
            )
    return {"quotas": quotas}


def present(**fields: object) -> Answer:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
