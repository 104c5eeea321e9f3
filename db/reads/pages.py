"""Pages of jobs, newest first.

A first query finds only the keys of a page, and ``get_jobs`` reads its jobs. To filter by status,
type and tags, the query reads one short index range for each combination of the wanted values (a
*leg*) and merges the newest rows of all legs. So a page costs the same wherever the matching jobs
are. A filter on a walk over all jobs would read a year of them to find rare ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    DateTime,
    Enum,
    FromClause,
    Select,
    Text,
    Uuid,
    cast,
    column,
    func,
    literal,
    select,
    table,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.errors import InvalidError
from db.reads.jobs import Job, get_jobs
from db.reads.sight import Sight
from db.schema.enums import JobErrorCode, JobStatus, JobType
from db.schema.types import enum_type

if TYPE_CHECKING:
    from db.engine import Reader

MAX_PAGE = 10_000
UNTAGGED = "none"  #: selects failures without an error code; the same word as in metrics

# The columns that pages are found by. The models would bring the ORM into each process that lists.
_JOB = table(
    "provisioner_jobs",
    column("id", Uuid),
    column("created_at", DateTime(timezone=True)),
    column("type", enum_type(JobType, "provisioner_job_type")),
    column("job_status", enum_type(JobStatus, "provisioner_job_status")),
    column("organization_id", Uuid),
    column("owner_id", Uuid),
    column("initiator_id", Uuid),
    column("workspace_id", Uuid),
    column("queue", Text),
    column("tags", JSONB),
    column("error", Text),
    column("error_code", Text),
).c
_WORKSPACE = table("workspaces", column("id", Uuid), column("name", Text)).c
_ORGANIZATION = table("organizations", column("id", Uuid)).c
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The end of a page of jobs: the keys of its last job."""

    created_at: datetime
    id: uuid.UUID

    def __str__(self) -> str:
        # Whole microseconds, as in PostgreSQL. A float would be less precise.
        return f"{(self.created_at - _EPOCH) // timedelta(microseconds=1)}.{self.id.hex}"

    @classmethod
    def parse(cls, given: str) -> Cursor:
        """Return the cursor that ``str`` returned this text for.

        Raises:
            InvalidError: the text is not a cursor.
        """
        microseconds, _, job_id = given.partition(".")
        try:
            created_at = _EPOCH + timedelta(microseconds=int(microseconds))
            return cls(created_at=created_at, id=uuid.UUID(job_id))
        except (ValueError, OverflowError) as error:
            raise InvalidError(
                f"{given!r} is not the cursor of a page of jobs; begin with the first page"
            ) from error


_BEFORE_THE_FIRST = Cursor(
    created_at=datetime(9999, 12, 31, tzinfo=UTC), id=uuid.UUID(int=2**128 - 1)
)


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs to list. A field that is None or empty does not restrict them."""

    organization_id: uuid.UUID | None = None
    organizations: Collection[uuid.UUID] = ()  #: only jobs of one of these
    statuses: Collection[JobStatus] = ()
    types: Collection[JobType] = ()
    tags: Mapping[str, str] = field(default_factory=dict)  #: only jobs that have all of these
    queue: str | None = None
    owner_id: uuid.UUID | None = None  #: only builds of this user's workspaces
    initiator_id: uuid.UUID | None = None  #: only jobs that this user asked for
    workspace_name: str | None = (
        None  #: only builds of workspaces with this name, even deleted ones
    )
    error_code: str | None = None  #: only failures with this code, or ``UNTAGGED``

    @property
    def needs_legs(self) -> bool:
        """Whether the filter needs another index than that of the newest jobs."""
        return bool(self.statuses or self.types or self.tags or self.queue)


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """A page of jobs, and the cursor for the next page."""

    jobs: Sequence[Job]
    after: Cursor | None  #: pass it to ``list_jobs`` for the next page; None at the end


def list_jobs(
    reader: Reader, wanted: JobFilter, *, limit: int = 50, after: Cursor | None = None
) -> JobPage:
    """Return the wanted jobs, newest first.

    A job that is enqueued between two pages appears on no later page and does not shift one.

    Args:
        limit: maximum number of jobs, from 1 to ``MAX_PAGE``.
        after: only jobs older than this; pass the ``after`` of the previous page.

    Raises:
        InvalidError: the limit is out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidError(f"a page has from 1 to {MAX_PAGE} jobs, not {limit}")
    # One more than the limit shows whether there is a next page.
    rows = reader.execute(_keys(wanted, after or _BEFORE_THE_FIRST, limit + 1)).all()
    page = rows[:limit]
    is_last = len(rows) <= limit
    return JobPage(
        jobs=get_jobs(reader, [row.id for row in page]),
        after=None if is_last else Cursor(created_at=page[-1].created_at, id=page[-1].id),
    )


