"""``provisionerd workspace list``: the workspaces that are not deleted."""

from __future__ import annotations

from functools import partial

import click

from api.reads.workspaces import WorkspaceList
from cli.listing import Kind, Listing, listing_options
from cli.table import WIDE, Column, Columns, age
from db.reads.workspaces import WorkspaceListing

COLUMNS: Columns[WorkspaceListing] = {
    "NAME": lambda row: row.name,
    "OWNER": lambda row: row.owner_name,
    "TEMPLATE": Column(lambda row: row.template_name, 1),
    "STATUS": lambda row: row.status or "not built",
    "DAILY COST": Column(lambda row: row.daily_cost, 2),
    "UPDATE": Column(lambda row: "available" if row.is_outdated else "", 3),
    "LAST BUILD": lambda row: age(row.last_build_at),
    "BUILT AT": Column(lambda row: row.last_build_at, WIDE),
    "ID": Column(lambda row: row.id, WIDE),
}
KIND = Kind(plural="workspaces", columns=COLUMNS, name=lambda row: f"{row.owner_name}/{row.name}")


@click.command("list")
@click.option("--owner", metavar="USER", help="Only this user's workspaces.")
@listing_options(KIND)
def list_(owner: str | None, listing: Listing[WorkspaceListing]) -> None:
    r"""List the workspaces that are not deleted.

    \b
    Example:
        provisionerd workspace list --owner alice
    """
    listing.print_answers(partial(WorkspaceList, owner=owner))
