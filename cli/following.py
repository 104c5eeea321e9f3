"""Follows a job in the database."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator

from db.engine import Database
from db.reads.follow import Update, follow
from db.reads.waking import Watch, listening

POLL_S = 1.0  #: the longest pause between polls when notices do not arrive


def updates(
    database: Database, job_id: uuid.UUID, *, after: int | None = 0, limit_s: float = math.inf
) -> Iterator[Update]:
    """Yield the job's progress and log lines until it ends, as soon as the database reports them.

    Arguments and errors are those of ``db.reads.follow.follow``.
    """
    # Most jobs that somebody waits for have ended: those need no connection for notices.
    for update in follow(database, job_id, after=after, limit_s=0):
        yield update
        after = update.lines[-1].id if update.lines else after
    if update.is_last or limit_s <= 0:
        return
    with listening(database) as waker:
        watch = Watch(waker)
        with watch.over(job_id):
            yield from follow(
                database,
                job_id,
                after=after,
                pace=watch.pace(POLL_S),
                limit_s=limit_s,
                wait=watch.wait,
            )
