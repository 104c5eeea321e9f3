"""``provisionerd audit``: who changed what by hand."""

from __future__ import annotations

import json
from datetime import timedelta

import click

from cli.opening import transaction
from cli.options import limit_option, output_option
from cli.printing import Columns, print_rows
from cli.prune import Age
from db.catalog.audit import AuditAction
from db.reads.audit import AuditListing, list_audit_logs

COLUMNS: Columns[AuditListing] = {
    "TIME": lambda row: row.time,
    "USER": lambda row: row.username,
    "ACTION": lambda row: row.action,
    "TARGET": lambda row: f"{row.resource_type} {row.resource_target}",
    "CHANGE": lambda row: json.dumps(row.diff) if row.diff else None,
}


@click.group()
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
@click.option("--since", type=Age(), metavar="AGE", help="Only changes of the last AGE.")
@limit_option
@output_option
def list_changes(  # noqa: PLR0917 - click passes each option by its name
    username: str | None,
    action: str | None,
    target: str | None,
    since: timedelta | None,
    limit: int,
    output: str,
) -> None:
    r"""List changes, the newest first. An AGE is a number of days or hours.

    \b
    Example:
        provisionerd audit list --since 7d
        provisionerd audit list --target alice/box --output json
    """
    with transaction() as session:
        rows = list_audit_logs(
            session, username=username, action=action, target=target, within=since, limit=limit
        )
    print_rows(rows, COLUMNS, output=output, kind="changes")
