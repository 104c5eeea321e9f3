"""``provisionerd workers``: the workers and their load."""

from __future__ import annotations

import click

from cli.draining import drain, forget, resume
from cli.opening import transaction
from cli.options import limit_option, output_option
from cli.printing import Columns, print_rows
from db.reads.workers import WorkerListing, list_workers
from db.texts import seconds_text, tags_text

COLUMNS: Columns[WorkerListing] = {
    "NAME": lambda row: row.name,
    "STATUS": lambda row: row.status,
    "TAGS": lambda row: tags_text(row.tags),
    "ENGINES": lambda row: ",".join(row.provisioners),
    "SLOTS": lambda row: row.slots,
    "USED": lambda row: row.running_jobs,
    "FREE": lambda row: row.free_slots,
    "LAST SEEN": lambda row: seconds_text(row.last_seen_s),
    "VERSION": lambda row: row.version,
}


@click.group(invoke_without_command=True)
@limit_option
@output_option
@click.pass_context
def workers(context: click.Context, limit: int, output: str) -> None:
    r"""List the workers and their load; drain them, and forget those that are gone.

    \b
    A worker is busy, idle, draining (it takes no new builds) or offline (it
    signed off, or was not seen for 90 seconds).

    \b
    Example:
        provisionerd workers
        provisionerd workers drain build-7
    """
    if context.invoked_subcommand:
        return
    with transaction() as session:
        rows = list_workers(session, limit=limit)
    print_rows(rows, COLUMNS, output=output, kind="workers")


workers.add_command(drain)
workers.add_command(resume)
workers.add_command(forget)
