"""``provisionerd jobs wait``: waits until jobs have ended, and says how."""

from __future__ import annotations

import math
import sys
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass

import click

from cli.building import FAILED, REFUSED_BY_QUOTA, exit_status
from cli.options import output_option
from cli.patience import TIMED_OUT, timeout_option
from cli.printing import DOCUMENTS
from cli.selection import Selection, selecting
from cli.source import Source, source
from cli.table import plain
from cli.waiting import INTERRUPTED
from db.schema.enums import JobErrorCode, JobStatus


@dataclass(frozen=True, kw_only=True)
class Waited:
    """How a job ended; an active status if it has not ended in time."""

    id: uuid.UUID
    status: JobStatus
    error: str | None
    error_code: JobErrorCode | None
    exit_status: int

    @property
    def sentence(self) -> str:
        """One sentence about the end."""
        reason = f": {plain(self.error)}" if self.error else ""
        still = "still " if self.status.is_active else ""
        return f"Job {self.id} is {still}{self.status}{reason}" + ("" if reason else ".")


@click.command()
@selecting((JobStatus.PENDING, JobStatus.RUNNING, JobStatus.CANCELING), asks=False)
@timeout_option
@output_option
def wait(selection: Selection, timeout: float | None, output: str) -> None:
    r"""Wait until each JOB has ended.

    Filters select the jobs that match them now.

    \b
    The exit status is:
        0    all jobs succeeded
        1    one failed or was canceled
        3    the owner's quota refused a build, and no job failed otherwise
        124  not all jobs ended within --timeout

    \b
    Example:
        provisionerd jobs wait 3f2a --timeout 600
        provisionerd jobs wait --owner alice
    """
    with source() as opened_source:
        job_ids = selection.find(opened_source)
        limit_s = math.inf if timeout is None else timeout
        ended = []
        for one in wait_for_all(opened_source, job_ids, limit_s=limit_s):
            ended.append(one)
            if output not in DOCUMENTS:
                click.echo(one.sentence)
    if output in DOCUMENTS:
        rows = [{n: v for n, v in asdict(one).items() if n != "exit_status"} for one in ended]
        selection.print_documents(rows, output)
    sys.exit(statuses_of(ended))


def wait_for_all(
    opened_source: Source, job_ids: Sequence[uuid.UUID], *, limit_s: float = math.inf
) -> Iterator[Waited]:
    """Yield how each job ended, in the given order.

    Args:
        limit_s: how long to wait for all of them, in seconds.
    """
    end = time.monotonic() + limit_s
    try:
        for job_id in job_ids:
            yield _wait(opened_source, job_id, max(0.0, end - time.monotonic()))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def statuses_of(ended: Collection[Waited]) -> int:
    """Return the exit status for all of the jobs."""
    found = {one.exit_status for one in ended} - {0}
    for status in (TIMED_OUT, FAILED, REFUSED_BY_QUOTA):
        if status in found:
            return status
    return 0


def _wait(opened_source: Source, job_id: uuid.UUID, limit_s: float) -> Waited:
    for update in opened_source.updates(job_id, after=None, limit_s=limit_s):
        progress = update.progress
    return Waited(
        id=job_id,
        status=progress.status,
        error=progress.error,
        error_code=progress.error_code,
        exit_status=exit_status(progress),
    )
