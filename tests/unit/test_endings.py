from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from db.errors import CircuitOpenError, LeaseLostError, SealedError, WorkspaceTagError
from db.jobs.resources import Resource
from db.jobs.results import BuildResult
from db.jobs.states import State, read_state
from db.schema.enums import FailureReason, JobErrorCode, Stage, TimingStage
from provisioner.build.endings import (
    REASONS,
    BuildInterruptedError,
    Canceled,
    Ending,
    Lost,
    QuotaRefusedError,
    Requeued,
    ending_of,
)
from provisioner.build.entries import BuildEnvironmentError
from provisioner.build.failures import FailedJob
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
from tests.harness.factory import timing

STATE = b'{"lineage": "one", "serial": 3}'
EARLIER = State(data=b"", lineage="one", serial=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE_APPLY = [stage for stage in Stage if not stage.has_side_effects]
REFUSED = QuotaRefusedError(QuotaDecision(ok=False, budget=4, credits_consumed=3), 2)


def ending(
    error: Exception,
    *,
    stage: Stage = Stage.PLAN,
    result: BuildResult | None = None,
    reason: InterruptReason | None = None,
) -> Ending:
    return ending_of(error, stage=stage, result=result or BuildResult(), reason=reason)


def failed(error: Exception, **facts: Any) -> FailedJob:
    found = ending(error, **facts)
    assert isinstance(found, FailedJob)
    return found


def killed(*, clean: bool = True) -> EngineInterruptedError:
    return EngineInterruptedError("apply was interrupted", clean=clean, state=STATE)


ERRORS: list[tuple[Exception, FailureReason, JobErrorCode | None]] = [
    (ArchiveError("x"), FailureReason.ARCHIVE, None),
    (BuildEnvironmentError("x"), FailureReason.PARAMETERS, None),
    (BuildHookError("x"), FailureReason.HOOK, None),
    (CostError("x"), FailureReason.COST, None),
    (PriceError("x"), FailureReason.COST, None),
    (
        MissingParameterError(["a"]),
        FailureReason.PARAMETERS,
        JobErrorCode.MISSING_TEMPLATE_PARAMETER,
    ),
    (
        RequiredVariablesError(["a"]),
        FailureReason.PARAMETERS,
        JobErrorCode.REQUIRED_TEMPLATE_VARIABLES,
    ),
    (TemplateError("x"), FailureReason.TEMPLATE, None),
    (WorkspaceTagError("x"), FailureReason.TEMPLATE, None),
    (ConversionError("x"), FailureReason.TEMPLATE, None),
    (DeclarationError("x"), FailureReason.TEMPLATE, None),
    (UnknownVariableError("a", ["b"]), FailureReason.PARAMETERS, None),
    (UnknownParameterError(["a"], ["b"]), FailureReason.PARAMETERS, None),
    (SealedError("missing parameter"), FailureReason.SEALED, None),
    (CircuitOpenError("terraform in plan", "missing parameter"), FailureReason.CIRCUIT, None),
    (EngineError("x"), FailureReason.TERRAFORM, None),
    (EngineError("insufficient quota in us-east1"), FailureReason.TERRAFORM, None),
    (REFUSED, FailureReason.QUOTA, JobErrorCode.INSUFFICIENT_QUOTA),
    (RuntimeError("x"), FailureReason.INTERNAL, None),
    (RuntimeError("insufficient quota"), FailureReason.INTERNAL, None),
]
each_error = pytest.mark.parametrize(("error", "reason", "code"), ERRORS, ids=repr)


@each_error
def test_an_error_gives_its_reason(
    error: Exception, reason: FailureReason, code: JobErrorCode | None
) -> None:
    assert failed(error).reason is reason


@each_error
def test_an_error_gives_its_code(
    error: Exception, reason: FailureReason, code: JobErrorCode | None
) -> None:
    assert failed(error).error_code is code


def test_every_error_with_a_reason_is_tried_here() -> None:
    tried = {type(error) for error, _reason, _code in ERRORS}
    assert {kind for kind, _reason in REASONS} <= tried


def test_a_users_error_is_told_in_its_own_words() -> None:
    assert failed(EngineError("the disk is busy")).error == "the disk is busy"


def test_an_error_of_ours_tells_where_it_happened() -> None:
    assert failed(KeyError("x"), stage=Stage.INIT).error == (
        "internal error while the build was in init: KeyError('x')"
    )


def test_a_quota_refusal_tells_cost_consumption_and_budget() -> None:
    assert failed(REFUSED).error == (
        "insufficient quota: this build costs 2 credits per day, 3 of the budget of 4 are in use"
    )


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("reason", [None, *InterruptReason])
def test_a_lost_lease_ends_the_build_whatever_else_was_wanted(
    stage: Stage, reason: InterruptReason
) -> None:
    assert ending(LeaseLostError(uuid.uuid4()), stage=stage, reason=reason) == Lost()


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("error", [killed(), BuildInterruptedError()], ids=["engine", "between"])
def test_an_interrupt_for_a_lost_lease_writes_nothing(stage: Stage, error: Exception) -> None:
    assert ending(error, stage=stage, reason=InterruptReason.LEASE_LOST) == Lost()


@pytest.mark.parametrize("stage", BEFORE_APPLY)
@pytest.mark.parametrize("error", [killed(), BuildInterruptedError()], ids=["engine", "between"])
@pytest.mark.parametrize(
    ("reason", "kind"), [(InterruptReason.CANCEL, Canceled), (InterruptReason.DRAIN, Requeued)]
)
def test_an_interrupt_before_apply_leaves_nothing_half_done(
    stage: Stage, error: Exception, reason: InterruptReason, kind: type[Ending]
) -> None:
    assert isinstance(ending(error, stage=stage, reason=reason), kind)


def test_a_cancel_during_apply_keeps_the_state() -> None:
    found = ending(killed(), stage=Stage.APPLY, reason=InterruptReason.CANCEL)
    assert isinstance(found, Canceled)
    assert found.result.state == read_state(STATE)


def test_a_cancel_that_had_to_kill_is_a_failure() -> None:
    found = failed(killed(clean=False), stage=Stage.APPLY, reason=InterruptReason.CANCEL)
    assert found.reason is FailureReason.CANCELED


def test_a_drain_during_apply_is_a_failure_that_keeps_the_state() -> None:
    found = failed(killed(), stage=Stage.APPLY, reason=InterruptReason.DRAIN)
    assert found.reason is FailureReason.DRAINED
    assert found.workspace_build is not None
    assert found.workspace_build.state == read_state(STATE)


@pytest.mark.parametrize("stage", [Stage.INIT, Stage.PLAN, Stage.APPLY])
def test_a_stage_that_takes_too_long_fails(stage: Stage) -> None:
    found = failed(killed(), stage=stage, reason=InterruptReason.DEADLINE)
    assert found.reason is FailureReason.DEADLINE


@pytest.mark.parametrize("reason", [InterruptReason.CANCEL, InterruptReason.DRAIN])
def test_an_engine_that_failed_by_itself_failed_although_an_interrupt_came(
    reason: InterruptReason,
) -> None:
    assert failed(EngineError("x"), reason=reason).reason is FailureReason.TERRAFORM


@pytest.mark.parametrize("state", [None, b"", b'{"lineage"'], ids=["none", "empty", "half"])
def test_a_failure_without_a_whole_state_keeps_the_earlier_one(state: bytes | None) -> None:
    found = failed(EngineError("x", state=state), result=BuildResult(state=EARLIER))
    assert found.workspace_build is not None
    assert found.workspace_build.state is EARLIER


def test_a_failure_keeps_resources_and_the_timings_of_all_stages() -> None:
    init = timing(TimingStage.INIT, started_at=NOW)
    plan = timing(TimingStage.PLAN, started_at=NOW)
    disk = Resource(type="disk", name="home", daily_cost=2)
    found = failed(
        EngineError("x", timings=(plan,), resources=(disk,)), result=BuildResult(timings=[init])
    )
    assert found.workspace_build == BuildResult(
        resources=(disk,),
        timings=[init, plan],
    )