def list_seen_jobs(
    reader: Reader, wanted: JobFilter, sight: Sight, *, limit: int, after: Cursor | None = None
) -> list[Job]:
    """Return the wanted jobs that a reader sees, newest first.

    Arguments and errors are those of ``list_jobs``. Jobs of organizations and the reader's own are
    read one after the other, since an index has them in the order of only one of both.
    """
    if sight.organizations is None:
        return list(list_jobs(reader, wanted, limit=limit, after=after).jobs)
    parts = []
    if sight.organizations:
        parts.append(replace(wanted, organizations=sight.organizations))
    if sight.user_id is not None and wanted.owner_id in {None, sight.user_id}:
        parts.append(replace(wanted, owner_id=sight.user_id))
    pages = [list_jobs(reader, part, limit=limit, after=after).jobs for part in parts]
    found = {job.id: job for page in pages for job in page}
    return sorted(found.values(), key=lambda job: (job.created_at, job.id), reverse=True)[:limit]


def _keys(wanted: JobFilter, after: Cursor, limit: int) -> Select[Any]:
    """Return the query of a page's keys.

    It reads each organization separately, because the indexes are ordered within an organization.
    A sort over all organizations would read the whole table.
    Uses: ix_provisioner_jobs_newest, ix_provisioner_jobs_by_status, ix_provisioner_jobs_by_queue.
    """
    scope = _scope(wanted)
    source: FromClause = scope
    conditions = [
        _JOB.organization_id == scope.c.organization_id,
        tuple_(_JOB.created_at, _JOB.id) < tuple_(after.created_at, after.id),
        *_conditions(wanted),
    ]
    if wanted.tags:
        conditions.append(_JOB.queue == scope.c.queue)
    if wanted.needs_legs:
        status = _each(wanted.statuses or tuple(JobStatus), _JOB.job_status.type)
        kind = _each(wanted.types or tuple(JobType), _JOB.type.type)
        source = source.join(status, true()).join(kind, true())
        conditions += [_JOB.job_status == status.c.value, _JOB.type == kind.c.value]
    leg = _newest(conditions, limit)
    return (
        select(leg.c.created_at, leg.c.id)
        .select_from(source.join(leg, true()))
        .where(*([scope.c.tags.contains(dict(wanted.tags))] if wanted.tags else []))
        .order_by(leg.c.created_at.desc(), leg.c.id.desc())
        .limit(limit)
    )


def _newest(conditions: Sequence[ColumnElement[bool]], limit: int) -> FromClause:
    return (
        select(_JOB.created_at, _JOB.id)
        .where(*conditions)
        .order_by(_JOB.created_at.desc(), _JOB.id.desc())
        .limit(limit)
        .lateral("leg")
    )


def _conditions(wanted: JobFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.queue is not None:
        yield _JOB.queue == wanted.queue
    if wanted.owner_id is not None:
        yield _JOB.owner_id == wanted.owner_id
    if wanted.initiator_id is not None:
        yield _JOB.initiator_id == wanted.initiator_id
    if wanted.workspace_name is not None:
        named = func.lower(_WORKSPACE.name) == wanted.workspace_name.lower()
        yield _JOB.workspace_id.in_(select(_WORKSPACE.id).where(named))
    if wanted.error_code is not None:
        yield _JOB.error != ""
        is_untagged = wanted.error_code == UNTAGGED
        code = None if is_untagged else JobErrorCode(wanted.error_code)
        yield _JOB.error_code.is_(None) if code is None else _JOB.error_code == code


def _each(values: Collection[StrEnum], kind: Any) -> FromClause:
    """Return a row for each value, without duplicates, which would return jobs twice."""
    assert isinstance(kind, Enum)
    array = cast(sorted(frozenset(values)), ARRAY(kind))
    return select(func.unnest(array).column_valued("value")).subquery()


def _scope(wanted: JobFilter) -> FromClause:
    """Return the organizations to search; for tags, with each queue that they have used."""
    if wanted.organization_id is None:
        organizations = select(_ORGANIZATION.id.label("organization_id"))
        if wanted.organizations:
            organizations = organizations.where(_ORGANIZATION.id.in_(wanted.organizations))
    else:
        given = literal(wanted.organization_id, _ORGANIZATION.id.type)
        organizations = select(given.label("organization_id"))
    return _queues(organizations.subquery()) if wanted.tags else organizations.subquery()


def _queues(organizations: FromClause) -> CTE:
    """Return the queues of the organizations, with their tags.

    All jobs of a queue have the same tags, so those of its first job are read. The recursion reads
    one index entry per queue, regardless of the number of jobs. Uses: ix_provisioner_jobs_by_queue.
    """
    home = organizations.c.organization_id
    first = _first_queue(_JOB.organization_id == home)
    queues = select(home, first.c.queue, first.c.tags).join(first, true()).cte(recursive=True)
    following = _first_queue(
        _JOB.organization_id == queues.c.organization_id,
        _JOB.queue > queues.c.queue,
    )
    step = select(queues.c.organization_id, following.c.queue, following.c.tags)
    return queues.union_all(step.select_from(queues.join(following, true())))


def _first_queue(*conditions: ColumnElement[bool]) -> FromClause:
    return select(_JOB.queue, _JOB.tags).where(*conditions).order_by(_JOB.queue).limit(1).lateral()
