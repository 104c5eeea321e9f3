"""``provisionerd workspace rename``: gives a workspace another name."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from cli.actor import as_option
from cli.changing import change
from cli.confirming import confirm, yes_option
from cli.reference import workspace_argument
from cli.remote import workspaces
from db.catalog.audit import Actor
from db.catalog.people import get_user
from db.catalog.workspaces import rename_workspace


@click.command()
@workspace_argument
@click.argument("new", metavar="NEW")
@yes_option
@as_option
def rename(*, name: str, owner: str, new: str, yes: bool, as_user: str | None) -> None:
    r"""Give the workspace NAME the name NEW.

    A build that runs keeps the old name. Most templates name resources after the
    workspace, so the next build may replace them, with what is stored there: look
    at `workspace plan` before it.

    \b
    Example:
        provisionerd workspace rename alice/box crate
        provisionerd workspace plan alice/crate
    """
    confirm(f"Rename {owner}/{name}? Its next build may replace resources.", yes=yes)
    change(
        lambda session, actor: _rename(session, actor, owner, name, new),
        lambda client: workspaces.rename(client, owner, name, new),
        look="workspace list",
        as_user=as_user,
    )
    click.echo(f"Workspace {owner}/{name} is now {owner}/{new}.")


def _rename(session: Session, actor: Actor, owner: str, name: str, new: str) -> None:
    rename_workspace(session, owner=get_user(session, owner), name=name, new=new, actor=actor)
