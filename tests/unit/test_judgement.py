"""What an import refuses of the declarations as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from db.jobs.declarations import PlannedDeclarations, TemplateParameter, TemplatePreset
from db.parameters.limits import MAX_GIVEN, MAX_VALUE_BYTES
from provisioner.template.judgement import (
    MAX_DECLARATIONS,
    DeclarationError,
    check_declarations,
    wrong_in_presets,
)


def parameter(name: str = "p", **facts: Any) -> TemplateParameter:
    return TemplateParameter(**{"name": name, "required": False, **facts})


def numbered(count: int, **facts: Any) -> list[TemplateParameter]:
    return [parameter(f"p{number}", **facts) for number in range(count)]


@pytest.mark.parametrize(
    "declares",
    [
        PlannedDeclarations(),
        PlannedDeclarations(parameters=numbered(500, description="x" * 1000)),
        PlannedDeclarations(parameters=[parameter(default="x" * MAX_VALUE_BYTES)]),
    ],
    ids=["nothing", "many", "large"],
)
def test_declarations_within_the_limits_are_taken(declares: PlannedDeclarations) -> None:
    check_declarations(declares)


@pytest.mark.parametrize(
    ("value", "sentences"),
    [
        ("5", []),
        ("9", ['the preset "P" has a wrong value for "size": value 9 is more than the maximum 5']),
    ],
)
def test_a_preset_with_a_wrong_value_is_warned_of(value: str, sentences: list[str]) -> None:
    declares = PlannedDeclarations(
        parameters=[parameter("size", type="number", validation_max=5)],
        presets=[TemplatePreset(name="P", parameters={"size": value})],
    )
    assert list(wrong_in_presets(declares)) == sentences


@pytest.mark.parametrize(
    ("declares", "words"),
    [
        pytest.param(
            PlannedDeclarations(parameters=[parameter("a"), parameter("a")]),
            'coder_parameter names must be unique but "a" appears multiple times',
            id="a name twice",
        ),
        pytest.param(
            PlannedDeclarations(parameters=numbered(MAX_GIVEN + 1)),
            "1001 parameters are declared; at most 1000",
            id="count",
        ),
        pytest.param(
            PlannedDeclarations(parameters=[parameter("n" * 1025)]),
            f'the name of parameter "{"n" * 100}" has 1025 bytes; at most 1024 are allowed',
            id="name",
        ),
        pytest.param(
            PlannedDeclarations(parameters=[parameter(default="\ud800" * MAX_VALUE_BYTES)]),
            'the default of parameter "p" has 384000 bytes; at most 128000 are allowed',
            id="default",
        ),
        pytest.param(
            PlannedDeclarations(parameters=[parameter(description="x" * 70_000)]),
            'the description of parameter "p" has 70000 bytes; at most 65536 are allowed',
            id="description",
        ),
        pytest.param(
            PlannedDeclarations(
                presets=[TemplatePreset(name="a", parameters={"p": "x" * MAX_DECLARATIONS})]
            ),
            "at most 4194304 are allowed",
            id="all together",
        ),
    ],
)
def test_declarations_beyond_a_limit_are_refused(declares: PlannedDeclarations, words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        check_declarations(declares)
    assert words in str(caught.value)
