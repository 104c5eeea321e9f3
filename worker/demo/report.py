"""The report of the demo: its builds, and the differences from what was expected."""

from __future__ import annotations

from dataclasses import dataclass, field

from db.reads.jobs import Job
from db.schema.enums import JobErrorCode, JobStatus


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """How a build should end."""

    status: JobStatus
    error_code: JobErrorCode | None = None
    error_contains: str = ""

    def problem_with(self, build: Job) -> str | None:
        """Return how the build differs from this expectation, or None if it does not."""
        name = name_of(build)
        if (build.status, build.error_code) != (self.status, self.error_code):
            return (
                f"{name}: expected {self.status} with error code {self.error_code},"
                f" found {build.status} with {build.error_code}"
            )
        if self.error_contains not in (build.error or ""):
            return f"{name}: the error does not say {self.error_contains!r}"
        return None


def name_of(job: Job) -> str:
    """Return what people call a job: that of a workspace, or an import."""
    if job.transition is None:
        return f"import of {job.template_name}"
    return f"{job.workspace_name} {job.transition}"


@dataclass(kw_only=True)
class Report:
    """The builds in order, the counted failures, and the problems."""

    builds: list[Job] = field(default_factory=list)
    failures_by_error_code: dict[str, int] = field(default_factory=dict)
    metric_lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, object]:
        """Return the document that ``--output json`` prints."""
        return {
            "builds": [_document(build) for build in self.builds],
            "failures_by_error_code": self.failures_by_error_code,
            "problems": self.problems,
        }


def _document(build: Job) -> dict[str, object]:
    return {
        "type": build.type,
        "template": build.template_name,
        "workspace": build.workspace_name,
        "transition": build.transition,
        "status": build.status,
        "error": build.error,
        "error_code": build.error_code,
        "daily_cost": build.daily_cost,
        "credits_consumed": build.quota_credits_consumed,
        "budget": build.quota_budget,
    }
