"""``provisionerd audit``: who changed what by hand."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import click

from api.reads.operations import AuditList
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.spans import AGE
from cli.table import Column, Columns
from db.catalog.audit import AuditAction
from db.reads.audit import AuditListing

COLUMNS: Columns[AuditListing] = {
    "TIME": lambda row: row.time,
    "USER": lambda row: row.username,
    "ACTION": Column(lambda row: row.action, 1),
    "TARGET": lambda row: f"{row.resource_type} {row.resource_target}",
    "CHANGE": Column(lambda row: json.dumps(row.diff) if row.diff else None, 2),
}
KIND = Kind(plural="changes", columns=COLUMNS, name=lambda row: row.id)


@click.group(cls=AliasGroup)
def audit() -> None:
    """Show who changed what by hand."""


@audit.command(name="list")
@click.option("--user", "username", metavar="NAME", help="Only changes by this user.")
@click.option(
    "--action",
    type=click.Choice([action.value for action in AuditAction]),
    help="Only changes of this kind.",
)
@click.option("--target", metavar="NAME", help="Only changes of this, such as alice/box.")
@click.option("--since", type=AGE, metavar="AGE", help="Only changes of the last AGE.")
@listing_options(KIND)
def list_changes(
    username: str | None,
    action: str | None,
    target: str | None,
    since: timedelta | None,
    listing: Listing[AuditListing],
) -> None:
    r"""List changes, the newest first. An AGE is a number of days or hours.

    \b
    Example:
        provisionerd audit list --since 7d
        provisionerd audit list --target alice/box --output json
    """
    wanted = partial(
        AuditList,
        username=username,
        action=action,
        target=target,
        within_s=since.total_seconds() if since is not None else None,
    )
    listing.print_answers(wanted)
