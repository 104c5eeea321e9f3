from __future__ import annotations

import pytest

from db.jobs.declarations import Template, TemplateParameter, TemplateVariable
from provisioner.template.parameters import (
    MissingParameterError,
    RequiredVariablesError,
    UnknownParameterError,
    check_known,
    check_parameters,
    check_variables,
    values_for,
)

TEMPLATE = Template(
    variables=(
        TemplateVariable(name="account", required=True),
        TemplateVariable(name="image", required=True, sensitive=True),
        TemplateVariable(name="zone", required=False, default="a"),
    ),
    parameters=(
        TemplateParameter(name="region", required=True),
        TemplateParameter(name="size", required=True, variable_type="number"),
        TemplateParameter(name="tools", required=False, variable_type="list(string)"),
        TemplateParameter(name="dotfiles", required=False, default=""),
    ),
)


def test_one_missing_parameter_is_named_with_the_way_to_give_it() -> None:
    with pytest.raises(MissingParameterError) as caught:
        check_parameters(TEMPLATE, {"size": "2"})
    assert str(caught.value) == (
        'missing parameter: "region" has no value and no default; '
        "choose one with --param region=VALUE"
    )


def test_several_missing_parameters_are_all_named() -> None:
    with pytest.raises(MissingParameterError) as caught:
        check_parameters(TEMPLATE, {})
    assert str(caught.value) == (
        'missing parameter: "region", "size" have no value and no default; '
        "choose them with --param region=VALUE --param size=VALUE"
    )


def test_the_missing_parameters_are_an_attribute_of_the_error() -> None:
    with pytest.raises(MissingParameterError) as caught:
        check_parameters(TEMPLATE, {"size": "2"})
    assert caught.value.names == ("region",)


def test_an_empty_value_is_a_value_of_a_parameter() -> None:
    check_parameters(TEMPLATE, {"region": "", "size": ""})


def test_missing_variables_are_all_named_behind_the_sentinel() -> None:
    with pytest.raises(
        RequiredVariablesError, match=r"^required template variables need values: "
    ) as caught:
        check_variables(TEMPLATE, {"zone": "b"})
    assert caught.value.names == ("account", "image")


def test_the_two_sentinels_never_stand_in_one_message() -> None:
    missing = str(MissingParameterError(["a"])) + str(UnknownParameterError(["a"], ["b"]))
    required = str(RequiredVariablesError(["a"])) + str(UnknownParameterError(["a"], ["b"]))
    assert "required template variables" not in missing
    assert "missing parameter" not in required


def test_an_empty_value_is_a_value_of_a_variable() -> None:
    check_variables(TEMPLATE, {"account": "", "image": ""})


def test_a_template_without_demands_passes_without_values() -> None:
    check_parameters(Template(), {})
    check_variables(Template(), {})


def test_an_unknown_parameter_is_named_beside_those_that_exist() -> None:
    with pytest.raises(UnknownParameterError) as caught:
        check_known(TEMPLATE, {"regoin": "eu", "size": "2"})
    assert str(caught.value) == (
        'the template has no parameter "regoin"; it has "region", "size", "tools", "dotfiles"'
    )


def test_a_parameter_of_a_template_without_any_is_unknown() -> None:
    with pytest.raises(UnknownParameterError, match=r'has no parameters "a", "b"; it has none$'):
        check_known(Template(), {"a": "", "b": ""})


def test_a_parameter_is_known_by_its_name() -> None:
    check_known(TEMPLATE, {"region": "eu", "size": "1"})


def test_a_variable_is_no_parameter() -> None:
    with pytest.raises(UnknownParameterError, match='no parameter "account"'):
        check_known(TEMPLATE, {"account": "1"})


@pytest.mark.parametrize(
    ("variables", "parameters", "expected"),
    [
        pytest.param({"zone": "b"}, {}, {"zone": "b"}, id="stored value"),
        pytest.param({}, {"zone": "c"}, {}, id="no parameter sets a variable"),
        pytest.param({"gone": "x"}, {}, {}, id="no longer declared"),
        pytest.param({}, {"size": "2"}, {"parameter_size": "2"}, id="declared by a variable"),
        pytest.param({}, {"size": ""}, {"parameter_size": ""}, id="required and empty"),
        pytest.param({}, {"tools": "[]"}, {"parameter_tools": "[]"}, id="not the default"),
        pytest.param({}, {"tools": ""}, {}, id="the default, which may be null"),
        pytest.param({}, {"region": "eu"}, {}, id="declared by a data source"),
        pytest.param({}, {"other": "x"}, {}, id="undeclared parameter"),
        pytest.param({}, {}, {}, id="defaults are left to Terraform"),
    ],
)
def test_a_variable_has_its_stored_value_or_that_of_its_parameter(
    variables: dict[str, str], parameters: dict[str, str], expected: dict[str, str]
) -> None:
    assert values_for(TEMPLATE, variables, parameters) == expected
