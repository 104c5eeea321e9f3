"""``provisionerd organization``: tenants."""

from __future__ import annotations

import click

from api.reads.people import OrganizationList
from cli.changing import change
from cli.lazy import AliasGroup
from cli.listing import Kind, list_command
from cli.remote.client import route
from cli.table import Columns
from db.catalog.people import create_organization
from db.reads.people import OrganizationListing, list_organizations

COLUMNS: Columns[OrganizationListing] = {
    "NAME": lambda row: row.name,
    "DEFAULT": lambda row: "yes" if row.is_default else "",
    "MEMBERS": lambda row: row.members,
    "EVERYONE'S ALLOWANCE": lambda row: row.everyone_allowance,
}
KIND = Kind(plural="organizations", columns=COLUMNS, name=lambda row: row.name)


@click.group(cls=AliasGroup)
def organization() -> None:
    """Create and list organizations.

    The first `provisionerd user create` creates one named "default".
    """


@organization.command()
@click.argument("name")
@click.option(
    "--allowance",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Credits per day that every member gets (the group Everyone).",
)
def create(name: str, allowance: int) -> None:
    r"""Create an organization; the first one is the default.

    \b
    Example:
        provisionerd organization create research --allowance 20
    """
    change(
        lambda session, _actor: create_organization(
            session,
            name=name,
            everyone_allowance=allowance,
            is_default=not list_organizations(session, limit=1),
        ),
        lambda client: client.ask(
            "POST",
            route("organizations"),
            body={"name": name, "everyone_allowance": allowance},
        ),
        look="organization list",
    )
    click.echo(f"Organization {name} was created.")


organization.add_command(
    list_command(
        KIND,
        OrganizationList,
        description=r"""List the organizations.

        \b
        Example:
            provisionerd organization list --output json
        """,
    )
)
