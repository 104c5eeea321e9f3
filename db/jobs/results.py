"""Values that describe what a job leaves behind: resources, timings, last log lines, failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.jobs.declarations import TemplateModule
from db.jobs.imports import ImportResult
from db.jobs.logs import LogRow
from db.jobs.resources import Resource, ResourceChange
from db.jobs.states import State
from db.schema.enums import FailureReason, JobErrorCode, Stage, TimingStage
from db.texts import storable


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one step of Terraform took for one resource."""

    stage: TimingStage
    source: str  #: the provider, or ``provisionerd`` for a whole stage
    action: str
    resource: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """What a dry run has found so far."""

    daily_cost: int = 0  #: credits per day
    changes: Sequence[ResourceChange] = ()
    resources: Sequence[Resource] = ()
    modules: Sequence[TemplateModule] = ()


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What a job leaves behind. If ``state`` is None, the stored one is kept."""

    state: State | None = None
    resources: Sequence[Resource] = ()
    imported: ImportResult | None = None  #: of the import of a template version
    planned: DryRunResult | None = None  #: of a dry run
    timings: Sequence[Timing] = ()
    last_lines: Sequence[LogRow] = ()  #: of its log, not stored yet
    log_overflowed: bool = False
    stage: Stage | None = None  #: the stage in which it ended; None leaves the stored one


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job failed, for its user, for callers and for operators."""

    message: str
    reason: FailureReason
    code: JobErrorCode | None = None


FAILURE = "error = :error, error_code = :error_code, failure_reason = :reason"


def failure_columns(failure: Failure) -> dict[str, str | None]:
    """Return the parameters of ``FAILURE``."""
    return {
        # An empty error would make the job look as if it had succeeded.
        "error": storable(failure.message) or "build failed",
        "error_code": failure.code.value if failure.code else None,
        "reason": failure.reason.value,
    }
