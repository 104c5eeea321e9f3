"""The parameters of the stand-in of ``coder/coder``: which values they take, and their errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.coder.parameter import PARAMETER, previous_variable_of, variable_of
from tests.unit.providers.reading import judged, read, refusal, summaries

REGION = "CODER_PARAMETER_c697d2981bf416569a16cfbcdec1542b5398f3cc77d2b905819aa99c46ecf6f6"
BROKEN = "Invalid parameter value according to 'validation' block"
BROKEN_DEFAULT = "Invalid parameter default value according to 'validation' block"
NUMBER = {"name": "n", "type": "number"}


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(name: str, value: str, *, previous: str | None = None) -> None:
        monkeypatch.setenv(variable_of(name), value)
        if previous is not None:
            monkeypatch.setenv(previous_variable_of(name), previous)

    return give


def rules(**given: Any) -> list[dict[str, Any]]:
    return [given]


def options(*values: str) -> list[dict[str, str]]:
    return [{"name": value, "value": value} for value in values]


def test_the_variable_is_named_by_the_hash_of_the_name() -> None:
    assert variable_of("region") == REGION


def test_without_default_input_and_validation_the_value_is_empty() -> None:
    values = read(PARAMETER, name="n")
    assert (values["value"], values["optional"]) == ("", False)


def test_the_input_beats_the_default(give: Any) -> None:
    give("n", "3")
    values = read(PARAMETER, name="n", default="5")
    assert (values["value"], values["optional"]) == ("3", True)


def test_an_empty_input_beats_the_default_too(give: Any) -> None:
    give("n", "")
    assert not read(PARAMETER, name="n", default="5")["value"]


def test_an_empty_default_counts_as_one() -> None:
    assert read(PARAMETER, name="n", default="")["optional"] is True


def test_an_immutable_parameter_cannot_be_ephemeral() -> None:
    given = {"name": "n", "ephemeral": True, "default": "x"}
    assert refusal(PARAMETER, **given)[0] == "parameter can't be immutable and ephemeral"


def test_an_ephemeral_parameter_needs_a_default() -> None:
    found = refusal(PARAMETER, name="n", ephemeral=True, mutable=True)
    assert found[0] == "ephemeral parameter requires the default property"


@pytest.mark.parametrize(
    ("kind", "offered", "expected"),
    [
        ("string", [], "input"),
        ("string", ["a"], "radio"),
        ("number", [], "input"),
        ("bool", [], "checkbox"),
        ("bool", ["true"], "radio"),
        ("list(string)", [], "tag-select"),
        ("list(string)", ['["a"]'], "radio"),
    ],
)
def test_each_type_has_a_form_type_by_default(kind: str, offered: list[str], expected: str) -> None:
    assert read(PARAMETER, name="n", type=kind, option=options(*offered))["form_type"] == expected


def test_a_form_type_that_options_rule_out_is_refused() -> None:
    assert refusal(PARAMETER, **NUMBER, form_type="slider", option=options("1")) == (
        "Invalid form_type for parameter",
        (
            '"form_type" attribute="slider" is not supported for "type"="number"'
            " when options exist, choose one of [radio dropdown]"
        ),
    )


def test_a_form_type_that_never_fits_is_refused_without_a_reason() -> None:
    assert refusal(PARAMETER, **NUMBER, form_type="switch")[1] == (
        '"form_type" attribute="switch" is not supported for "type"="number",'
        " choose one of [input slider]"
    )


def test_two_options_of_one_name_are_refused() -> None:
    twice = [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]
    assert refusal(PARAMETER, name="n", option=twice) == (
        "Option names must be unique.",
        'multiple options found with the same name "x"',
    )


def test_two_options_of_one_value_are_refused() -> None:
    twice = [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}]
    assert refusal(PARAMETER, name="n", option=twice) == (
        "Option values must be unique.",
        'multiple options found with the same value "1"',
    )


def test_an_option_is_of_the_parameter_s_type() -> None:
    assert refusal(PARAMETER, **NUMBER, option=options("v"))[0] == (
        'Option "v" with value="v" is not of type "number"'
    )


def test_an_input_that_is_no_option_is_refused(give: Any) -> None:
    give("n", "3")
    assert refusal(PARAMETER, name="n", option=options("1", "2")) == (
        "Value must be a valid option",
        'the value "3" must be defined as one of options',
    )


def test_a_default_that_is_no_option_is_refused() -> None:
    found = refusal(PARAMETER, name="n", default="3", option=options("1"))
    assert found[0] == "Default value must be a valid option"


def test_an_empty_input_is_named_as_such(give: Any) -> None:
    give("n", "")
    assert refusal(PARAMETER, name="n", option=options("1"))[0] == (
        "Value must be a valid option. The value is empty,"
        " did you forget to set it with a default or from user input?"
    )


def test_a_multi_select_takes_some_of_its_options(give: Any) -> None:
    give("n", '["a", "b"]')
    given = {"name": "n", "type": "list(string)", "form_type": "multi-select"}
    assert read(PARAMETER, **given, option=options("a", "b", "c"))["value"] == '["a", "b"]'


def test_a_multi_select_names_what_is_no_option(give: Any) -> None:
    give("n", '["a", "x", "y"]')
    given = {"name": "n", "type": "list(string)", "form_type": "multi-select"}
    summary, detail = refusal(PARAMETER, **given, option=options("a"))
    assert summary == "Values must be a valid option"
    assert detail.endswith('values "x, y" are missing from the options')


def test_a_default_is_checked_by_the_validation() -> None:
    found = refusal(PARAMETER, **NUMBER, default="5", validation=rules(min=10))
    assert found == (BROKEN_DEFAULT, "value 5 is less than the minimum 10")


def test_a_default_is_not_judged_where_an_input_exists(give: Any) -> None:
    give("n", "3")
    given = {**NUMBER, "default": "5", "validation": rules(min=1, max=3)}
    assert read(PARAMETER, **given)["value"] == "3"


def test_a_required_number_with_a_validation_fails_without_an_input() -> None:
    found = refusal(PARAMETER, **NUMBER, validation=rules(min=1))
    assert found == (BROKEN, 'value "" is not a number')


@pytest.mark.parametrize(
    ("kind", "block", "value", "detail"),
    [
        ("string", {"min": 1}, "a", "a min cannot be specified for a string type"),
        ("bool", {"max": 1}, "true", "a max cannot be specified for a bool type"),
        (
            "string",
            {"monotonic": "increasing"},
            "a",
            "monotonic validation can only be specified for number types, not string types",
        ),
        ("number", {"regex": "1"}, "1", "a regex cannot be specified for a number type"),
        ("bool", {}, "1", 'boolean value can be either "true" or "false"'),
        ("string", {"regex": "a"}, "a", "an error must be specified with a regex validation"),
        (
            "string",
            {"regex": "^a$", "error": "only a"},
            "b",
            'only a (value "b" does not match "^a$")',
        ),
        ("number", {"max": 5}, "9", "value 9 is more than the maximum 5"),
        ("number", {"max": 5}, "1.5", 'value "1.5" is not a number'),
        (
            "number",
            {"min": 1, "max": 5, "error": "{value} is not in {min} to {max}"},
            "9",
            "9 is not in 1 to 5",
        ),
        (
            "number",
            {"monotonic": "up"},
            "1",
            'number monotonicity can be either "increasing" or "decreasing"',
        ),
        ("list(string)", {}, "a", 'value "a" is not valid list of strings'),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(
    give: Any, kind: str, block: dict[str, Any], value: str, detail: str
) -> None:
    give("n", value)
    assert refusal(PARAMETER, name="n", type=kind, validation=rules(**block)) == (BROKEN, detail)


def test_a_regular_expression_is_searched_not_matched(give: Any) -> None:
    give("n", "xax")
    block = rules(regex="a", error="no a")
    assert read(PARAMETER, name="n", validation=block)["value"] == "xax"


@pytest.mark.parametrize(
    ("direction", "value", "previous", "word"),
    [("increasing", "3", "4", "greater"), ("decreasing", "5", "4", "lower")],
)
def test_a_value_that_moves_the_wrong_way_is_refused(
    give: Any, direction: str, value: str, previous: str, word: str
) -> None:
    give("n", value, previous=previous)
    found = refusal(PARAMETER, **NUMBER, validation=rules(monotonic=direction, error="own"))
    assert found[1] == (
        f"parameter value '{value}' must be equal or {word} than previous value: {previous}"
    )


@pytest.mark.parametrize("previous", ["3", "a"])
def test_the_same_value_and_a_previous_one_that_is_no_number_pass(give: Any, previous: str) -> None:
    give("n", "3", previous=previous)
    assert read(PARAMETER, **NUMBER, validation=rules(monotonic="increasing"))["value"] == "3"


@pytest.mark.parametrize("value", ["1", "1.5", "1e3", "inf", "NaN", "-0x1p-2"])
def test_a_number_is_whatever_go_reads_as_one(give: Any, value: str) -> None:
    give("n", value)
    assert read(PARAMETER, **NUMBER)["value"] == value


@pytest.mark.parametrize(
    ("kind", "value", "detail"),
    [
        ("number", "a", '"a" is not a number'),
        ("number", "1_000", '"1_000" is not a number'),
        ("number", "", '"" is not a number'),
        ("bool", "yes", '"yes" is not a bool'),
        ("list(string)", "[1]", 'value "[1]" is not a valid list of strings'),
    ],
)
def test_a_value_of_another_type_is_refused(give: Any, kind: str, value: str, detail: str) -> None:
    give("n", value)
    found = refusal(PARAMETER, name="n", type=kind)
    assert found == (f'Parameter value is not of type "{kind}"', detail)


def test_null_is_a_list() -> None:
    assert read(PARAMETER, name="n", type="list(string)", default="null")["value"] == "null"


def test_a_bound_that_is_not_set_is_told_from_zero() -> None:
    (block,) = read(PARAMETER, **NUMBER, default="0", validation=rules(min=0))["validation"]
    assert (block["min_disabled"], block["max_disabled"], block["max"]) == (False, True, 0)


def test_a_regular_expression_excludes_bounds() -> None:
    (found,) = judged(PARAMETER, name="n", validation=rules(regex="a", min=1))
    assert found.summary == "Conflicting configuration arguments"


def test_an_unknown_type_is_refused() -> None:
    assert summaries(PARAMETER, name="n", type="text") == [
        'expected type to be one of ["string" "number" "bool" "list(string)"], got text'
    ]
