from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.jobs.results import BuildResult
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    Stage,
    job_is_insufficient_quota_error_code,
    job_is_missing_parameter_error_code,
    job_is_missing_required_template_variable_error_code,
)
from provisioner.build.endings import ending_of
from provisioner.build.entries import BuildEnvironmentError
from provisioner.build.failures import (
    SENTINELS,
    FailedJob,
    classify,
    failed_job,
    failed_workspace_build,
    failed_workspace_build_code,
)
from provisioner.engines.port import EngineError, EngineInterruptedError, PriceError
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.hcl import TemplateError
from provisioner.host.interrupt import InterruptReason
from provisioner.host.members import ArchiveError
from provisioner.template.parameters import MissingParameterError, UnknownParameterError
from quota.errors import CostError

MISSING = JobErrorCode.MISSING_TEMPLATE_PARAMETER
REQUIRED = JobErrorCode.REQUIRED_TEMPLATE_VARIABLES
QUOTA = JobErrorCode.INSUFFICIENT_QUOTA

# What clouds, engines and people write when some quota of somebody's is used up.
QUOTA_PHRASES = (
    "insufficient quota",
    "Insufficient Quota",
    "INSUFFICIENT_QUOTA",
    "insufficient_quota",
    "InsufficientQuota",
    "insufficientQuota",
    "insufficient  quota",
    "in\u200bsufficient quota",
    "insufficient qu\u00f8ta",
    "\uff49\uff4e\uff53\uff55\uff46\uff46\uff49\uff43\uff49\uff45\uff4e\uff54 quota",
    "Quota exceeded",
    "QuotaExceeded",
    "quota limit reached",
    "Quota insuffisant",
    "unzureichende Quote",
    "cuota insuficiente",
    "\u914d\u989d\u4e0d\u8db3",
    "commit quota",
    "This build would exceed your quota. Failing.",
    '{"error_code": "INSUFFICIENT_QUOTA"}',
    "error_code=INSUFFICIENT_QUOTA",
    "insufficient quota: this build costs 2 credits per day, 4 of the budget of 4 are in use",
)
# How such a text may come along: as it is, wrapped by an error, or as a log line.
WRAPPERS = (
    "{}",
    "Error: {}",
    "provider failed: {} in us-east1",
    "terraform apply: exit status 1: {}",
    "googleapi: Error 403: {}, quotaExceeded",
    'level=error stage="Commit quota" msg="{}"',
    "commit quota: {}",
    "internal error while the build was in commit_quota: RuntimeError('{}')",
    "{}\n{}",
)
quota_texts = st.builds(
    lambda wrapper, phrase, change, before, after: (
        before + change(wrapper.replace("{}", phrase)) + after
    ),
    st.sampled_from(WRAPPERS),
    st.one_of(st.sampled_from(QUOTA_PHRASES), st.text()),
    st.sampled_from((str, str.upper, str.lower, str.title, str.swapcase)),
    st.text(),
    st.text(),
)
reasons = st.sampled_from(FailureReason)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("missing parameter", MISSING),
        ('missing parameter: "size" has no value', MISSING),
        ("terraform: missing parameter; more", MISSING),
        ("required template variables", REQUIRED),
        ("required template variables need values: a, b", REQUIRED),
        ("required template variables and a missing parameter", MISSING),
        ("a missing parameter and required template variables", MISSING),
        ("Missing parameter", None),
        ("missing  parameter", None),
        ("missing\nparameter", None),
        ("required template variable", None),
        ("insufficient quota", None),
        ("insufficient quota in us-east1", None),
        ("provider failed: insufficient quota in us-east1", None),
        ("INSUFFICIENT_QUOTA", None),
        ("insufficient quota: missing parameter", MISSING),
        ("", None),
    ],
)
def test_a_text_is_classified_by_the_two_sentinels_alone(
    message: str, code: JobErrorCode | None
) -> None:
    assert classify(message) is code


@given(text=st.one_of(quota_texts, st.text()))
def test_no_text_is_classified_as_a_quota_refusal(text: str) -> None:
    assert classify(text) is not QUOTA


@given(text=quota_texts, reason=reasons)
def test_no_failed_job_is_a_quota_refusal_by_its_text(text: str, reason: FailureReason) -> None:
    assert failed_job(text, reason=reason).error_code is not QUOTA


