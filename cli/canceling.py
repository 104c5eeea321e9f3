"""``provisionerd jobs cancel``: asks one job or many to end."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import click
from sqlalchemy.orm import Session

from cli.acting import acting
from cli.actor import as_option, find_actor
from cli.options import output_option
from cli.printing import DOCUMENTS
from cli.remote.answers import field_of, id_of, read_as
from cli.remote.client import Client
from cli.remote.jobs import act
from cli.selection import Outcome, Selection, report_refused, selecting
from db.catalog.cancellations import cancel_by_hand
from db.schema.enums import JobStatus

Canceled = tuple[uuid.UUID, JobStatus]


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
    with acting(
        selection,
        "cancel",
        here=lambda _services: partial(_cancel, as_user=as_user),
        there=lambda client, job_ids: act(client, "cancel", job_ids, _canceled),
        redis=False,
        as_user=as_user,
    ) as (_source, outcome):
        _print(selection, outcome, output)
        report_refused(selection, outcome)


def _print(selection: Selection, outcome: Outcome[Canceled], output: str) -> None:
    if output in DOCUMENTS:
        rows = [{"id": job_id, "status": status} for job_id, status in outcome.done]
        selection.print_documents(rows, output)
    else:
        for job_id, status in outcome.done:
            click.echo(f"Job {job_id} is {status}.")


def _cancel(session: Session, job_id: uuid.UUID, *, as_user: str | None) -> Canceled:
    return job_id, cancel_by_hand(session, job_id, actor=find_actor(session, as_user))


def _canceled(client: Client, answer: Any) -> Canceled:
    status = field_of(client, answer, "status", str)
    return id_of(client, answer), read_as(client, JobStatus, status, "status")
