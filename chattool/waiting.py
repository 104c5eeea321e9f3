"""Waits for builds and imports, woken by notices or by polling their job rows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from chattool.errors import BuildTimeoutError, WorkspaceBuildError
from chattool.settings import ToolSettings
from db.engine import Database
from db.errors import ConflictError, VersionImportingError
from db.outage import retry_outage
from db.reads.builds import find_job_of_build, get_build
from db.reads.contract import WorkspaceBuild
from db.reads.follow import Update, follow
from db.reads.progress import JobProgress
from db.reads.waking import Watch
from db.schema.enums import JobStatus

Done = TypeVar("Done")
Report = Callable[[Update], None]
"""Called with each change of the job that a tool waits for."""


def report_nothing(_update: Update) -> None:
    """Report to nobody."""


def wait_for_build(
    database: Database,
    build_id: uuid.UUID,
    *,
    settings: ToolSettings | None = None,
    watch: Watch | None = None,
    report: Report = report_nothing,
) -> WorkspaceBuild:
    """Wait until the build has ended, and return it in the form of the contract.

    The row is polled, first without a delay. An outage of the database does not end the wait.

    Args:
        settings: longest poll interval and time limit; by default 2 seconds and 10 minutes.
        watch: ends the wait as soon as the build changes; by default the build is only polled.
        report: called with each change.

    Raises:
        WorkspaceBuildError: it failed or was canceled; has the row's error and error code.
        BuildTimeoutError: it did not end within the limit.
        NotFoundError: there is no such build.
    """
    limits = settings or ToolSettings()
    waiting = Waiting(database, limits, watch or Watch(), report)
    ended = waiting.for_build(build_id)
    if ended.status.is_active:
        raise BuildTimeoutError(_still(ended.status, limits.timeout))
    if ended.status is not JobStatus.SUCCEEDED:
        raise WorkspaceBuildError(_failure_text(ended), ended.error_code)
    with database.begin() as session:
        return get_build(session, build_id)


def after_import(
    database: Database,
    act: Callable[[], Done],
    *,
    settings: ToolSettings,
    watch: Watch | None = None,
    report: Report = report_nothing,
) -> Done:
    """Return what ``act`` returns; wait for imports of template versions that it needs.

    Args:
        act: tried again after each import that it needs has ended.

    Raises:
        ConflictError: an import did not end within the time limit.
    """
    waiting = Waiting(database, settings, watch or Watch(), report)
    while True:
        try:
            return act()
        except VersionImportingError as error:
            ended = waiting.for_job(error.job_id)
            if ended.status.is_active:
                raise ConflictError(
                    f"timed out waiting for the import of the template version: it is still"
                    f" {ended.status}; call the tool again to keep waiting"
                ) from error


class Waiting:
    """The waits of one call, which have one time limit together."""

    def __init__(
        self, database: Database, settings: ToolSettings, watch: Watch, report: Report
    ) -> None:
        self._database = database
        self._poll_s = settings.poll.total_seconds()
        self._end = time.monotonic() + settings.timeout.total_seconds()
        self._watch = watch
        self._report = report

    def for_build(self, build_id: uuid.UUID) -> JobProgress:
        """Wait for a build; its status is still active if the time limit has passed.

        Raises:
            NotFoundError: there is no such build.
        """
        job_id = retry_outage(
            lambda: _find_job(self._database, build_id),
            may_go_on=lambda: time.monotonic() < self._end,
        )
        return self.for_job(job_id)

    def for_job(self, job_id: uuid.UUID) -> JobProgress:
        """Wait for a job; its status is still active if the time limit has passed."""
        left_s = max(0.0, self._end - time.monotonic())
        pace = replace(self._watch.pace(self._poll_s), outage_s=left_s)
        with self._watch.over(job_id):
            updates = follow(
                self._database,
                job_id,
                after=None,
                pace=pace,
                limit_s=left_s,
                wait=self._watch.wait,
            )
            for update in updates:
                self._report(update)
                progress = update.progress
        return progress


def _find_job(database: Database, build_id: uuid.UUID) -> uuid.UUID:
    with database.begin() as session:
        return find_job_of_build(session, build_id)


def _still(status: JobStatus, timeout: timedelta) -> str:
    return (
        f"timed out waiting for workspace build: it is still {status}"
        f" after {timeout.total_seconds():g} seconds; call the tool again to keep waiting"
    )


def _failure_text(ended: JobProgress) -> str:
    match ended.status:
        case JobStatus.FAILED:
            return ended.error or "build failed"
        case JobStatus.CANCELED:
            return "build was canceled"
        case _:
            return f"unexpected job status: {ended.status}"
