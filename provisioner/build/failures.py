"""Why a job failed: the text for people, the error code for programs.

A quota refusal gets its code where it happens, not by its text: only the commit quota step calls
``failed_workspace_build_code`` with ``INSUFFICIENT_QUOTA``. A text that our own
``provisioner.template.parameters`` wrote goes through ``classify``, which knows exactly two
sentinels and is deliberately not extended. A text of Terraform, a provider or a cloud is never
judged: "insufficient quota in us-east1" does not mean our quota, and "missing parameter subnet_id"
no parameter of a template.
"""

from __future__ import annotations

from dataclasses import dataclass

from db.jobs.results import BuildResult, Failure
from db.schema.enums import FailureReason, JobErrorCode

# The order matters: a text with both sentinels gets the code of the first one.
SENTINELS: tuple[tuple[str, JobErrorCode], ...] = (
    ("missing parameter", JobErrorCode.MISSING_TEMPLATE_PARAMETER),
    ("required template variables", JobErrorCode.REQUIRED_TEMPLATE_VARIABLES),
)


@dataclass(frozen=True, kw_only=True)
class FailedJob:
    """A job's failure, and for a workspace build its result so far."""

    error: str
    reason: FailureReason
    error_code: JobErrorCode | None = None
    workspace_build: BuildResult | None = None

    @property
    def failure(self) -> Failure:
        """The failure as it is stored on the job row."""
        return Failure(message=self.error, reason=self.reason, code=self.error_code)


def classify(message: str) -> JobErrorCode | None:
    """Return the code of the first sentinel that the text contains; None for any other text.

    Never ``INSUFFICIENT_QUOTA``: a text is not a decision of the quota commit.
    """
    return next((code for sentinel, code in SENTINELS if sentinel in message), None)


def failed_job(message: str, *, reason: FailureReason = FailureReason.INTERNAL) -> FailedJob:
    """Describe the failure of a job that is not a workspace build."""
    return FailedJob(error=message, reason=reason, error_code=classify(message))


def failed_workspace_build(
    message: str,
    *,
    reason: FailureReason = FailureReason.INTERNAL,
    result: BuildResult = BuildResult(),  # noqa: B008 - frozen
) -> FailedJob:
    """Describe the failure of a workspace build; its error code, if any, follows from the text."""
    return FailedJob(
        error=message, reason=reason, error_code=classify(message), workspace_build=result
    )


def untagged_workspace_build(
    message: str,
    *,
    reason: FailureReason,
    result: BuildResult = BuildResult(),  # noqa: B008 - frozen
) -> FailedJob:
    """Describe the failure of a workspace build in words that may be Terraform's or a cloud's.

    It has no error code: whatever such a text says, it is not about us.
    """
    return FailedJob(error=message, reason=reason, workspace_build=result)


def failed_workspace_build_code(
    code: JobErrorCode,
    message: str,
    *,
    reason: FailureReason,
    result: BuildResult = BuildResult(),  # noqa: B008 - frozen
) -> FailedJob:
    """Describe the failure of a workspace build whose error code the caller knows."""
    return FailedJob(error=message, reason=reason, error_code=code, workspace_build=result)
