"""One job: its details, its log, and why it waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.reads.asking import Read, Viewer
from api.reads.finding import visible_job_id
from db.reads.contract import ProvisionerJobLog
from db.reads.explanation import Match, match
from db.reads.jobs import Job, get_job
from db.reads.logs import get_logs
from db.reads.timings import StageDuration, job_durations
from db.reads.workers import list_workers

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, kw_only=True)
class JobDetails:
    """A job, and how long it spent in the queue and in each stage."""

    job: Job
    durations: list[StageDuration]


@dataclass(frozen=True, kw_only=True)
class JobShown(Read[JobDetails]):
    """Return a job, by its id or the beginning of it, and how long its stages took."""

    path = "/job"
    job: str

    def answer(self, session: Session, viewer: Viewer) -> JobDetails:
        """Return the details of the job."""
        found = get_job(session, visible_job_id(session, viewer, self.job))
        return JobDetails(job=found, durations=job_durations(session, found.id))


@dataclass(frozen=True, kw_only=True)
class JobLog(Read[list[ProvisionerJobLog]]):
    """Return the next lines of a job's log, without the headings of stages."""

    path = "/job/log"
    job: str
    after: int = 0

    def answer(self, session: Session, viewer: Viewer) -> list[ProvisionerJobLog]:
        """Return at most ``LOG_PAGE`` lines with a higher id than ``after``."""
        return get_logs(session, visible_job_id(session, viewer, self.job), after=self.after)


@dataclass(frozen=True, kw_only=True)
class JobMatches:
    """A job, and whether each worker could run it."""

    job: Job
    matches: list[Match]


@dataclass(frozen=True, kw_only=True)
class JobExplained(Read[JobMatches]):
    """Return a job, and for each worker whether it could run the job."""

    path = "/job/matches"
    job: str

    def answer(self, session: Session, viewer: Viewer) -> JobMatches:
        """Return the job and the matches."""
        found = get_job(session, visible_job_id(session, viewer, self.job))
        workers = list_workers(session)
        return JobMatches(job=found, matches=[match(found, worker) for worker in workers])
