"""``provisionerd jobs retry``: enqueues builds that failed or were canceled again."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy.orm import Session

from cli.acting import acting
from cli.actor import as_option, find_actor
from cli.awaiting import Waited, statuses_of, wait_for_all
from cli.options import output_option
from cli.printing import DOCUMENTS
from cli.remote.answers import field_of, id_of, read_as
from cli.remote.client import Client
from cli.remote.jobs import act
from cli.ringing import ring_or_warn
from cli.selection import Selection, report_refused, selecting
from cli.source import Source
from db.catalog.retries import audit_retry, find_retry
from db.schema.enums import JobStatus, Transition
from worker.broker.ringer import Ring
from worker.enqueue import enqueue_build
from worker.tracing.traces import process_tracer


@dataclass(frozen=True, kw_only=True)
class Retried:
    """A new build, and the job whose build it repeats."""

    id: uuid.UUID  #: of the new job
    retried_job_id: uuid.UUID
    workspace: str  #: OWNER/NAME
    transition: Transition
    build_number: int


@dataclass(frozen=True, kw_only=True)
class Retrier:
    """Retries one job in a transaction."""

    as_user: str | None
    ring: Ring

    def __call__(self, session: Session, job_id: uuid.UUID) -> Retried:
        """Enqueue the job's build again, and record who did it."""
        actor = find_actor(session, self.as_user)
        wanted = find_retry(session, job_id)
        build = enqueue_build(
            session,
            workspace_id=wanted.workspace_id,
            transition=wanted.transition,
            initiator_id=actor.user_id,
            template_version_id=wanted.template_version_id,
            parameters=wanted.parameters,
            ring=self.ring,
            tracer=process_tracer(),
        )
        audit_retry(session, wanted, build, actor=actor)
        return Retried(
            id=build.job_id,
            retried_job_id=job_id,
            workspace=wanted.workspace,
            transition=wanted.transition,
            build_number=build.build_number,
        )


@click.command()
@selecting((JobStatus.FAILED,), others=(JobStatus.CANCELED,))
@click.option("--wait", is_flag=True, help="Wait for the new builds, like `jobs wait`.")
@as_option
@output_option
def retry(selection: Selection, wait: bool, as_user: str | None, output: str) -> None:
    r"""Enqueue the build of each JOB again, if it failed or was canceled.

    The new build has the template version and the values of the old one, and is
    charged like any other. A workspace that has a later build is left as it is.
    Filters select failed builds; --status canceled those that were canceled.

    \b
    Example:
        provisionerd jobs retry 3f2a --wait
        provisionerd jobs retry --error-code none --queue builds
    """
    with acting(
        selection,
        "retry",
        here=lambda services: Retrier(
            as_user=as_user, ring=ring_or_warn(services.redis_url, "build")
        ),
        there=lambda client, job_ids: act(client, "retry", job_ids, _retried),
        redis=True,
        as_user=as_user,
    ) as (source, outcome):
        if selection.is_one:
            report_refused(selection, outcome)
        ended = _wait(source, outcome.done) if wait else {}
    _print(selection, outcome.done, ended, output)
    report_refused(selection, outcome)
    sys.exit(statuses_of(ended.values()))


def _wait(source: Source, retried: list[Retried]) -> dict[uuid.UUID, Waited]:
    return {one.id: one for one in wait_for_all(source, [build.id for build in retried])}


def _retried(client: Client, answer: Any) -> Retried:
    transition = field_of(client, answer, "transition", str)
    return Retried(
        id=id_of(client, answer),
        retried_job_id=id_of(client, answer, "retried_job_id"),
        workspace=field_of(client, answer, "workspace", str),
        transition=read_as(client, Transition, transition, "transition"),
        build_number=field_of(client, answer, "build_number", int),
    )


def _print(
    selection: Selection, retried: list[Retried], ended: dict[uuid.UUID, Waited], output: str
) -> None:
    rows = [_document(one, ended.get(one.id)) for one in retried]
    if output in DOCUMENTS:
        selection.print_documents(rows, output)
        return
    for one in retried:
        click.echo(
            f"Job {one.id} was enqueued: {one.transition} of {one.workspace},"
            f" build {one.build_number}."
        )
        if one.id in ended:
            click.echo(ended[one.id].sentence)


def _document(one: Retried, ended: Waited | None) -> dict[str, object]:
    return {
        "id": one.id,
        "retried_job_id": one.retried_job_id,
        "workspace": one.workspace,
        "transition": one.transition,
        "build_number": one.build_number,
        "status": ended.status if ended else JobStatus.PENDING,
    }
