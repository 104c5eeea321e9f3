"""``provisionerd workers``: the workers and their load."""

from __future__ import annotations

import click

from api.reads.operations import WorkerList
from cli.draining import drain, forget, resume
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.table import WIDE, Column, Columns
from db.reads.workers import WorkerListing
from db.texts import seconds_text, tags_text

COLUMNS: Columns[WorkerListing] = {
    "NAME": lambda row: row.name,
    "STATUS": lambda row: row.status,
    "TAGS": Column(lambda row: tags_text(row.tags), 1),
    "ENGINES": Column(lambda row: ",".join(row.provisioners), 6),
    "SLOTS": Column(lambda row: row.slots, 3),
    "USED": lambda row: row.running_jobs,
    "FREE": Column(lambda row: row.free_slots, 2),
    "LAST SEEN": lambda row: seconds_text(row.last_seen_s),
    "VERSION": Column(lambda row: row.version, 5),
    "HOST": Column(lambda row: row.hostname, WIDE),
    "ORGANIZATIONS": Column(lambda row: ",".join(row.organizations) or "all", WIDE),
    "QUEUES": Column(lambda row: ",".join(row.queues), WIDE),
}
KIND = Kind(plural="workers", columns=COLUMNS, name=lambda row: row.name)


@click.group(cls=AliasGroup, invoke_without_command=True)
@listing_options(KIND)
@click.pass_context
def workers(context: click.Context, listing: Listing[WorkerListing]) -> None:
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
    listing.print_answers(WorkerList)


workers.add_command(drain)
workers.add_command(resume)
workers.add_command(forget)