@given(text=quota_texts, reason=reasons)
def test_no_failed_build_is_a_quota_refusal_by_its_text(text: str, reason: FailureReason) -> None:
    assert failed_workspace_build(text, reason=reason).failure.code is not QUOTA


@given(
    text=quota_texts,
    kind=st.sampled_from(
        (EngineError, PriceError, RuntimeError, ValueError, OSError, PermissionError)
    ),
    stage=st.sampled_from(Stage),
    reason=st.sampled_from((None, *InterruptReason)),
)
def test_no_error_ends_a_build_as_a_quota_refusal_by_its_text(
    text: str, kind: type[Exception], stage: Stage, reason: InterruptReason | None
) -> None:
    ending = ending_of(kind(text), stage=stage, result=BuildResult(), reason=reason)
    assert isinstance(ending, FailedJob)
    assert ending.error_code is not QUOTA


FOREIGN = (
    EngineError,
    PriceError,
    TemplateError,
    ConversionError,
    ArchiveError,
    BuildEnvironmentError,
    CostError,
    RuntimeError,
    OSError,
)
coded_texts = st.builds(
    lambda wrapper, sentinel, before, after: before + wrapper.replace("{}", sentinel) + after,
    st.sampled_from(WRAPPERS),
    st.sampled_from((*(sentinel for sentinel, _code in SENTINELS), *QUOTA_PHRASES)),
    st.text(),
    st.text(),
)


@given(
    text=coded_texts,
    kind=st.sampled_from(FOREIGN),
    stage=st.sampled_from(Stage),
    reason=st.sampled_from((None, *InterruptReason)),
)
def test_a_text_of_terraform_a_provider_or_a_cloud_never_gets_a_code(
    text: str, kind: type[Exception], stage: Stage, reason: InterruptReason | None
) -> None:
    ending = ending_of(kind(text), stage=stage, result=BuildResult(), reason=reason)
    assert isinstance(ending, FailedJob)
    assert ending.error_code is None


@given(
    text=coded_texts,
    is_clean=st.booleans(),
    stage=st.sampled_from(Stage),
    reason=st.sampled_from((InterruptReason.DEADLINE, InterruptReason.CANCEL)),
)
def test_an_interrupted_engine_never_gets_a_code_by_its_text(
    text: str, is_clean: bool, stage: Stage, reason: InterruptReason
) -> None:
    error = EngineInterruptedError(text, clean=is_clean)
    ending = ending_of(error, stage=stage, result=BuildResult(), reason=reason)
    assert getattr(ending, "error_code", None) is None


@given(names=st.lists(st.one_of(st.text(), coded_texts), min_size=1, max_size=3))
def test_a_name_gives_no_other_code_than_what_is_missing(names: list[str]) -> None:
    for error, code in (
        (MissingParameterError(names), MISSING),
        (UnknownParameterError(names, names), None),
    ):
        ending = ending_of(error, stage=Stage.SET_UP, result=BuildResult(), reason=None)
        assert isinstance(ending, FailedJob)
        assert ending.error_code is code


@given(text=st.text())
def test_a_code_given_where_it_happened_does_not_depend_on_the_text(text: str) -> None:
    failed = failed_workspace_build_code(QUOTA, text, reason=FailureReason.QUOTA)
    assert failed.error_code is QUOTA


def test_a_failed_job_of_another_kind_leaves_no_build_behind() -> None:
    assert failed_job("missing parameter").workspace_build is None


def test_a_failed_build_keeps_what_it_left_behind() -> None:
    result = BuildResult()
    assert failed_workspace_build("it broke", result=result).workspace_build is result


@pytest.mark.parametrize(
    ("predicate", "code"),
    [
        (job_is_missing_parameter_error_code, MISSING),
        (job_is_missing_required_template_variable_error_code, REQUIRED),
        (job_is_insufficient_quota_error_code, QUOTA),
    ],
)
@pytest.mark.parametrize("asked", [*JobErrorCode, None, "", "insufficient quota"])
def test_a_predicate_knows_its_own_code_alone(
    predicate: Callable[[str | None], bool], code: str, asked: str | None
) -> None:
    assert predicate(asked) == (asked == code)
