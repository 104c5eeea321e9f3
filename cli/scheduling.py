"""``provisionerd workspace schedule|extend``: when a workspace is stopped automatically."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
from sqlalchemy.orm import Session

from cli.changing import change
from cli.reference import workspace_argument
from cli.remote import workspaces
from cli.spans import NEVER, Span, nanoseconds
from db.catalog.audit import Actor
from db.catalog.deadlines import end_deadline, extend_deadline
from db.catalog.people import get_user
from db.catalog.workspaces import edit_workspace, get_workspace
from db.schema.tables import Workspace


@click.command()
@workspace_argument
@click.option(
    "--stop-after",
    required=True,
    type=Span(),
    metavar="SPAN",
    help="How long it runs after a start, such as 8h; never: until somebody stops it.",
)
def schedule(name: str, owner: str, stop_after: timedelta) -> None:
    r"""Set how long the workspace NAME runs after its next start.

    `never` also removes the deadline that it has now.

    \b
    Example:
        provisionerd workspace schedule alice/box --stop-after 8h
    """

    def here(session: Session, _actor: Actor) -> None:
        found = _workspace(session, owner, name)
        edit_workspace(session, found.id, {"ttl": nanoseconds(stop_after) or None})
        if stop_after == NEVER:
            end_deadline(session, found.id)

    change(
        here,
        lambda client: workspaces.stop_after(client, owner, name, stop_after),
        look=f"workspace show {owner}/{name}",
    )
    click.echo(f"Workspace {name} was changed.")


@click.command()
@workspace_argument
@click.option("--for", "span", required=True, type=Span(), metavar="SPAN", help="From now on.")
def extend(name: str, owner: str, span: timedelta) -> None:
    r"""Let the running workspace NAME run for another SPAN from now on.

    \b
    Example:
        provisionerd workspace extend alice/box --for 2h
    """
    deadline = datetime.now(UTC) + span
    change(
        lambda session, _actor: extend_deadline(
            session, _workspace(session, owner, name).id, deadline
        ),
        lambda client: workspaces.extend(client, owner, name, deadline),
        look=f"workspace show {owner}/{name}",
    )
    click.echo(f"Workspace {name} runs until {deadline:%Y-%m-%d %H:%M} UTC.")


def _workspace(session: Session, owner: str, name: str) -> Workspace:
    return get_workspace(session, owner=get_user(session, owner), name=name)
