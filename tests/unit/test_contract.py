"""The JSON that API readers get."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from db.reads.contract import (
    ProvisionerJob,
    ProvisionerJobInput,
    ProvisionerJobTimings,
    WorkspaceQuota,
    workspace_status,
)
from db.schema.enums import JobErrorCode, JobStatus, Transition

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)


def job(**changes: Any) -> ProvisionerJob:
    """A pending job."""
    metadata = {
        "template_version_name": "v1",
        "template_id": uuid.uuid4(),
        "template_name": "machine",
        "template_display_name": "",
        "template_icon": "",
    }
    fields = {
        "id": uuid.uuid4(),
        "created_at": MOMENT,
        "status": JobStatus.PENDING,
        "file_id": uuid.uuid4(),
        "tags": {"scope": "organization", "owner": ""},
        "queue_position": 1,
        "queue_size": 1,
        "organization_id": uuid.uuid4(),
        "initiator_id": uuid.uuid4(),
        "input": {},
        "type": "workspace_build",
        "metadata": metadata,
        "logs_overflowed": False,
    }
    return ProvisionerJob.model_validate({**fields, **changes})


def written(model: Any) -> dict[str, Any]:
    """What a client reads."""
    content: dict[str, Any] = json.loads(model.model_dump_json())
    return content


def test_a_pending_job_has_just_the_fields_that_are_never_absent() -> None:
    assert set(written(job())) == {
        "id",
        "created_at",
        "status",
        "file_id",
        "tags",
        "queue_position",
        "queue_size",
        "organization_id",
        "initiator_id",
        "input",
        "type",
        "metadata",
        "logs_overflowed",
    }


@pytest.mark.parametrize("field", sorted(ProvisionerJob.model_fields))
def test_no_field_of_a_job_is_ever_null(field: str) -> None:
    assert written(job()).get(field, "absent") is not None


def test_absent_fields_are_left_out_of_nested_models_and_plain_dictionaries_too() -> None:
    assert job().model_dump()["input"] == {}


@pytest.mark.parametrize("code", [code.value for code in JobErrorCode])
def test_a_tagged_failure_shows_its_error_code(code: str) -> None:
    failed = job(status="failed", error="it broke", error_code=code)

    assert written(failed)["error_code"] == code


def test_an_error_code_outside_the_enum_is_refused() -> None:
    with pytest.raises(ValidationError, match="MISSING_TEMPLATE_PARAMETER"):
        job(status="failed", error="it broke", error_code="OUT_OF_STOCK")


def test_the_error_codes_are_exactly_three() -> None:
    assert set(JobErrorCode) == {
        "MISSING_TEMPLATE_PARAMETER",
        "REQUIRED_TEMPLATE_VARIABLES",
        "INSUFFICIENT_QUOTA",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(MOMENT, "2026-02-03T04:05:06.789000Z", id="utc"),
        pytest.param(
            MOMENT.astimezone(timezone(timedelta(hours=2))),
            "2026-02-03T04:05:06.789000Z",
            id="zone",
        ),
        pytest.param(MOMENT.replace(microsecond=0), "2026-02-03T04:05:06Z", id="whole second"),
    ],
)
def test_a_time_is_written_as_rfc_3339_in_utc(given: datetime, expected: str) -> None:
    assert written(job(created_at=given))["created_at"] == expected


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        job(created_at=MOMENT.replace(tzinfo=None))


def test_the_input_of_an_import_does_not_show_the_values_of_variables() -> None:
    stored = {
        "template_version_id": str(uuid.uuid4()),
        "user_variable_values": [{"name": "token", "value": "secret"}],
    }

    shown = ProvisionerJobInput.model_validate(stored)

    assert set(written(shown)) == {"template_version_id"}


def test_timings_have_the_lists_of_agents_though_they_are_empty() -> None:
    timings = ProvisionerJobTimings(
        provisioner_timings=[], agent_script_timings=(), agent_connection_timings=()
    )

    assert written(timings) == {
        "provisioner_timings": [],
        "agent_script_timings": [],
        "agent_connection_timings": [],
    }


def test_a_quota_is_two_numbers() -> None:
    assert written(WorkspaceQuota(credits_consumed=3, budget=4)) == {
        "credits_consumed": 3,
        "budget": 4,
    }


def test_a_job_can_be_read_back_from_its_json() -> None:
    made = job(error="it broke", error_code="INSUFFICIENT_QUOTA", status="failed")

    assert ProvisionerJob.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("status", "start", "stop", "delete"),
    [
        ("pending", "pending", "pending", "pending"),
        ("running", "starting", "stopping", "deleting"),
        ("succeeded", "running", "stopped", "deleted"),
        ("canceling", "canceling", "canceling", "canceling"),
        ("canceled", "canceled", "canceled", "canceled"),
        ("failed", "failed", "failed", "failed"),
        ("unknown", "failed", "failed", "failed"),
    ],
)
def test_a_workspace_status_follows_from_transition_and_job(
    status: str, start: str, stop: str, delete: str
) -> None:
    found = [workspace_status(transition, JobStatus(status)) for transition in Transition]

    assert found == [start, stop, delete]
