"""Waits for builds and imports by polling their job rows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from chattool.errors import BuildTimeoutError, WorkspaceBuildError
from chattool.settings import ToolSettings
from db.engine import Database
from db.errors import ConflictError, VersionImportingError
from db.outage import retry_outage
from db.reads.builds import find_job_of_build, get_build
from db.reads.contract import WorkspaceBuild
from db.reads.follow import Pace, await_end
from db.reads.progress import JobProgress
from db.schema.enums import JobStatus

Done = TypeVar("Done")


def wait_for_build(
    database: Database, build_id: uuid.UUID, *, settings: ToolSettings | None = None
) -> WorkspaceBuild:
    """Wait until the build has ended, and return it in the form of the contract.

    The row is polled, first without a delay. An outage of the database does not end the wait.

    Args:
        settings: poll interval and time limit; by default 2 seconds and 10 minutes.

    Raises:
        WorkspaceBuildError: it failed or was canceled; has the row's error and error code.
        BuildTimeoutError: it did not end within the limit.
        NotFoundError: there is no such build.
    """
    limits = settings or ToolSettings()
    ended = _await_end(database, build_id, limits)
    if ended.status.is_active:
        raise BuildTimeoutError(_still(ended.status, limits.timeout))
    if ended.status is not JobStatus.SUCCEEDED:
        raise WorkspaceBuildError(_failure_text(ended), ended.error_code)
    with database.begin() as session:
        return get_build(session, build_id)


def after_import(database: Database, act: Callable[[], Done], *, settings: ToolSettings) -> Done:
    """Return what ``act`` returns; wait for imports of template versions that it needs.

    Args:
        act: tried again after each import that it needs has ended.

    Raises:
        ConflictError: an import did not end within the time limit.
    """
    end = time.monotonic() + settings.timeout.total_seconds()
    while True:
        try:
            return act()
        except VersionImportingError as error:
            ended = _await_job(database, error.job_id, settings, end)
            if ended.status.is_active:
                raise ConflictError(
                    f"timed out waiting for the import of the template version: it is still"
                    f" {ended.status}; call the tool again to keep waiting"
                ) from error


def _await_end(database: Database, build_id: uuid.UUID, limits: ToolSettings) -> JobProgress:
    end = time.monotonic() + limits.timeout.total_seconds()
    job_id = retry_outage(
        lambda: _find_job(database, build_id), may_go_on=lambda: time.monotonic() < end
    )
    return _await_job(database, job_id, limits, end)


def _await_job(
    database: Database, job_id: uuid.UUID, limits: ToolSettings, end: float
) -> JobProgress:
    pause_s, left_s = limits.poll.total_seconds(), max(0.0, end - time.monotonic())
    pace = Pace(first_pause_s=pause_s, last_pause_s=pause_s, outage_s=left_s)
    return await_end(database, job_id, pace=pace, limit_s=left_s)


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
