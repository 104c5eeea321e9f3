"""How a build can end, and which ending follows from an exception."""

from __future__ import annotations

from dataclasses import dataclass, replace

from db.errors import CircuitOpenError, LeaseLostError, SealedError, WorkspaceTagError
from db.jobs.results import BuildResult
from db.jobs.states import read_state
from db.schema.enums import FailureReason, JobErrorCode, Stage
from provisioner.build.entries import BuildEnvironmentError
from provisioner.build.failures import (
    FailedJob,
    failed_workspace_build,
    failed_workspace_build_code,
    untagged_workspace_build,
)
from provisioner.engines.port import (
    EngineError,
    EngineInterruptedError,
    PriceError,
)
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.hcl import TemplateError
from provisioner.host.interrupt import InterruptReason
from provisioner.host.members import ArchiveError
from provisioner.platform.hook import BuildHookError
from provisioner.template.judgement import DeclarationError
from provisioner.template.parameters import (
    MissingParameterError,
    RequiredVariablesError,
    UnknownParameterError,
)
from provisioner.template.variables import UnknownVariableError
from quota.commit import QuotaDecision
from quota.errors import CostError


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """Everything was applied."""

    result: BuildResult


@dataclass(frozen=True, kw_only=True)
class Canceled:
    """The build was canceled, and nothing was left half-done."""

    result: BuildResult


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """The build had no side effects yet, so another attempt may run it."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """This attempt no longer holds the job and must not write to it any more."""


Ending = Succeeded | Canceled | Requeued | Lost | FailedJob


class BuildInterruptedError(Exception):
    """The build was interrupted between two operations of the engine."""


class UnknownJobTypeError(Exception):
    """No recipe runs this type of job."""

    def __init__(self, kind: str) -> None:
        super().__init__(f'unknown job type "{kind}"; ensure your provisioner daemon is up-to-date')


class QuotaRefusedError(Exception):
    """The quota commit refused the build. Only the commit quota step raises this."""

    def __init__(self, decision: QuotaDecision, daily_cost: int) -> None:
        super().__init__(
            f"insufficient quota: this build costs {daily_cost} credits per day,"
            f" {decision.credits_consumed} of the budget of {decision.budget} are in use"
        )
        self.decision = decision


REASONS: tuple[tuple[type[Exception], FailureReason], ...] = (
    (ArchiveError, FailureReason.ARCHIVE),
    (BuildEnvironmentError, FailureReason.PARAMETERS),
    (BuildHookError, FailureReason.HOOK),
    (CostError, FailureReason.COST),
    (PriceError, FailureReason.COST),
    (MissingParameterError, FailureReason.PARAMETERS),
    (RequiredVariablesError, FailureReason.PARAMETERS),
    (TemplateError, FailureReason.TEMPLATE),
    (WorkspaceTagError, FailureReason.TEMPLATE),
    (DeclarationError, FailureReason.TEMPLATE),
    (ConversionError, FailureReason.TEMPLATE),
    (UnknownParameterError, FailureReason.PARAMETERS),
    (UnknownVariableError, FailureReason.PARAMETERS),
    (EngineError, FailureReason.TERRAFORM),
    (SealedError, FailureReason.SEALED),
    (CircuitOpenError, FailureReason.CIRCUIT),
)
"""The first class that matches gives the reason; any other exception is a bug."""

CLASSIFIED = (MissingParameterError, RequiredVariablesError)
"""The errors that this daemon words itself. Any other text may quote a template, Terraform, a
provider or a cloud, so it never gets an error code."""


def ending_of(
    error: Exception, *, stage: Stage, result: BuildResult, reason: InterruptReason | None
) -> Ending:
    """Return how a build ends when ``error`` is raised in ``stage``.

    Args:
        result: what the earlier stages left behind.
        reason: why the build was interrupted, if it was.
    """
    if isinstance(error, LeaseLostError):
        return Lost()
    if isinstance(error, QuotaRefusedError):
        return failed_workspace_build_code(
            JobErrorCode.INSUFFICIENT_QUOTA,
            str(error),
            reason=FailureReason.QUOTA,
            result=result,
        )
    if isinstance(error, EngineError):
        result = result_of(error, result)
    if reason and isinstance(error, EngineInterruptedError | BuildInterruptedError):
        return _interrupted(reason, error, stage, result)
    return _failed(error, stage, result)


def result_of(error: EngineError, result: BuildResult) -> BuildResult:
    """Return what a failed operation left behind, together with the result so far."""
    return replace(
        result,
        state=read_state(error.state) or result.state,
        resources=error.resources or result.resources,
        timings=[*result.timings, *error.timings],
    )


def _failed(error: Exception, stage: Stage, result: BuildResult) -> FailedJob:
    matching = (reason for kind, reason in REASONS if isinstance(error, kind))
    reason = next(matching, FailureReason.INTERNAL)
    message = str(error)
    if reason is FailureReason.INTERNAL:
        message = f"internal error while the build was in {stage}: {error!r}"
    if isinstance(error, CLASSIFIED):
        return failed_workspace_build(message, reason=reason, result=result)
    return untagged_workspace_build(message, reason=reason, result=result)


def _interrupted(
    reason: InterruptReason, error: Exception, stage: Stage, result: BuildResult
) -> Ending:
    if reason is InterruptReason.LEASE_LOST:
        return Lost()
    if reason is InterruptReason.DEADLINE:
        return untagged_workspace_build(str(error), reason=FailureReason.DEADLINE, result=result)
    if stage.has_side_effects:
        return _interrupted_apply(reason, error, result)
    return Canceled(result=result) if reason is InterruptReason.CANCEL else Requeued()


def _interrupted_apply(reason: InterruptReason, error: Exception, result: BuildResult) -> Ending:
    if reason is InterruptReason.DRAIN:
        return failed_workspace_build(
            "the worker was shut down while it applied the plan; what was made so far is kept"
            " in the state, and the next build of the workspace starts from it",
            reason=FailureReason.DRAINED,
            result=result,
        )
    if isinstance(error, EngineInterruptedError) and not error.clean:
        return untagged_workspace_build(
            f"canceled, but the apply did not end by itself and was killed: {error}",
            reason=FailureReason.CANCELED,
            result=result,
        )
    return Canceled(result=result)
