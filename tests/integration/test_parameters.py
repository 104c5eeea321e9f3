"""The values of a build's parameters, resolved and refused in the enqueue transaction."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import select

from db.catalog.builds import EnqueuedBuild, insert_build
from db.errors import InvalidError, ParameterValidationError
from db.jobs.declarations import ParameterOption, TemplateParameter, TemplatePreset
from db.schema.enums import JobErrorCode, JobStatus, Stage, Transition
from db.schema.tables import (
    Template,
    TemplateVersionPreset,
    Workspace,
    WorkspaceBuild,
    WorkspaceBuildParameter,
)
from tests.harness.factory import Factory

REGION = TemplateParameter(
    name="region",
    required=True,
    mutable=False,
    options=(ParameterOption(name="Europe", value="eu"), ParameterOption(name="US", value="us")),
    order=2,
)
SIZE = TemplateParameter(
    name="size",
    required=False,
    default="2",
    type="number",
    validation_min=1,
    validation_max=8,
    validation_monotonic="increasing",
    order=1,
)
WIPE = TemplateParameter(name="wipe", required=False, default="false", type="bool", ephemeral=True)
PRESETS = (
    TemplatePreset(name="small", parameters={"region": "eu"}),
    TemplatePreset(name="large", parameters={"region": "eu", "size": "8"}),
)
LARGE = 1_000_000


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    """A workspace of a template with all of the parameters and presets."""
    return declared(factory, parameters=(REGION, SIZE, WIPE), presets=PRESETS)


def declared(factory: Factory, **declarations: Any) -> Workspace:
    made = factory.any_workspace()
    with factory.database.begin() as session:
        template = session.get_one(Template, made.template_id)
    factory.declare(template, **declarations)
    return made


def values(factory: Factory, build: EnqueuedBuild) -> dict[str, str]:
    query = select(WorkspaceBuildParameter).where(
        WorkspaceBuildParameter.workspace_build_id == build.build_id
    )
    with factory.database.begin() as session:
        return {row.name: row.value for row in session.scalars(query)}


def preset_of(factory: Factory, build: EnqueuedBuild) -> str | None:
    with factory.database.begin() as session:
        preset_id = session.get_one(WorkspaceBuild, build.build_id).template_version_preset_id
        return session.get_one(TemplateVersionPreset, preset_id).name if preset_id else None


def refused(factory: Factory, workspace: Workspace, **request: Any) -> ParameterValidationError:
    with pytest.raises(ParameterValidationError) as caught:
        factory.build(workspace, **request)
    return caught.value


def test_every_parameter_is_stored_with_its_value(factory: Factory, workspace: Workspace) -> None:
    build = factory.build(workspace, parameters={"region": "eu"})
    assert values(factory, build) == {"region": "eu", "size": "2", "wipe": "false"}


def test_a_missing_value_is_refused_by_name(factory: Factory, workspace: Workspace) -> None:
    error = refused(factory, workspace)
    assert [found.field for found in error.validations] == ["region"]
    assert error.error_code is JobErrorCode.MISSING_TEMPLATE_PARAMETER


def test_each_wrong_value_is_refused_by_name(factory: Factory, workspace: Workspace) -> None:
    given = {"region": "moon", "size": "9", "wipe": "maybe", "colour": "red"}
    error = refused(factory, workspace, parameters=given)
    assert [found.field for found in error.validations] == ["colour", "region", "size", "wipe"]


def test_a_refused_build_leaves_nothing(factory: Factory, workspace: Workspace) -> None:
    refused(factory, workspace, parameters={"region": "moon"})
    with factory.database.begin() as session:
        assert session.scalars(select(WorkspaceBuild)).all() == []


def test_a_value_for_one_build_is_not_given_to_the_next(
    factory: Factory, workspace: Workspace
) -> None:
    factory.finished_build(workspace, parameters={"region": "eu", "wipe": "true"})
    assert values(factory, factory.build(workspace))["wipe"] == "false"


def test_a_value_that_must_not_change_is_kept(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, parameters={"region": "eu"})
    error = refused(factory, workspace, parameters={"region": "us"})
    assert [found.field for found in error.validations] == ["region"]
    assert values(factory, factory.build(workspace))["region"] == "eu"


def test_a_number_does_not_go_back(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, parameters={"region": "eu", "size": "4"})
    error = refused(factory, workspace, parameters={"size": "3"})
    assert "must be equal or greater than previous value: 4" in str(error)


def test_a_number_is_compared_with_what_was_applied(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, parameters={"region": "eu", "size": "2"})
    factory.finished_build(
        workspace, parameters={"size": "8"}, status=JobStatus.FAILED, stage=Stage.PLAN
    )
    assert values(factory, factory.build(workspace, parameters={"size": "3"}))["size"] == "3"


@pytest.mark.parametrize("by_name", [True, False])
def test_a_preset_is_chosen_by_name_or_id(
    factory: Factory, workspace: Workspace, by_name: bool
) -> None:
    with factory.database.begin() as session:
        query = select(TemplateVersionPreset).where(TemplateVersionPreset.name == "large")
        preset = session.scalars(query).one()
    build = factory.build(
        workspace, parameters={"size": "1"}, preset="large" if by_name else preset.id
    )
    assert values(factory, build) == {"region": "eu", "size": "8", "wipe": "false"}
    assert preset_of(factory, build) == "large"


@pytest.mark.parametrize(
    ("parameters", "preset"),
    [
        ({"region": "eu"}, "small"),
        ({"region": "eu", "size": "8"}, "large"),
        ({"region": "us"}, None),
    ],
)
def test_the_preset_that_the_values_match_is_stored(
    factory: Factory, workspace: Workspace, parameters: dict[str, str], preset: str | None
) -> None:
    assert preset_of(factory, factory.build(workspace, parameters=parameters)) == preset


@pytest.mark.parametrize("preset", ["huge", uuid.UUID(int=1)])
def test_an_unknown_preset_is_refused_beside_those_that_exist(
    factory: Factory, workspace: Workspace, preset: uuid.UUID | str
) -> None:
    with pytest.raises(InvalidError, match=r"has no preset '.*'; it has 'large', 'small'$"):
        factory.build(workspace, preset=preset)


def test_a_stop_keeps_the_values_that_were_applied(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, parameters={"region": "eu", "size": "4"})
    build = factory.build(workspace, Transition.STOP)
    assert values(factory, build) == {"region": "eu", "size": "4", "wipe": "false"}


def test_a_delete_never_fails_because_of_a_value(factory: Factory, workspace: Workspace) -> None:
    factory.finished_build(workspace, parameters={"region": "eu", "size": "4"})
    given = {"region": "us", "size": "x" * LARGE, "colour": "red", "wipe": "\0"}
    build = factory.build(workspace, Transition.DELETE, parameters=given)
    assert values(factory, build) == {"region": "eu", "size": "4", "wipe": "false"}


def test_a_template_without_parameters_takes_none(factory: Factory) -> None:
    error = refused(factory, declared(factory), parameters={"region": "eu"})
    assert str(error).endswith('parameter "region" is not present in the template; it has none')


@pytest.mark.parametrize("transition", [Transition.START, Transition.STOP])
def test_a_value_that_is_too_large_is_refused_whatever_the_template_declares(
    factory: Factory, transition: Transition
) -> None:
    workspace = factory.any_workspace()
    with factory.database.begin() as session, pytest.raises(ParameterValidationError):
        insert_build(
            session,
            workspace_id=workspace.id,
            transition=transition,
            parameters={"script": "x" * LARGE},
        )


def test_a_delete_of_a_version_without_an_import_leaves_such_a_value_out(factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.forget_import(workspace.template_id)
    given = {"script": "x" * LARGE, "a": "1"}
    build = factory.build(workspace, Transition.DELETE, parameters=given)
    assert values(factory, build) == {"a": "1"}
