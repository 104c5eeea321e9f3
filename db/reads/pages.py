"""The jobs of an organization, newest first, a page at a time.

A page is found by its keys alone and then read by ``get_jobs``. Filters are answered by *legs*:
one short index range for each combination of what is asked for, already in the order of the
page, of which the newest are merged. So a page costs the same wherever the matching jobs lie; a
filter applied while walking over all jobs would read a year of them to find the rare ones.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from db.errors import InvalidError
from db.reads.contract import ProvisionerJob
from db.reads.jobs import get_jobs
from db.schema.enums import JobStatus, JobType

MAX_PAGE = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)
_LAST_ID = uuid.UUID(int=2**128 - 1)

# Uses: ix_provisioner_jobs_newest.
_NEWEST = text("""
    SELECT created_at, id
    FROM provisioner_jobs
    WHERE organization_id = :organization_id AND (created_at, id) < (:created_at, :id)
    ORDER BY created_at DESC, id DESC
    LIMIT :limit
""")

# Uses: ix_provisioner_jobs_by_status.
_FILTERED = text("""
    SELECT leg.created_at, leg.id
    FROM unnest(CAST(:statuses AS provisioner_job_status[])) AS wanted_status
    CROSS JOIN unnest(CAST(:types AS provisioner_job_type[])) AS wanted_type
    CROSS JOIN LATERAL (
        SELECT created_at, id
        FROM provisioner_jobs AS job
        WHERE job.organization_id = :organization_id
          AND job.job_status = wanted_status
          AND job.type = wanted_type
          AND (job.created_at, job.id) < (:created_at, :id)
        ORDER BY job.created_at DESC, job.id DESC
        LIMIT :limit
    ) AS leg
    ORDER BY leg.created_at DESC, leg.id DESC
    LIMIT :limit
""")

# A queue is a tag set, so the tags of its first job are those of all. The recursion takes one
# index entry per queue that the organization ever used, however many jobs there are.
# Uses: ix_provisioner_jobs_by_queue.
_TAGGED = text("""
    WITH RECURSIVE queues AS (
        (
            SELECT queue, tags
            FROM provisioner_jobs
            WHERE organization_id = :organization_id
            ORDER BY queue
            LIMIT 1
        )
        UNION ALL
        SELECT following.queue, following.tags
        FROM queues
        CROSS JOIN LATERAL (
            SELECT queue, tags
            FROM provisioner_jobs AS job
            WHERE job.organization_id = :organization_id AND job.queue > queues.queue
            ORDER BY job.queue
            LIMIT 1
        ) AS following
    )
    SELECT leg.created_at, leg.id
    FROM queues
    CROSS JOIN unnest(CAST(:statuses AS provisioner_job_status[])) AS wanted_status
    CROSS JOIN unnest(CAST(:types AS provisioner_job_type[])) AS wanted_type
    CROSS JOIN LATERAL (
        SELECT created_at, id
        FROM provisioner_jobs AS job
        WHERE job.organization_id = :organization_id
          AND job.queue = queues.queue
          AND job.job_status = wanted_status
          AND job.type = wanted_type
          AND (job.created_at, job.id) < (:created_at, :id)
        ORDER BY job.created_at DESC, job.id DESC
        LIMIT :limit
    ) AS leg
    WHERE queues.tags @> CAST(:tags AS jsonb)
    ORDER BY leg.created_at DESC, leg.id DESC
    LIMIT :limit
""")


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Some jobs, and where the next older ones begin."""

    jobs: Sequence[ProvisionerJob]
    after: str | None  #: give it to ``list_jobs`` for the next page; None at the end


def list_jobs(
    session: Session,
    organization_id: uuid.UUID,
    *,
    statuses: Iterable[JobStatus] = (),
    types: Iterable[JobType] = (),
    tags: Mapping[str, str] | None = None,
    limit: int = 50,
    after: str | None = None,
) -> JobPage:
    """Return jobs of the organization, newest first.

    Jobs that are enqueued while somebody pages show up on no later page and shift nothing.

    Args:
        statuses: only jobs that stand so; any when empty.
        types: only jobs of these types; any when empty.
        tags: only jobs that have all of these tags, among others; any when None or empty.
        limit: how many at most, from 1 to ``MAX_PAGE``.
        after: the ``after`` of the page before; opaque.

    Raises:
        InvalidError: the limit is out of range, or ``after`` is not one that was given out.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidError(f"a page has from 1 to {MAX_PAGE} jobs, not {limit}")
    # As sets: a value that is named twice would give its jobs twice.
    statuses, types = frozenset(statuses), frozenset(types)
    created_at, last_id = _read_cursor(after) if after else (_END_OF_TIME, _LAST_ID)
    rows = session.execute(
        _statement(filtered=bool(statuses or types), tagged=bool(tags)),
        {
            "organization_id": organization_id,
            "statuses": [status.value for status in statuses or JobStatus],
            "types": [type_.value for type_ in types or JobType],
            "tags": json.dumps(dict(tags or {})),
            "created_at": created_at,
            "id": last_id,
            # One more than asked for tells whether there is a next page.
            "limit": limit + 1,
        },
    ).all()
    page = rows[:limit]
    return JobPage(
        jobs=get_jobs(session, [row.id for row in page]),
        after=_cursor(page[-1]) if len(rows) > limit else None,
    )


def _statement(*, filtered: bool, tagged: bool) -> TextClause:
    if tagged:
        return _TAGGED
    return _FILTERED if filtered else _NEWEST


def _cursor(row: Row[Any]) -> str:
    # Whole microseconds, as PostgreSQL keeps them: a float would lose some.
    return f"{(row.created_at - _EPOCH) // timedelta(microseconds=1)}.{row.id.hex}"


def _read_cursor(after: str) -> tuple[datetime, uuid.UUID]:
    microseconds, _, job_id = after.partition(".")
    try:
        return _EPOCH + timedelta(microseconds=int(microseconds)), uuid.UUID(job_id)
    except (ValueError, OverflowError) as error:
        raise InvalidError(
            f"{after!r} is not where a page of jobs begins; begin with the first page"
        ) from error
