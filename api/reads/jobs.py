"""The list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.caller import Right
from api.reads.asking import USUAL_ROWS, PlainRead, Viewer, sight_of
from api.reads.finding import visible_job_id, visible_user_id
from db.reads.jobs import Job, get_job
from db.reads.pages import MAX_PAGE, Cursor, JobFilter, list_seen_jobs
from db.schema.enums import JobStatus, JobType

if TYPE_CHECKING:
    from db.engine import Reader


@dataclass(frozen=True, kw_only=True)
class JobList(PlainRead[list[Job]]):
    """List the jobs of workspace builds, newest first."""

    path = "/jobs"
    status: Sequence[JobStatus] = ()
    owner: str | None = None
    workspace: str | None = None
    queue: str | None = None
    error_code: str | None = None
    before: str | None = None
    limit: int = USUAL_ROWS

    def answer(self, session: Reader, viewer: Viewer) -> list[Job]:
        """Return at most ``MAX_PAGE`` jobs: those that are the viewer's, or that it operates."""
        wanted = JobFilter(
            types=[JobType.WORKSPACE_BUILD],
            statuses=self.status,
            owner_id=visible_user_id(session, viewer, self.owner) if self.owner else None,
            workspace_name=self.workspace,
            queue=self.queue,
            error_code=self.error_code,
        )
        return list_seen_jobs(
            session,
            wanted,
            sight_of(viewer, Right.READ_JOBS),
            limit=min(self.limit, MAX_PAGE),
            after=self._cursor(session, viewer) if self.before else None,
        )

    def _cursor(self, session: Reader, viewer: Viewer) -> Cursor:
        job = get_job(session, visible_job_id(session, viewer, self.before or ""))
        return Cursor(created_at=job.created_at, id=job.id)
