"""``provisionerd migrate``: migrate the database to the current schema."""

from __future__ import annotations

import click

from cli.opening import opened
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document
from db.schema.migrate import migrate as upgrade
from db.schema.revision import current_revision


@click.command()
@output_option
def migrate(output: str) -> None:
    r"""Migrate the database to the current schema.

    Run it before you start workers of a new version. Workers of the previous
    version may keep running. Several migrations at once take turns.

    \b
    Example:
        PROVISIONERD_DATABASE_URL=postgresql://app:secret@db/app provisionerd migrate
    """
    with opened(check=False) as services:
        before = current_revision(services.database.engine)
        upgrade(services.database.engine)
        after = current_revision(services.database.engine)
    if output in DOCUMENTS:
        print_document({"from": before, "to": after}, output)
    elif before == after:
        click.echo(f"The database is up to date at {after}.")
    else:
        click.echo(f"The database was migrated from {before or 'empty'} to {after}.")
