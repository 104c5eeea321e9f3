"""``provisionerd mcp``: agents' tools by the Model Context Protocol over standard input."""

from __future__ import annotations

import click

from api.mcp.serving import Seat
from api.mcp.stdio import serve_stdio
from chattool.context import OwnerContext
from chattool.settings import tool_settings
from cli.opening import find_organization, opened
from cli.options import organization_option
from db.catalog.audit import Actor
from db.catalog.people import get_user
from db.reads.waking import listening
from worker.broker.ringer import ring_later
from worker.settings import load_settings


@click.command()
@click.option("--owner", required=True, metavar="USER", help="Owner of the workspaces.")
@click.option("--read-only", is_flag=True, help="Offer only the tools that change nothing.")
@organization_option
def mcp(owner: str, organization: str | None, *, read_only: bool) -> None:
    r"""Serve agents' tools to the program that starts this command.

    An agent's client (an editor, a desktop app) starts it and speaks the Model
    Context Protocol over standard input and output. The tools act for one user
    only. Over HTTP the same tools are at /mcp of `provisionerd serve`.

    \b
    Examples:
        provisionerd mcp --owner alice
        provisionerd mcp --owner alice --read-only

    docs/agents.md shows what to write into the configuration of a client.
    """
    settings = load_settings()
    with opened(redis=True) as services, listening(services.database) as waker:
        with services.database.begin() as session:
            user = get_user(session, owner)
            context = OwnerContext(
                database=services.database,
                owner_id=user.id,
                organization_id=find_organization(session, organization).id,
                settings=tool_settings(settings),
                ring=ring_later(services.redis_url),
                actor=Actor.of(user),
            )
        serve_stdio(Seat(context=context, may_change=not read_only), waker)
