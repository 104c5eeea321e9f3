"""``provisionerd workspace delete --orphan``: delete a workspace but not its resources."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from cli.building import BuildRequest, Enqueued, finish
from cli.changing import change
from cli.confirming import confirm
from cli.printing import DOCUMENTS, print_document
from cli.remote import workspaces
from cli.source import source
from db.catalog.audit import Actor
from db.catalog.orphans import orphan_workspace
from db.catalog.people import get_user
from db.catalog.workspaces import get_workspace

ORPHAN = {"transition": "delete", "orphan": True}


def delete_orphan(request: BuildRequest, *, as_user: str | None, yes: bool) -> None:
    """Delete the workspace without destroying its resources, and exit with the resulting status.

    Args:
        as_user: the user for the audit log; the user of the operating system if None.
        yes: skip the confirmation.

    Raises:
        NotFoundError: there is no such workspace or user.
        BuildActiveError: the workspace has an unfinished build.
        click.Abort: the user did not confirm.
    """
    where = f"{request.owner}/{request.workspace}"
    confirm(f"Delete {where} and leave its resources as they are?", yes=yes)
    build = change(
        lambda session, actor: _orphan(session, actor, request),
        lambda client: workspaces.build(client, request.owner, request.workspace, ORPHAN),
        look="workspace list",
        as_user=as_user,
    )
    if build is not None:
        with source() as opened_source:
            finish(opened_source, request, build)
    _report_unbuilt(request)


def _orphan(session: Session, actor: Actor, request: BuildRequest) -> Enqueued | None:
    found = get_workspace(session, owner=get_user(session, request.owner), name=request.workspace)
    return orphan_workspace(session, workspace_id=found.id, actor=actor).build


def _report_unbuilt(request: BuildRequest) -> None:
    if request.output in DOCUMENTS:
        print_document(
            {
                "workspace": request.workspace,
                "transition": request.transition,
                "status": "succeeded",
                "error": None,
                "error_code": None,
                "daily_cost": 0,
                "credits_consumed": None,
                "budget": None,
                "build_id": None,
                "job_id": None,
            },
            request.output,
        )
    else:
        click.echo(f"Workspace {request.workspace} was deleted. It had never been built.")
