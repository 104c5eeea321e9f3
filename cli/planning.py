"""``provisionerd workspace plan``: what a start would do and cost, before anybody starts it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

import click
from sqlalchemy.orm import Session

from cli.building import FAILED, REFUSED_BY_QUOTA
from cli.opening import find_organization, opened
from cli.options import organization_option, output_option
from cli.printing import DOCUMENTS, TABLE, print_document, print_rows
from cli.quota import print_forecast
from cli.reference import workspace_argument
from cli.ringing import ring_or_warn
from cli.screen import screen
from cli.values import GivenValues, refusals, values_options
from cli.waiting import INTERRUPTED, View, follow_job
from db.catalog.dryruns import EnqueuedDryRun, existing_workspace, new_workspace
from db.catalog.people import get_user
from db.catalog.sources import PlannedWorkspace
from db.catalog.templates import get_template, get_version
from db.catalog.workspaces import get_workspace
from db.engine import Database
from db.jobs.resources import ResourceChange
from db.reads.builds import find_resources
from db.reads.contract import WorkspaceResource
from db.reads.dryruns import DryRun, get_dry_run
from db.reads.progress import JobProgress
from db.schema.enums import JobStatus
from quota.forecast import QuotaForecast, forecast_of
from worker.planning import enqueue_dry_run


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """The request, as given on the command line."""

    workspace: str
    template: str | None
    version: str | None
    owner: str
    organization: str | None
    output: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the dry run found, and what the quota says about it."""

    run: DryRun
    resources: Sequence[WorkspaceResource]
    forecast: QuotaForecast | None


@click.command()
@workspace_argument
@click.option(
    "--template", metavar="NAME", help="Template of a new workspace; without it NAME exists."
)
@click.option(
    "--version",
    metavar="NAME",
    help="Template version; otherwise the one that a build would have.",
)
@values_options
@organization_option
@output_option
def plan(
    *,
    name: str,
    template: str | None,
    version: str | None,
    owner: str,
    values: GivenValues,
    organization: str | None,
    output: str,
) -> None:
    r"""Say what a start of the workspace NAME would do and cost. Nothing is done.

    A worker plans the start, from the workspace's state if it exists. The log goes
    to standard error. The quota's answer is advisory: nothing is reserved.

    \b
    The exit status is:
        0  the plan succeeded, and the quota would permit the build
        1  the plan failed, was canceled, or could not be enqueued
        3  the quota would refuse the build

    \b
    Examples:
        provisionerd workspace plan alice/box --template dev --param size=2
        provisionerd workspace plan alice/box --version v2 --output json
    """
    request = PlanRequest(
        workspace=name,
        template=template,
        version=version,
        owner=owner,
        organization=organization,
        output=output,
    )
    with opened(redis=True) as services:
        with refusals(output), services.database.begin() as session:
            workspace = _workspace(session, request)
            run = enqueue_dry_run(
                session,
                workspace,
                template_version_id=_version(session, workspace.template_id, version),
                ring=ring_or_warn(services.redis_url, "dry run"),
                **values.request,
            )
        _finish(services.database, request, run)


def _workspace(session: Session, request: PlanRequest) -> PlannedWorkspace:
    owner = get_user(session, request.owner)
    if request.template is None:
        found = get_workspace(session, owner=owner, name=request.workspace)
        return existing_workspace(session, found.id)
    home = find_organization(session, request.organization)
    template = get_template(session, name=request.template, organization=home)
    return new_workspace(owner=owner, template=template, name=request.workspace)


def _version(session: Session, template_id: uuid.UUID, name: str | None) -> uuid.UUID | None:
    return get_version(session, template_id=template_id, name=name) if name else None


def _finish(database: Database, request: PlanRequest, run: EnqueuedDryRun) -> NoReturn:
    """Wait for the dry run, report it, and exit with its status."""
    view = View(console=screen(err=True), warn=lambda text: _print_error(f"Warning: {text}."))
    try:
        ended = follow_job(database, run.job_id, view)
    except KeyboardInterrupt:
        _print_error(f"`provisionerd jobs cancel {run.job_id}` ends the dry run, which goes on.")
        sys.exit(INTERRUPTED)
    with database.begin() as session:
        dry_run = get_dry_run(session, run.job_id)
        found = Findings(
            run=dry_run,
            resources=find_resources(session, run.job_id),
            forecast=forecast_of(session, dry_run),
        )
    if request.output in DOCUMENTS:
        print_document(_document(request, ended, found), request.output)
    _report(request, ended, found, view)
    if found.forecast is None:
        sys.exit(FAILED)
    sys.exit(0 if found.forecast.ok else REFUSED_BY_QUOTA)


def _report(request: PlanRequest, ended: JobProgress, found: Findings, view: View) -> None:
    if ended.status is JobStatus.CANCELED:
        _print_error(f"Error: the dry run of {request.workspace} was canceled")
    elif found.forecast is None:
        _print_error(f"Error: the dry run of {request.workspace} failed: {view.reason(ended)}")
    elif request.output not in DOCUMENTS:
        _print(request, found.run.changes, found.forecast)


def _print(
    request: PlanRequest, changes: Sequence[ResourceChange], forecast: QuotaForecast
) -> None:
    print_rows(
        changes,
        {
            "RESOURCE": lambda row: row.address,
            "ACTION": lambda row: row.action,
            "DAILY COST": lambda row: row.daily_cost,
        },
        output=TABLE,
        kind="resources in this plan",
    )
    click.echo()
    print_forecast(request.owner, forecast)


def _document(request: PlanRequest, ended: JobProgress, found: Findings) -> dict[str, object]:
    return {
        "workspace": request.workspace,
        "status": ended.status,
        "error": ended.error,
        "error_code": ended.error_code,
        "job_id": found.run.job_id,
        "template_version_id": found.run.template_version_id,
        "daily_cost": found.run.daily_cost,
        "changes": [asdict(change) for change in found.run.changes],
        "resources": [resource.model_dump(mode="json") for resource in found.resources],
        "quota": asdict(found.forecast) if found.forecast else None,
    }


def _print_error(text: str) -> None:
    click.echo(text, err=True)
