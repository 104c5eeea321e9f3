"""``provisionerd workspace create|start|stop|delete``: builds of workspaces."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NoReturn

import click
from sqlalchemy.orm import Session

from cli.actor import as_option
from cli.building import BuildRequest, Enqueued, finish
from cli.changing import enqueuing
from cli.confirming import confirm, yes_option
from cli.opening import find_organization
from cli.options import organization_option, output_option
from cli.orphaning import delete_orphan
from cli.patience import Patience, waiting_options
from cli.reference import workspace_argument
from cli.remote import workspaces
from cli.remote.client import Client
from cli.values import GivenValues, refusals, values_options
from db.catalog.people import get_user
from db.catalog.templates import get_template, get_version, get_version_to_update_to
from db.catalog.workspaces import create_workspace, get_workspace
from db.schema.enums import Transition
from worker.broker.ringer import Ring
from worker.enqueue import enqueue_build
from worker.tracing.traces import process_tracer

version_option = click.option(
    "--version",
    "version_name",
    metavar="NAME",
    help="Template version; otherwise that of the last build that entered apply.",
)


@click.command()
@workspace_argument
@click.option("--template", required=True, metavar="NAME", help="Template of the workspace.")
@values_options
@organization_option
@waiting_options("build")
@output_option
def create(
    *,
    name: str,
    template: str,
    owner: str,
    values: GivenValues,
    organization: str | None,
    patience: Patience,
    output: str,
) -> None:
    r"""Create the workspace NAME and start it.

    \b
    Example:
        provisionerd workspace create alice/box --template dev --param size=2
    """
    request = BuildRequest(
        workspace=name, owner=owner, transition=Transition.START, patience=patience, output=output
    )

    def here(session: Session, ring: Ring) -> Enqueued:
        home = find_organization(session, organization)
        made = create_workspace(
            session,
            owner=get_user(session, owner),
            template=get_template(session, name=template, organization=home),
            name=name,
        )
        build = enqueue_build(
            session,
            workspace_id=made.id,
            transition=request.transition,
            ring=ring,
            **values.request,
        )
        values.check_ephemeral(session, build)
        return build

    _finish(
        request,
        here,
        lambda client: workspaces.create(
            client,
            owner,
            name,
            template=template,
            organization=organization,
            values=values.body,
        ),
    )


@click.command()
@workspace_argument
@values_options
@click.option("--update", is_flag=True, help="Build from the template's active version.")
@version_option
@waiting_options("build")
@output_option
def start(
    *,
    name: str,
    owner: str,
    values: GivenValues,
    update: bool,
    version_name: str | None,
    patience: Patience,
    output: str,
) -> None:
    r"""Start the workspace NAME.

    It is built from the template version of its last build, unless --update or
    --version chooses another one.

    \b
    Example:
        provisionerd workspace start alice/box --update
    """
    if update and version_name:
        raise click.UsageError("give --update or --version, not both")
    request = BuildRequest(
        workspace=name, owner=owner, transition=Transition.START, patience=patience, output=output
    )
    _build(request, values, update=update, version_name=version_name)


@click.command()
@workspace_argument
@values_options
@version_option
@waiting_options("build")
@output_option
def stop(
    *,
    name: str,
    owner: str,
    values: GivenValues,
    version_name: str | None,
    patience: Patience,
    output: str,
) -> None:
    r"""Stop the workspace NAME.

    \b
    Example:
        provisionerd workspace stop alice/box --output json
    """
    request = BuildRequest(
        workspace=name, owner=owner, transition=Transition.STOP, patience=patience, output=output
    )
    _build(request, values, version_name=version_name)


@click.command()
@workspace_argument
@values_options
@version_option
@click.option("--orphan", is_flag=True, help="Leave all resources as they are; run nothing.")
@yes_option
@as_option
@waiting_options("build")
@output_option
def delete(
    *,
    name: str,
    owner: str,
    values: GivenValues,
    version_name: str | None,
    orphan: bool,
    yes: bool,
    as_user: str | None,
    patience: Patience,
    output: str,
) -> None:
    r"""Delete the workspace NAME and destroy all of its resources.

    Use --orphan for a workspace that cannot be deleted otherwise. It destroys
    nothing and needs no Terraform, worker or Redis: the workspace is marked
    deleted and no longer counts for the quota. Its last state stays available
    (`state pull OWNER/NAME`). It is refused while a build runs.

    \b
    Examples:
        provisionerd workspace delete alice/box
        provisionerd workspace delete alice/box --orphan
    """
    request = BuildRequest(
        workspace=name, owner=owner, transition=Transition.DELETE, patience=patience, output=output
    )
    if orphan:
        if values or version_name:
            raise click.UsageError("values and --version are for a build, which --orphan skips")
        delete_orphan(request, as_user=as_user, yes=yes)
        return
    if as_user:
        raise click.UsageError("--as is for --orphan")
    confirm(f"Delete {owner}/{name} and destroy its resources?", yes=yes)
    _build(request, values, version_name=version_name)


def _build(
    request: BuildRequest,
    values: GivenValues,
    *,
    update: bool = False,
    version_name: str | None = None,
) -> None:
    def here(session: Session, ring: Ring) -> Enqueued:
        found = get_workspace(
            session, owner=get_user(session, request.owner), name=request.workspace
        )
        build = enqueue_build(
            session,
            workspace_id=found.id,
            transition=request.transition,
            template_version_id=_version(
                session, found.template_id, update=update, name=version_name
            ),
            ring=ring,
            tracer=process_tracer(),
            **values.request,
        )
        values.check_ephemeral(session, build)
        return build

    body = {
        **values.body,
        "transition": request.transition.value,
        "update": update,
        "template_version_name": version_name or "",
    }
    _finish(
        request,
        here,
        lambda client: workspaces.build(client, request.owner, request.workspace, body),
    )


def _finish(
    request: BuildRequest,
    here: Callable[[Session, Ring], Enqueued],
    there: Callable[[Client], Enqueued],
) -> NoReturn:
    look = f"workspace show {request.owner}/{request.workspace}"
    enqueued = enqueuing(here, there, noun="build", look=look)
    with refusals(request.output), enqueued as (source, build):
        finish(source, request, build)


def _version(
    session: Session, template_id: uuid.UUID, *, update: bool, name: str | None
) -> uuid.UUID | None:
    """Return the requested version; None means the version of the workspace's builds."""
    if update:
        return get_version_to_update_to(session, template_id)
    return get_version(session, template_id=template_id, name=name) if name else None
