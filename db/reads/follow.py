"""Following a job until it ends: its new log lines and its progress.

This polls the job row. To react to a notification, pass a ``wait`` function that returns early.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.orm import Session

from db.engine import Database
from db.outage import retry_outage
from db.reads.contract import ProvisionerJobLog
from db.reads.logs import LOG_PAGE, get_logs
from db.reads.progress import JobProgress, job_progress

SLOWDOWN = 1.3

Wait: TypeAlias = Callable[[float], object]
"""Waits for the given number of seconds, or less if the job may have changed."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to poll, in seconds."""

    first_pause_s: float = 0.2  #: after a poll that found new log lines
    last_pause_s: float = 1.0  #: the longest pause, reached when there are no new log lines
    outage_s: float = 60.0  #: how long to wait for a database that is away; longer than a restart

    def pause_after(self, update: Update, last_s: float) -> float:
        """Return the next pause in seconds, given the latest update and the previous pause."""
        if update.lines:
            return self.first_pause_s
        return min(last_s * SLOWDOWN, self.last_pause_s)


DEFAULT_PACE = Pace()


@dataclass(frozen=True, kw_only=True)
class Update:
    """What has changed since the last poll."""

    progress: JobProgress
    lines: Sequence[ProvisionerJobLog] = ()

    @property
    def has_more(self) -> bool:
        """Whether more lines may be stored already."""
        return len(self.lines) == LOG_PAGE

    @property
    def is_last(self) -> bool:
        """Whether the job has ended, and these are its last lines."""
        return not self.has_more and not self.progress.status.is_active


def follow(
    database: Database,
    job_id: uuid.UUID,
    *,
    after: int | None = 0,
    pace: Pace = DEFAULT_PACE,
    limit_s: float = math.inf,
    wait: Wait = time.sleep,
) -> Iterator[Update]:
    """Yield the job's log lines and progress until it is finished.

    The last update has the final status, or an active one if the limit has passed.

    Args:
        after: the id of the last known log line; None to read no log.
        limit_s: how long to follow the job, in seconds.

    Raises:
        NotFoundError: there is no such job.
        sqlalchemy.exc.OperationalError: the database was away for too long.
    """
    end = time.monotonic() + limit_s
    pause_s = pace.first_pause_s
    while True:
        update = _poll_with_retries(
            database, job_id, after, min(end, time.monotonic() + pace.outage_s)
        )
        yield update
        if update.lines:
            after = update.lines[-1].id
        if update.has_more:
            continue
        left_s = max(0.0, end - time.monotonic())
        if not update.progress.status.is_active or not left_s:
            return
        pause_s = pace.pause_after(update, pause_s)
        wait(min(pause_s, left_s))


def await_end(
    database: Database,
    job_id: uuid.UUID,
    *,
    pace: Pace = DEFAULT_PACE,
    limit_s: float = math.inf,
    wait: Wait = time.sleep,
) -> JobProgress:
    """Wait until the job is finished, without reading its log, and return its final progress.

    The status is still active if the limit has passed. Arguments and errors are those of
    ``follow``.
    """
    for update in follow(database, job_id, after=None, pace=pace, limit_s=limit_s, wait=wait):
        progress = update.progress
    return progress


def _poll_with_retries(
    database: Database, job_id: uuid.UUID, after: int | None, deadline: float
) -> Update:
    return retry_outage(
        lambda: _poll(database, job_id, after), may_go_on=lambda: time.monotonic() < deadline
    )


def _poll(database: Database, job_id: uuid.UUID, after: int | None) -> Update:
    with database.begin() as session:
        return read_update(session, job_id, after=after)


def read_update(session: Session, job_id: uuid.UUID, *, after: int | None) -> Update:
    """Return the job's progress, and at most ``LOG_PAGE`` lines of its log.

    Args:
        after: the id of the last known log line; None to read no log.

    Raises:
        NotFoundError: there is no such job.
    """
    # Read the status first. Lines are stored before the job is finished, so none is missed.
    progress = job_progress(session, job_id)
    lines = [] if after is None else get_logs(session, job_id, after=after)
    return Update(progress=progress, lines=lines)
