"""The parameters, presets and services that a plan declares."""

from __future__ import annotations

from typing import Any

import pytest

from db.jobs.declarations import (
    ExternalAuth,
    ParameterOption,
    PrebuildSchedule,
    TemplateParameter,
    TemplatePreset,
)
from provisioner.engines.terraform.conversion.declarations import declarations_of
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance
from tests.harness.instances import managed, read

NO_RULE = {"min": 0, "max": 0, "regex": "", "error": "", "monotonic": ""}


def parameter(**attributes: object) -> TemplateParameter:
    found = declarations_of([read("coder_parameter.x", **attributes)])
    return found.parameters[0]


def preset(**attributes: object) -> TemplatePreset:
    return declarations_of([read("coder_workspace_preset.x", **attributes)]).presets[0]


def named(*names: str) -> list[Instance]:
    return [read("coder_parameter.x", name=name) for name in names]


def refusal(*instances: Instance) -> str:
    with pytest.raises(ConversionError) as caught:
        declarations_of(instances)
    return str(caught.value).removeprefix("convert state for graph: ")


def test_a_parameter_has_what_its_data_source_says() -> None:
    found = parameter(
        name="size",
        display_name="Size",
        description="How large",
        type="number",
        form_type="dropdown",
        mutable=True,
        default="2",
        optional=True,
        icon="/icon/memory.svg",
        order=3,
        ephemeral=True,
        option=[{"name": "Two", "value": "2", "description": "", "icon": "/2.svg"}],
        validation=[
            {"min": 0, "min_disabled": False, "max": 8, "max_disabled": False}
            | {"monotonic": "increasing", "error": "from {min} to {max}", "regex": ""}
        ],
    )
    assert found == TemplateParameter(
        name="size",
        required=False,
        display_name="Size",
        description="How large",
        type="number",
        form_type="dropdown",
        mutable=True,
        default="2",
        icon="/icon/memory.svg",
        order=3,
        ephemeral=True,
        options=(ParameterOption(name="Two", value="2", icon="/2.svg"),),
        validation_min=0,
        validation_max=8,
        validation_monotonic="increasing",
        validation_error="from {min} to {max}",
    )


def test_parameters_of_modules_are_found_too() -> None:
    inner = read("module.m[0].coder_parameter.region", name="region")
    assert [found.name for found in declarations_of([inner, *named("size")]).parameters] == [
        "region",
        "size",
    ]


@pytest.mark.parametrize(
    ("attributes", "required", "default"),
    [
        ({"default": None, "optional": False}, True, None),
        ({"default": "", "optional": True}, False, ""),
        ({"default": "x"}, False, "x"),
        ({}, True, None),
    ],
)
def test_a_parameter_without_a_default_is_required(
    attributes: dict[str, Any], required: bool, default: str | None
) -> None:
    found = parameter(name="x", **attributes)
    assert (found.required, found.default) == (required, default)


@pytest.mark.parametrize(
    ("rule", "bounds"),
    [
        ({"min_disabled": True, "max_disabled": False, "min": 0, "max": 0}, (None, 0)),
        ({"min_disabled": False, "max_disabled": True, "min": 0, "max": 0}, (0, None)),
        ({"min": 0, "max": 5}, (0, 5)),
        ({"min": 0, "max": 0}, (None, None)),
        ({"min": 2**70, "max": "5", "min_disabled": False}, (None, None)),
    ],
)
def test_zero_is_a_bound_unless_it_is_disabled(
    rule: dict[str, object], bounds: tuple[int | None, int | None]
) -> None:
    found = parameter(name="x", type="number", validation=[{**NO_RULE, **rule}])
    assert (found.validation_min, found.validation_max) == bounds


def test_values_of_other_types_are_the_defaults() -> None:
    wrong = {key: [1] for key in ("display_name", "mutable", "order", "option", "validation")}
    assert parameter(name="x", type="color", **wrong) == TemplateParameter(
        name="x", required=True, mutable=False
    )


def test_a_preset_has_what_its_data_source_says() -> None:
    found = preset(
        name="Large",
        description="For builds",
        icon="/icon.svg",
        default=True,
        parameters={"size": "8", "region": None},
        prebuilds=[
            {
                "instances": 2,
                "expiration_policy": [{"ttl": 86400}],
                "scheduling": [
                    {"timezone": "UTC", "schedule": [{"cron": "* 8-18 * * 1-5", "instances": 5}]}
                ],
            }
        ],
    )
    assert found == TemplatePreset(
        name="Large",
        parameters={"size": "8"},
        is_default=True,
        description="For builds",
        icon="/icon.svg",
        desired_instances=2,
        invalidate_after_s=86400,
        timezone="UTC",
        schedules=(PrebuildSchedule(cron="* 8-18 * * 1-5", instances=5),),
    )


def test_a_preset_without_prebuilds_wants_none() -> None:
    found = preset(name="Small", parameters=None, prebuilds=[])
    assert (found.desired_instances, found.invalidate_after_s, found.schedules) == (0, None, ())


def test_services_are_listed_once() -> None:
    found = declarations_of(
        [
            read("coder_external_auth.a", id="github", optional=True),
            read("coder_git_auth.a", id="github"),
            read("coder_git_auth.b", id="gitlab"),
        ]
    )
    assert found.external_auth == (
        ExternalAuth(id="github", optional=True),
        ExternalAuth(id="gitlab"),
    )


def test_a_service_without_a_readable_id_is_refused() -> None:
    assert refusal(read("coder_external_auth.a", id=None)) == "external auth id is not a string"


@pytest.mark.parametrize("name", ["ai_task", "external_agent"])
def test_tasks_and_external_agents_are_noticed(name: str) -> None:
    found = declarations_of([managed(f"coder_{name}.x")])
    assert (found.has_ai_task, found.has_external_agent) == (
        name == "ai_task",
        name == "external_agent",
    )


def test_a_template_has_one_task() -> None:
    assert refusal(managed("coder_ai_task.a"), managed("coder_ai_task.b")) == (
        "only one 'coder_ai_task' resource can be provisioned per template, found 2"
    )


def test_workspace_tags_have_the_values_of_the_plan() -> None:
    found = declarations_of([read("coder_workspace_tags.x", tags={"zone": "eu", "later": None})])
    assert found.tags == {"zone": "eu"}
