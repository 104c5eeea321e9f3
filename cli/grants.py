"""``provisionerd grants``: the rights that each kind of process needs."""

from __future__ import annotations

from collections.abc import Mapping

import click

from cli.options import output_option
from cli.printing import DOCUMENTS, print_document
from db.schema.grants import AccessRole, grant_statements
from worker.broker.rights import RING_COMMANDS, WORKER_COMMANDS, acl_line

BROKER_COMMANDS: Mapping[AccessRole, Mapping[str, tuple[str, ...]]] = {
    AccessRole.WORKER: WORKER_COMMANDS,
    AccessRole.ENQUEUE: RING_COMMANDS,
    AccessRole.API: RING_COMMANDS,
}


@click.command()
@click.option(
    "--role",
    type=click.Choice([role.value for role in AccessRole]),
    required=True,
    help="What the process does: run builds, enqueue them from Python or from SQL, serve the"
    " HTTP API, or only read.",
)
@click.option("--name", help="Name of the users; by default provisionerd_ROLE.")
@output_option
def grants(role: str, name: str | None, output: str) -> None:
    r"""Print the rights in PostgreSQL and Redis that a role needs.

    \b
    Nothing is connected to, and nothing is changed: run the statements as the
    owner of the tables after each `provisionerd migrate`, and the ACL line as an
    administrator of Redis. Then give both users a password.

    \b
    Example:
        provisionerd grants --role worker
        provisionerd grants --role enqueue --name api --output json
        provisionerd grants --role sql --name platform
    """
    wanted = AccessRole(role)
    user = name or f"provisionerd_{wanted}"
    try:
        statements = grant_statements(wanted, user)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from error
    commands = BROKER_COMMANDS.get(wanted)
    acl = acl_line(user, commands) if commands else None
    if output in DOCUMENTS:
        print_document(
            {"role": wanted, "user": user, "postgresql": statements, "redis": acl}, output
        )
    else:
        _print(statements, acl, user)


def _print(statements: list[str], acl: str | None, user: str) -> None:
    click.echo(f"-- PostgreSQL, then: \\password {user}")
    for statement in statements:
        click.echo(statement)
    click.echo()
    if acl is None:
        click.echo("-- Redis: this role needs no user.")
        return
    click.echo(f"-- Redis, then: ACL SETUSER {user} >PASSWORD")
    click.echo(acl)
