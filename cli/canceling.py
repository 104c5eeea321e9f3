"""``provisionerd jobs cancel``: asks one job or many to end."""

from __future__ import annotations

import uuid
from functools import partial

import click
from sqlalchemy.orm import Session

from cli.actor import as_option, find_actor
from cli.opening import opened
from cli.options import output_option
from cli.printing import DOCUMENTS, print_document, print_json
from cli.selection import Selection, act_on_each, report_refused, selecting
from cli.source import DatabaseSource
from db.catalog.cancellations import cancel_by_hand
from db.schema.enums import JobStatus


@click.command()
@selecting((JobStatus.PENDING, JobStatus.RUNNING))
@as_option
@output_option
def cancel(selection: Selection, as_user: str | None, output: str) -> None:
    r"""Request the cancellation of each JOB.

    A pending job is canceled immediately. A running job is interrupted by its
    worker, which stores the state; `jobs logs JOB -f` shows how it ends.

    \b
    Example:
        provisionerd jobs cancel 3f2a
        provisionerd jobs cancel --status pending --queue builds
    """
    with opened() as services:
        job_ids = selection.find(DatabaseSource(services.database))
        selection.confirm("cancel", len(job_ids))
        outcome = act_on_each(services.database, job_ids, partial(_cancel, as_user=as_user))
    if output in DOCUMENTS and outcome.done:
        rows = [{"id": job_id, "status": status} for job_id, status in outcome.done]
        print_json(rows[0] if selection.is_one else rows)
    elif output in DOCUMENTS and not selection.is_one:
        print_document([], output)
    else:
        for job_id, status in outcome.done:
            click.echo(f"Job {job_id} is {status}.")
    report_refused(selection, outcome)


def _cancel(
    session: Session, job_id: uuid.UUID, *, as_user: str | None
) -> tuple[uuid.UUID, JobStatus]:
    return job_id, cancel_by_hand(session, job_id, actor=find_actor(session, as_user))
