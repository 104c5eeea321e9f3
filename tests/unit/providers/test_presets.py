"""The presets of the stand-in of ``coder/coder`` and their schedules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.coder.preset import PRESET
from tests.unit.providers.reading import read, summaries


def scheduled(*crons: str, timezone: str = "UTC") -> dict[str, Any]:
    schedules = [{"cron": cron, "instances": 1} for cron in crons]
    scheduling = [{"timezone": timezone, "schedule": schedules}]
    return {"name": "p", "prebuilds": [{"instances": 1, "scheduling": scheduling}]}


def test_a_preset_is_identified_by_its_name() -> None:
    values = read(PRESET, name="small", parameters={"cpu": "2"})
    assert (values["id"], values["default"]) == ("small", False)


def test_a_name_must_not_be_empty() -> None:
    assert summaries(PRESET, name="") == ['expected "name" to not be an empty string, got ']


def test_a_description_has_a_limit() -> None:
    (found,) = summaries(PRESET, name="p", description="x" * 129)
    assert found.startswith("expected length of description to be in the range (0 - 128), got x")


def test_a_number_of_instances_is_not_negative() -> None:
    assert summaries(PRESET, name="p", prebuilds=[{"instances": -1}]) == [
        "expected prebuilds.0.instances to be at least (0), got -1"
    ]


@pytest.mark.parametrize(("ttl", "is_accepted"), [(0, True), (3600, True), (5, False)])
def test_a_time_to_live_is_none_or_an_hour_to_a_year(ttl: int, *, is_accepted: bool) -> None:
    prebuilds = [{"instances": 1, "expiration_policy": [{"ttl": ttl}]}]
    assert (summaries(PRESET, name="p", prebuilds=prebuilds) == []) is is_accepted


def test_a_time_zone_must_exist() -> None:
    (found,) = summaries(PRESET, **scheduled("* 1 * * *", timezone="Mars/Base"))
    assert found.startswith('failed to load timezone "Mars/Base"')


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        (
            "* * *",
            "cron spec failed validation: cron specification should consist of 5 fields",
        ),
        ("5 * * * *", "cron spec failed validation: minute field should be *"),
        (
            "* 25 * * *",
            "failed to parse cron spec: end of range (25) above maximum (23): 25",
        ),
    ],
)
def test_a_schedule_that_is_not_allowed_is_refused(cron: str, problem: str) -> None:
    assert summaries(PRESET, **scheduled(cron))[0] == problem


@pytest.mark.parametrize(
    ("first", "second", "overlaps"),
    [
        ("* 8-18 * * 1-5", "* 19-20 * * 1-5", False),
        ("* 8-18 * * 1-5", "* 18-20 * * 1-5", True),
        ("* 8-18 * * 1-5", "* 8-18 * * 6,0", False),
        ("* 8 1 * *", "* 8 2 * *", False),
        ("* 8 1 * 1", "* 8 1 * 2", True),
        ("* 8 * 1 *", "* 8 * 2 *", False),
    ],
)
def test_two_schedules_must_not_overlap(first: str, second: str, *, overlaps: bool) -> None:
    found = summaries(PRESET, **scheduled(first, second))
    text = f"schedules overlap with each other: schedules overlap: {first} and {second}"
    assert found == ([text] if overlaps else [])


def test_steps_are_not_understood_where_schedules_are_compared() -> None:
    assert summaries(PRESET, **scheduled("* */2 * * *", "* 1 * * *")) == ["invalid schedule: */2"]
