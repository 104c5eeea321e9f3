"""What the demo played, and what did not come out as it should."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from db.reads.listing import JobListing
from db.schema.enums import JobErrorCode, JobStatus


@dataclass(frozen=True, kw_only=True)
class PlayedBuild:
    """A build as its rows tell it."""

    workspace: str
    transition: str
    status: str
    error: str | None
    error_code: str | None
    daily_cost: int
    credits_consumed: int | None  #: figures of the quota decision; None if there was none
    budget: int | None


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """How a build is to end."""

    status: JobStatus
    error_code: JobErrorCode | None = None
    error_contains: str = ""

    def problem_with(self, build: PlayedBuild) -> str | None:
        """Say how the build differs from this; None when it does not."""
        name = f"{build.workspace} {build.transition}"
        if (build.status, build.error_code) != (self.status, self.error_code):
            return (
                f"{name}: expected {self.status} with error code {self.error_code},"
                f" found {build.status} with {build.error_code}"
            )
        if self.error_contains not in (build.error or ""):
            return f"{name}: the error does not say {self.error_contains!r}"
        return None


@dataclass(kw_only=True)
class Story:
    """All of it, in order."""

    builds: list[PlayedBuild] = field(default_factory=list)
    failures_by_error_code: dict[str, int] = field(default_factory=dict)
    metric_lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, object]:
        """Return what ``--output json`` prints."""
        return {
            "builds": [asdict(build) for build in self.builds],
            "failures_by_error_code": self.failures_by_error_code,
            "problems": self.problems,
        }


def played_build(job: JobListing) -> PlayedBuild:
    """Return the build of a finished job."""
    return PlayedBuild(
        workspace=job.workspace_name,
        transition=job.transition.value,
        status=job.status.value,
        error=job.error,
        error_code=job.error_code,
        daily_cost=job.daily_cost,
        credits_consumed=job.quota_credits_consumed,
        budget=job.quota_budget,
    )
