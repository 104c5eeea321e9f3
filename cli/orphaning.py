"""``provisionerd workspace delete --orphan``: delete a workspace but not its resources."""

from __future__ import annotations

import click

from cli.actor import find_actor
from cli.building import BuildRequest, finish
from cli.confirming import confirm
from cli.opening import opened
from cli.printing import DOCUMENTS, print_document
from db.catalog.orphans import orphan_workspace
from db.catalog.people import get_user
from db.catalog.workspaces import get_workspace


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
    with opened() as services:
        with services.database.begin() as session:
            found = get_workspace(
                session, owner=get_user(session, request.owner), name=request.workspace
            )
            orphaned = orphan_workspace(
                session, workspace_id=found.id, actor=find_actor(session, as_user)
            )
        if orphaned.build is not None:
            finish(services.database, request, orphaned.build)
    _report_unbuilt(request)


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
